"""A session is handed what waited for its account: in order, in pieces, and no faster than it takes them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred

from ..api import Message, Session

if TYPE_CHECKING:
    from .offline import Offline
    from .offline_records import Sign

#: A session is handed so many messages, or bytes of them, at a time; others have their turn in between.
PIECE: Final = 20
PIECE_BYTES: Final = 64 * 1024
#: Seconds until a session is asked again if it has taken a piece: at first, and at most.
FIRST_WAIT: Final = 0.01
LONGEST_WAIT: Final = 0.5
#: What is not for storage and comes meanwhile waits here: so many stanzas, and bytes of them. More overtakes.
MOST_HELD: Final = 100
MOST_HELD_BYTES: Final = 256 * 1024


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
        #: What is handed over and not removed.
        self.on_the_way: list[Sign] = []
        #: Fires when nothing is handed over or removed any more.
        self.finished: Deferred[None] = Deferred()
        session.catching_up = True

    @property
    def goes_on(self) -> bool:
        """Whether the session is still one for messages to the account."""
        session = self.session
        return not (self._over or session.ended) and session.available and session.priority >= 0

    async def run(self) -> bool:
        """Hand over all that waits; false if the session did not want it to the end. Raises `StoreError`."""
        offline = self._offline
        earlier, self._earlier = self._earlier, None
        if earlier is not None and not earlier.session.ended:
            await earlier.finished  # what that session has taken is not for this one
        while self.goes_on:
            handed = await offline.turns.take(self._owner, self._hand_piece)
            if handed:
                await written(offline, self.session)
                # Only now: what is handed over and not removed comes twice after a crash, and is never lost. And not
                # all up to the last: one with a lower id may be written just now.
                if not self.session.ended:
                    await offline.kept.remove_all(self._owner, handed)
                    self.on_the_way.clear()
            elif not self.goes_on:
                break
            elif offline.is_storing(self.session.jid.local):
                await offline.sleep(FIRST_WAIT)
            else:
                return True
        return False

    async def _hand_piece(self) -> list[int]:
        """Hand over the oldest that wait; their ids."""
        offline = self._offline
        handed: list[int] = []
        size = 0
        for id_, record in await offline.kept.range(self._owner, limit=PIECE):
            if size >= PIECE_BYTES or not self.goes_on:
                break
            handed.append(id_)
            # XEP-0023 §3: "the mechanism should simply drop the message, without notifying either".
            if not record.has_expired(offline.host.now()):
                size += len(record.stanza)
                self.on_the_way += offline.hand(self.session, record)
        return handed

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
        while self._held and not self.session.ended:
            self.session.send(self._held.popleft())


async def written(offline: Offline, session: Session) -> None:
    """Wait until all that was sent to *session* has been taken by its connection, or the session is over."""
    pause = 0.0
    while True:
        await offline.sleep(pause)
        if session.ended or not session.attachment.waiting:
            return
        pause = min(max(2 * pause, FIRST_WAIT), LONGEST_WAIT)
