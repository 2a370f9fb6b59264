"""The floor: the least a Twisted program can do and still pass on stanzas.

``python -m bench.relay PORT CERTIFICATE``. Expat finds the stanzas, their bytes are passed on as they came with `from`
put in, to the full JID in `to`. Sockets and TLS are Federix's, which are leaner than Twisted's own. It believes
everybody: PLAIN without a password check; there are no limits, no features, no errors to the sender. Two things it
knows so that every scenario has a floor: presence of the hub without `to` goes to the hub's contacts, and an iq for the
domain has an empty result.

What a server costs beyond this is the price of being a server.
"""

from __future__ import annotations

import sys
from base64 import b64decode
from collections.abc import Callable
from typing import Any, Final
from xml.parsers import expat

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import PrivateCertificate
from zope.interface import implementer

from federix.streams.eager import write_eagerly
from federix.streams.tls import start_tls

from .names import CONTACTS, DOMAIN, HUB, contact

STREAMS: Final = "http://etherx.jabber.org/streams"
TLS: Final = "urn:ietf:params:xml:ns:xmpp-tls"
SASL: Final = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND: Final = "urn:ietf:params:xml:ns:xmpp-bind"
HEADER: Final = (
    f"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='{STREAMS}' version='1.0' id='1'>"
)
STARTTLS: Final = f"<starttls xmlns='{TLS}'/>"
MECHANISMS: Final = f"<mechanisms xmlns='{SASL}'><mechanism>PLAIN</mechanism></mechanisms>"


@implementer(IOpenSSLServerConnectionCreator)
class Certificate:
    """One certificate for everybody."""

    def __init__(self, context: SSL.Context) -> None:
        self._context = context

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        return SSL.Connection(self._context)


class Client(Protocol):
    """One connection."""

    transport: Any = None

    def __init__(self, clients: dict[str, Client], certificate: Any) -> None:
        self.clients = clients
        self.certificate = certificate
        self.user = ""
        self.jid = ""
        self.secure = False
        self.dispatch: dict[str, Callable[[dict[str, str], bytes], None]] = {
            "starttls": self.starttls,
            "auth": self.auth,
            "message": self.routed,
            "presence": self.presence,
            "iq": self.iq,
        }
        self.renew()

    def renew(self) -> None:
        """A new stream begins."""
        self.parser = parser = expat.ParserCreate("utf-8")
        if hasattr(parser, "SetReparseDeferralEnabled"):
            parser.SetReparseDeferralEnabled(False)
        parser.StartElementHandler = self.started
        parser.EndElementHandler = self.ended
        self.depth = 0
        self.name = ""
        self.attrs: dict[str, str] = {}
        self.start = 0
        self.base = 0
        self.window = b""

    def dataReceived(self, data: bytes) -> None:
        self.window += data
        parser = self.parser
        parser.Parse(data, False)
        if parser is not self.parser:
            return
        if self.depth == 1:
            self.base += len(self.window)
            self.window = b""

    def started(self, name: str, attrs: dict[str, str]) -> None:
        depth = self.depth
        self.depth = depth + 1
        if depth == 1:
            self.name = name
            self.attrs = attrs
            self.start = self.parser.CurrentByteIndex
        elif depth == 0:
            offer = f"<bind xmlns='{BIND}'/>" if self.user else MECHANISMS if self.secure else STARTTLS + MECHANISMS
            self.transport.write(f"{HEADER}<stream:features>{offer}</stream:features>".encode())

    def ended(self, name: str) -> None:
        self.depth -= 1
        if self.depth == 1:
            end = self.parser.CurrentByteIndex - self.base
            window = self.window
            # Of <a/> expat tells where it ends, of <a></a> where its end tag begins.
            if window.startswith(b"</" + name.encode(), end):
                end = window.index(b">", end) + 1
            self.dispatch[name](self.attrs, window[self.start - self.base : end])
        elif self.depth == 0:
            self.transport.loseConnection()

    # -- getting in -----------------------------------------------------------------------------------------------

    def starttls(self, attrs: dict[str, str], raw: bytes) -> None:
        self.transport.write(f"<proceed xmlns='{TLS}'/>".encode())
        start_tls(self, self.transport, self.certificate, self.transport.reactor)
        self.secure = True
        self.renew()

    def auth(self, attrs: dict[str, str], raw: bytes) -> None:
        self.user = b64decode(raw.partition(b">")[2].partition(b"<")[0]).split(b"\0")[1].decode()
        self.transport.write(f"<success xmlns='{SASL}'/>".encode())
        self.renew()

    def connectionLost(self, reason: object = None) -> None:
        self.clients.pop(self.jid, None)
        self.dispatch = {}

    # -- passing on -----------------------------------------------------------------------------------------------

    def routed(self, attrs: dict[str, str], raw: bytes) -> None:
        there = self.clients.get(attrs["to"])
        if there is not None:
            there.transport.write(self.stamped(raw))

    def stamped(self, raw: bytes) -> bytes:
        after = 1 + len(self.name)
        return b"%s from='%s'%s" % (raw[:after], self.jid.encode(), raw[after:])

    def presence(self, attrs: dict[str, str], raw: bytes) -> None:
        if "to" in attrs:
            self.routed(attrs, raw)
        elif self.user == HUB:
            stamped = self.stamped(raw)
            for number in range(CONTACTS):
                there = self.clients.get(f"{contact(number)}@{DOMAIN}/bench")
                if there is not None:
                    there.transport.write(stamped)

    def iq(self, attrs: dict[str, str], raw: bytes) -> None:
        if not self.jid:
            resource = raw.partition(b"<resource>")[2].partition(b"<")[0].decode()
            self.jid = f"{self.user}@{DOMAIN}/{resource}"
            self.clients[self.jid] = self
            bound = f"<bind xmlns='{BIND}'><jid>{self.jid}</jid></bind>"
            self.transport.write(f"<iq type='result' id='{attrs['id']}'>{bound}</iq>".encode())
        elif attrs.get("to", DOMAIN) == DOMAIN:
            answer = f"<iq type='result' id='{attrs['id']}' from='{DOMAIN}' to='{self.jid}'/>"
            self.transport.write(answer.encode())
        else:
            self.routed(attrs, raw)


class Clients(Factory[Client]):
    """Everybody who is connected, by full JID."""

    noisy = False

    def __init__(self, certificate: Any) -> None:
        self.clients: dict[str, Client] = {}
        self.certificate = certificate

    def buildProtocol(self, addr: object) -> Client:
        return Client(self.clients, self.certificate)


def main(port: str, certificate: str) -> None:
    from twisted.internet import reactor as installed

    reactor: Any = installed
    with open(certificate) as file:
        options: Any = PrivateCertificate.loadPEM(file.read()).options()  # type: ignore[no-untyped-call]
    clients = Clients(Certificate(options.getContext()))
    write_eagerly(reactor.listenTCP(int(port), clients, backlog=4096, interface="127.0.0.1"))
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
