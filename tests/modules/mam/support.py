"""What the tests of archives need: a world with one, messages in it, and queries."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from federix.core.archive_ids import ArchiveIds
from federix.modules.mam.module import MessageArchive
from federix.storage.archive import ArchiveRow, Span
from federix.testing import Client, World
from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.rsm import RSM

ROMEO, JULIET, NURSE = "romeo@example.org", "juliet@example.org", "nurse@example.org"
MAM = ns.MAM
#: The first message of each archive that a test fills: nine in the morning on the first of May 2026.
START = 1_777_626_000_000_000
SECOND = 1_000_000


def field(var: str, *values: object) -> str:
    return f"<field var='{var}'>{''.join(f'<value>{value}</value>' for value in values)}</field>"


def form(*fields: str) -> str:
    head = f"<field var='FORM_TYPE' type='hidden'><value>{MAM}</value></field>"
    return f"<x xmlns='jabber:x:data' type='submit'>{head}{''.join(fields)}</x>"


def page(**parts: object) -> str:
    """``<set/>`` with these parts; ``None`` is an empty one."""
    inside = "".join(f"<{name}>{'' if value is None else value}</{name}>" for name, value in parts.items())
    return f"<set xmlns='{RSM}'>{inside}</set>"


class Answer:
    """The results of a query, in the order in which they came, and what came behind them."""

    def __init__(self, came: list[Element], archive_ids: ArchiveIds) -> None:
        *self.results, self.iq = came
        self._archive_ids = archive_ids
        self.fin = self.iq.child(MAM, "fin")
        self.set = None if self.fin is None else self.fin.child(RSM, "set")

    @property
    def told(self) -> list[str]:
        """The ids of the messages."""
        return [found.get("id") or "" for found in map(result, self.results)]

    @property
    def ids(self) -> list[int]:
        """What storage knows the messages by."""
        return [self._archive_ids.decode(id) for id in self.told]

    @property
    def numbers(self) -> list[int]:
        """The places of the messages that `Case.fill` made."""
        return [(id - START) // SECOND for id in self.ids]

    @property
    def complete(self) -> bool:
        assert self.fin is not None, self.iq.to_xml()
        return self.fin.get("complete") == "true"

    def said(self, name: str) -> str | None:
        assert self.set is not None
        return self.set.text_of(RSM, name)

    @property
    def condition(self) -> str:
        error = self.iq.child(ns.CLIENT, "error")
        assert error is not None, self.iq.to_xml()
        return next(error.elements()).name


def result(message: Element) -> Element:
    found = message.child(MAM, "result")
    assert found is not None, message.to_xml()
    return found


def forwarded(message: Element) -> Element:
    """The message inside of a result."""
    inside = result(message).child(ns.FORWARD, "forwarded")
    assert inside is not None
    found = inside.child(ns.CLIENT, "message")
    assert found is not None
    return found


class Case(SynchronousTestCase):
    """Romeo has an archive."""

    options: ClassVar[dict[str, Any]] = {}
    modules: ClassVar[dict[str, Any]] = {"mod_disco": {}}

    def setUp(self) -> None:
        self.world = World(modules={**self.modules, "mod_mam": self.options})
        self.addCleanup(self.world.stop)
        self.romeo = self.world.client(f"{ROMEO}/orchard")

    @property
    def mam(self) -> MessageArchive:
        return self.world.host("example.org").module(MessageArchive)

    @property
    def archives(self) -> Any:
        return self.world.server.storage.archives

    def told(self, id: int) -> str:
        """The id of the message that storage knows by *id*."""
        return self.archive_ids.encode(id)

    @property
    def archive_ids(self) -> ArchiveIds:
        return self.world.server.archive_ids

    def fill(self, count: int, *peers: str, owner: str = ROMEO, text: str = "hark") -> None:
        """*count* messages, a second apart, in turns to (even) and from (odd) each of *peers*."""
        peers = peers or (f"{JULIET}/balcony",)
        for number in range(count):
            peer, _, resource = peers[number % len(peers)].partition("/")
            self.keep(number, owner, peer, resource, number % 2 == 0, text)

    def keep(
        self, number: int, owner: str, peer: str, resource: str = "", sent: bool = True, text: str = "hark"
    ) -> None:
        there = f"{peer}/{resource}" if resource else peer
        ours = f"{owner}/orchard"
        from_, to = (ours, there) if sent else (there, ours)
        stanza = f"<message from='{from_}' to='{to}' type='chat' id='m{number}'><body>{text} {number}</body></message>"
        row = ArchiveRow(owner, START + number * SECOND, peer, resource, sent, "", stanza.encode())

        async def kept() -> None:
            await self.archives.keep([row])

        self.world.run(kept())

    def ask(self, inside: str = "", attrs: str = "", client: Client | None = None, to: str = "") -> Answer:
        client = client or self.romeo
        client.drain()
        address = f" to='{to}'" if to else ""
        client.send(f"<iq type='set' id='q1'{address}><query xmlns='{MAM}' {attrs}>{inside}</query></iq>")
        self.world.advance(1)
        return Answer(client.drain(), self.archive_ids)

    def owned(self, owner: str = ROMEO) -> list[int]:
        """The places of the messages in an archive."""
        rows = self.world.run(self.archives.page(owner, Span(), limit=10_000))
        return [(row.id - START) // SECOND for row in rows]

    def assert_error(self, answer: Element, condition: str) -> None:
        self.assertEqual(answer.get("type"), "error", answer.to_xml())
        self.assertIn(f"<{condition} ", answer.to_xml())
