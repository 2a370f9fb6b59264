"""A session is handed what waited for its account: in order, in pieces, and no faster than it takes them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from twisted.internet.defer import Deferred

from ..api import Message, Session, TooManyWait

if TYPE_CHECKING:
    from .offline import Offline
    from .offline_records import Sign

#: So many messages are read at a time; others have their turn in between.
PIECE: Final = 20
#: So many messages, or bytes of them, are on their way to a session before it has taken them.
MOST_ON_THE_WAY: Final = 100
BYTES_ON_THE_WAY: Final = 64 * 1024
#: Seconds until it is looked again if a session has taken what it was handed: at first, and at most.
FIRST_WAIT: Final = 0.01
LONGEST_WAIT: Final = 0.5
#: What is not for storage and comes meanwhile waits here: so many stanzas, and bytes of them. More overtakes.
MOST_HELD: Final = 400
MOST_HELD_BYTES: Final = 256 * 1024


class Handed(NamedTuple):
    """A message that was handed to a session, which had been *sent* so many stanzas with it, where its client says what
    it has received; *signs* tell it by if it comes back.
    """

    id: int
    size: int
    sent: int | None
    signs: list[Sign]


def is_willing(session: Session) -> bool:
    """Whether *session* is handed what waits."""
    return not session.ended and session.available and session.priority >= 0


class CatchingUp:
    """What waits for the account of *session* is handed to it, when *earlier* has ended, which did the same."""

    def __init__(self, offline: Offline, session: Session, earlier: CatchingUp | None) -> None:
        self._offline = offline
        self.session = session
        self._owner = str(session.jid.bare)
        self._earlier = earlier
        self._held: deque[Message] = deque()
        self._held_bytes = 0
        self._over = False
        #: Whether something came that could not be kept and is held here instead.
        self.had_no_room = False
        #: Whether more may wait than was there when it was last read.
        self._more_came = False
        #: What was handed over and is not removed.
        self._on_the_way: list[Handed] = []
        #: Fires when nothing is handed over or removed any more.
        self.finished: Deferred[None] = Deferred()
        session.catching_up = True

    @property
    def goes_on(self) -> bool:
        """Whether the session is still one for messages to the account."""
        return not self._over and is_willing(self.session)

    @property
    def is_broken_off(self) -> bool:
        """Whether storage failed before what was handed over could be removed."""
        return self.finished.called and bool(self._on_the_way)

    def go_on_from(self, broken_off: CatchingUp) -> None:
        """What its session was handed then it is not handed again: that is only to be removed."""
        self._on_the_way.extend(broken_off._on_the_way)

    def look_again(self) -> None:
        """More has been stored; what is being read at this moment may be without it."""
        self._more_came = True

    async def run(self) -> bool:
        """Hand over all that waits; false if the session did not want it to the end. Raises `StoreError`."""
        offline = self._offline
        earlier, self._earlier = self._earlier, None
        if earlier is not None and not earlier.session.ended:
            await earlier.finished  # what that session has taken is not for this one
        while self.goes_on:
            self._more_came = False
            await self._hand()
            if self._on_the_way or self.session.crowded:
                await self._taken()
            elif not self.goes_on:
                break
            elif offline.is_storing(self.session.jid.local):
                await offline.sleep(FIRST_WAIT)
            elif not self._more_came:
                return True
        return False

    async def _hand(self) -> None:
        """Hand over the oldest that wait, as many as may be on their way."""
        offline, more = self._offline, True
        while more and self.goes_on:
            try:
                more = await offline.deliveries.turns.take(self._owner, self._hand_piece)
            except TooManyWait:  # sessions come and go faster than storage answers
                await offline.sleep(LONGEST_WAIT)

    async def _hand_piece(self) -> bool:
        """Hand over the next that wait; whether more may follow."""
        offline, session, handed = self._offline, self.session, self._on_the_way
        limit = min(PIECE, MOST_ON_THE_WAY - len(handed))
        last = handed[-1].id if handed else None
        entries = await offline.read(self._owner, limit=limit, after=last)
        size = sum(each.size for each in handed)
        for id_, record in entries:
            if size >= BYTES_ON_THE_WAY or session.crowded or not self.goes_on:
                return False
            # XEP-0023 §3: "the mechanism should simply drop the message, without notifying either".
            expired = record.has_expired(offline.host.now())
            signs = [] if expired else offline.deliveries.hand(session, record)
            size += len(record.stanza)
            handed.append(Handed(id_, len(record.stanza), session.sent, signs))
        return len(entries) == PIECE and len(handed) < MOST_ON_THE_WAY and size < BYTES_ON_THE_WAY

    async def _taken(self) -> None:
        """Wait until the session has taken what it was handed, and remove that.

        Not before: what is handed over and not removed comes twice after a crash, and is never lost. And not all up to
        the last: one with a lower id may be written just now.
        """
        await taken(self._offline, self.session)
        if not self.session.ended:
            await self._offline.kept.remove_all(self._owner, [each.id for each in self._on_the_way])
            self._on_the_way.clear()

    def leave(self) -> list[Sign]:
        """The session is over: remove what its client has said that it has; the rest of what was on its way to it.

        What was held for it goes the way of all that it was sent.
        """
        self.end()
        received = self.session.received
        gone = [each.id for each in self._on_the_way if each.sent is not None and each.sent <= received]
        if gone:
            self._offline.scope.spawn(self._offline.kept.remove_all(self._owner, gone))
        return [sign for each in self._on_the_way if each.id not in gone for sign in each.signs]

    def hold(self, message: Message) -> bool:
        """Keep what comes meanwhile until its turn; whether there is room for it."""
        size = len(message.raw) if message.raw is not None else len(message.to_bytes())
        if len(self._held) >= MOST_HELD or self._held_bytes + size > MOST_HELD_BYTES:
            return False
        self._held_bytes += size
        self._held.append(message)
        return True

    def end(self) -> None:
        """Messages go to the session at once from now on, those that were held first."""
        if self._over:
            return
        self._over = True
        self.session.catching_up = False
        while self._held:
            self.session.send(self._held.popleft())


async def taken(offline: Offline, session: Session) -> None:
    """Wait until all that was sent to *session* has arrived, as far as one can know, or the session is over.

    Its client says so, where it manages its stream (XEP-0198); or else its connection has taken it.
    """
    sent = session.sent
    pause = 0.0
    while not session.ended:
        session.ask()
        await offline.sleep(pause)
        if session.received >= sent if sent is not None else not session.attachment.waiting:
            return
        pause = min(max(2 * pause, FIRST_WAIT), LONGEST_WAIT)
