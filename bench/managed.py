"""Messages between two who manage their streams (XEP-0198), in the way that clients usually do.

A client asks after every fifth stanza that it sends, in the same write (slixmpp does so after five), and at the end of
a round, when there is a pause. It answers each question of the server at once, in a write of its own; and in a pause it
says unasked what it has, as one does before leaving.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from .inbox import LoadFailed
from .load import Connection, Dialogue, Loop
from .pairs import Pairs
from .work import SETTLE

NAMESPACE: Final = b"urn:xmpp:sm:3"
ENABLE: Final = b"<enable xmlns='%s' resume='true'/>" % NAMESPACE
QUESTION: Final = b"<r xmlns='%s'/>" % NAMESPACE
#: Stanzas after which a client asks.
ASK_AFTER: Final = 5
_TAG: Final = re.compile(rb"<(message|presence|iq|r|a)(?=[ />])([^>]*)>")
_NUMBER: Final = re.compile(rb"\bh=['\"]([0-9]+)['\"]")
_ID: Final = re.compile(rb"\bid=['\"]([^'\"]+)['\"]")


class ManagedPairs(Pairs):
    """As `Pairs`, with stream management; at the end of each round everybody has acknowledged everything."""

    def ends(self) -> Sequence[Managed]:
        connections = self.log_in(self.users(self.specification.clients))
        enable(self.loop, connections)
        self.managed = [Managed(connection) for connection in connections]
        return self.managed

    def _exchange(self, count: int) -> int:
        super()._exchange(count)
        for one in self.managed:
            one.pause()
        self.loop.run(lambda: all(one.acknowledged == one.sent for one in self.managed))
        return count


class Managed:
    """A client's half of stream management, before its *connection*, from the stanza that is sent or comes next."""

    __slots__ = ("_connection", "_rest", "acknowledged", "heard", "jid", "received", "sent")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.jid = connection.jid
        self.received: Callable[[bytes], object] = _ignore
        #: Stanzas sent, and how many of them the server says it has; and those that came from it.
        self.sent = self.acknowledged = self.heard = 0
        self._rest = b""
        connection.received = self.take

    def send(self, data: bytes) -> None:
        """Send a stanza."""
        self.sent += 1
        self._connection.send(data if self.sent % ASK_AFTER else data + QUESTION)

    def pause(self) -> None:
        """Have both sides know what the other one has."""
        self._connection.send(self._answer() + QUESTION)

    def take(self, data: bytes) -> None:
        """*data* has come; raises `LoadFailed` where the server counts wrongly."""
        self.received(data)
        if self._rest:
            data = self._rest + data
        asked = False
        for tag in _TAG.finditer(data):
            name = tag[1]
            if name == b"a":
                self._acknowledge(tag[2])
            elif name == b"r":
                asked = True
            else:
                self.heard += 1
        begun = data.rfind(b"<")
        self._rest = data[begun:] if begun >= 0 and data.find(b">", begun) < 0 else b""
        if asked:
            self._connection.send(self._answer())

    def _answer(self) -> bytes:
        return b"<a xmlns='%s' h='%d'/>" % (NAMESPACE, self.heard)

    def _acknowledge(self, attributes: bytes) -> None:
        found = _NUMBER.search(attributes)
        number = int(found[1]) if found else -1
        if not self.acknowledged <= number <= self.sent:
            raise LoadFailed(f"{self.jid} has sent {self.sent} stanzas; acknowledged are {number}")
        self.acknowledged = number


def enable(loop: Loop, connections: Iterable[Connection]) -> list[str]:
    """Have all *connections* manage their streams; by what name each can be resumed."""
    names: dict[Connection, str] = {}
    waiting = list(connections)
    for connection in waiting:
        connection.converse(_enabling(connection, names))
    loop.run(lambda: len(names) == len(waiting))
    loop.pause(SETTLE)
    return [names[connection] for connection in waiting]


def _enabling(connection: Connection, names: dict[Connection, str]) -> Dialogue:
    connection.send(ENABLE)
    yield b"<enabled"
    told = yield b">"
    found = _ID.search(told)
    if found is None:
        raise LoadFailed(f"{connection.jid} cannot resume its stream: {told.decode(errors='replace')}")
    names[connection] = found[1].decode()


def _ignore(data: object) -> None:
    """Not for us."""
