"""What was sent, acknowledged, received and archived in a run: the facts that are judged afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from .connection import Way


@dataclass(slots=True)
class Sent:
    """A message, with all that its sender knows of it; times are seconds since the beginning of the run."""

    identifier: str
    sender: str
    to: str
    number: int
    """Counts from 1 for each sender and recipient."""
    at: list[float]
    """When it was sent: more than once where it was not acknowledged."""
    acknowledged: float | None = None
    way: Way | None = None
    """What acknowledged it."""
    refused: str | None = None
    """The condition of the error it came back with."""

    @property
    def accepted(self) -> bool:
        """Whether the server took it upon itself."""
        return self.acknowledged is not None and self.refused is None


@dataclass(frozen=True, slots=True)
class Received:
    """A message that came to a device, on which of its connections."""

    device: str
    connection: int
    identifier: str
    at: float


class Ledger:
    """Everything of one run; *seconds* counts from its beginning."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.seconds = seconds
        self.messages: dict[str, Sent] = {}
        self.received: list[Received] = []
        #: Of each account the ids in its archive, in its order.
        self.archives: dict[str, list[str]] = {}
        #: What was done to the server and to its clients, and when.
        self.events: list[tuple[float, str]] = []
        self._numbers: Counter[tuple[str, str]] = Counter()

    def post(self, sender: str, to: str) -> Sent:
        """The next message of *sender* to *to*; it is still to be sent."""
        self._numbers[sender, to] += 1
        number = self._numbers[sender, to]
        message = Sent(f"{sender}.{to}.{number}", sender, to, number, [])
        self.messages[message.identifier] = message
        return message

    def sent(self, identifier: str) -> None:
        """It goes out, perhaps again."""
        self.messages[identifier].at.append(self.seconds())

    def acknowledge(self, identifier: str, way: Way) -> None:
        """The server has said that it handled it."""
        message = self.messages[identifier]
        if message.acknowledged is None:
            message.acknowledged, message.way = self.seconds(), way

    def refuse(self, identifier: str, condition: str) -> None:
        """It came back."""
        if identifier in self.messages:
            self.messages[identifier].refused = condition

    def receive(self, device: str, connection: int, identifier: str) -> None:
        """A device got it."""
        self.received.append(Received(device, connection, identifier, self.seconds()))

    def event(self, what: str) -> None:
        self.events.append((self.seconds(), what))
