"""One account's device: it writes to others, and when it was cut off it comes back with what is unacknowledged."""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from random import Random
from typing import Final

from bench.names import DOMAIN
from federix.xmpp import ns
from federix.xmpp.element import Element
from soak.client import Ended, Wrong, error_condition

from .cable import Cable
from .connection import LOGIN_PATIENCE, Connection, Way, authenticated
from .ledger import Ledger
from .management import Management

RESOURCE: Final = "device"
#: How often it tries to resume where it might.
RESUMES: Final = 0.75
#: Seconds between two attempts to come back, from and to.
BACK_AFTER: Final = (0.05, 0.6)
#: Seconds between two questions for an acknowledgement while some are due, and without one until it comes back anew.
ASK_EVERY: Final = 0.5
GIVE_UP_AFTER: Final = 20.0
#: What it may have written that is not acknowledged; until it is, the device writes nothing more.
MOST_UNACKNOWLEDGED: Final = 400
#: Bytes of a message's text beside its number, and how often it is a long one.
SHORT: Final = 40
LONG: Final = 6000
LONG_ONES: Final = 0.05


class Device:
    """Connects through *cable*; what it does is chosen by *dice*."""

    def __init__(self, name: str, cable: Cable, ledger: Ledger, dice: Random) -> None:
        self.name = name
        self.cable = cable
        self.problems: list[str] = []
        #: How its connections came to be: new, resumed, and sessions the server did not know any more.
        self.done: Counter[str] = Counter()
        #: Seconds to the answers to `<r/>`.
        self.answers: list[float] = []
        self._ledger = ledger
        self._dice = dice
        self._connection: Connection | None = None
        self._management: Management | None = None
        #: What the server has not acknowledged, in order: text by id.
        self._outbox: dict[str, bytes] = {}
        self._number = 0
        self._living: asyncio.Task[None] | None = None
        self._leaving = False
        self._progress = 0.0

    # -- coming and going ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._living = asyncio.ensure_future(self._live())

    async def stop(self) -> None:
        """Leave for good."""
        self._leaving = True
        if self._living is not None:
            self._living.cancel()
            (ended,) = await asyncio.gather(self._living, return_exceptions=True)
            if isinstance(ended, Exception):
                self.problems.append(f"{self.name} broke down: {''.join(traceback.format_exception(ended))}")
        if self._connection is not None:
            self._connection.reset()

    @property
    def is_here(self) -> bool:
        return self._connection is not None and not self._connection.over.is_set()

    @property
    def is_done(self) -> bool:
        """Whether it is here and everything it sent is acknowledged."""
        return self.is_here and not self._outbox

    def hang_up(self) -> None:
        """Notice that the connection is dead, or take it for dead."""
        if self._connection is not None:
            self._connection.reset()

    async def _live(self) -> None:
        while not self._leaving:
            try:
                async with asyncio.timeout(LOGIN_PATIENCE):
                    connection = await self._come()
            except (Wrong, Ended, OSError, TimeoutError) as problem:
                self.done[f"attempts that failed: {type(problem).__name__}"] += 1
                await asyncio.sleep(self._dice.uniform(*BACK_AFTER))
                continue
            await self._stay(connection)
            self._connection = None
            if connection.wrong is not None:
                self.problems.append(connection.wrong)
            self.answers += connection.answers
            await asyncio.sleep(self._dice.uniform(0, BACK_AFTER[1]))

    async def _come(self) -> Connection:
        """Log in, resume or begin anew, and send what is due."""
        connection = await authenticated(self.cable.port, self.name)
        try:
            self._number += 1
            number = self._number
            connection.jid = f"{self.name}@{DOMAIN}/{RESOURCE}"
            connection.heard = lambda element: self._heard(element, number)
            connection.on_acknowledged = self._acknowledged
            resumed = await self._resumed(connection)
            if not resumed:
                await connection.begin(RESOURCE)
                connection.send("<presence/>")
                self.done["sessions begun"] += 1
            self._ledger.event(f"{self.name} {'resumed' if resumed else 'began'} connection {number}")
            self._management = management = connection.management
            assert management is not None
            under_way = {stanza.message for stanza in management.unacknowledged}
            # What was written while it came is in there as well, behind all that is older.
            for identifier in self._outbox:
                if identifier in under_way:
                    self._ledger.sent(identifier)  # by resuming
                else:
                    self._send(connection, identifier)
            connection.ask()
        except BaseException:
            connection.reset()
            raise
        self._connection = connection
        return connection

    async def _resumed(self, connection: Connection) -> bool:
        """Whether it goes on with the session it had; it does not always try."""
        previous = self._management
        if previous is None or previous.identifier is None or self._dice.random() >= RESUMES:
            return False
        resumed = await connection.resume(previous)
        self.done["sessions resumed" if resumed else "sessions not to be resumed"] += 1
        return resumed

    async def _stay(self, connection: Connection) -> None:
        """Until the connection ends, or nothing comes of it any more."""
        loop = asyncio.get_running_loop()
        self._progress = loop.time()
        while not connection.over.is_set():
            try:
                await asyncio.wait_for(connection.over.wait(), ASK_EVERY)
            except TimeoutError:
                if not self._outbox:
                    self._progress = loop.time()
                    continue
                if loop.time() - self._progress > GIVE_UP_AFTER:
                    self.done["connections given up"] += 1
                    connection.reset()
                    return
                connection.ask()

    # -- messages -----------------------------------------------------------------------------------------------------

    def write(self, to: str, count: int) -> None:
        """Send *count* messages, now or when it is back; none where too many are unacknowledged."""
        if len(self._outbox) >= MOST_UNACKNOWLEDGED:
            return
        connection = self._connection if self.is_here else None
        for _ in range(count):
            message = self._ledger.post(self.name, to)
            length = LONG if self._dice.random() < LONG_ONES else SHORT
            self._outbox[message.identifier] = (
                f"<message to='{to}@{DOMAIN}' type='chat' id='{message.identifier}'>"
                f"<body>{message.number} {'x' * self._dice.randrange(length)}</body>"
                f"<origin-id xmlns='urn:xmpp:sid:0' id='{message.identifier}'/></message>"
            ).encode()
            if connection is not None:
                self._send(connection, message.identifier)
        if connection is not None:
            connection.ask()

    def _send(self, connection: Connection, identifier: str) -> None:
        self._ledger.sent(identifier)
        connection.send_message(self._outbox[identifier], identifier)

    def _acknowledged(self, identifiers: list[str], way: Way) -> None:
        for identifier in identifiers:
            self._ledger.acknowledge(identifier, way)
            self._outbox.pop(identifier, None)
        self._progress = asyncio.get_running_loop().time()

    def _heard(self, element: Element, connection: int) -> None:
        identifier = element.get("id")
        if element.name != "message" or identifier is None:
            return
        if element.get("type") == "error":
            self._ledger.refuse(identifier, error_condition(element) or "?")
        elif element.text_of(ns.CLIENT, "body") is not None:
            self._ledger.receive(self.name, connection, identifier)
