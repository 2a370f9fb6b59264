"""One connection of somebody who means no good, or of somebody who does: blocking, byte for byte as it is told."""

from __future__ import annotations

import re
import socket
import ssl
import struct
from base64 import b64encode
from functools import lru_cache
from typing import Final

from .names import DOMAIN, HEADER, PASSWORD
from .process import LOOPBACK

#: Seconds to wait for an answer.
PATIENCE: Final = 30.0
STARTTLS: Final = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
FEATURES: Final = b"</stream:features>"
#: Bytes that the system keeps for us at most, so that who does not read is not saved by a large buffer.
LITTLE: Final = 4096
_CONDITION: Final = re.compile(rb"<(?!text)([a-z-]+) xmlns='urn:ietf:params:xml:ns:xmpp-streams'")


class Hostile:
    """A connection to the server under attack."""

    def __init__(self, port: int, *, small_buffer: bool = False) -> None:
        """With *small_buffer* the system takes little of what we do not read."""
        plain = socket.socket()
        if small_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LITTLE)
        plain.settimeout(PATIENCE)
        plain.connect((LOOPBACK, port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock: socket.socket | ssl.SSLSocket = plain

    # -- talking --------------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def until(self, mark: bytes) -> bytes:
        """What comes, up to *mark*. Raises ConnectionError where it does not come."""
        got = b""
        while mark not in got:
            piece = self.sock.recv(65536)
            if not piece:
                raise ConnectionError(f"the server closed the connection: {got[-300:]!r}")
            got += piece
        return got

    def try_send(self, data: bytes) -> int:
        """Send what can be sent at once; how much that was. Raises OSError when the connection is gone."""
        self.sock.setblocking(False)
        try:
            return self.sock.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0

    def hear(self, most: int = 1 << 20) -> bytes | None:
        """What has come, at once; ``None`` when the connection is gone."""
        self.sock.setblocking(False)
        try:
            return self.sock.recv(most) or None
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        except OSError:
            return None

    def verdict(self, patience: float = 0.0) -> str:
        """How the stream ended, of all that can still be read: its error, ``cut``, or ``open``."""
        got = b""
        try:
            while True:
                self.sock.settimeout(patience or 0.001)
                piece = self.sock.recv(1 << 16)
                if not piece:
                    break
                got = got[-1000:] + piece
        except (TimeoutError, ssl.SSLWantReadError, BlockingIOError):
            return condition_in(got) or "open"
        except OSError:
            pass
        return condition_in(got) or "cut"

    # -- a stream ------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Send a header and wait for the features."""
        self.send(HEADER)
        self.until(FEATURES)

    def start_tls(self) -> None:
        self.send(STARTTLS)
        self.until(b"<proceed")
        self.handshake()

    def handshake(self) -> None:
        self.sock = _context().wrap_socket(self.sock, server_hostname=DOMAIN)

    def log_in(self, name: str, resource: str) -> None:
        """By STARTTLS and PLAIN; the resource is bound and silent."""
        self.open()
        self.start_tls()
        self.open()
        secret = b64encode(f"\0{name}\0{PASSWORD}".encode()).decode()
        self.send(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>".encode())
        self.until(b"<success")
        self.open()
        self.send(
            f"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{resource}</resource>"
            "</bind></iq>".encode()
        )
        self.until(b"</iq>")

    # -- ending --------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """With a FIN."""
        self.sock.close()

    def reset(self) -> None:
        """With a RST."""
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        self.sock.close()


def condition_in(data: bytes) -> str | None:
    """The last stream error in *data*."""
    found = _CONDITION.findall(data)
    return found[-1].decode() if found else None


def client_hello() -> bytes:
    """The first thing a TLS client says."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = _context().wrap_bio(incoming, outgoing, server_hostname=DOMAIN)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


@lru_cache
def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
