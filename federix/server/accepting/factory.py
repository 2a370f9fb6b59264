"""Connections at a port: who is let in, and the stream and the link he gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from ...core.conditions import NO_ADDRESS
from ...links.listener import StreamListener
from ...streams.accepted import AcceptedStream
from ...streams.stream import Bounds
from .kind import Kind

if TYPE_CHECKING:
    from ..server import Server

log = Logger()

#: Connections that are accepted before others are heard.
ACCEPTED_AT_ONCE: Final = 4
#: Refused connections are logged together, once in so many seconds.
REFUSALS_TOLD_EVERY: Final = 60.0


class StreamFactory(Factory[AcceptedStream]):
    """Builds the stream and the link of each who connects at one port."""

    noisy = False

    def __init__(self, server: Server, kind: Kind[Any], listener: StreamListener[Any]) -> None:
        self._server = server
        self._kind = kind
        self._listener = listener
        self._refused = 0
        self._told = float("-inf")
        self.port: Any = None

    def buildProtocol(self, addr: IAddress | None) -> AcceptedStream | None:
        listener = self._listener
        # Twisted takes twenty more each time as long as there are more, and hears nobody else meanwhile.
        self.port.numberAccepts = ACCEPTED_AT_ONCE
        ip = str(getattr(addr, "host", NO_ADDRESS))
        refusal = listener.addresses.admit(ip)
        if refusal is not None:
            self._tell(ip, refusal.value)
            return None
        server = self._server
        stream = AcceptedStream(
            server.clock, server.scope, server.turn, server.counters, self._kind.content, listener.limits_before()
        )
        options = listener.options
        stream.bounds = Bounds(options.max_queue_size, options.max_fsm_queue, options.send_timeout)
        stream.gate = server.listeners.gate
        stream.link = self._kind.link(server, listener, stream)
        stream.owner = stream.link
        return stream

    def _tell(self, ip: str, why: str) -> None:
        self._refused += 1
        now = self._server.clock.seconds()
        if now - self._told >= REFUSALS_TOLD_EVERY:
            log.info("connections refused", count=self._refused, last=ip, why=why)
            self._told, self._refused = now, 0
