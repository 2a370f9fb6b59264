"""One end of a wire as a test speaks it: it says what it is told to, and shows what comes back."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import FailTest

from ..xmpp import ns
from ..xmpp.element import Element
from ..xmpp.stanza import Stanza
from .match import mismatch, parse

if TYPE_CHECKING:
    from .wire import Wire


class Talker(Protocol):
    """What clients and peers have in common. *raw* is every byte that came, *wire* the connection, *transport* this
    end of it."""

    transport: Any = None
    #: The default namespace of its streams.
    content = ns.CLIENT
    wire: Wire

    def __init__(self) -> None:
        #: Why the connection ended, once it has.
        self.lost: Failure | None = None
        #: The other side closed its stream.
        self.ended = False
        self.raw = bytearray()
        self._inbox: deque[Element] = deque()
        self._ids = 0

    @property
    def name(self) -> str:
        """How it is called in what a test says when it fails."""
        return type(self).__name__

    def pump(self) -> None:
        """Let everybody react."""
        raise NotImplementedError

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost = reason

    # -- talking --------------------------------------------------------------------------------------------------

    def send(self, data: str | bytes | Element | Stanza) -> None:
        """Send XML as it is, and let the other side react."""
        self.write(data)
        self.pump()

    def write(self, data: str | bytes | Element | Stanza) -> None:
        """Send, and go on before anybody reacts: what is written together arrives together."""
        if isinstance(data, Stanza):
            data = data.to_bytes()
        elif isinstance(data, Element):
            data = self.shown(data).encode()
        elif isinstance(data, str):
            data = data.encode()
        self.transport.write(data)

    def receive(self) -> Element:
        """The next element that came; AssertionError where there is none."""
        self.pump()
        if not self._inbox:
            state = "its stream is closed" if self.ended else "nothing waits"
            if self.lost is not None:
                state = f"its connection is gone ({type(self.lost.value).__name__})"
            raise FailTest(f"{self.name} received nothing: {state}")
        return self._inbox.popleft()

    def expect(self, pattern: str | Element, *, exact: bool = False) -> Element:
        """The next element, which must have everything *pattern* has (see `match`); with *exact*, nothing else."""
        wanted = self.pattern(pattern)
        got = self.receive()
        problem = mismatch(wanted, got, exact=exact)
        if problem is not None:
            raise FailTest(f"{self.name} received\n  {self.shown(got)}\nnot\n  {self.shown(wanted)}\n({problem})")
        return got

    def expect_all(self, *patterns: str) -> list[Element]:
        """As many elements as there are patterns, in any order."""
        got = [self.receive() for _ in patterns]
        rest = list(got)
        for pattern in patterns:
            wanted = self.pattern(pattern)
            found = next((e for e in rest if mismatch(wanted, e) is None), None)
            if found is None:
                raise FailTest(f"{self.name} received no {pattern}, but {[self.shown(e) for e in rest]}")
            rest.remove(found)
        return got

    def nothing(self) -> None:
        """Nothing waits to be received."""
        self.pump()
        if self._inbox:
            raise FailTest(f"{self.name} received {self.shown(self._inbox[0])}")

    def drain(self) -> list[Element]:
        """Everything that came and was not looked at yet."""
        self.pump()
        got = list(self._inbox)
        self._inbox.clear()
        return got

    def request(self, xml: str) -> Element:
        """Send an iq and return its answer; what else comes in between stays."""
        wanted = self.pattern(xml).get("id")
        self.send(xml)
        for element in self._inbox:
            if element.name == "iq" and element.get("id") == wanted and element.get("type") in ("result", "error"):
                self._inbox.remove(element)
                return element
        raise FailTest(f"{self.name} got no answer to {xml}")

    def new_id(self) -> str:
        """An id for a stanza that it has not used yet."""
        self._ids += 1
        return f"t{self._ids}"

    def pattern(self, xml: str | Element) -> Element:
        """What is to be expected, read in the namespaces of its streams."""
        return parse(xml, self.content) if isinstance(xml, str) else xml

    def shown(self, element: Element) -> str:
        """As it is written on this stream: stanzas are read as those of ``jabber:client`` on whatever stream."""
        return element.to_xml(ns.CLIENT if element.ns == ns.CLIENT else self.content)

    @property
    def tls(self) -> SSL.Connection:
        """The connection of pyOpenSSL, where it speaks TLS."""
        handle: SSL.Connection = self.transport.getHandle()
        return handle

    def close(self) -> None:
        """Close the stream as one should."""
        self.send("</stream:stream>")

    def cut(self) -> None:
        """Lose the connection."""
        self.wire.cut()
        self.pump()
