"""What an archive holds of one contact, the newest first."""

from federix.api import ArchiveRow, Archives, Span
from federix.testing import World

JULIET, ROMEO = "juliet@example.org", "romeo@example.net"
TEXT = b"<message from='romeo@example.net/orchard' to='juliet@example.org' type='chat'><body>Hark!</body></message>"


async def use(archives: Archives) -> None:
    received = ArchiveRow(JULIET, 1_790_000_000_000_000, ROMEO, "orchard", False, "", TEXT)
    await archives.keep([received])

    with_romeo = Span(peer=ROMEO)
    assert await archives.count(JULIET, with_romeo) == 1
    page = await archives.page(JULIET, with_romeo, limit=50, reverse=True)
    assert page == [received]
    assert await archives.page(JULIET, with_romeo.within(before=page[-1].id), limit=50) == []


world = World()
world.run(use(world.host("example.org").storage.archives))
world.stop()
