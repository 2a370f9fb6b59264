"""A connection between two servers that a test can cut: bytes go on and on, or vanish without a word."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from typing import Final, Self

_BLOCK: Final = 65536
_PERIOD: Final = 0.1


class Cable:
    """Listens on an address and passes everything to another, both ways, until it is cut.

    While it is cut nothing is read, answered or closed: to both ends the network is just silent. What connects to it
    in the meantime is accepted by the kernel and hears nothing.
    """

    def __init__(self, address: str, port: int, to: str) -> None:
        #: The address of the server at its end.
        self.to = to
        self._port = port
        self._listener = socket.create_server((address, port))
        self._other: dict[socket.socket, socket.socket] = {}
        self._dead: list[socket.socket] = []
        self._is_cut = threading.Event()
        self._is_open = True
        self._ready = selectors.DefaultSelector()
        self._ready.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._pass_on, name="cable", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cut(self) -> None:
        """From now on nothing gets through, and nobody is told."""
        self._is_cut.set()

    def mend(self) -> None:
        """Let new connections through. Those that were cut stay dead, and whoever still uses them is told so now."""
        dead, self._dead = [*self._dead, *self._other], []
        for end in dead:
            with contextlib.suppress(KeyError):
                self._ready.unregister(end)
            # Without lingering the kernel answers with RST, as the host of a vanished connection would.
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            end.close()
        self._other.clear()
        self._is_cut.clear()

    def refuse(self) -> None:
        """Let nobody connect any more. Call it while the cable is cut."""
        self._ready.unregister(self._listener)
        self._listener.close()

    def close(self) -> None:
        """Hang up on everybody."""
        self._is_open = False
        self._thread.join()
        for end in [*self._other, *self._dead, self._listener]:
            end.close()
        self._ready.close()

    def _pass_on(self) -> None:
        while self._is_open:
            if self._is_cut.is_set():
                self._is_cut.wait(_PERIOD)
                threading.Event().wait(_PERIOD)
                continue
            for key, _ in self._ready.select(_PERIOD):
                if self._is_cut.is_set():
                    break
                if key.fileobj is self._listener:
                    self._connect()
                else:
                    assert isinstance(key.fileobj, socket.socket)
                    self._move(key.fileobj)

    def _connect(self) -> None:
        near, _ = self._listener.accept()
        try:
            far = socket.create_connection((self.to, self._port), timeout=2)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        for end, other in ((near, far), (far, near)):
            self._other[end] = other
            self._ready.register(end, selectors.EVENT_READ)

    def _move(self, end: socket.socket) -> None:
        other = self._other.get(end)
        if other is None:
            return
        try:
            block = end.recv(_BLOCK)
            if block:
                other.sendall(block)
                return
        except OSError:
            pass
        for gone in (end, other):
            self._ready.unregister(gone)
            del self._other[gone]
            gone.close()
