"""A client for tests: it says what you tell it to, and shows what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
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
from .talker import Talker

if TYPE_CHECKING:
    from .wire import Wire
    from .world import World

_GENEROUS = Limits(stanza_bytes=1 << 30, elements=1 << 30, depth=10_000, attributes=10_000)


class Client(Talker):
    """One end of a wire, speaking as a client. See `World.client` for one that is logged in.

    *jid* is its address once it is bound, *header* and *features* are what the server began the stream with, *raw* is
    every byte that came. *wire* is its connection, *transport* its end of it, *world* where it lives.
    """

    def __init__(self, world: World, wire: Wire) -> None:
        super().__init__()
        self.world = world
        self.wire = wire
        self.jid: JID | None = None
        self.header: Header | None = None
        self.features: Element | None = None
        self._parser = StreamParser(_GENEROUS)

    @property
    def name(self) -> str:
        """Its address, once it is bound."""
        return str(self.jid) if self.jid else "the client"

    def pump(self) -> None:
        """Let everybody react."""
        self.world.pump()

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
