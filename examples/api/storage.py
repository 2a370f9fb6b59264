"""The three shapes, and a type of one's own in one of them."""

from dataclasses import asdict, dataclass

from federix.api import JSON, TEXT, Document, Json, Log, Module, Table
from federix.testing import World


@dataclass(frozen=True)
class Settings:
    colour: str = "green"
    size: int = 12


def read(stored: Json) -> Settings:
    assert isinstance(stored, dict)
    return Settings(**stored)


class Desk(Module):
    name = "mod_desk"

    settings = Document("desk_settings", JSON.through(asdict, read))
    drawers = Table("desk_drawers", TEXT)
    diary = Log("desk_diary", TEXT)


async def use(desk: Desk) -> None:
    owner = "romeo@example.org"

    assert await desk.settings.get(owner) is None
    await desk.settings.put(owner, Settings("red"))
    before, after = await desk.settings.update(owner, lambda known: Settings("blue", known.size) if known else None)
    assert before == Settings("red") and after == Settings("blue")

    await desk.drawers.put(owner, "left", "a letter")
    await desk.drawers.put(owner, "right", "a rope")
    assert await desk.drawers.remove(owner, "left")
    assert await desk.drawers.all(owner) == {"right": "a rope"}
    assert await desk.drawers.sizes(owner) == {"right": 6}

    for text in ("one", "two", "three"):
        last = await desk.diary.append(owner, text)
    assert [entry.value for entry in await desk.diary.range(owner, limit=2)] == ["one", "two"]
    assert [entry.value for entry in await desk.diary.range(owner, limit=9, reverse=True)] == ["three", "two", "one"]
    assert await desk.diary.drop(owner, before=last) == 2 and await desk.diary.count(owner) == 1


world = World(modules={"mod_desk": {}}, own_modules={"mod_desk": Desk})
desk = world.host("example.org").module(Desk)
world.register("romeo@example.org")
world.run(use(desk))
world.run(desk.host.accounts.remove("romeo"))  # and all of it is forgotten
assert world.run(desk.drawers.all("romeo@example.org")) == {}
world.stop()
