"""Who is handed what waits: one session of an account at a time, and the next when that one is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from ..api import Element, Key, Message, Session, StoreError, Turns, ns
from .copies import COPIES
from .offline_catching_up import CatchingUp, is_willing
from .offline_gaps import Gaps
from .offline_records import Record, Sign

if TYPE_CHECKING:
    from .offline import Offline

log = Logger()

#: How many sessions are handed a piece at the same time: what is read for them is in memory.
MOST_TOGETHER: Final = 8
#: How many sessions of one account may wait for their turn: all but the last are over, and have only to see that.
MOST_IN_TURN: Final = 8
#: Seconds until what could not be read is tried again.
RETRY_AFTER: Final = 60.0
#: Seconds in which what a session was sent and had not taken is delivered anew when it is over, as a rule.
LEFT_BEHIND: Final = 60.0

#: All that hand something to a session: one, unless it did not want it for a while; and one that was broken off.
_HANDING: Final[Key[list[CatchingUp]]] = Key("mod_offline.handing")


class Deliveries:
    """The sessions of one host that are handed what waits for their accounts."""

    def __init__(self, offline: Offline) -> None:
        self._offline = offline
        self.turns = Turns(offline.scope, most=MOST_IN_TURN, together=MOST_TOGETHER)
        #: By the local part of their account.
        self._catching_up: dict[str, CatchingUp] = {}
        #: What sessions that are over were handed and had not taken, by the local part: it is still kept.
        self._left_behind: dict[str, list[Sign]] = {}
        self._gaps = Gaps(offline.host.clock)
        self._handing = False
        self._stop_listening: Callable[[], None] | None = None

    def __contains__(self, local: str) -> bool:
        """Whether a session of that account is being handed what waits."""
        return local in self._catching_up

    def end(self) -> None:
        """Hand over no more."""
        for catching_up in self._catching_up.values():
            catching_up.end()

    # -- sessions come and go -----------------------------------------------------------------------------------------

    def look_for_session(self, local: str) -> None:
        """Hand what waits for an account to a session of its, if there is one."""
        willing = [s for s in self._offline.host.sessions.available(local) if s.priority >= 0]
        if willing:
            self.begin(max(willing, key=lambda session: session.priority))

    def begin(self, session: Session) -> None:
        """Hand what waits to *session*, unless another has it, or fetches it itself."""
        local = session.jid.local
        earlier = self._catching_up.get(local)
        if earlier is not None and earlier.goes_on:
            earlier.look_again()
            return
        # XEP-0013 §2.2: while a session that fetches its messages itself is there, the server "MUST NOT flood the
        # second resource with the offline message queue".
        if any(map(self._offline.retrieval.is_used_by, self._offline.host.sessions.of(local))):
            return
        if earlier is not None:
            earlier.end()
        catching_up = self._catching_up[local] = CatchingUp(self._offline, session, earlier)
        handing = session.notes.get(_HANDING) or []
        for each in handing:
            if each.is_broken_off:
                catching_up.go_on_from(each)
        session.notes[_HANDING] = [*(each for each in handing if not each.is_broken_off), catching_up]
        self._listen()
        self._offline.scope.spawn(self._run(local, catching_up))

    async def _run(self, local: str, catching_up: CatchingUp) -> None:
        try:
            done = await catching_up.run()
        except StoreError as error:
            log.error("could not hand over what was kept: {error}", error=error)
            self._offline.scope.later(RETRY_AFTER, self._try_again, catching_up.session)
            done = True
        finally:
            if self._catching_up.get(local) is catching_up:
                del self._catching_up[local]
                self._listen()
            catching_up.end()
            catching_up.finished.callback(None)
            if not catching_up.is_broken_off:
                session = catching_up.session
                handing = session.notes.get(_HANDING) or []
                session.notes[_HANDING] = [each for each in handing if each is not catching_up]
        if not done:
            self.look_for_session(local)

    def _try_again(self, session: Session) -> None:
        """Storage failed: the same session goes on, for it may have some of what waits."""
        if is_willing(session):
            self.begin(session)
        else:
            self.look_for_session(session.jid.local)

    def left(self, session: Session) -> None:
        """*session* is over: another of its account is handed what it has not taken.

        That may be delivered anew as well, where its stream was managed (XEP-0198 §4).
        """
        local = session.jid.local
        handing = session.notes.get(_HANDING) or ()
        fetches = self._offline.retrieval.is_used_by(session)
        if not (handing or fetches):
            return
        # Of one that another has followed, too: what it has handed over may be on its way still.
        left_behind = [sign for each in handing for sign in each.leave()]
        if left_behind or fetches:
            if self._comes_back(local):
                # What was on its way to one that has ended before.
                left_behind += self._left_behind.get(local, ())
            self._left_behind[local] = left_behind
            self._listen()
            self._offline.scope.later(LEFT_BEHIND, self._forget, local, left_behind)
        self.look_for_session(local)

    def _forget(self, local: str, left_behind: list[Sign]) -> None:
        if self._left_behind.get(local) is not left_behind:
            return
        if self._comes_back(local):
            # Its turn has not come, or storage takes its time.
            self._offline.scope.later(LEFT_BEHIND, self._forget, local, left_behind)
            return
        del self._left_behind[local]
        self._listen()

    def _comes_back(self, local: str) -> bool:
        """Whether something of sessions that are over is on its way back to that account."""
        return local in self._offline.host.sessions.returns.on_their_way

    def _listen(self) -> None:
        """Have messages held that are for sessions, as long as there may be one to be held."""
        if self._stop_listening is None:
            if self._catching_up or self._left_behind:
                self._stop_listening = self._offline.listen(self._offline.hold)
        elif not (self._catching_up or self._left_behind):
            self._stop_listening()
            self._stop_listening = None

    def could_not_keep(self, local: str, message: Message) -> None:
        """It came for an account, whose archive has it: the session that is handed what waits gets it behind that."""
        self._gaps.open(local, message)
        catching_up = self._catching_up.get(local)
        if catching_up is not None:
            catching_up.had_no_room = True

    def would_overtake(self, local: str, message: Message) -> bool:
        """Whether *message*, if it is kept now, would, or might after a crash, overtake one that could not be kept."""
        catching_up = self._catching_up.get(local)
        if catching_up is not None and catching_up.had_no_room and catching_up.goes_on:
            return True  # the session is still handed what waits, and gets that one behind it
        return self._gaps.is_open(local, message)

    # -- messages on their way ----------------------------------------------------------------------------------------

    def has(self, local: str, message: Message) -> bool:
        """Whether it was on its way to a session that is over: then it is kept, or handed to another already."""
        left_behind = self._left_behind.get(local)
        if left_behind is None:
            return False
        fetched = message.child(ns.OFFLINE, "offline") is not None  # and not removed (XEP-0013)
        return fetched or self._offline.record_of(message).sign(message) in left_behind

    def hold(self, session: Session, message: Message) -> bool:
        """Whether *message*, which is for *session*, goes no further: it is held back, or it is there already."""
        if self._handing:
            return False
        local = session.jid.local
        if self.has(local, message):
            return True
        if not session.catching_up or _is_result(session, message):
            return False
        catching_up = self._catching_up.get(local)
        return catching_up is not None and catching_up.session is session and catching_up.hold(message)

    def hand(self, session: Session, record: Record, *more: Element) -> list[Sign]:
        """Send a message that was kept to *session*, with *more* children; by what it is known if it comes back."""
        if not record.stanza:
            return []
        self._handing = True
        try:
            host = self._offline.host
            message = record.delivered(host.jid, str(session.jid.bare), host.server.archive_ids, *more)
            # Who fetches it gets it, with *more* that says so.
            copies = None if more else session.notes.get(COPIES)
            if copies is None or not copies.take(message):
                session.send(message)
        except Exception:
            log.failure("could not hand over a message")
            return []
        finally:
            self._handing = False
        return [record.sign(message)]


def _is_result(session: Session, message: Message) -> bool:
    """Whether its archive answers with it. XEP-0313 §4: "the server MUST send the <iq/> result after last query result
    has been sent to the client", and that is not held back.
    """
    own = message.sender is not None and message.sender == session.jid.bare
    return own and message.element.child(ns.MAM, "result") is not None
