"""A name server's socket and thread; what it answers is for its owner to say."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Final

from twisted.names import dns

#: Seconds until the end is noticed.
_PERIOD: Final = 0.2
#: Bytes of the largest question.
_DATAGRAM: Final = 4096


class Answering:
    """Gives each question that arrives at *claimed* to *answer*, in a thread of its own, until it is closed."""

    def __init__(self, claimed: socket.socket, answer: Callable[[dns.Message], dns.Message]) -> None:
        self._socket = claimed
        self._answer = answer
        self._is_open = True
        self._thread = threading.Thread(target=self._serve, name="dns", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer no longer, and give the address back."""
        self._is_open = False
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        self._socket.settimeout(_PERIOD)
        while self._is_open:
            try:
                datagram, sender = self._socket.recvfrom(_DATAGRAM)
            except TimeoutError:
                continue
            message = dns.Message()
            try:
                message.fromStr(datagram)
            except (EOFError, ValueError):
                continue
            if message.queries:
                self._socket.sendto(self._answer(message).toStr(), sender)
