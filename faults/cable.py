"""A cable between one device and the server: it passes bytes on, falls silent without a word, or only seems slow."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final, cast

from bench.process import LOOPBACK

#: Bytes the system keeps for us of what the server sends: little, so that a reader who stalls is soon felt.
RECEIVE_BUFFER: Final = 8 * 1024


class Cable:
    """Listens for one device and passes everything on to *port*."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener: asyncio.Server | None = None
        self._lines: set[_Line] = set()

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: _Line(self._to, self._lines).near, LOOPBACK, 0)

    @property
    def port(self) -> int:
        """Where the device connects to."""
        assert self._listener is not None
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    def cut(self) -> list[_Line]:
        """Nothing more goes through the lines there are, and nobody is told; new ones are not concerned."""
        cut = [line for line in self._lines if not line.is_cut]
        for line in cut:
            line.cut()
        return cut

    def stall(self) -> list[_Line]:
        """Read nothing of what the server sends, until each line is told to `go_on`."""
        lines = [line for line in self._lines if not line.is_cut]
        for line in lines:
            line.stall()
        return lines

    def drop(self) -> None:
        """Hang up on everybody, on both sides."""
        for line in list(self._lines):
            line.drop()

    async def close(self) -> None:
        self.drop()
        if self._listener is not None:
            self._listener.close()


class _Line:
    """One connection of a device, and the one to the server that belongs to it."""

    def __init__(self, port: int, lines: set[_Line]) -> None:
        self.is_cut = False
        self._port = port
        self._lines = lines
        self._stalled = False
        self.near = _End(self)
        self.far = _End(self)
        self.near.other, self.far.other = self.far, self.near
        self._connecting: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """The device has connected: so do we."""
        self._lines.add(self)
        self.near.hold()
        self._connecting = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        far = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            far.setblocking(False)
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            await loop.sock_connect(far, (LOOPBACK, self._port))
            await loop.create_connection(lambda: self.far, sock=far)
        except OSError:
            far.close()
            self.drop()
        else:
            if not self.is_cut:
                self.near.release()

    def cut(self) -> None:
        self.is_cut = True
        self.near.hold()
        self.far.hold()

    def stall(self) -> None:
        self._stalled = True
        self.far.hold()

    def go_on(self) -> None:
        self._stalled = False
        if not self.is_cut:
            self.far.release()

    def wants_more(self, end: _End) -> None:
        """What comes from *end* has room again."""
        if not self.is_cut and not (end is self.far and self._stalled):
            end.release()

    def drop(self) -> None:
        self._lines.discard(self)
        self.near.abort()
        self.far.abort()

    def ended(self, end: _End) -> None:
        """One side has gone. The other gets what came before and hears of it, unless the cable is cut."""
        if not self.is_cut:
            self._lines.discard(self)
            end.other.close()


class _End(asyncio.Protocol):
    """One of the two connections of a line."""

    def __init__(self, line: _Line) -> None:
        self.other: _End
        self._line = line
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self is self._line.near:
            self._line.begin()

    def data_received(self, data: bytes) -> None:
        if not self._line.is_cut:
            self.other.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._line.ended(self)

    def pause_writing(self) -> None:
        self.other.hold()

    def resume_writing(self) -> None:
        self._line.wants_more(self.other)

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def hold(self) -> None:
        """Read no more from it for now."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def release(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End it with a TCP reset, as the host of a vanished connection would."""
        if self._transport is None or self._transport.is_closing():
            return
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
