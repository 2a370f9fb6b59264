"""Listeners: the ports of a server. Last up, first down."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import ensureDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import deferLater

from ..core.listener_options import LoginOptions, StreamOptions
from ..life.tree import Branch, Node
from ..links.listener import StreamListener
from ..streams.accepted import Gate
from ..streams.addresses import Addresses, AddressLimits
from ..streams.arrivals import Arrivals
from ..streams.eager import write_eagerly
from ..streams.stream import XmppStream
from ..xmpp.errors import StreamCondition, StreamError
from .accepting.factory import StreamFactory
from .accepting.kinds import KINDS
from .config import ListenerConfig

if TYPE_CHECKING:
    from .server import Server

#: Connections of so many seconds may come from one address at once: the clients behind one router, when it is back.
BURST_SECONDS: Final = 5
#: Seconds after which a stream that heard nothing rests, at the earliest; twice as many at the latest.
REST_EVERY: Final = 60.0
#: So many streams are told so one after the other; before the next ones whoever has something to say is heard.
REST_TOGETHER: Final = 100
REST_PAUSE: Final = 0.01
#: Seconds that clients have to take leave when the server stops.
CLOSING_TAKES: Final = 3.0
#: Bytes that the system keeps of what a client has sent and we have not read, and of what we have sent and it has not
#: read: megabytes by default. What is read is worked off even where the client has gone, what is not sent is lost then.
SYSTEM_READS: Final = 64 * 1024
SYSTEM_WRITES: Final = 256 * 1024


class CannotListen(CannotListenError):
    """A port that cannot be had; the text says where it is configured, why, and what to do."""

    def __init__(self, config: ListenerConfig, cause: object) -> None:
        super().__init__(config.ip, config.path or config.port, cause)  # type: ignore[no-untyped-call]
        self._config = config

    def __str__(self) -> str:
        config, cause = self._config, self.socketError
        number = getattr(cause, "errno", None)
        why = os.strerror(number) if number else str(cause)
        hint = ""
        if number == errno.EADDRINUSE or isinstance(cause, str):
            hint = "; does a server run there already?"
        elif number == errno.ENOENT and config.path is not None:
            why, hint = f"there is no folder {os.path.dirname(config.path) or '.'}", ""
        elif number in (errno.EACCES, errno.EPERM) and config.path is None:
            hint = "; only root may open such a port: start as root, with 'twistd --uid USER' to give up the rights"
        elif number == errno.EPERM:
            hint = "; only root may give the socket to somebody else"
        elif number == errno.EADDRNOTAVAIL:
            hint = "; no network interface has this address"
        place = f"{config.place}: " if config.place.line else ""
        return f"{place}cannot listen, {config.name}: {why}{hint}"


class Listener(Node):
    """One port, where those connect whose kind its `module` names."""

    def __init__(self, server: Server, config: ListenerConfig) -> None:
        super().__init__(config.name, server.clock)
        self._server = server
        self.config = config
        self.port: IListeningPort | None = None
        options = config.options
        assert isinstance(options, StreamOptions)
        self._kind = KINDS[config.module]
        addresses = server.listeners.addresses.beside(_limits(options))
        tls = self._kind.tls(server.certificates.store, server.config, options)
        self._listener: StreamListener[Any] = self._kind.listener(server, options, addresses, tls)

    def reconfigure(self, config: ListenerConfig) -> None:
        """Take new options; connections live on, those to come are under the new rules."""
        options = config.options
        assert isinstance(options, StreamOptions)
        self.config = config
        old = self._listener.options
        self._listener.tls = self._kind.tls(self._server.certificates.store, self._server.config, options)
        if options == old:
            return
        self._listener.options = options
        self._listener.addresses.limits = _limits(options)
        if config.path is not None and options.unix_socket != old.unix_socket and os.path.exists(config.path):
            os.chmod(config.path, options.unix_socket.mode)
            _give_away(config.path, options.unix_socket.owner, options.unix_socket.group)

    # -- life -----------------------------------------------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """Bind the port while we may; nobody is let in before the start."""
        if self.port is None:
            self._bind()
            self.listen(False)

    def listen(self, open: bool) -> None:
        """Let people in, or have them wait in the queue of the system."""
        port: Any = self.port  # one in memory has no queue
        if open and hasattr(port, "startReading"):
            port.startReading()
        elif not open and hasattr(port, "stopReading"):
            port.stopReading()

    def _bind(self) -> None:
        """Raises `CannotListen`."""
        config, options = self.config, self._listener.options
        factory = StreamFactory(self._server, self._kind, self._listener)
        reactor = self._server.reactor
        try:
            if config.path is None:
                assert config.port is not None
                self.port = reactor.listenTCP(config.port, factory, backlog=options.backlog, interface=config.ip)
            else:
                self.port = reactor.listenUNIX(
                    config.path, factory, backlog=options.backlog, mode=options.unix_socket.mode, wantPID=True
                )
                _give_away(config.path, options.unix_socket.owner, options.unix_socket.group)
        except CannotListenError as error:
            raise CannotListen(config, error.socketError) from None
        except (OSError, LookupError) as error:
            raise CannotListen(config, error) from None
        factory.port = self.port
        write_eagerly(self.port)
        _bound_buffers(self.port)

    async def release(self) -> None:
        """Let go of a port that was bound before a start which failed."""
        await self._unbind()

    async def on_start(self) -> None:
        if self.port is None:
            try:
                self._bind()
            except BaseException:
                await self._unbind()
                raise
        self.listen(True)

    async def on_drain(self, deadline: float) -> None:
        await self._unbind()

    async def on_stop(self) -> None:
        await self._unbind()

    async def _unbind(self) -> None:
        port, self.port = self.port, None
        if port is not None:
            await _done(port.stopListening())


def _bound_buffers(port: IListeningPort) -> None:
    """What the system keeps of each connection; those that come in by *port* have it from there."""
    listening: Any = port
    found = getattr(listening, "socket", None)
    if isinstance(found, socket.socket):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SYSTEM_READS)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SYSTEM_WRITES)


def _limits(options: StreamOptions) -> AddressLimits:
    per_second = options.max_connections_per_second
    limits = AddressLimits(
        max_connections=options.max_connections_per_address, rate=per_second, burst=BURST_SECONDS * (per_second or 1)
    )
    if not isinstance(options, LoginOptions):
        return limits
    return replace(
        limits,
        max_failures=options.max_failed_logins_per_address,
        window_seconds=options.failed_login_memory,
        ban_seconds=options.failed_login_memory,
    )


async def _done(result: Any) -> None:
    if result is not None:
        await result


def _give_away(path: str, owner: str | None, group: str | None) -> None:
    if owner is None and group is None:
        return
    if os.path.exists(path):
        if owner is not None:
            shutil.chown(path, user=owner)
        if group is not None:
            shutil.chown(path, group=group)


class Listeners(Branch):
    """All ports, and the streams that came in by them: a port that goes leaves its streams alone."""

    def __init__(self, server: Server) -> None:
        super().__init__("listeners", server.clock)
        #: What addresses did, at whatever port: each listener has its own limits for it.
        self.addresses = Addresses(server.clock.seconds, AddressLimits())
        #: What all streams go through, at whatever port they came in.
        self._server = server
        self.gate = Gate(Arrivals(server.clock.seconds, self._close_doors, self._open_doors))
        self.streams = self.gate.streams
        self.budget = self.gate.budget
        self.arrivals = self.gate.arrivals

    def privilegedStartService(self) -> None:
        """All of them or none: whoever cannot have one of its ports may try again."""
        try:
            super().privilegedStartService()
        except BaseException:
            for listener in self._listeners():
                ensureDeferred(listener.release())
            raise

    async def on_start(self) -> None:
        await super().on_start()
        self._rest()

    def _rest(self) -> None:
        """Most peers are silent most of the time: what they do not need meanwhile, they do not keep."""
        ours = [link.stream for link in self._server.federation.links if not link.incoming]
        self._rest_some(iter([*self.streams, *ours]))
        self.scope.later(REST_EVERY, self._rest)

    def _rest_some(self, streams: Iterator[XmppStream]) -> None:
        some = list(islice(streams, REST_TOGETHER))
        for stream in some:
            stream.rest()
        if len(some) == REST_TOGETHER:
            self.scope.later(REST_PAUSE, self._rest_some, streams)

    async def on_stop(self) -> None:
        """Close what is still open, and see it gone: politely for a while, then at once."""
        await super().on_stop()
        for stream in list(self.streams):
            stream.close(StreamError(StreamCondition.SYSTEM_SHUTDOWN))
        deadline = self.clock.seconds() + CLOSING_TAKES
        while self.streams and self.clock.seconds() < deadline:
            await deferLater(self.clock, 0.05, lambda: None)
        for stream in list(self.streams):
            stream.abort()

    def _close_doors(self) -> None:
        """Let nobody in for now: who comes waits in the queue of the system."""
        for listener in self._listeners():
            listener.listen(False)

    def _open_doors(self) -> None:
        for listener in self._listeners():
            listener.listen(True)

    def _listeners(self) -> list[Listener]:
        return [child for child in self.children.values() if isinstance(child, Listener)]

    def of(self, config: ListenerConfig) -> Listener | None:
        found = self.children.get(config.name)
        return found if isinstance(found, Listener) else None
