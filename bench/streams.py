"""Idle streams between one server and many others, which are all played by the load.

The others prove themselves by one certificate for all of their names (SASL EXTERNAL, XEP-0178). They take bidi
(XEP-0288) where it is offered, and offer it, so that they can answer when they are asked whether they are still there.
"""

from __future__ import annotations

import re
import socket
import ssl
from base64 import b64encode
from collections import deque
from dataclasses import replace
from functools import lru_cache
from typing import Final

from .inbox import LoadFailed
from .load import LOGINS_AT_ONCE, Connection, Dialogue, Loop, log_in
from .login import FEATURES, SASL, handshake
from .names import user
from .place import S2S_PORT, Peers
from .work import SETTLE, SETTLE_MEMORY, Work, leave

TLS: Final = "urn:ietf:params:xml:ns:xmpp-tls"
_STARTTLS: Final = f"<starttls xmlns='{TLS}'><required/></starttls>"
_EXTERNAL: Final = (
    f"<bidi xmlns='urn:xmpp:features:bidi'/><mechanisms xmlns='{SASL}'><mechanism>EXTERNAL</mechanism></mechanisms>"
)
_GET: Final = re.compile(rb"<iq\s[^>]*\btype=['\"]get['\"][^>]*>")
_ATTRIBUTE: Final = re.compile(rb"\b(id|from|to)=['\"]([^'\"]*)['\"]")
#: Numbers of those that come and go before; the others are counted from 0.
FIRST_TO_GO: Final = 1_000_000


class Streams(Work):
    """Streams that do nothing. A few come and go before, to have everything loaded that a stream needs."""

    def __init__(self, loop: Loop) -> None:
        super().__init__(loop)
        assert self.specification.peers is not None, "there is nobody to play"
        self.peers: Peers = self.specification.peers

    def prepare(self) -> None:
        self.begin()
        others = len(self.loop.connections)
        for connection in self.open(FIRST_TO_GO, self.specification.in_flight):
            leave(self.loop, connection)
        self.loop.run(lambda: len(self.loop.connections) == others)
        self.loop.pause(SETTLE_MEMORY)

    def run(self) -> None:
        self.done = len(self.open(0, self.specification.clients))
        self.loop.pause(SETTLE_MEMORY)

    def begin(self) -> None:
        """What is needed once."""

    def open(self, first: int, count: int) -> list[Connection]:
        """Streams of *count* others, from the *first* on."""
        raise NotImplementedError


class StreamsIn(Streams):
    """Streams that the others open."""

    def open(self, first: int, count: int) -> list[Connection]:
        names = [self.peers.name(number) for number in range(first, first + count)]
        places = [replace(place, port=S2S_PORT) for place in self.specification.places]
        opened = log_in(self.loop, names, self.opening, places)
        self.loop.pause(SETTLE)
        return opened

    def opening(self, connection: Connection, name: str) -> Dialogue:
        """The initiating entity, from the first byte until the other side has believed it."""
        head = stream_header(name, connection.place.domain)
        connection.send(head)
        yield from _features()
        connection.send(f"<starttls xmlns='{TLS}'/>".encode())
        yield b"<proceed"
        yield b">"
        yield from handshake(connection, context(self.peers, they_connected=False))
        connection.send(head)
        offered = yield from _features()
        if b"EXTERNAL" not in offered:
            raise LoadFailed(f"the certificate of {name} is not believed: {offered.decode(errors='replace')}")
        if b"urn:xmpp:features:bidi" in offered:
            connection.send(b"<bidi xmlns='urn:xmpp:bidi'/>")
        identity = b64encode(name.encode()).decode()
        connection.send(f"<auth xmlns='{SASL}' mechanism='EXTERNAL'>{identity}</auth>".encode())
        yield b"<success"
        yield b">"
        connection.send(head)
        yield from _features()
        connection.jid = name
        connection.received = Answering(connection).take


class StreamsOut(Streams):
    """Streams that the server opens, each for a message to somebody there."""

    def begin(self) -> None:
        (self.client,) = self.log_in([user(self.specification.first)])
        self.open_ones: dict[str, Connection] = {}
        self.loop.listen(self.peers.address, S2S_PORT, self.accepted)

    def open(self, first: int, count: int) -> list[Connection]:
        names = [self.peers.name(number) for number in range(first, first + count)]
        waiting = deque(names)
        under_way: list[str] = []

        def done() -> bool:
            under_way[:] = [name for name in under_way if name not in self.open_ones]
            while waiting and len(under_way) < LOGINS_AT_ONCE:
                under_way.append(name := waiting.popleft())
                self.client.send(f"<message to='somebody@{name}' type='chat'><body>Hello</body></message>".encode())
            return not under_way and not waiting

        self.loop.run(done)
        self.loop.pause(SETTLE)
        return [self.open_ones[name] for name in names]

    def accepted(self, sock: socket.socket) -> None:
        connection = Connection(self.loop, self.specification.places[0], sock)
        connection.converse(self.accepting(connection))

    def accepting(self, connection: Connection) -> Dialogue:
        """The receiving entity, from the first byte to the message. It believes everybody."""
        yield b"<stream:stream"
        told = dict(_ATTRIBUTE.findall((yield b">")))
        name = told.get(b"to", b"").decode()
        head = stream_header(name, connection.place.domain)
        connection.send(_offer(head, _STARTTLS))
        yield b"<starttls"
        yield b">"
        connection.send(f"<proceed xmlns='{TLS}'/>".encode())
        yield from handshake(connection, context(self.peers, they_connected=True), they_connected=True)
        yield b"<stream:stream"
        yield b">"
        connection.send(_offer(head, _EXTERNAL))
        yield b"<auth"
        if not (yield b">").endswith(b"/>"):
            yield b"</auth>"
        connection.send(f"<success xmlns='{SASL}'/>".encode())
        yield b"<stream:stream"
        yield b">"
        connection.send(_offer(head, ""))
        message = yield b"</message>"
        if self.client.jid.encode() not in message or name in self.open_ones:
            raise LoadFailed(f"the message of {self.client.jid} to {name} is due, not {message.decode()}")
        connection.jid = name
        connection.received = Answering(connection).take
        self.open_ones[name] = connection


class Answering:
    """Says yes to every question: whether somebody is still there, in the first place."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rest = b""

    def take(self, data: bytes) -> None:
        data = self._rest + data
        for found in _GET.finditer(data):
            told = dict(_ATTRIBUTE.findall(found[0]))
            addresses = told.get(b"to", b""), told.get(b"from", b"")
            self._connection.send(b"<iq type='result' id='%s' from='%s' to='%s'/>" % (told.get(b"id", b""), *addresses))
        self._rest = data[data.rfind(b">") + 1 :]


def stream_header(ours: str, theirs: str) -> bytes:
    """How a stream between servers begins."""
    return (
        f"<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'"
        f" id='a-stream-of-{ours}' from='{ours}' to='{theirs}' version='1.0'>"
    ).encode()


def _offer(head: bytes, features: str) -> bytes:
    return b"%s<stream:features>%s</stream:features>" % (head, features.encode())


def _features() -> Dialogue:
    """What a server offers, which may be nothing; returns it."""
    yield b"<stream:features"
    told = yield b">"
    if not told.endswith(b"/>"):
        told += yield FEATURES
    return told


@lru_cache
def context(peers: Peers, *, they_connected: bool) -> ssl.SSLContext:
    """For all connections of one direction."""
    # Whether the server is who it says is not what is measured.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if they_connected else ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(peers.certificate)
    if they_connected:
        context.load_verify_locations(peers.authority)
        context.verify_mode = ssl.CERT_OPTIONAL  # or it would not show its certificate
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
