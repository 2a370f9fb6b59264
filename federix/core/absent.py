"""What becomes of a message that nobody is there to take: it is kept for later, or goes back (RFC 6121 §8.5.2.2)."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from ..xmpp.errors import Condition, StanzaError
from ..xmpp.jid import JID
from ..xmpp.stanza import Message, Stanza
from . import hooks
from .chain import Handled, HandlerCrashed
from .passage import has_id
from .session import Session

if TYPE_CHECKING:
    from .host import Host


class Absent:
    """The way of messages into offline storage, whatever module that is, of one host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def take(self, message: Message, to: JID, instead: Sequence[Session]) -> Awaitable[None] | None:
        """Offer a message to offline storage; what nobody takes goes to the sessions *instead*, or back.

        What is refused has gone to nobody: nobody is told of it, unless the archive keeps it.
        """
        outcome: Stanza | Handled | Awaitable[Stanza | Handled]
        try:
            outcome = hooks.offline_message.run(self._host.chains, to.bare, message)
        except StanzaError as error:
            outcome = self._refused(message, to.bare, error)
        if inspect.isawaitable(outcome):
            return self._take_later(message, to, outcome, instead)
        self._taken(message, to, outcome, instead)
        return None

    async def _take_later(
        self, message: Message, to: JID, waiting: Awaitable[Stanza | Handled], instead: Sequence[Session]
    ) -> None:
        outcome: Stanza | Handled
        try:
            outcome = await waiting
        except StanzaError as error:
            outcome = self._refused(message, to.bare, error)
        self._taken(message, to, outcome, instead)

    def _refused(self, message: Message, account: JID, error: StanzaError) -> Message:
        """The message, as nobody took it; raises *error* where its sender is to hear of it.

        What failed by a bug is no business of his; and what the archive keeps is not lost: nothing goes back.
        """
        if isinstance(error, HandlerCrashed) or self._is_kept(message, account):
            return message
        raise error

    def _taken(self, message: Message, to: JID, outcome: Stanza | Handled, instead: Sequence[Session]) -> None:
        """Who is there does not ask the archive: if there is no room behind what they are handed, they get it."""
        if not isinstance(outcome, Stanza):
            self._delivered(to, message, [session for session in instead if session.catching_up])
            return
        there = [session for session in instead if not session.ended]
        for session in there:
            session.send(outcome)
        self._delivered(to, message, there)
        if not there and not self._is_kept(message, to.bare):
            raise StanzaError(Condition.SERVICE_UNAVAILABLE)

    def _is_kept(self, message: Message, account: JID) -> bool:
        return self._host.archive is not None and has_id(message, account)

    def _delivered(self, to: JID, message: Message, sessions: Sequence[Session]) -> None:
        hooks.sm_delivered_message.run(self._host.chains, to.bare, message, sessions)
