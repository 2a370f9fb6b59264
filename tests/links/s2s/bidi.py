"""What the tests of streams that go both ways share: a scripted server at the other end of one, whoever opened it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from federix.links.s2s.federation import Federation as Core
from federix.links.s2s.link import Link
from federix.links.s2s.pair import Domains
from federix.testing import Client, Federation, Peer, PeerStream
from federix.testing.peer import BIDI, DIALBACK, EXTERNAL, STARTTLS
from federix.xmpp import ns
from federix.xmpp.element import Element

#: What enables it.
NONZA = f"<bidi xmlns='{ns.BIDI}'/>"
SM = f"<sm xmlns='{ns.SM}'/>"


def message(text: str, sender: str = "juliet@b.test/y", to: str = "romeo@a.test/x") -> str:
    return f"<message from='{sender}' to='{to}'><body>{text}</body></message>"


def bodies(elements: Iterable[Element]) -> list[str]:
    """What the messages among *elements* say."""
    return [element.text_of(ns.CLIENT, "body") or "" for element in elements if element.name == "message"]


def dialback_alone(stream: PeerStream) -> None:
    """As who is asked whether a key is its own: offer TLS, and nothing beside dialback in it."""
    stream.answer(STARTTLS)
    stream.accept_tls()
    stream.answer(DIALBACK)


class BidiTestCase(SynchronousTestCase):
    """Romeo's server is a.test, b.test is a scripted one; `begin` makes both."""

    federation: Federation
    romeo: Client
    peer: Peer

    def begin(self, *domains: str, peer: Mapping[str, Any] | None = None, **options: Any) -> None:
        """Make the servers of *domains*, a.test alone unless given, and the peer b.test."""
        self.federation = self.make(*(domains or ("a.test",)), **options)
        self.peer = self.federation.peer("b.test", "rooms.b.test", "more.b.test", **(peer or {}))
        self.romeo = self.federation.client("romeo@a.test/x")

    def make(self, *domains: str, **options: Any) -> Federation:
        federation = Federation(*domains, **options)
        self.addCleanup(federation.stop)
        return federation

    @property
    def core(self) -> Core:
        return self.federation["a.test"].server.federation

    def route(self, local: str = "a.test", remote: str = "b.test") -> Link | None:
        """The link that what goes from *local* to *remote* takes."""
        pair = self.core.pairs.get(Domains(local, remote))
        return None if pair is None else pair.link

    # -- streams ------------------------------------------------------------------------------------------------------

    def secured(self, to: str = "a.test") -> PeerStream:
        """The peer has connected to us, with TLS."""
        stream = self.peer.dial(to, ip=self.federation["a.test"].clock.addresses[0])
        stream.open()
        stream.start_tls()
        stream.open()
        return stream

    def connected(self, to: str = "a.test", *, bidi: bool = True) -> PeerStream:
        """The peer has connected to us, and has proved by its certificate that it is b.test."""
        stream = self.secured(to)
        if bidi:
            stream.send(NONZA)
        stream.authenticate()
        return stream

    def reached(self, *features: str, bidi: bool = True) -> PeerStream:
        """We have connected to the peer; it offers bidi and EXTERNAL, and with the last features *features*."""
        stream = self.peer.accept()
        stream.answer(STARTTLS)
        stream.accept_tls()
        stream.answer(*([BIDI] if bidi else []), EXTERNAL, DIALBACK)
        if bidi:
            stream.expect(NONZA)
        stream.accept_external()
        stream.answer(*features)
        return stream

    def reached_by_dialback(self) -> PeerStream:
        """We have connected to a peer that does not look at our certificate; it says at once that our key is good."""
        stream = self.peer.accept()
        stream.answer(STARTTLS)
        stream.accept_tls()
        stream.answer(BIDI, DIALBACK)
        stream.expect(NONZA)
        stream.accept_dialback()
        return stream

    def stanzas(self, stream: PeerStream) -> list[Element]:
        """What came, without the pings of the server itself and what counts."""
        return [
            element for element in stream.drain() if element.ns == ns.CLIENT and element.child(ns.PING, "ping") is None
        ]

    # -- what is seen of errors ---------------------------------------------------------------------------------------

    def assert_ended(self, stream: PeerStream, condition: str) -> None:
        """The server has ended the stream with that error."""
        errors = [e for e in stream.drain() if (e.ns, e.name) == (ns.STREAMS, "error")]
        self.assertEqual([next(e.elements()).name for e in errors], [condition])
        self.assertTrue(stream.ended, "the stream goes on")

    def assert_bounced(self, client: Client, condition: str) -> Element:
        """The next that *client* gets is an error with that condition."""
        return client.expect(f"<message type='error'><error><{condition} xmlns='{ns.STANZA_ERROR}'/></error></message>")

    def assert_unheard(self, client: Client) -> None:
        """*client* got nothing but errors."""
        self.assertEqual([e.to_xml() for e in client.drain() if e.get("type") != "error"], [])
