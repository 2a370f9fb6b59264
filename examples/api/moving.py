"""A module whose data moves with an account to another server (XEP-0227)."""

from collections.abc import AsyncGenerator, Sequence
from functools import partial

from federix.api import JID, TEXT, Arrival, Arrived, Document, Element, Module, NotTaken, Portable, Take
from federix.testing import World

MOTTO = "https://example.org/motto"


class PortableMotto(Portable):
    what, tag, around = "mottoes", (MOTTO, "motto"), False

    def __init__(self, mottoes: "Mottoes") -> None:
        self._mottoes = mottoes

    async def leaving(self, account: JID) -> AsyncGenerator[Element | bytes, None]:
        motto = await self._mottoes.kept.get(str(account))
        if motto is not None:
            yield Element("motto", MOTTO, text=motto)

    def arriving(self, account: JID, *, overwrite: bool) -> Take:
        return partial(self._take, str(account), overwrite)

    async def _take(self, owner: str, overwrite: bool, mottoes: Sequence[Element]) -> Sequence[Arrival]:
        return [await self._take_one(owner, overwrite, motto.text) for motto in mottoes]

    async def _take_one(self, owner: str, overwrite: bool, motto: str) -> Arrival:
        if not motto:
            return NotTaken("a motto says something")
        before = await self._mottoes.kept.get(owner)
        if before is not None and (before == motto or not overwrite):
            return Arrived.THERE
        await self._mottoes.kept.put(owner, motto)
        return Arrived.ADDED if before is None else Arrived.REPLACED


class Mottoes(Module):
    """Keeps a motto for each account, which moves with it to other servers."""

    name = "mod_motto"
    kept = Document("motto", TEXT)

    def portables(self) -> Sequence[Portable]:
        return (PortableMotto(self),)


world = World(modules={"mod_motto": {}}, own_modules={"mod_motto": Mottoes})
juliet = world.register("juliet@example.org")
mottoes = world.host("example.org").module(Mottoes)
world.run(mottoes.kept.put(str(juliet), "What's in a name?"))

folder = world.directory / "moving"
world.run(world.server.commands.run("export_piefxis", {"dir": str(folder)}))
world.run(mottoes.kept.remove(str(juliet)))
told = world.run(world.server.commands.run("import_piefxis", {"file": str(folder / "server-data.xml")}))
assert told == ["accounts: 1 there already", "mottoes: 1 added"]
assert world.run(mottoes.kept.get(str(juliet))) == "What's in a name?"
world.stop()
