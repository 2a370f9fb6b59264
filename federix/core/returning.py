"""What a session was sent and its client did not acknowledge, when the session is over: it is not lost.

XEP-0198 §4: "A server SHOULD treat unacknowledged stanzas in the same way that it would treat a stanza sent to an
unavailable resource, by either returning an error to the sender, delivery to an alternate resource, or committing the
stanza to offline storage."
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import merge
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ..storage.storage import StoreError
from ..xmpp import ns
from ..xmpp.delay import delay, is_delayed_by
from ..xmpp.errors import Condition, StanzaError
from ..xmpp.jid import JID
from ..xmpp.reading import read_stanza
from ..xmpp.stanza import IQ, Message, Stanza
from . import hooks
from .managed import Managed, Sent
from .passage import has_id

if TYPE_CHECKING:
    from .host import Host
    from .session import Session
    from .stream_management import StreamManagement

log = Logger()

#: Sessions whose stanzas go back at the same time; all others that have ended wait.
TOGETHER: Final = 200
#: So many go back before others have their turn.
IN_ONE_TURN: Final = 20
#: Seconds that what a client sent may take to be settled, before it is remembered how much of it was. A server that
#: stops waits somewhat longer.
SETTLED_IN: Final = 3.0
#: What a session gets for itself alone: nobody else wants it, and its account has it.
_OWN: Final = frozenset((("received", ns.CARBONS), ("sent", ns.CARBONS), ("result", ns.MAM)))


@dataclass(frozen=True, slots=True)
class Over:
    """A session that is over, what it was sent and did not acknowledge, and its id where that may be asked for."""

    session: Session
    rules: StreamManagement
    queue: Sequence[Sent]
    id: str


class Returns:
    """The stanzas of one host's sessions that are on their way back to delivery."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._waiting: deque[Over] = deque()
        self._running = 0
        self._idle: Deferred[None] | None = None
        #: Of how many sessions of each account, by its local part, stanzas go back; and who waits for that.
        self.on_their_way: Counter[str] = Counter()
        self._behind: dict[str, list[Deferred[None]]] = {}
        #: Those sessions of each account of which nothing has gone back yet.
        self._together: dict[str, list[Over]] = {}

    def __len__(self) -> int:
        """How many sessions have ended whose stanzas are still on their way."""
        return len(self._waiting) + self._running

    def take(self, session: Session, managed: Managed) -> None:
        """*session* is over; its client may ask how much of what it sent was settled, unless it has closed it."""
        managed.rules.forget(managed)
        remember = managed.resumable and not managed.finished
        if managed.queue or remember:
            over = Over(session, managed.rules, managed.left(), managed.id if remember else "")
            self._waiting.append(over)
            self._together.setdefault(session.jid.local, []).append(over)
            self.on_their_way[session.jid.local] += 1
            self._begin()

    def after(self, local: str) -> Deferred[None] | None:
        """Fires when all of an account that was on its way back has arrived: nothing newer overtakes it."""
        if local not in self.on_their_way:
            return None
        waiting: Deferred[None] = Deferred()
        self._behind.setdefault(local, []).append(waiting)
        return waiting

    def _is_back(self, local: str) -> None:
        self.on_their_way[local] -= 1
        if not self.on_their_way[local]:
            del self.on_their_way[local]
            self._together.pop(local, None)
            for waiting in self._behind.pop(local, ()):
                waiting.callback(None)

    def _begin(self) -> None:
        while self._waiting and self._running < TOGETHER:
            self._running += 1
            self._host.scope.spawn(self._return(self._waiting.popleft())).addBoth(self._arrived)

    def _arrived(self, _: object) -> None:
        self._running -= 1
        if self._host.scope.closed:
            while self._waiting:  # nothing goes back any more, and nobody is to wait for it
                self._is_back(self._waiting.popleft().session.jid.local)
        else:
            self._begin()
        if not len(self):
            self._be_idle()

    async def done(self, deadline: float) -> None:
        """Wait until all have arrived, or until *deadline* (on the clock)."""
        if not len(self):
            return
        idle = self._idle = self._idle or Deferred()
        timer = self._host.scope.later(max(deadline - self._host.clock.seconds(), 0.0), self._give_up)
        await idle
        timer.cancel()

    def _give_up(self) -> None:
        log.error("stanzas that were not acknowledged are lost", host=self._host.name, sessions=len(self))
        self._be_idle()

    def _be_idle(self) -> None:
        idle, self._idle = self._idle, None
        if idle is not None:
            idle.callback(None)

    async def _return(self, over: Over) -> None:
        local = over.session.jid.local
        try:
            # All those who end in this turn, as when the server stops, have ended first: or one would hand to the next.
            await deferLater(self._host.clock, 0)
            together = self._together.pop(local, None)
            if together is not None:
                await self._send_all_back(over, together)
        finally:
            self._is_back(local)
        if over.id:
            await self._remember(over)

    async def _send_all_back(self, over: Over, together: Sequence[Over]) -> None:
        """What the sessions *together*, one of which is *over*, were sent goes back once, in its order.

        What another session of their account still waits for does not: it is that one's.
        """
        session, resend = over.session, over.rules.options.resend_on_timeout
        others = self._host.sessions.of(session.jid.local)
        alone = {other.jid.resource for other in others} <= {each.session.jid.resource for each in together}
        # A message for several is the same bytes in the queue of each: one of equal bytes may only look the same.
        known = {id(raw) for other in others if other.managed is not None for raw in other.managed.queue}
        for count, (raw, since) in enumerate(merge(*(each.queue for each in together), key=itemgetter(1)), 1):
            try:
                if id(raw) not in known:
                    known.add(id(raw))
                    await self._send_back(session, raw, since, resend == "true" or (resend == "if_offline" and alone))
            except CancelledError:
                raise
            except Exception:
                log.failure("could not send back a stanza", session=str(session.jid))
            if count % IN_ONE_TURN == 0:
                await deferLater(self._host.clock, 0)

    async def _remember(self, over: Over) -> None:
        session, intake = over.session, over.session.intake
        try:
            await intake.settled(self._host.scope, SETTLED_IN)
            await over.rules.memory.remember(session.jid.bare, over.id, intake.handled)
        except CancelledError:
            raise
        except StoreError:
            # The log has been told what is wrong with the storage. Who asks is not told then, and sends more again.
            log.info("could not remember how far a session came", session=str(session.jid))
        except Exception:
            log.failure("could not remember how far a session came", session=str(session.jid))

    async def _send_back(self, session: Session, raw: bytes, since: float, resend: bool) -> None:
        host, account = self._host, session.jid.bare
        stanza = read_stanza(raw)
        if isinstance(stanza, Message):
            if stanza.type in ("headline", "error") or _is_own(stanza, account):
                return
            if stanza.type != "groupchat":
                if resend:
                    # "Note that servers SHOULD add a delay element with the original (failed) delivery timestamp".
                    waiting = host.deliver_again(delayed(stanza, host.jid, since))
                    if waiting is not None:
                        await waiting
                    return
                if has_id(stanza, account) or any(hooks.message_waits.gather_now(host.chains, account, stanza)):
                    return
        elif not isinstance(stanza, IQ):
            return
        await self._bounce(stanza, StanzaError(Condition.SERVICE_UNAVAILABLE, "the session is over"))

    async def _bounce(self, stanza: Stanza, error: StanzaError) -> None:
        waiting = self._host.server.router.bounce(stanza, error)
        if waiting is not None:
            await waiting


def delayed(message: Message, host: JID, since: float) -> Message:
    """*message* with when it was sent to somebody first, unless this host has said so already."""
    return message if is_delayed_by(message.element, host) else message.appending(delay(host, since))


def _is_own(message: Message, account: JID) -> bool:
    """Whether it is a copy of a message that the account has: for all of its sessions, or asked for by this one."""
    own = any((child.name, child.ns) in _OWN for child in message.element.elements())
    return own and (
        message.sender is None or message.sender.bare == account or message.child(ns.MAM, "result") is not None
    )
