"""A scripted server: it says on the wire exactly what a test tells it to, as another server would.

::

    peer = Peer(network, "b.test")                  # an address, SRV records, a certificate, a listening port
    stream = peer.accept()                          # a.test has connected
    stream.answer("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    stream.accept_tls()
    stream.answer(EXTERNAL)                         # its new header is answered by ours, with these features
    stream.accept_external()
    stream.answer()
    stream.expect("<message to='juliet@b.test'/>")

    stream = peer.dial("a.test")                    # the other way round
    stream.open()
    stream.start_tls()
    stream.open()
    stream.authenticate()
    stream.send("<message from='juliet@b.test' to='romeo@a.test'/>")
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import ClientFactory, Factory
from twisted.python.failure import Failure
from twisted.trial.unittest import FailTest
from zope.interface import implementer

from ..streams.resolver import Srv
from ..xmpp.dialback import DialbackKeys
from .authority import Issued
from .certificates import Kind
from .dns import a_labels
from .machine import Machine
from .network import Network
from .peer_stream import BIDI, DIALBACK, EXTERNAL, STARTTLS, PeerStream

PORT: Final = 5269
TLS_PORT: Final = 5270

__all__ = ["BIDI", "DIALBACK", "EXTERNAL", "PORT", "STARTTLS", "TLS_PORT", "Peer", "PeerStream"]


class Peer:
    """A machine on *network* that serves *domains* as a script says.

    *domain* is the first of them. It has a *certificate* for them: one of that kind, see `Network.certificate`, or one
    given, or none. It listens on port 5269, and on 5270 with TLS at once where *direct_tls* says so, and the DNS says
    it; without *listen* it does neither. *machine* is its reactor and has its addresses, *keys* are those of its
    dialback.
    """

    def __init__(
        self,
        network: Network,
        *domains: str,
        certificate: Kind | Issued | None = "trusted",
        listen: bool = True,
        direct_tls: bool = False,
    ) -> None:
        self.network = network
        self.domain = domains[0]
        self.machine: Machine = network.add(*domains)
        if isinstance(certificate, str):
            certificate = network.certificate(*domains, kind=certificate)
        self.certificate: Issued | None = certificate
        self.keys = DialbackKeys(self.domain.encode())
        self._accepted: deque[PeerStream] = deque()
        self._ports: dict[int, Any] = {}
        for domain in domains if listen else ():
            network.dns.set_addresses(domain, *self.machine.addresses)
            network.dns.set_srv(f"_xmpp-server._tcp.{domain}", Srv(0, 0, PORT, a_labels(domain)))
            if direct_tls:
                network.dns.set_srv(f"_xmpps-server._tcp.{domain}", Srv(0, 0, TLS_PORT, a_labels(domain)))
        if listen:
            self.listen()
        if listen and direct_tls:
            self.listen(TLS_PORT, tls=True)

    # -- connections that come in -------------------------------------------------------------------------------------

    def listen(self, port: int = PORT, *, tls: bool = False) -> None:
        """Listen on *port*, with *tls* for connections that begin with TLS."""
        self._ports[port] = self.machine.listenTCP(port, _Accepting(self, tls), interface="::")

    def stop_listening(self, port: int = PORT) -> None:
        """Refuse connections to *port* from now on."""
        self._ports.pop(port).stopListening()

    def accept(self) -> PeerStream:
        """The next connection that came in; AssertionError where none did."""
        self.network.pump()
        if not self._accepted:
            raise FailTest(f"nobody has connected to {self.domain}")
        return self._accepted.popleft()

    def nobody(self) -> None:
        """No connection came in that was not accepted."""
        self.network.pump()
        if self._accepted:
            raise FailTest(f"{len(self._accepted)} connections to {self.domain}")

    # -- connections that go out --------------------------------------------------------------------------------------

    def dial(self, to: str, *, port: int | None = None, tls: bool = False, ip: str | None = None) -> PeerStream:
        """A connection to the server of the domain *to*, with *tls* one that begins with TLS; nothing said yet.

        AssertionError where it is refused at once; where connecting takes time, `PeerStream.transport` is ``None``
        until it is there.
        """
        stream = PeerStream(self, to, accepted=False, direct_tls=tls)
        factory = _Dialing(stream)
        number = port if port is not None else TLS_PORT if tls else PORT
        self.machine.connectTCP(ip or self.network.machine(to).addresses[0], number, factory)
        self.network.pump()
        if factory.failure is not None:
            raise FailTest(f"{self.domain} cannot connect to {to}: {factory.failure.value}")
        return stream

    # -- TLS ----------------------------------------------------------------------------------------------------------

    def tls(self, server_name: str | None) -> _Tls:
        """What makes its end of TLS, as a client that asks for *server_name*, or as a server."""
        return _Tls(self.certificate, server_name)


class _Accepting(Factory[PeerStream]):
    noisy = False

    def __init__(self, peer: Peer, tls: bool) -> None:
        self._peer = peer
        self._tls = tls

    def buildProtocol(self, addr: object) -> PeerStream:
        stream = PeerStream(self._peer, "", accepted=True, direct_tls=self._tls)
        self._peer._accepted.append(stream)
        return stream


class _Dialing(ClientFactory[PeerStream]):
    noisy = False
    failure: Failure | None = None

    def __init__(self, stream: PeerStream) -> None:
        self._stream = stream

    def buildProtocol(self, addr: object) -> PeerStream:
        return self._stream

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        self.failure = reason
        self._stream.lost = reason


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class _Tls:
    """TLS with a certificate, asking for the other's, whatever it is."""

    def __init__(self, issued: Issued | None, server_name: str | None) -> None:
        self._issued = issued
        self._server_name = server_name

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        connection = SSL.Connection(self._context(SSL.TLS_CLIENT_METHOD), None)
        if self._server_name:
            connection.set_tlsext_host_name(self._server_name.encode("idna"))
        return connection

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        return SSL.Connection(self._context(SSL.TLS_SERVER_METHOD), None)

    def _context(self, method: int) -> SSL.Context:
        context: Any = SSL.Context(method)
        if self._issued is not None:
            context.use_certificate(self._issued.certificate)
            for issuer in self._issued.issuers:
                context.add_extra_chain_cert(issuer)
            context.use_privatekey(self._issued.key)
        if method == SSL.TLS_SERVER_METHOD:
            context.set_session_id(b"federix")
            context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
        found: SSL.Context = context
        return found
