"""A client's connection with stream management, and how it comes to be: TLS, SASL, a session resumed or a new one."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

from bench.names import PASSWORD
from federix.xmpp import ns
from federix.xmpp.element import Element
from soak.client import Client, Wrong
from soak.login import Mechanism, authenticate

from .management import Management, TooMuch

#: Seconds for a login, from the connection to the session.
LOGIN_PATIENCE: Final = 20.0
#: By what the server acknowledged: an answer on the stream, or one to an attempt to resume.
Way = Literal["a", "resumed", "failed"]
_STANZA: Final = re.compile(rb"<(?:message|presence|iq)[\s/>]")


class Connection(Client):
    """A stream to the server, managed once that is enabled."""

    def __init__(self) -> None:
        super().__init__()
        self.management: Management | None = None
        #: Told of messages that are acknowledged, and by what.
        self.on_acknowledged: Callable[[list[str], Way], None] = lambda messages, way: None
        #: How long the answers to `<r/>` took, in seconds.
        self.answers: list[float] = []
        self._asked: deque[float] = deque()
        self._resuming: Management | None = None

    # -- sending ------------------------------------------------------------------------------------------------------

    def send(self, data: str | bytes) -> None:
        data = data if isinstance(data, bytes) else data.encode()
        if self.management is not None and _STANZA.match(data):
            self.management.sent(data)
        super().send(data)

    def send_message(self, data: bytes, message: str) -> None:
        """Send the message of that id, whose acknowledgement will be told."""
        if self.management is not None:
            self.management.sent(data, message)
        super().send(data)

    def ask(self) -> None:
        """Request an acknowledgement."""
        self._asked.append(asyncio.get_running_loop().time())
        super().send(f"<r xmlns='{ns.SM}'/>")

    # -- hearing ------------------------------------------------------------------------------------------------------

    def _take(self, element: Element) -> None:
        if element.ns == ns.SM:
            self._managed(element)
            return
        if self.management is not None and element.ns == ns.CLIENT:
            self.management.received += 1
            if element.name == "message" and element.get("type") == "error":
                self.management.returned += 1
        super()._take(element)

    def _managed(self, element: Element) -> None:
        handled = element.get("h")
        match element.name:
            case "r":
                if self.management is not None:
                    super().send(f"<a xmlns='{ns.SM}' h='{self.management.received}'/>")
            case "a":
                if self._asked:
                    self.answers.append(asyncio.get_running_loop().time() - self._asked.popleft())
                self._acknowledge(self.management, handled, "a")
            case "resumed":
                # What the server sends again follows in the same breath, and counts.
                self.management = self._resuming
                self._acknowledge(self.management, handled, "resumed")
                self._queue.put_nowait(element)
            case "enabled":
                self.management = Management(element.get("id"))
                self._queue.put_nowait(element)
            case "failed":
                self._acknowledge(self._resuming, handled, "failed")
                self._queue.put_nowait(element)

    def _acknowledge(self, management: Management | None, handled: str | None, way: Way) -> None:
        if management is None or handled is None:
            return
        try:
            acknowledge = management.remembered if way == "failed" else management.acknowledge
            self.on_acknowledged(acknowledge(int(handled)), way)
        except TooMuch as problem:
            self.wrong = f"{self.jid}: <{way}/> of {management.identifier}: {problem}"

    # -- logging in ---------------------------------------------------------------------------------------------------

    async def resume(self, management: Management) -> bool:
        """Go on with *management*; False where the server does not."""
        self._resuming = management
        self.send(f"<resume xmlns='{ns.SM}' previd='{management.identifier}' h='{management.received}'/>")
        answer = await self.next("resumed", "failed")
        if answer.name == "failed":
            return False
        for stanza in management.unacknowledged:
            super().send(stanza.text)
        return True

    async def begin(self, resource: str) -> None:
        """A new session, managed."""
        answer = await self.result("set", f"<bind xmlns='{ns.BIND}'><resource>{resource}</resource></bind>")
        bind = answer.child(ns.BIND, "bind")
        self.jid = (bind.text_of(ns.BIND, "jid") if bind is not None else None) or ""
        self.send(f"<enable xmlns='{ns.SM}' resume='true'/>")
        answer = await self.next("enabled", "failed")
        if answer.name == "failed":
            raise Wrong(f"{self.jid}: stream management refused: {answer.to_xml()[:300]}")


async def authenticated(port: int, name: str, mechanism: Mechanism = "SCRAM-SHA-256") -> Connection:
    """A connection whose stream is secured and authenticated, and has no resource. Raises `Wrong`, `Ended`."""
    connection = await Connection.connect(port)
    try:
        await connection.open()
        await connection.start_tls()
        await connection.open()
        refused = await authenticate(connection, name, PASSWORD, mechanism)
        if refused is not None:
            raise Wrong(f"{name} cannot log in: {refused}")
        await connection.open()
    except BaseException:
        connection.reset()
        raise
    return connection
