"""What the tests of client connections share: both halves of a login, TLS as one likes it, what a stream keeps."""

from __future__ import annotations

import gc
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from federix.streams.stream import XmppStream
from federix.streams.tls import channel_bindings
from federix.testing import Client, World
from federix.testing.world import PASSWORD
from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.sasl import HashName
from tests.xmpp.sasl.support import Client as Scram

HASHES: tuple[HashName, ...] = ("SHA-1", "SHA-256", "SHA-512")
ALL_HASHES = {"auth_stored_password_types": ["scram_sha1", "scram_sha256", "scram_sha512"]}
#: The most that one connection may make the server keep.
MOST = 2 * 1024 * 1024


class WorldTestCase(SynchronousTestCase):
    """A test with worlds that are stopped at its end."""

    def make(self, config: Mapping[str, Any] | None = None, **options: Any) -> World:
        world = World(config, **options)
        self.addCleanup(world.stop)
        return world

    def assert_stream_error(self, client: Client, condition: str) -> Element:
        """The next thing *client* receives is this stream error, and then its stream ends."""
        error = client.receive()
        self.assertEqual((error.ns, error.name), (ns.STREAMS, "error"), error.to_xml())
        self.assertEqual(next(e.name for e in error.elements()), condition)
        self.assertTrue(client.ended, "the stream goes on")
        client.nothing()
        return error

    def assert_sasl_failure(self, client: Client, condition: str) -> Element:
        failure = client.receive()
        self.assertEqual((failure.ns, failure.name), (ns.SASL, "failure"), failure.to_xml())
        self.assertEqual(next(failure.elements()).name, condition)
        return failure

    def assert_no_traceback(self) -> None:
        self.assertEqual(self.flushLoggedErrors(), [])


def stream_of(client: Client) -> XmppStream:
    """The server's end of this client's connection."""
    end: Any = client.wire.far.protocol
    protocol = getattr(end, "wrappedProtocol", end)
    assert isinstance(protocol, XmppStream)
    return protocol


def deafen(client: Client) -> None:
    """What comes from here on is kept, not understood: it may be an alert of TLS."""
    client.dataReceived = client.raw.extend  # type: ignore[method-assign,assignment]


def held(client: Client) -> int:
    """Bytes the server keeps for this client's connection."""
    end = client.wire.far.protocol
    return 0 if end is None else stream_of(client).held + client.wire.far.unsent


@implementer(IOpenSSLClientConnectionCreator)
class Tls:
    """A client's end of TLS."""

    def __init__(
        self, server_name: str | None = None, *, version: int | None = None, alpn: Sequence[bytes] = ()
    ) -> None:
        self.server_name = server_name
        self.version = version
        self.alpn = list(alpn)

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        context: Any = SSL.Context(SSL.TLS_CLIENT_METHOD)
        if self.alpn:
            context.set_alpn_protos(self.alpn)
        if self.version is not None:
            context.set_max_proto_version(self.version)
        connection = SSL.Connection(context, None)
        if self.server_name is not None:
            connection.set_tlsext_host_name(self.server_name.encode())
        return connection


def secured(world: World, tls: Tls | None = None) -> Client:
    """A client that has been through STARTTLS and opened its stream again."""
    client = world.connect()
    client.open("example.org")
    client.send(f"<starttls xmlns='{ns.TLS}'/>")
    client.expect(f"<proceed xmlns='{ns.TLS}'/>")
    client.begin_tls(creator=tls or Tls("example.org"))
    client.open("example.org")
    return client


def mechanisms(features: Element | None) -> list[str]:
    assert features is not None
    offered = features.child(ns.SASL, "mechanisms")
    return [] if offered is None else [mechanism.text for mechanism in offered.elements()]


def names(features: Element | None) -> list[str]:
    assert features is not None
    return [feature.name for feature in features.elements()]


def auth(mechanism: str, data: bytes | None = None) -> str:
    return f"<auth xmlns='{ns.SASL}' mechanism='{mechanism}'>{encoded(data)}</auth>"


def response(data: bytes | None = None) -> str:
    return f"<response xmlns='{ns.SASL}'>{encoded(data)}</response>"


def encoded(data: bytes | None) -> str:
    return "" if data is None else b64encode(data).decode() or "="


def plain(user: str, password: str = PASSWORD, authzid: str = "") -> str:
    return auth("PLAIN", f"{authzid}\0{user}\0{password}".encode())


def decoded(element: Element) -> bytes:
    return b64decode(element.text)


def scram(client: Client, half: Scram, mechanism: str) -> Element:
    """One whole exchange of a SCRAM mechanism; what the server says at its end."""
    client.send(auth(mechanism, half.first()))
    challenge = client.receive()
    if challenge.name != "challenge":
        return challenge
    client.send(response(half.final(decoded(challenge))))
    return client.receive()


def bindings_of(client: Client) -> dict[str, bytes]:
    return channel_bindings(client.tls, client=True)


class NoCollector:
    """While it is entered only reference counts free anything."""

    def __enter__(self) -> None:
        gc.collect()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        gc.enable()
