"""A visit: what whoever comes and goes has to do with, and how connections are left."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

from . import people
from .client import Client
from .login import Manner, Ports, Security, log_in, secured
from .residents import Resident
from .server import Soaked


@dataclass(frozen=True, slots=True)
class Visit:
    """What a visit has to do with: where to go, whom to meet, and dice of its own."""

    server: Soaked
    everybody: dict[str, Resident]
    free: deque[str]
    """Visitors' accounts that nobody uses at the moment."""
    random: Random
    number: int
    clients: list[Client] = field(default_factory=list)
    """Its connections so far; whoever sent it closes what is left of them."""

    @property
    def ports(self) -> Ports:
        return self.server.ports

    @property
    def resource(self) -> str:
        return f"visit-{self.number}"

    async def log_in(self, name: str, password: str = people.PASSWORD, receive_buffer: int | None = None) -> Client:
        manner = Manner.any(self.random)
        return self._own(await log_in(self.ports, name, password, manner, self.resource, receive_buffer))

    async def connect(self) -> Client:
        return self._own(await Client.connect(self.ports.plain))

    async def secured(self, security: Security) -> Client:
        return self._own(await secured(self.ports, security))

    def _own(self, client: Client) -> Client:
        self.clients.append(client)
        return client

    async def abandon(self, client: Client) -> None:
        """Leave without a word, perhaps after a while."""
        if self.random.random() < 0.5:
            await asyncio.sleep(self.random.random())
        if self.random.random() < 0.5:
            client.cut()
        else:
            client.reset()

    async def go(self, client: Client) -> None:
        """Leave politely, or not."""
        if self.random.random() < 0.6:
            await client.leave()
        else:
            await self.abandon(client)

    def anybody_here(self) -> Resident | None:
        here = [resident for resident in self.everybody.values() if resident.here]
        return self.random.choice(here) if here else None


Kind = Callable[[Visit], Awaitable[None]]


def with_account(body: Callable[[Visit, str], Awaitable[None]]) -> Kind:
    """A visit with an account that no other visit uses meanwhile."""

    async def visit(visit: Visit) -> None:
        if not visit.free:
            return
        name = visit.free.popleft()
        try:
            await body(visit, name)
        finally:
            visit.free.append(name)

    visit.__name__ = body.__name__
    return visit
