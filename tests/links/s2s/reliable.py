"""What the tests of lost connections share: numbered messages to a scripted server, and what became of each."""

from __future__ import annotations

from typing import Any

from federix.links.s2s import incoming
from federix.links.s2s.incoming import FEATURES
from federix.streams.feature import StreamFeatures
from federix.testing import Client, Federation, PeerStream
from federix.xmpp import ns
from federix.xmpp.element import Element

from .bidi import SM, BidiTestCase, bodies, message

ENABLE = f"<enable xmlns='{ns.SM}'/>"
ENABLED = f"<enabled xmlns='{ns.SM}'/>"
REQUEST = f"<r xmlns='{ns.SM}'/>"

FAULTS = ("cut", "break", "crumble")
"""What may happen to the network between a.test and b.test; "heal" ends it."""


def befall(federation: Federation, what: str) -> bool:
    """Have one of `FAULTS`, or "heal", happen; whether *what* is one of them."""
    network = federation.network
    match what:
        case "cut":
            network.cut("a.test", "b.test")
        case "break":
            network.partition("a.test", "b.test")
        case "crumble":
            # Broken for a while, then all connections are found to be dead.
            network.partition("a.test", "b.test")
            federation.advance(5)
            network.cut("a.test", "b.test")
            network.heal()
        case "heal":
            network.heal()
        case _:
            return False
    return True


class ReliableTestCase(BidiTestCase):
    """Romeo sends to a scripted b.test; see `BidiTestCase.begin`."""

    def say(self, *texts: str, sender: str = "romeo@a.test/x", to: str = "juliet@b.test/y") -> None:
        """Romeo sends a message for each of *texts*, which is its id, too."""
        for text in texts:
            self.romeo.send(message(text, sender, to).replace("<message ", f"<message id='{text}' "))

    def counting(self, *, bidi: bool = False) -> PeerStream:
        """We have connected to the peer, which counts stanzas (XEP-0198)."""
        stream = self.reached(SM, bidi=bidi)
        stream.expect(ENABLE)
        stream.send(ENABLED)
        return stream

    def acknowledge(self, stream: PeerStream, count: int) -> None:
        stream.send(f"<a xmlns='{ns.SM}' h='{count}'/>")

    def pings(self, stream: PeerStream) -> list[Element]:
        """The pings among what came; all else is dropped."""
        return [element for element in stream.drain() if element.child(ns.PING, "ping") is not None]

    def pong(self, stream: PeerStream, ping: Element, error: str = "") -> None:
        """Answer *ping* on *stream*; with *error*, by one of that condition."""
        attrs = f"id='{ping.get('id')}' from='{ping.get('to')}' to='{ping.get('from')}'"
        if not error:
            stream.send(f"<iq type='result' {attrs}/>")
            return
        stream.send(f"<iq type='error' {attrs}><error type='cancel'><{error} xmlns='{ns.STANZA_ERROR}'/></error></iq>")

    def errors(self, client: Client | None = None) -> list[tuple[str, str]]:
        """What came back to Romeo, or *client*, as an error: the ids and the conditions."""
        found = []
        for element in (client or self.romeo).drain():
            error = element.child(ns.CLIENT, "error")
            if element.get("type") == "error" and error is not None:
                condition = next(each.name for each in error.elements() if each.name != "text")
                found.append((element.get("id") or "", condition))
        return found

    def said(self, stream: PeerStream) -> list[str]:
        """The messages that came by *stream*."""
        return bodies(stream.drain())

    def without_counting(self) -> None:
        """No server offers stream management from now on, as ejabberd."""
        self.patch(incoming, "FEATURES", StreamFeatures(*(each for each in FEATURES if each.name != "sm")))

    def talk(self, stream: PeerStream, back: PeerStream | None = None) -> list[str]:
        """Take what comes by *stream* for a while, as one who answers pings, by *back* if given; what was said."""
        said = []
        for _ in range(20):
            self.wait(0.5)
            elements = stream.drain()
            said += bodies(elements)
            for element in elements:
                if element.child(ns.PING, "ping") is not None:
                    self.pong(back or stream, element)
        return said

    def large(self, first: int, last: int) -> None:
        """Romeo sends messages of 50 000 bytes with these numbers."""
        for number in numbers(first, last):
            subject = f"<subject>{'x' * 50_000}</subject>"
            self.romeo.send(f"<message id='{number}' to='juliet@b.test'>{subject}<body>{number}</body></message>")

    def wait(self, seconds: float) -> None:
        self.federation.advance(seconds)

    def break_off(self, stream: PeerStream, how: str) -> None:
        """End the connection of *stream* in one of the ways connections end, and let that be noticed."""
        if how == "close":
            stream.send("</stream:stream>")
            stream.transport.loseConnection()
            stream.pump()
        elif how == "error":
            stream.send(f"<stream:error><system-shutdown xmlns='{ns.STREAM_ERROR}'/></stream:error></stream:stream>")
        elif how == "cut":
            stream.cut()
        else:
            self.federation.network.partition("a.test", "b.test")
            self.wait(90)
            self.federation.network.heal()


def numbers(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last + 1)]


#: How connections end: by the book, with a stream error, without a word, and without anybody noticing.
WAYS: Any = ("close", "error", "cut", "silence")
