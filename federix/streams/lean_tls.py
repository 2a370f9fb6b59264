"""OpenSSL asked without detours: the four calls that each record takes, and its memory given back.

pyOpenSSL allocates, checks and asks for errors around each call, which costs more than the call and all the decrypting.
Here that is done only where a call has failed: then pyOpenSSL is asked the same again, and says what there is to say.

What goes to OpenSSL and comes from it passes through two buffers, and each keeps for good a third more than the most it
ever held: after a handshake with its certificates some kilobytes, for a stream that may say little more.
"""

from __future__ import annotations

import threading
from typing import Any, Final, Protocol

from OpenSSL import SSL

#: Bytes of the memory that OpenSSL writes to, for each thread that runs a reactor: two of the longest records.
SCRATCH: Final = 1 << 15


class Lean(Protocol):
    """What is asked of a connection whose handshake is done; pyOpenSSL's own `Connection` is one."""

    def bio_write(self, data: bytes, /) -> int:
        """Take what came from the network."""

    def recv(self, most: int, /) -> bytes:
        """What the next record holds; raises what pyOpenSSL does."""

    def send(self, data: bytes, /) -> int:
        """Seal *data*, or so much of it; raises what pyOpenSSL does."""

    def bio_read(self, most: int, /) -> bytes:
        """What is to leave to the network; raises `SSL.WantReadError` where that is nothing."""


try:
    from OpenSSL._util import ffi as _ffi
    from OpenSSL._util import lib as _lib

    _BIO_write, _BIO_read = _lib.BIO_write, _lib.BIO_read
    _SSL_write, _SSL_read = _lib.SSL_write, _lib.SSL_read
    _BIO_new, _BIO_s_mem, _BIO_get_mem_data = _lib.BIO_new, _lib.BIO_s_mem, _lib.BIO_get_mem_data
    _SSL_set_bio = _lib.SSL_set_bio
    _buffer = _ffi.buffer
    KNOWN = True
    """Whether pyOpenSSL is made as this module knows it."""
except (ImportError, AttributeError):  # pragma: no cover - a pyOpenSSL to come
    KNOWN = False


class _Scratch(threading.local):
    """OpenSSL's calls let other threads run, so each has its own; what it held before means nothing."""

    def __init__(self) -> None:
        self.memory = _ffi.new("char[]", SCRATCH)
        self.pointer = _ffi.new("char **")


_scratch: Final[Any] = _Scratch() if KNOWN else None


class LeanConnection:
    """The four calls, and pyOpenSSL's `Connection` for everything else."""

    __slots__ = ("_connection", "_from_ssl", "_into_ssl", "_ssl")

    def __init__(self, connection: SSL.Connection) -> None:
        """Raises AttributeError where pyOpenSSL is not made as this module knows it."""
        known: Any = connection
        _renew_buffers(known)
        self._connection = connection
        self._ssl = known._ssl
        self._into_ssl = known._into_ssl
        self._from_ssl = known._from_ssl

    def bio_write(self, data: bytes) -> int:
        size: int = _BIO_write(self._into_ssl, data, len(data))
        return size if size > 0 else self._connection.bio_write(data)

    def recv(self, most: int) -> bytes:
        memory = _scratch.memory
        size = _SSL_read(self._ssl, memory, min(most, SCRATCH))
        if size <= 0:
            return self._connection.recv(most)
        received: bytes = _buffer(memory, size)[:]
        return received

    def send(self, data: bytes) -> int:
        size: int = _SSL_write(self._ssl, data, len(data))
        return size if size > 0 else self._connection.send(data)

    def bio_read(self, most: int) -> bytes:
        memory = _scratch.memory
        size = _BIO_read(self._from_ssl, memory, min(most, SCRATCH))
        if size <= 0:
            return self._connection.bio_read(most)
        leaving: bytes = _buffer(memory, size)[:]
        return leaving


def _renew_buffers(known: Any) -> None:
    """Give it buffers that have held nothing yet, unless something is in the old ones."""
    pointer = _scratch.pointer
    if _BIO_get_mem_data(known._into_ssl, pointer) or _BIO_get_mem_data(known._from_ssl, pointer):
        return
    into_ssl, from_ssl = _BIO_new(_BIO_s_mem()), _BIO_new(_BIO_s_mem())
    if _ffi.NULL in (into_ssl, from_ssl):  # pragma: no cover - there is no memory
        return
    _SSL_set_bio(known._ssl, into_ssl, from_ssl)  # they are its own now, and the old ones are gone
    known._into_ssl, known._from_ssl = into_ssl, from_ssl


def lean(connection: SSL.Connection) -> Lean:
    """The same *connection*, at less cost where that is possible; its handshake is done."""
    if not KNOWN or type(connection) is not SSL.Connection:
        return connection
    try:
        return LeanConnection(connection)
    except AttributeError:
        return connection
