"""A client for tests: it says what you tell it to, and shows what comes back."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import FailTest

from ..streams.tls import start_tls
from ..xmpp import ns
from ..xmpp.element import Element
from ..xmpp.errors import StreamError
from ..xmpp.events import Footer, Header
from ..xmpp.jid import JID
from ..xmpp.limits import Limits
from ..xmpp.parser import StreamParser
from ..xmpp.stanza import Stanza
from .login import scram_sha_1
from .match import mismatch, parse

if TYPE_CHECKING:
    from .wire import Wire
    from .world import World

_GENEROUS = Limits(stanza_bytes=1 << 30, elements=1 << 30, depth=10_000, attributes=10_000)


class Client(Protocol):
    """One end of a wire, speaking as a client. See `World.client` for one that is logged in.

    *jid* is its address once it is bound, *header* and *features* are what the server began the stream with, *raw* is
    every byte that came. *wire* is its connection, *transport* its end of it, *world* where it lives.
    """

    transport: Any = None

    def __init__(self, world: World, wire: Wire) -> None:
        self.world = world
        self.wire = wire
        self.jid: JID | None = None
        self.header: Header | None = None
        self.features: Element | None = None
        #: Why the connection ended, once it has.
        self.lost: Failure | None = None
        #: The server closed its stream.
        self.ended = False
        self.raw = bytearray()
        self._parser = StreamParser(_GENEROUS)
        self._inbox: deque[Element] = deque()
        self._ids = 0

    # -- Twisted --------------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        self.raw += data
        before, declaration, after = data.partition(b"<?xml ")
        self._take(before)
        if declaration:
            # The server begins a stream of its own accord: to say, after a login, why it ends.
            self._parser = StreamParser(_GENEROUS)
            self._take(declaration + after)

    def _take(self, data: bytes) -> None:
        for event in self._parser.feed(data):
            if isinstance(event, Header):
                self.header = event
            elif isinstance(event, Stanza):
                self._inbox.append(event.element)
            elif isinstance(event, Element):
                self._inbox.append(event)
            elif isinstance(event, Footer):
                self.ended = True
            elif isinstance(event, StreamError):
                raise FailTest(f"the server sent what is no stream: {event} in {bytes(self.raw)!r}")

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost = reason

    # -- talking --------------------------------------------------------------------------------------------------

    def send(self, data: str | bytes | Element | Stanza) -> None:
        """Send XML as it is, and let the server react."""
        if isinstance(data, Stanza):
            data = data.to_bytes()
        elif isinstance(data, Element):
            data = data.to_bytes(ns.CLIENT)
        elif isinstance(data, str):
            data = data.encode()
        self.transport.write(data)
        self.world.pump()

    def receive(self) -> Element:
        """The next element that came; AssertionError where there is none."""
        self.world.pump()
        if not self._inbox:
            state = "its stream is closed" if self.ended else "nothing waits"
            raise FailTest(f"{self.name} received nothing: {state}")
        return self._inbox.popleft()

    def expect(self, pattern: str | Element, *, exact: bool = False) -> Element:
        """The next element, which must have everything *pattern* has (see `match`); with *exact*, nothing else."""
        wanted = parse(pattern) if isinstance(pattern, str) else pattern
        got = self.receive()
        problem = mismatch(wanted, got, exact=exact)
        if problem is not None:
            raise FailTest(
                f"{self.name} received\n  {got.to_xml(ns.CLIENT)}\nnot\n  {wanted.to_xml(ns.CLIENT)}\n({problem})"
            )
        return got

    def expect_all(self, *patterns: str) -> list[Element]:
        """As many elements as there are patterns, in any order."""
        got = [self.receive() for _ in patterns]
        rest = list(got)
        for pattern in patterns:
            wanted = parse(pattern)
            found = next((e for e in rest if mismatch(wanted, e) is None), None)
            if found is None:
                raise FailTest(f"{self.name} received no {pattern}, but {[e.to_xml(ns.CLIENT) for e in rest]}")
            rest.remove(found)
        return got

    def nothing(self) -> None:
        """Nothing waits to be received."""
        self.world.pump()
        if self._inbox:
            raise FailTest(f"{self.name} received {self._inbox[0].to_xml(ns.CLIENT)}")

    def drain(self) -> list[Element]:
        """Everything that came and was not looked at yet."""
        self.world.pump()
        got = list(self._inbox)
        self._inbox.clear()
        return got

    def request(self, xml: str) -> Element:
        """Send an iq and return its answer; what else comes in between stays."""
        wanted = parse(xml).get("id")
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

    @property
    def name(self) -> str:
        """How it is called in what a test says when it fails."""
        return str(self.jid) if self.jid else "the client"

    # -- the stream -----------------------------------------------------------------------------------------------

    def open(self, to: str, attrs: str = "") -> Element:
        """Send a stream header; the features that come."""
        self._parser = StreamParser(_GENEROUS)
        self.header = None
        self.send(
            f"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='{ns.STREAMS}'"
            f" to='{to}' version='1.0' {attrs}>"
        )
        self.features = self.receive()
        if self.features.name != "features":
            raise FailTest(f"no features but {self.features.to_xml()}")
        return self.features

    def start_tls(self, server_name: str | None = None) -> None:
        """Negotiate STARTTLS; verifies nothing."""
        self.send(f"<starttls xmlns='{ns.TLS}'/>")
        answer = self.receive()
        if answer.name != "proceed":
            raise FailTest(answer.to_xml())
        self.begin_tls(server_name)

    def begin_tls(self, server_name: str | None = None, creator: IOpenSSLClientConnectionCreator | None = None) -> None:
        """Speak TLS from here on, in our own way or in that of *creator*."""
        self._parser = StreamParser(_GENEROUS)
        creator = creator or self.world.tls_client(server_name)
        start_tls(self, self.transport, creator, self.world.clock, client=True)
        self.world.pump()

    @property
    def tls(self) -> SSL.Connection:
        """The connection of pyOpenSSL, where it speaks TLS."""
        handle: SSL.Connection = self.transport.getHandle()
        return handle

    def login(self, jid: JID, password: str) -> None:
        """SCRAM-SHA-1, a new stream, and the resource bound."""
        scram_sha_1(self, jid.local, password)
        self.open(jid.domain)
        self.bind(jid)

    def bind(self, jid: JID) -> None:
        """Bind the resource of *jid*, or one of the server's choice where it has none (RFC 6120 §7)."""
        wanted = f"<resource>{jid.resource}</resource>" if jid.resource else ""
        answer = self.request(f"<iq type='set' id='bind'><bind xmlns='{ns.BIND}'>{wanted}</bind></iq>")
        bound = answer.child(ns.BIND, "bind")
        if bound is None:
            raise FailTest(answer.to_xml())
        self.jid = JID.parse(bound.text_of(ns.BIND, "jid") or "")

    def close(self) -> None:
        """Close the stream as one should."""
        self.send("</stream:stream>")

    def cut(self) -> None:
        """Lose the connection."""
        self.wire.cut()
        self.world.pump()
