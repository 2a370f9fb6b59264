"""What the tests of bad input share: a hostile b.test, a c.test that is not to notice, and a log that stays quiet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from twisted.logger import LogEvent, LogLevel, eventAsText, globalLogPublisher

from federix.links.s2s.link import Link
from federix.testing import Peer, PeerStream
from federix.testing.peer import DIALBACK, EXTERNAL, STARTTLS
from federix.xmpp import ns
from federix.xmpp.element import Element

from .bidi import NONZA, BidiTestCase, dialback_alone, message

#: The most that one connection may make the server keep, in bytes.
MOST: Final = 2 * 1024 * 1024
#: Of a peer that has to prove itself by dialback.
NO_CERTIFICATE: Final[dict[str, Any]] = {"certificate": "self-signed"}


class AttackTestCase(BidiTestCase):
    """See `BidiTestCase.begin`. At the end of each test nothing was logged that would wake an operator."""

    def setUp(self) -> None:
        super().setUp()
        self.logged: list[LogEvent] = []
        observer: Any = self.logged.append
        globalLogPublisher.addObserver(observer)
        # Last of all, so that what the end of the servers logs counts, too.
        self.addCleanup(self._quiet)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def _quiet(self) -> None:
        loud = [event for event in self.logged if event.get("log_level", LogLevel.info) >= LogLevel.warn]
        self.assertEqual([eventAsText(event) for event in loud], [])

    def begin(self, *domains: str, peer: Mapping[str, Any] | None = None, **options: Any) -> None:
        super().begin(*domains, peer=peer, **options)
        self.other: Peer = self.federation.peer("c.test")
        self.others = self.other.dial("a.test")
        self.others.open()
        self.others.start_tls()
        self.others.open()
        self.others.send(NONZA)
        self.others.authenticate()
        self._said = 0

    def assert_others_untouched(self) -> None:
        """c.test can still say something to Romeo, and be answered on the same stream."""
        self._said += 1
        text = f"untouched {self._said}"
        self.others.send(message(text, "tybalt@c.test/z"))
        self.romeo.expect(f"<message from='tybalt@c.test/z'><body>{text}</body></message>")
        self.romeo.send(message(text, "romeo@a.test/x", "tybalt@c.test/z"))
        came = self.others.drain()
        self.assertEqual([e.text_of(ns.CLIENT, "body") for e in came if e.name == "message"], [text])
        self.wait(1)

    def wait(self, seconds: float) -> None:
        """Let time pass; c.test answers what it is asked meanwhile."""
        end = self.federation.network.clock.seconds() + seconds
        while (left := end - self.federation.network.clock.seconds()) > 0:
            self.federation.advance(min(left, 20))
            for ping in [e for e in self.others.drain() if e.child(ns.PING, "ping") is not None]:
                self.others.send(f"<iq type='result' id='{ping.get('id')}' from='c.test' to='a.test'/>")

    # -- streams ------------------------------------------------------------------------------------------------------

    def stranger(self) -> PeerStream:
        """The peer has connected to us, without TLS so far."""
        stream = self.peer.dial("a.test")
        stream.open()
        return stream

    def dialled(self) -> PeerStream:
        """We have connected to the peer, which has said nothing yet."""
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test"))
        return self.peer.accept()

    def reached(self, *features: str, bidi: bool = True) -> PeerStream:
        """We have connected to the peer, with a message for it; see `BidiTestCase.reached`."""
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test"))
        return super().reached(*features, bidi=bidi)

    def negotiated(self, *features: str) -> PeerStream:
        """We have connected to the peer, and there is TLS; it offers *features*, or EXTERNAL."""
        stream = self.dialled()
        stream.answer(STARTTLS)
        stream.accept_tls()
        stream.answer(*(features or (EXTERNAL, DIALBACK)))
        return stream

    # -- what is kept for it ------------------------------------------------------------------------------------------

    def link(self, stream: PeerStream) -> Link | None:
        """Our end of *stream*; None when it is gone."""
        return next((link for link in self.core.links if _wire(link) is stream.wire), None)

    def held(self, stream: PeerStream) -> int:
        """Bytes that we keep for who is at the other end of *stream*, with those on the wire in our direction."""
        link = self.link(stream)
        if link is None:
            return 0
        assert stream.end is not None
        # What is sent and not yet taken by the connection is among what is not confirmed: the very same bytes.
        sent = max(link.confirmations.size - link.stream.waiting, 0)
        return link.stream.held + stream.end.other.unsent + sent + link.queued + link.lanes.size

    # -- what comes of it ---------------------------------------------------------------------------------------------

    def assert_refused(self, stream: PeerStream, condition: str) -> None:
        """*stream* ends with that error, its connection is closed soon, and Romeo has heard nothing of it."""
        self.assert_ended(stream, condition)
        self.wait(10)
        self.assertIsNotNone(stream.lost)
        self.assertIsNone(self.link(stream))
        self.assert_unheard(self.romeo)

    def assert_closed(self, stream: PeerStream) -> None:
        """The connection of *stream* is closed soon."""
        self.wait(10)
        self.assertIsNotNone(stream.lost)
        self.assertIsNone(self.link(stream))

    def errors(self, stream: PeerStream) -> list[str]:
        """The stream errors that came by *stream*; all else is dropped."""
        return [next(e.elements()).name for e in stream.drain() if (e.ns, e.name) == (ns.STREAMS, "error")]


class DialbackTestCase(AttackTestCase):
    def begin(self, *domains: str, **options: Any) -> None:
        super().begin(*domains, **{"peer": NO_CERTIFICATE, **options})

    def asked(self, stream: PeerStream, sender: str = "b.test", to: str = "a.test", key: str = "a key") -> PeerStream:
        """*stream* has sent a key; the stream on which the peer is asked about it, negotiated."""
        stream.send(result(sender, to, key))
        asked = self.peer.accept()
        dialback_alone(asked)
        return asked

    def answers(self, stream: PeerStream) -> list[str]:
        """What was said to keys that came by *stream*: their types, or the conditions of errors."""
        found = [e for e in stream.drain() if e.ns == ns.DIALBACK and e.get("type") is not None]
        return [condition(e) if e.get("type") == "error" else e.get("type") or "" for e in found]

    def assert_unknown(self, stream: PeerStream) -> None:
        """Nobody was proved on *stream*, whether it goes on or not."""
        link = self.link(stream)
        self.assertTrue(stream.ended if link is None else not link.authorised)


def _wire(link: Link) -> Any:
    transport = link.stream.transport
    while transport is not None and not hasattr(transport, "wire"):
        transport = transport.transport
    return None if transport is None else transport.wire


def auth(text: str = "=", mechanism: str = "EXTERNAL") -> str:
    return f"<auth xmlns='{ns.SASL}' mechanism='{mechanism}'>{text}</auth>"


def result(sender: str, to: str = "a.test", key: str = "a key", type: str | None = None) -> str:
    kind = "" if type is None else f" type='{type}'"
    return f"<db:result from='{sender}' to='{to}'{kind}>{'' if type else key}</db:result>"


def condition(element: Element) -> str:
    """That of a stanza or dialback error, or of a failed login."""
    error = element if element.ns == ns.SASL else next(e for e in element.elements() if e.name == "error")
    return next(e.name for e in error.elements() if e.name != "text")
