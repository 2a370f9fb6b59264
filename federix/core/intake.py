"""What a client has sent that is not settled yet, and how much of it is: the incoming half of XEP-0198.

Messages are kept while the stream is read on. How many may be on their way is bounded, and what is sent later to the
same recipient stays behind them (RFC 6120 §10.1).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from twisted.internet.defer import Deferred

from ..life.scope import Scope, Timer
from ..storage.archive import Counted
from ..storage.chain import Chain, Link
from ..xmpp.jid import JID
from .passage import Keeping
from .settled import MODULUS, Mark, Settled, reaches

#: Messages, and bytes of them, that may be on their way from one session before its stream is read on.
MOST_MESSAGES: Final = 64
MOST_BYTES: Final = 256 * 1024
#: Stanzas that come behind one that went back before its client has said that it knows; then that counts nevertheless.
#: And behind one that is on its way before the stream is read on.
MOST_BEHIND: Final = 4096
#: Seconds that what goes on in its own time may go on when its session is over.
LEFT_BEHIND: Final = 60.0


class Intake(Settled):
    """Of one session; it outlives the session's stream."""

    __slots__ = (
        "_arrived",
        "_bytes",
        "_chain",
        "_counted",
        "_counted_by",
        "_flying",
        "_idle",
        "_key",
        "_latest",
        "_owner",
        "_refused",
        "_relief",
        "_slow",
        "course",
        "known",
        "lagging",
        "looking",
        "misled",
        "moved",
        "over",
        "refusal",
    )

    def __init__(self) -> None:
        super().__init__()
        #: Called when `handled` has moved later than at once.
        self.moved: Callable[[], object] | None = None
        #: Called with the mark of a stanza that is done with and was not kept. If what is kept does not tell of those
        #: that were kept behind it, it counts when that is kept, too.
        self.lagging: Callable[[Mark], Deferred[None] | None] | None = None
        # How many what is kept tells of, the number of its link, and what it depends on.
        self._counted: int | None = None
        self._counted_by = 0
        self._chain: Chain
        #: Called where what is kept may tell of more than is settled.
        self.misled: Callable[[], object] | None = None
        #: That stanza to the client is an error, for the next of its own that is done with.
        self.refusal: int | None = None
        # Those of its stanzas that went back, each with the number of the error.
        self._refused: deque[tuple[int, Mark]] | None = None
        #: Whether its session is over.
        self.over = False
        #: What the account has sent over earlier streams, by fingerprint, once somebody has asked: its archive id, or
        #: nothing where it was not settled yet.
        self.known: dict[str, int | None] | None = None
        #: What else is to be among it when it is looked up, which takes its time: what was not settled when that began,
        #: or came late from an earlier stream since.
        self.looking: dict[str, int | None] | None = None
        #: How often its session was resumed.
        self.course = 0
        self._key: str | None = None
        self._owner = ""
        self._flying = 0
        self._bytes = 0
        # For each recipient the last message that is on its way to it.
        self._latest: dict[JID, Keeping] | None = None
        # Those that go on in their own time.
        self._slow: set[Keeping] | None = None
        # That of the stanza which is handed on right now.
        self._arrived: Mark | None = None
        # One for each stream that waits, of which all but the last are lost: they are given up at different times.
        self._relief: list[Deferred[None]] = []
        self._idle: list[Deferred[None]] = []

    @property
    def counts(self) -> bool:
        """Whether its client is told how much is settled, or was while the session lasted."""
        return self._key is not None

    # -- counting -------------------------------------------------------------------------------------------------

    def begin_counting(self, key: str, owner: JID) -> None:
        """Count from now on; *key* is what the client will know its session by, "" where it cannot resume it.

        The account is *owner*'s.
        """
        self._key = key
        self._owner = owner.text
        self._chain = Chain()
        self.handled = 0
        self._unsettled = self._counted = self._refused = None
        self._counted_by = 0

    def resume(self) -> int:
        """How many are settled, which the client is told now: what is not among them it sends again."""
        if not self.all_settled or self._arrived is not None:
            self.known = None  # more may be sent again than what came over earlier streams
        self._unsettled = self._arrived = self._refused = self.refusal = None
        self.course += 1
        return self.handled

    def arrive(self) -> Mark | None:
        """A message has come, and is about to be handed on; `take` follows. Nothing where nobody counts for good."""
        if not self._key:
            return None
        mark = self._arrived = Mark()
        if self.course:
            mark.course = self.course
        return mark

    def counted(self, mark: Mark | None, at: float) -> Counted | None:
        """What is to be kept with the message of that *mark*: how many are settled as soon as it is kept.

        *at* is now, in seconds since 1970; it need not be told where a message is kept. One whose place is not taken
        yet may be kept later, or never: the count ends before that one.
        """
        if mark is None or not self._key:
            return None
        unsettled = self._unsettled or ()
        h = (self.handled + len(unsettled)) % MODULUS
        if mark is self._arrived and (not unsettled or unsettled[-1].h == h):
            h += 1  # the last one tells of all before it
        else:
            h = self.handled
            for each in unsettled if self._arrived is None else (*unsettled, self._arrived):
                if not (each is mark or each.settled or each.placed):
                    break
                h += 1
        mark.h = h = h % MODULUS
        mark.link = link = self._chain.next()
        return Counted(self._key, self._owner, h, at, link)

    def caught_up(self, at: float) -> Counted | None:
        """What is to be kept alone: where messages were kept behind one that was not done with, nothing tells of them.

        What is not kept itself needs no count that is: after a crash its client is only told of less, and has it done
        again.
        """
        h = self._lagging()
        return None if h is None else Counted(self._key or "", self._owner, h % MODULUS, at, self._chain.next())

    @property
    def lags(self) -> bool:
        """Whether what is kept tells of less than was kept: `caught_up` tells of it."""
        return self._lagging() is not None

    def _lagging(self) -> int | None:
        h, last_kept, told, by = self.handled, None, self._counted, self._counted_by
        for each in self._unsettled or ():
            if not (each.settled or each.placed):
                break
            h += 1
            if each.h is not None:
                last_kept = h
                if each.link is not None and each.link.number > by:
                    told, by = each.h, each.link.number
        if not self._key or last_kept is None or told is None or not _is_more(last_kept, told):
            return None
        return h

    def corrected(self, at: float) -> Counted:
        """What is to be kept in place of one that may tell of more than is settled."""
        self._counted, link = self._reached(), self._chain.next()
        self._counted_by = link.number
        return Counted(self._key or "", self._owner, self._counted, at, link)

    def is_too_much(self, h: int) -> bool:
        """Whether what tells of so many tells of one that went back since."""
        return _is_more(h, self._reached())

    def _reached(self) -> int:
        h = self.handled
        for each in self._unsettled or ():
            if not (each.settled or each.placed):
                break
            h += 1
        return h % MODULUS

    def has_kept(self, h: int, link: Link) -> None:
        """So many are told of by what is kept with that *link*, unless something else was kept later."""
        if link.number > self._counted_by:
            self._counted, self._counted_by = h, link.number

    async def settled(self, scope: Scope, timeout: float) -> None:
        """Wait until nothing is on its way, or *timeout* seconds."""
        if not self._flying:
            return
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)

        def enough() -> None:
            if not idle.called:
                self._idle.remove(idle)
                idle.callback(None)

        timer = scope.later(timeout, enough)
        await idle
        timer.cancel()

    # -- what is on its way ---------------------------------------------------------------------------------------

    def latest(self, recipient: JID) -> Keeping | None:
        """The last message on its way to *recipient* (bare), if there is one."""
        return None if self._latest is None else self._latest.get(recipient)

    def fly(self, recipient: JID, keeping: Keeping) -> None:
        """A message to *recipient* (bare) is on its way."""
        if self._latest is None:
            self._latest = {}
        self._latest[recipient] = keeping

        if not keeping.placed:
            if self._slow is None:
                self._slow = set()
            self._slow.add(keeping)

        def landed() -> None:
            if self._slow is not None:
                self._slow.discard(keeping)
            latest = self._latest
            if latest is not None and latest.get(recipient) is keeping:
                del latest[recipient]
                if not latest:
                    self._latest = None

        keeping.then(landed)

    def leave(self, scope: Scope) -> None:
        """The session is over: what goes on in its own time has little of that left."""
        self.over = True
        for keeping in self._slow or ():
            timer = scope.later(LEFT_BEHIND, keeping.give_up)
            keeping.addCallback(_cancelling(timer))

    def take(self, going: Awaitable[None] | None, size: int) -> Awaitable[None] | None:
        """The next stanza, of *size* bytes, is handed on; the stream waits for what is returned, if anything is."""
        if going is None:
            if self._key is not None:
                if self._unsettled is None and self.refusal is None:
                    self._arrived = None
                    self.handled = (self.handled + 1) % MODULUS  # as `at_once`, which would cost as much again
                else:
                    return self._take_at_once()
            return None
        mark, self._arrived = self._arrived, None
        if mark is not None:
            self.wait_for(mark)
        elif self._key is not None:
            mark = self.begin()
        if not isinstance(going, Keeping):
            return going if mark is None else self._settle_after(going, mark)
        if going.called:
            self._settle(mark)
            return None
        if mark is not None:
            # One that could not even be submitted, and goes back in its turn, has none.
            mark.placed = mark.placed or (going.placed and not mark.refused)
        self._flying += 1
        self._bytes += size

        def landed() -> None:
            self._flying -= 1
            self._bytes -= size
            self._settle(mark)
            self._relieve()

        going.then(landed)
        if self._flying < MOST_MESSAGES and self._bytes < MOST_BYTES:
            return None
        return self._relieved()

    def _take_at_once(self) -> Deferred[None] | None:
        self._arrived = None
        if self.refusal is not None:
            self._settle(self.begin())
        else:
            self.at_once()
            self._hold_no_more()
        return self._relieved() if self._flying and self.behind >= MOST_BEHIND else None

    def _relieved(self) -> Deferred[None]:
        """Fires when less is on its way."""
        relief: Deferred[None] = Deferred()
        self._relief.append(relief)
        return relief

    async def _settle_after(self, going: Awaitable[None], mark: Mark) -> None:
        self._flying += 1
        try:
            await going
            self._settle(mark)
        finally:
            self._flying -= 1
            self._relieve()

    def _settle(self, mark: Mark | None) -> None:
        if mark is None:
            return
        link, error = mark.link, self.refusal
        if link is not None and link.failed:
            link.lose()
        if error is not None:
            self.refusal = None
            self._hold(mark, error)
        elif not (mark.refused and self.over):  # or nobody was told
            self._done_with(mark)
        if self._refused:
            self._hold_no_more()

    def _hold_no_more(self) -> None:
        """What went back counts, though its client has not said that it knows, if too much has come behind it."""
        if self._refused and self.behind >= MOST_BEHIND:
            self.has_errors(self._refused[-1][0])

    def _hold(self, mark: Mark, error: int) -> None:
        """That of *mark* went back. It does not count until its client has the *error*, which a crash would lose.

        §4: "until a stanza has been affirmed as handled by the server, that stanza is the responsibility of the sender
        (e.g., to resend it or generate an error if it is never affirmed as handled by the server)".
        """
        if self._refused is None:
            self._refused = deque()
        self._refused.append((error, mark))
        if mark.refused or mark.link is None or mark.link.failed:
            mark.refuse()
        # Else it is kept, and the error is about another, which was settled earlier: only its turn is taken.
        # What is kept, or is on its way to be, may tell of it.
        before = self._reached()
        misled = self._counted is not None and _is_more(self._counted, before)
        for each in self._unsettled or ():
            if each.h is not None and _is_more(each.h, before):
                each.h, misled = before, True
        if misled and self.misled is not None:
            self.misled()

    @property
    def holds(self) -> bool:
        """Whether something does not count until its client has an error."""
        return bool(self._refused)

    def has_errors(self, received: int) -> None:
        """The client has so many of the stanzas that it was sent."""
        while self._refused and self._refused[0][0] <= received:
            self._done_with(self._refused.popleft()[1])

    def _done_with(self, mark: Mark) -> None:
        h, link, lags = mark.h, mark.link, not mark.placed
        if h is not None and link is not None:
            if not link.end():
                # Its message was kept without it, because of one that was not.
                mark.h, lags = self.handled if self._counted is None else self._counted, True
            elif link.number > self._counted_by:
                self._counted, self._counted_by = h, link.number
        if lags and self.lagging is not None and (keeping := self.lagging(mark)) is not None:
            keeping.addCallback(lambda _: self._count(mark))
        elif self.settle(mark) and self.moved is not None:  # as `_count`
            self.moved()

    def _count(self, mark: Mark) -> None:
        if self.settle(mark) and self.moved is not None:
            self.moved()

    def _relieve(self) -> None:
        if self._relief and self._flying < MOST_MESSAGES // 2 and self._bytes < MOST_BYTES // 2:
            relieved, self._relief = self._relief, []
            for relief in relieved:
                relief.callback(None)
        if not self._flying:
            idle, self._idle = self._idle, []
            for waiting in idle:
                waiting.callback(None)


def _is_more(h: int, before: int) -> bool:
    return not reaches(before, h)


def _cancelling(timer: Timer) -> Callable[[object], None]:
    return lambda _: timer.cancel()
