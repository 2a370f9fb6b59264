"""The end of all sessions of a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.task import deferLater

from ..life.tree import Node
from ..xmpp.errors import StreamCondition, StreamError

if TYPE_CHECKING:
    from .host import Host

#: How often, and how many seconds apart, it is looked whether clients have acknowledged what they have before a host
#: stops.
LAST_ACKS: Final = 10
LAST_ACK_EVERY: Final = 0.1


class SessionsNode(Node):
    """The sessions' place in the service tree: it ends them when the host stops."""

    def __init__(self, host: Host) -> None:
        super().__init__("sessions", host.clock)
        self._host = host

    async def on_drain(self, deadline: float) -> None:
        """What clients have not acknowledged goes back to delivery while there are modules to take it."""
        await self._ask_all()
        self._end_all()
        await self._host.sessions.returns.done(deadline)

    async def on_stop(self) -> None:
        self._end_all()

    async def _ask_all(self) -> None:
        """Let clients acknowledge what they have, or they would get it again."""
        managed = [session.managed for session in self._host.sessions if session.managed and not session.asleep]
        for one in managed:
            if one.queue:
                one.ask()
        for _ in range(LAST_ACKS):
            if not any(one.queue for one in managed):
                return
            await deferLater(self.clock, LAST_ACK_EVERY)

    def _end_all(self) -> None:
        for session in self._host.sessions:
            session.end(StreamError(StreamCondition.SYSTEM_SHUTDOWN))
