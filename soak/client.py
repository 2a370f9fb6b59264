"""One client's connection, on asyncio: nothing of it is the server's but the parser of its stream."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Self, cast

from bench.names import DOMAIN, HEADER
from bench.process import LOOPBACK
from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.errors import StreamError
from federix.xmpp.events import Footer, Header
from federix.xmpp.limits import Limits
from federix.xmpp.parser import StreamParser
from federix.xmpp.stanza import Stanza

#: Seconds to wait for anything: the machine may be busy with something else.
PATIENCE: Final = 60.0
_LIMITS: Final = Limits(stanza_bytes=4 * 1024 * 1024, tree_bytes=16 * 1024 * 1024)


class Ended(Exception):
    """The connection has ended; *condition* is the server's stream error, where it told one."""

    def __init__(self, condition: str | None) -> None:
        super().__init__(f"the connection has ended ({condition or 'without a stream error'})")
        self.condition = condition


class Wrong(Exception):
    """The server has done something it must not; the text says what."""


@lru_cache
def context() -> ssl.SSLContext:
    """Everybody trusts everybody: the certificate is made for the run."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


class Client(asyncio.Protocol):
    """A stream to the server. Its stanzas wait in a queue, or go to `heard` where that is set."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.heard: Callable[[Element], None] | None = None
        self.jid = ""
        self.condition: str | None = None
        self.footer = False
        self.wrong: str | None = None
        self._parser = StreamParser(_LIMITS)
        self._queue: asyncio.Queue[Element | None] = asyncio.Queue()
        self._answers: dict[str, asyncio.Future[Element]] = {}
        self._number = 0
        self.over = asyncio.Event()

    @classmethod
    async def connect(cls, port: int, *, tls: bool = False, receive_buffer: int | None = None) -> Self:
        """A connection on which nothing was said; with *tls* it speaks TLS from the first byte."""
        loop = asyncio.get_running_loop()
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if receive_buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            await asyncio.wait_for(loop.sock_connect(sock, (LOOPBACK, port)), PATIENCE)
            made = loop.create_connection(
                cls, sock=sock, ssl=context() if tls else None, server_hostname=DOMAIN if tls else None
            )
            _, client = await asyncio.wait_for(made, PATIENCE)
        except OSError as error:
            sock.close()
            raise Wrong(f"could not connect: {error}") from None
        except BaseException:
            sock.close()
            raise
        return client

    # -- what the loop calls ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for event in self._parser.feed(data):
            if isinstance(event, Header):
                continue
            if isinstance(event, Footer):
                self.footer = True
            elif isinstance(event, StreamError):
                self.wrong = f"{self.jid or 'somebody'} cannot read what came: {event}"
            else:
                self._take(event.element if isinstance(event, Stanza) else event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._parser.close()
        self.over.set()
        self._queue.put_nowait(None)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(Ended(self.condition))
        self._answers.clear()

    def _take(self, element: Element) -> None:
        if element.ns == ns.STREAMS and element.name == "error":
            child = element.first()
            self.condition = child.name if child is not None else "?"
            return
        kind = element.get("type")
        if element.name == "iq" and kind in ("result", "error"):
            answer = self._answers.pop(element.get("id") or "", None)
            if answer is not None:
                if not answer.done():
                    answer.set_result(element)
                return
        if element.name == "iq" and kind in ("get", "set"):
            self._reply(element)
            return
        if self.heard is not None:
            self.heard(element)
        else:
            self._queue.put_nowait(element)

    def _reply(self, request: Element) -> None:
        """Answer pings and roster pushes, and refuse all else."""
        child = request.first()
        known = child is not None and child.ns in (ns.PING, ns.ROSTER)
        to = f" to='{request.get('from')}'" if request.get("from") else ""
        head = f"<iq type='{'result' if known else 'error'}' id='{request.get('id')}'{to}"
        refusal = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
        self.send(f"{head}/>" if known else f"{head}>{refusal}</iq>")

    # -- sending and waiting ------------------------------------------------------------------------------------------

    def send(self, data: str | bytes) -> None:
        """Send what it is given; to a connection that has ended nothing is sent."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data if isinstance(data, bytes) else data.encode())

    async def next(self, *names: str) -> Element:
        """What comes next; with *names* it must be one of them. Raises `Ended`, `Wrong`."""
        try:
            element = await asyncio.wait_for(self._queue.get(), PATIENCE)
        except TimeoutError:
            raise Wrong(
                f"{self.jid or 'somebody'}: nothing came for {PATIENCE:g} s, {names or 'anything'} due"
            ) from None
        if element is None:
            self._queue.put_nowait(None)
            raise Ended(self.condition)
        if names and element.name not in names:
            raise Wrong(f"{self.jid or 'somebody'}: {names} due, not {element.to_xml()[:300]}")
        return element

    async def until(self, wanted: Callable[[Element], bool]) -> Element:
        """The next stanza that is *wanted*; others are passed over. Raises `Ended`, `Wrong`."""
        while True:
            element = await self.next()
            if wanted(element):
                return element

    async def iq(self, kind: str, payload: str, to: str | None = None) -> Element:
        """The answer to a request, whichever it is. Raises `Ended`, `Wrong` where none comes."""
        self._number += 1
        identifier = f"q{self._number}"
        answer: asyncio.Future[Element] = asyncio.get_running_loop().create_future()
        self._answers[identifier] = answer
        if self.over.is_set():
            raise Ended(self.condition)
        self.send(f"<iq type='{kind}' id='{identifier}'{f' to={to!r}' if to else ''}>{payload}</iq>")
        try:
            return await asyncio.wait_for(answer, PATIENCE)
        except TimeoutError:
            raise Wrong(f"{self.jid}: no answer after {PATIENCE:g} s to {payload[:100]}, sent to {to}") from None
        finally:
            self._answers.pop(identifier, None)

    async def result(self, kind: str, payload: str, to: str | None = None) -> Element:
        """The answer to a request, which must be a result."""
        answer = await self.iq(kind, payload, to)
        if answer.get("type") != "result":
            raise Wrong(f"{self.jid}: a result is due for {payload[:100]} to {to}, not {answer.to_xml()[:300]}")
        return answer

    async def refusal(self, kind: str, payload: str, condition: str, to: str | None = None) -> None:
        """The answer to a request must be that error."""
        answer = await self.iq(kind, payload, to)
        if answer.get("type") != "error" or error_condition(answer) != condition:
            raise Wrong(f"{self.jid}: {condition} is due for {payload[:100]} to {to}, not {answer.to_xml()[:300]}")

    async def ended(self, *conditions: str | None) -> None:
        """Wait until the server has ended the connection, for one of those reasons. Raises `Wrong`."""
        try:
            await asyncio.wait_for(self.over.wait(), PATIENCE)
        except TimeoutError:
            raise Wrong(f"{self.jid or 'somebody'}: not ended after {PATIENCE:g} s, due: {conditions}") from None
        if conditions and self.condition not in conditions:
            raise Wrong(f"{self.jid or 'somebody'}: ended with {self.condition}, due: {conditions}")

    # -- steps --------------------------------------------------------------------------------------------------------

    async def open(self) -> Element:
        """A new stream, on the same connection or a new one; its features."""
        self._parser.close()
        self._parser = StreamParser(_LIMITS)
        self.send(HEADER)
        return await self.next("features")

    async def start_tls(self) -> None:
        self.send(f"<starttls xmlns='{ns.TLS}'/>")
        await self.next("proceed")
        assert self.transport is not None
        loop = asyncio.get_running_loop()
        try:
            secured = await asyncio.wait_for(
                loop.start_tls(self.transport, self, context(), server_hostname=DOMAIN), PATIENCE
            )
        except (TimeoutError, OSError) as error:
            raise Wrong(f"no TLS: {type(error).__name__} {error}") from None
        if secured is None:
            raise Ended(self.condition)  # it was lost in the moment in which it was secure
        self.transport = secured

    # -- ways to leave ------------------------------------------------------------------------------------------------

    async def leave(self) -> None:
        """As a polite client does; the server must end its stream as well."""
        if self.over.is_set():
            return
        self.send("</stream:stream>")
        await self.ended()
        if not self.footer:
            raise Wrong(f"{self.jid or 'somebody'}: the server did not close its stream")

    def cut(self) -> None:
        """Close the connection without a word."""
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        """Close the connection by a TCP reset."""
        if self.transport is None:
            return
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def error_condition(stanza: Element) -> str | None:
    """The condition of an error stanza."""
    error = stanza.child(ns.CLIENT, "error")
    child = error.first() if error is not None else None
    return child.name if child is not None else None
