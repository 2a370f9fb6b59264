"""Sockets that are written at once.

Twisted buffers what is written and asks the reactor when it may be sent: two system calls to arm and disarm the
question, for a socket that nearly always takes everything. An eager socket tries first, and asks only for what is
left. Whoever writes joins small pieces beforehand (see `turn`), or they become small packets.
"""

from __future__ import annotations

import errno
import threading
from typing import Any, Final

from twisted.internet.interfaces import IListeningPort
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.tcp import Client
from twisted.python.failure import Failure

#: Bytes of one read. What is read has to fit into OpenSSL's buffer, which keeps for good a third more than the most it
#: ever held; Twisted's 64 KiB would cost a connection 85 KiB after a single burst.
READ_AT_MOST: Final = 16 * 1024


class _Scratch(threading.local):
    """What is read, until it is copied: for each thread that runs a reactor."""

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(READ_AT_MOST))


_scratch: Final = _Scratch()


class EagerWrites:
    """Goes before a socket transport of Twisted's."""

    bufferSize = READ_AT_MOST

    def doRead(self: Any) -> Any:
        """As Twisted's, but what is kept is no larger than what came.

        `socket.recv` takes memory for the most that may come and gives back the rest. What is taken meanwhile and lives
        long stands in that rest, and in the end the heap is full of small holes.
        """
        memory = _scratch.memory
        try:
            size = self.socket.recv_into(memory)
        except OSError as error:
            return None if error.errno == errno.EWOULDBLOCK else CONNECTION_LOST
        if not size:
            return CONNECTION_DONE
        self.protocol.dataReceived(bytes(memory[:size]))
        return None

    @property
    def unsent(self: Any) -> int:
        """Bytes written here that the system has not taken."""
        return len(self.dataBuffer) - self.offset + self._tempDataLen  # type: ignore[no-any-return]

    def write(self: Any, data: bytes) -> None:
        if data and self.connected and not (self.dataBuffer or self._tempDataBuffer or self._writeDisconnected):
            try:
                sent = self.socket.send(data)
            except OSError:
                pass  # it takes nothing now; or it was lost: the reactor meets that again, and tells
            else:
                if sent == len(data):
                    return
                data = data[sent:]
        super().write(data)  # type: ignore[misc]


def write_eagerly(port: IListeningPort) -> None:
    """Have the connections that come in by *port* be eager; a port that is no socket of Twisted's is left alone."""
    listening: Any = port
    transport = getattr(port, "transport", None)
    if isinstance(transport, type) and not issubclass(transport, EagerWrites):
        listening.transport = _eager(transport)


def make_eager(transport: Any) -> None:
    """Have one connection be eager that we have opened: Twisted lets nobody choose its class beforehand.

    What led to it, it keeps no longer: connector, endpoint and factory take a kilobyte, and are of no more use.
    """
    if type(transport) is Client:
        transport.__class__ = _EAGER_CLIENT
        transport.connector = _CONNECTED


def _eager(transport: type) -> type:
    return type(f"Eager{transport.__name__}", (EagerWrites, transport), {})


class _Connected:
    """In place of the connector of a connection that is there."""

    def connectionLost(self, reason: Failure) -> None:
        """Twisted tells it, and it its factory."""


_EAGER_CLIENT: Final = _eager(Client)
_CONNECTED: Final = _Connected()
