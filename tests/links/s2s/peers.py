"""Other servers as they behave on the wire: scripted peers for the releases of ejabberd and Prosody there have been.

They differ in the namespaces they write and understand, which has kept real servers apart: ejabberd 24.10 used one for
both elements, 24.12 could be built with a library that used the other for both, 25.03 wrote them right and looked for
the wrong one. Here that is data (`Release`), and `Neighbour` is the server that behaves so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from twisted.trial.unittest import FailTest

from federix.testing import Network, Peer, PeerStream
from federix.testing.certificates import Kind
from federix.xmpp.element import Element

FEATURE: Final = "urn:xmpp:features:bidi"
ENABLING: Final = "urn:xmpp:bidi"
SASL: Final = "urn:ietf:params:xml:ns:xmpp-sasl"
TLS: Final = "urn:ietf:params:xml:ns:xmpp-tls"
SM: Final = "urn:xmpp:sm:3"
DIALBACK: Final = "jabber:server:dialback"
STREAMS: Final = "http://etherx.jabber.org/streams"
LIMITS: Final = "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>524288</max-bytes></limits>"


@dataclass(frozen=True, slots=True)
class Release:
    """What one release of a server writes and understands; an empty namespace where it knows nothing of the kind."""

    name: str
    #: In which namespace it offers bidi, and takes what enables it.
    offers: str
    takes: str
    #: In which namespace it looks for the offers of others, and enables what it has found.
    looks_for: str
    enables: str
    #: It offers bidi in the clear and behind the login as well, and enables it in the clear, too.
    always: bool = False
    #: Its words for TLS and dialback, and what it says besides when it offers bidi, and when it enables it.
    starttls: str = f"<starttls xmlns='{TLS}'><required/></starttls>"
    dialback: str = "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>"
    beside: str = ""
    inside: str = ""
    #: It counts stanzas (XEP-0198), repeats the key in its answers to dialback, and closes the stream on an element it
    #: does not know. Others do none of this.
    is_prosody: bool = False


#: And 24.12.
EJABBERD_24_10: Final = Release("ejabberd 24.10", FEATURE, FEATURE, FEATURE, FEATURE, always=True)
#: As distributions built it: with a library in which both elements had the namespace of the other one.
EJABBERD_24_12_REBUILT: Final = Release("ejabberd 24.12 rebuilt", ENABLING, ENABLING, ENABLING, ENABLING, always=True)
#: And all there were up to 26.04.
EJABBERD_25_03: Final = Release("ejabberd 25.03", FEATURE, ENABLING, ENABLING, ENABLING, always=True)
EJABBERD_26_07: Final = Release("ejabberd 26.07", FEATURE, ENABLING, FEATURE, ENABLING, always=True)
#: As its example configuration has it: TLS is optional, and no reason to wait with bidi.
EJABBERD_26_07_OPTIONAL: Final = replace(
    EJABBERD_26_07, name="ejabberd 26.07 with optional TLS", starttls=f"<starttls xmlns='{TLS}'/>"
)
EJABBERD_WITHOUT: Final = Release("ejabberd without bidi", "", "", "", "")
PROSODY_0_12: Final = Release(
    "Prosody 0.12",
    FEATURE,
    ENABLING,
    FEATURE,
    ENABLING,
    dialback="<dialback xmlns='urn:xmpp:features:dialback'/>",
    is_prosody=True,
)
PROSODY_13: Final = replace(PROSODY_0_12, name="Prosody 13", beside=LIMITS, inside=LIMITS)
PROSODY_WITHOUT: Final = replace(
    PROSODY_0_12, name="Prosody without bidi", offers="", takes="", looks_for="", enables=""
)


class Neighbour:
    """The server of b.test, of that *release*; it knows one domain of one other server.

    `send` and `receive` use the streams there are and open one where there is none that may be used, as the release
    would. With a *certificate* that proves nothing it proves itself by dialback.
    """

    def __init__(self, network: Network, release: Release, other: str, certificate: Kind = "trusted") -> None:
        self.release = release
        self.other = other
        self.certificate = certificate
        self.peer = Peer(network, "b.test", certificate=certificate)
        #: The streams we may send on, and those on which we understand stanzas; the first one is used.
        self.sends: list[PeerStream] = []
        self.hears: list[PeerStream] = []
        #: XEP-0198: what has come and what was sent, and how much of that the other side has confirmed.
        self._handled: dict[PeerStream, int] = {}
        self._sent: dict[PeerStream, int] = {}
        self._confirmed: dict[PeerStream, int] = {}
        self._received: list[Element] = []

    # -- stanzas ------------------------------------------------------------------------------------------------------

    def send(self, stanza: str) -> None:
        """Send, over a stream of its own where no other may be used."""
        if not self.sends:
            self._dial()
        stream = self.sends[0]
        stream.send(stanza)
        if stream in self._handled:
            self._sent[stream] += 1
            stream.send(f"<r xmlns='{SM}'/>")

    def receive(self) -> Element:
        """The next stanza, over a stream of the other side if need be; FailTest where there is none."""
        self.work()
        if not self._received:
            raise FailTest(f"{self.release.name} received nothing")
        return self._received.pop(0)

    def nothing(self) -> None:
        """No stanza waits, and where they are counted all that was sent is confirmed."""
        self.work()
        if self._confirmed != self._sent:
            raise FailTest(f"{self.release.name} sent {self._sent}, confirmed are {self._confirmed}")
        if self._received:
            raise FailTest(f"{self.release.name} received {self._received[0].to_xml()}")

    def work(self) -> None:
        """Take every connection that was made, and everything that was said; pings are answered."""
        while True:
            try:
                stream = self.peer.accept()
            except FailTest:
                break
            self._accept(stream)
        for stream in [*self.hears, *self.sends]:
            for element in stream.drain():
                self._take(stream, element)

    def _take(self, stream: PeerStream, element: Element) -> None:
        if element.ns == SM and self.release.is_prosody:
            self._count(stream, element)
        elif element.name in ("message", "presence", "iq"):
            if stream not in self.hears:
                raise FailTest(f"{self.release.name} gets stanzas on a stream that does not go both ways")
            if stream in self._handled:
                self._handled[stream] += 1
            if element.get("to") == "b.test" and element.name == "iq":
                self.send(f"<iq type='result' from='b.test' to='{self.other}' id='{element.get('id')}'/>")
            else:
                self._received.append(element)
        elif element.ns == DIALBACK:
            self._answer(stream, element)
        elif element.ns == STREAMS and element.name == "error":
            raise FailTest(f"{self.release.name}: {element.to_xml()}")
        else:
            self._unknown(stream, element)

    def _count(self, stream: PeerStream, element: Element) -> None:
        match element.name:
            case "enable":
                self._begin_to_count(stream)
                stream.send(f"<enabled xmlns='{SM}'/>")
            case "a":
                self._confirmed[stream] = int(element.get("h") or "")
            case "r":
                stream.send(f"<a xmlns='{SM}' h='{self._handled[stream]}'/>")

    def _begin_to_count(self, stream: PeerStream) -> None:
        self._handled[stream] = self._sent[stream] = self._confirmed[stream] = 0

    def _unknown(self, stream: PeerStream, element: Element) -> None:
        if self.release.is_prosody:
            raise FailTest(f"{self.release.name} would close the stream: {element.to_xml()}")

    # -- streams of the other side ------------------------------------------------------------------------------------

    def _features(self, *, secure: bool) -> Iterator[str]:
        """What it offers before a login."""
        if not secure:
            yield self.release.starttls
        yield self.release.dialback
        if self.release.offers and (secure or self.release.always):
            yield f"<bidi xmlns='{self.release.offers}'/>"
        yield self.release.beside
        if secure and self.certificate == "trusted":
            yield f"<mechanisms xmlns='{SASL}'><mechanism>EXTERNAL</mechanism></mechanisms>"

    def _last_features(self) -> Iterator[str]:
        """What it offers behind a login."""
        yield self.release.dialback
        if self.release.offers and self.release.always:
            yield f"<bidi xmlns='{self.release.offers}'/>"
        if self.release.is_prosody:
            yield f"<sm xmlns='urn:xmpp:sm:2'><optional/></sm><sm xmlns='{SM}'><optional/></sm>"
        yield self.release.beside

    def _accept(self, stream: PeerStream) -> None:
        """Negotiate a stream that the other server has opened, up to where stanzas may come."""
        stream.answer(*self._features(secure=False))
        stream.accept_tls()
        stream.answer(*self._features(secure=True))
        both_ways = False
        while True:
            element = stream.receive()
            if self.release.takes and (element.ns, element.name) == (self.release.takes, "bidi"):
                both_ways = True
            elif (element.ns, element.name) == (SASL, "auth"):
                stream.send(f"<success xmlns='{SASL}'/>")
                stream.answer(*self._last_features())
                break
            elif element.ns == DIALBACK:
                self._answer(stream, element)
                if element.name == "verify":
                    return
                break
            else:
                self._unknown(stream, element)
        self.hears.append(stream)
        if both_ways and not self.sends:
            self.sends.append(stream)

    def _answer(self, stream: PeerStream, asked: Element) -> None:
        """Say that a key is right, without looking at it."""
        if asked.get("type") is None:
            id = asked.get("id")
            named = f" id='{id}'" if id else ""
            key = asked.text if self.release.is_prosody else ""
            stream.send(f"<db:{asked.name} from='b.test' to='{self.other}'{named} type='valid'>{key}</db:{asked.name}>")

    # -- streams of its own -------------------------------------------------------------------------------------------

    def _dial(self) -> None:
        stream = self.peer.dial(self.other)
        features = stream.open()
        if self.release.always:
            self._enable(stream, features)
        stream.start_tls()
        both_ways = self._enable(stream, stream.open())
        if self.certificate == "trusted":
            features = stream.authenticate()
            if self.release.is_prosody and features.child(SM, "sm") is not None:
                self._begin_to_count(stream)
                stream.send(f"<enable xmlns='{SM}'/>")
                stream.expect(f"<enabled xmlns='{SM}'/>")
        else:
            key = self.peer.keys.key(self.other, "b.test", stream.id)
            stream.send(f"<db:result from='b.test' to='{self.other}'>{key}</db:result>")
            self.work()
            stream.expect(f"<db:result from='{self.other}' to='b.test' type='valid'/>")
        self.sends.append(stream)
        if both_ways:
            self.hears.append(stream)

    def _enable(self, stream: PeerStream, features: Element) -> bool:
        """Enable bidi if that is offered as this release expects it; whether it was."""
        if not self.release.looks_for or features.child(self.release.looks_for, "bidi") is None:
            return False
        stream.write(f"<bidi xmlns='{self.release.enables}'>{self.release.inside}</bidi>")
        return True
