"""What a scripted server says on one connection, and what it hears there. See `peer.py`."""

from __future__ import annotations

from base64 import b64encode
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

from cryptography import x509
from twisted.python.failure import Failure
from twisted.trial.unittest import FailTest

from ..streams.tls import start_tls
from ..xmpp import ns
from ..xmpp.element import Element, escape_value
from ..xmpp.events import Footer, Header
from ..xmpp.stanza import Stanza
from .reading import Reader
from .talker import Talker
from .wire import End, Wire

if TYPE_CHECKING:
    from .peer import Peer

#: Stream features, as servers send them.
STARTTLS: Final = f"<starttls xmlns='{ns.TLS}'><required/></starttls>"
EXTERNAL: Final = f"<mechanisms xmlns='{ns.SASL}'><mechanism>EXTERNAL</mechanism></mechanisms>"
DIALBACK: Final = f"<dialback xmlns='{ns.DIALBACK_FEATURE}'><errors/></dialback>"
BIDI: Final = f"<bidi xmlns='{ns.BIDI_FEATURE}'/>"

Verdict = Literal["valid", "invalid", "error"]


class PeerStream(Talker):
    """A connection between a *peer* and a server. What is sent is *local*'s, a domain of ours, to *remote*, theirs.

    *accepted*: whether the server has made it. *header* and *features* are the last that came, *id* is the identifier
    of the stream, whoever gave it. *end* is our end of the wire, below TLS.
    """

    #: The default namespace of its streams.
    content = ns.SERVER

    def __init__(self, peer: Peer, remote: str, *, accepted: bool, direct_tls: bool = False) -> None:
        super().__init__()
        self.peer = peer
        self.local = peer.domain
        self.remote = remote
        self.accepted = accepted
        self.header: Header | None = None
        self.features: Element | None = None
        self.id = ""
        #: What came and is no XML.
        self.garbage: list[str] = []
        self.end: End | None = None
        self._direct_tls = direct_tls
        self._reader = Reader()
        self._headers: deque[Header] = deque()
        self._given = 0

    @property
    def name(self) -> str:
        """How it is called in what a test says when it fails."""
        return f"{self.local} (with {self.remote or '?'})"

    def pump(self) -> None:
        """Let everybody react."""
        self.peer.network.pump()

    # -- Twisted ------------------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        self.end = self.transport
        self.wire: Wire = self.transport.wire
        if self._direct_tls:
            self._begin_tls(None if self.accepted else self.remote)

    def dataReceived(self, data: bytes) -> None:
        self.raw += data
        for event in self._reader.feed(data):
            if isinstance(event, Header):
                self._headers.append(event)
            elif isinstance(event, Stanza):
                self._inbox.append(event.element)
            elif isinstance(event, Element):
                self._inbox.append(event)
            elif isinstance(event, Footer):
                self.ended = True
            elif isinstance(event, str):
                self.garbage.append(event)

    def connectionLost(self, reason: Failure | None = None) -> None:
        super().connectionLost(reason)
        self._reader.close()

    # -- headers and features -----------------------------------------------------------------------------------------

    def send_header(self, *, id: str | None = None, attrs: str = "", prefixes: str = "") -> None:
        """Send a stream header from *local* to *remote*, with *id*, more attributes and more namespaces."""
        addresses = {"from": self.local, "to": self.remote, "id": id, "version": None if "version=" in attrs else "1.0"}
        written = "".join(f" {name}='{escape_value(value)}'" for name, value in addresses.items() if value)
        self.send(
            f"<?xml version='1.0'?><stream:stream xmlns='{self.content}' xmlns:stream='{ns.STREAMS}'"
            f" xmlns:db='{ns.DIALBACK}'{prefixes}{written}{attrs and ' ' + attrs}>"
        )

    def expect_header(self, **attrs: str | None) -> Header:
        """The next stream header, which must have those attributes (``from_`` stands for ``from``, ``None`` for the
        absence of one)."""
        self.pump()
        if not self._headers:
            got = self.shown(self._inbox[0]) if self._inbox else "nothing"
            raise FailTest(f"{self.name} received no stream header but {got}")
        self.header = self._headers.popleft()
        for key, value in attrs.items():
            name = key.rstrip("_")
            if self.header.get(name) != value:
                raise FailTest(f"{self.name}: {name} of the header is {self.header.get(name)!r}, not {value!r}")
        if not self.accepted:
            self.id = self.header.get("id") or ""
        return self.header

    def send_features(self, *features: str) -> None:
        """Send ``<stream:features/>`` with that in it."""
        self.send(f"<stream:features>{''.join(features)}</stream:features>")

    def expect_features(self, pattern: str = "") -> Element:
        """The features that come next; they must have everything in *pattern*."""
        self.features = self.expect(f"<stream:features>{pattern}</stream:features>")
        return self.features

    def answer(self, *features: str) -> Header:
        """As who was connected to: answer the header that came by one with a new `id`, and *features*.

        The first one says who the remote domain is, and which of ours is meant.
        """
        header = self.expect_header()
        self.remote = header.get("from") or self.remote
        self.local = header.get("to") or self.local
        self._given += 1
        self.id = f"{self.local}-{self._given}"
        self.send_header(id=self.id)
        self.send_features(*features)
        return header

    def open(self) -> Element:
        """As who has connected: send a header, and take the header and the features that answer it."""
        self.send_header()
        self.expect_header()
        return self.expect_features()

    # -- TLS ----------------------------------------------------------------------------------------------------------

    def start_tls(self, server_name: str | None = None) -> None:
        """As who has connected: negotiate STARTTLS; verifies nothing. A stream has to be opened anew."""
        self.send(f"<starttls xmlns='{ns.TLS}'/>")
        self.proceed_tls(server_name)

    def proceed_tls(self, server_name: str | None = None) -> None:
        """As who has connected and asked for TLS: take ``<proceed/>`` and begin."""
        self.expect(f"<proceed xmlns='{ns.TLS}'/>")
        self._begin_tls(server_name or self.remote)
        self.pump()

    def accept_tls(self) -> None:
        """As who was connected to: have STARTTLS begin."""
        self.expect(f"<starttls xmlns='{ns.TLS}'/>")
        self.write(f"<proceed xmlns='{ns.TLS}'/>")
        self._begin_tls(None)
        self.pump()

    def _begin_tls(self, server_name: str | None) -> None:
        self._reader = Reader()
        start_tls(self, self.transport, self.peer.tls(server_name), self.peer.machine, client=not self.accepted)

    @property
    def certificate(self) -> x509.Certificate | None:
        """What the other side has shown in TLS; ``None`` where it has shown none, or is gone."""
        handle: Any = self.tls
        if handle is None:
            return None
        shown: x509.Certificate | None = handle.get_peer_certificate(as_cryptography=True)
        return shown

    # -- SASL EXTERNAL ------------------------------------------------------------------------------------------------

    def authenticate(self, authzid: str | None = None) -> Element:
        """As who has connected: log in by SASL EXTERNAL, and open the stream that follows; its features.

        *authzid* is *local* unless given; an empty one is sent as "=".
        """
        said = b64encode((self.local if authzid is None else authzid).encode()).decode() or "="
        self.send(f"<auth xmlns='{ns.SASL}' mechanism='EXTERNAL'>{said}</auth>")
        self.expect(f"<success xmlns='{ns.SASL}'/>")
        return self.open()

    def accept_external(self) -> Element:
        """As who was connected to: let SASL EXTERNAL succeed, whatever was shown. A new header follows."""
        auth = self.expect(f"<auth xmlns='{ns.SASL}' mechanism='EXTERNAL'/>")
        self.send(f"<success xmlns='{ns.SASL}'/>")
        return auth

    # -- dialback -----------------------------------------------------------------------------------------------------

    def dialback(
        self,
        local: str | None = None,
        remote: str | None = None,
        *,
        verdict: Verdict = "valid",
        accept: Callable[[PeerStream], None] | None = None,
    ) -> Element:
        """As who proves itself: send a key, say *verdict* to whom asks whether it is ours, return what comes of it.

        *accept* negotiates the connection on which we are asked, up to where keys are verified; without it that
        connection is answered by features that offer dialback alone.
        """
        local, remote = local or self.local, remote or self.remote
        key = self.peer.keys.key(remote, local, self.id)
        self.send(f"<db:result from='{local}' to='{remote}'>{key}</db:result>")
        asked = self.peer.accept()
        if accept is not None:
            accept(asked)
        else:
            asked.answer(DIALBACK)
        asked.answer_verify(verdict)
        return self.expect(f"<db:result from='{remote}' to='{local}'/>")

    def answer_verify(self, verdict: Verdict = "valid") -> Element:
        """Take ``<db:verify/>`` and say *verdict* to it; the request."""
        asked = self.expect("<db:verify type='-' id='*'/>")
        self.send(
            f"<db:verify from='{asked.get('to')}' to='{asked.get('from')}' id='{escape_value(asked.get('id') or '')}'"
            f" type='{verdict}'/>"
        )
        return asked

    def accept_dialback(self, verdict: Verdict = "valid") -> Element:
        """Take ``<db:result/>`` and say *verdict* to it, without asking anybody; the request."""
        asked = self.expect("<db:result type='-'/>")
        self.send(f"<db:result from='{asked.get('to')}' to='{asked.get('from')}' type='{verdict}'/>")
        return asked

    # -- the connection -----------------------------------------------------------------------------------------------

    def stop_reading(self) -> None:
        """Take nothing from the wire any more, until `resume_reading`."""
        assert self.end is not None
        self.end.pauseProducing()

    def resume_reading(self) -> None:
        """Read again."""
        assert self.end is not None
        self.end.resumeProducing()
        self.pump()
