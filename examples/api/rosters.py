"""Who is in a roster, read and changed as one step."""

from dataclasses import replace

from federix.api import RosterItem, Rosters
from federix.testing import World


async def use(rosters: Rosters) -> None:
    owner, contact = "juliet@example.org", "romeo@example.net"
    await rosters.put(owner, RosterItem(contact, name="Romeo", subscription="both"))
    version, items = await rosters.get(owner)
    assert [item.jid for item in items] == [contact]

    before, after, now = await rosters.update(
        owner, contact, lambda item: replace(item, groups=frozenset({"Montagues"})) if item else None
    )
    assert before and after and after.groups == {"Montagues"} and now > version

    await rosters.remove(owner, contact)
    changes = await rosters.changes(owner, since=version)
    assert changes is not None and [item.subscription for item in changes.items] == ["remove"]


world = World()
world.run(use(world.host("example.org").storage.rosters))
world.stop()
