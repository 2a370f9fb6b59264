"""What becomes of a client's message when nothing speaks against it: its archive notes it, and it goes on its way.

The stream is read on meanwhile (`core/intake.py`). A message that is sent again, by a client that does not know whether
it arrived, is known again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from ..core import hooks
from ..core.intake import Intake
from ..core.passage import Keeping, Passage, fingerprint, origin_id, unclaimed, with_id
from ..core.resending import OnItsWay, known_before
from ..core.session import Session
from ..core.settled import Mark
from ..xmpp.errors import StanzaError
from ..xmpp.jid import JID
from ..xmpp.stanza import Message, Stanza

#: Microseconds for which a message is known again, and how many of those that an account sent last: more than clients
#: send before they are told what arrived.
KNOWN_FOR: Final = 24 * 3600 * 1_000_000
MOST_KNOWN: Final = 4096
#: Seconds from the first message over a stream until nothing is known again there.
AGAIN_WITHIN: Final = 300.0
#: Seconds from the start of a server until no client comes back any more from the one before.
BACK_WITHIN: Final = 600.0


def send_message(session: Session, message: Message, to: JID, mark: Mark | None) -> Awaitable[None] | None:
    """Send *message* on its way, which came with that *mark*. A `Keeping` where that takes time."""
    host, intake = session.host, session.intake
    recipient = to.bare
    before = intake.latest(recipient)
    router = host.server.router
    outgoing: Outgoing | None = None
    try:
        if before is None and host.archive is None and not host.chains.of(hooks.user_accepted_message):
            going = router.route(message, mark)
        elif before is None or before.placed:
            outgoing = Outgoing(session, message, to, before, mark)
            going = outgoing.go()
        else:
            outgoing = Outgoing(session, message, to, None, mark)
            going = _behind(before, outgoing.go)
    except StanzaError as error:
        going = router.bounce(message, error, mark)
    except BaseException:
        if outgoing is not None:
            outgoing.settled()
        raise
    if going is None:
        if outgoing is not None:
            outgoing.settled()
        return None
    keeping = going if isinstance(going, Keeping) else Keeping.of(router.guarded(message, going, mark), host.scope)
    if not keeping.called:
        intake.fly(recipient, keeping)
    if outgoing is not None:
        keeping.then(outgoing.settled)
    return keeping


def send_behind(session: Session, stanza: Stanza, to: JID, before: Keeping) -> Keeping:
    """Send what is no message when *before*, which goes to the same recipient, is settled."""
    router = session.host.server.router
    keeping = Keeping.of(_behind(before, lambda: router.route(stanza)), session.host.scope)
    if not keeping.called:
        session.intake.fly(to.bare, keeping)
    return keeping


async def _behind(before: Keeping, go: Callable[[], Awaitable[None] | None]) -> None:
    await before
    going = go()
    if going is not None:
        await going


class Outgoing(OnItsWay):
    """A message that the archive of its sender may keep; *before* is on the way to the same recipient."""

    __slots__ = ("_is_waited_for", "_may_come_again", "_message", "_passage", "_said", "_session", "_to")

    def __init__(self, session: Session, message: Message, to: JID, before: Keeping | None, mark: Mark | None) -> None:
        intake = session.intake
        # A handler may have kept it until its client came back.
        super().__init__(intake, intake.course if mark is None else mark.course)
        self._session = session
        self._message = message
        self._to = to
        self._passage = Passage(session.host.server, before, mark)
        #: What it is known by if it is sent again; "" where it has no id.
        self._said = ""
        self._may_come_again = False
        #: Whether who sends it again waits until it is settled. So it is from now on: it may be long until it can `go`.
        self._is_waited_for = False
        if session.host.archive is not None:
            self._message = unclaimed(message, session.jid.bare)
            self._said = fingerprint(self._message, session.jid)
            # See `core/resending.py`.
            self._may_come_again = self._said != "" and (self._is_told() or session.host.uptime < BACK_WITHIN)
            if self._may_come_again:
                self._have_others_wait()

    def _is_told(self) -> bool:
        """Whether its client learns what has arrived, or names its messages so that no two are alike."""
        return self._session.intake.counts or origin_id(self._message) != ""

    def _have_others_wait(self) -> None:
        session = self._session
        resending, local, intake = session.host.resending, session.jid.local, session.intake
        if intake.over or self._course != intake.course:
            # It was not there to be seen when these were looked for.
            for each in (intake, *(other.intake for other in session.host.sessions.of(local))):
                for known in (each.known, each.looking):
                    if known is not None:
                        known[self._said] = None
        if resending.begin(local, self._said, self):
            self._is_waited_for = True

    def settled(self) -> None:
        """Whatever has become of it."""
        if self._is_waited_for:
            self._is_waited_for = False
            self._session.host.resending.end(self._session.jid.local, self._said)

    def go(self) -> Awaitable[None] | None:
        """Send it on its way."""
        session, host = self._session, self._session.host
        if host.chains.of(hooks.user_accepted_message):
            # Not a method of ours: we and our passage would refer to each other, and stay until the collector comes.
            self._passage.accepted = partial(_accepted, session, self._message, False)
        archive = host.archive
        if archive is None:
            return self._route()
        wanted = archive.wants(session.jid.bare, self._to.bare, self._message, True)
        if not isinstance(wanted, bool):
            return self._go_later(wanted)
        return self._note() if wanted else self._route()

    async def _go_later(self, wanted: Awaitable[bool]) -> None:
        going = self._note() if await wanted else self._route()
        if going is not None:
            await going

    def _route(self) -> Awaitable[None] | None:
        return self._session.host.server.router.send(self._message, self._passage)

    def _note(self) -> Awaitable[None] | None:
        """The sender's archive keeps it, unless it has it."""
        if not self._may_come_again:
            return self._keep(None)
        known = self._session.intake.known
        if self._is_waited_for and known is not None and self._said not in known:
            return self._keep(None)  # as `_look_up`, which would cost more
        return self._look_up() if self._is_waited_for or self._earlier() is None else self._when_known()

    def _earlier(self) -> OnItsWay | None:
        """Itself, on its way from another stream."""
        session = self._session
        found = session.host.resending.find(session.jid.local, self._said)
        if found is None or found.came_over(session.intake, self._course) or not self._is_told():
            return None
        return found

    async def _when_known(self) -> None:
        """What became of it the first time is known when that is settled."""
        while (earlier := self._earlier()) is not None:
            await earlier.ended(self._session.host.scope)
            if not earlier.over:
                break
        self._have_others_wait()
        going = self._look_up_again()
        if going is not None:
            await going

    def _look_up(self) -> Awaitable[None] | None:
        known = self._session.intake.known
        return self._look_up_first() if known is None else self._look_up_in(known)

    def _look_up_in(self, known: Mapping[str, int | None]) -> Awaitable[None] | None:
        if self._said not in known:
            return self._keep(None)
        id_ = known[self._said]
        return self._look_up_again() if id_ is None else self._keep(id_)

    async def _look_up_first(self) -> None:
        """Learn what the account sent before this stream; of what is on its way it is to be seen what becomes of it."""
        session, intake = self._session, self._session.intake
        if intake.looking is None:
            intake.looking = {}
        looking = intake.looking
        looking.update(dict.fromkeys(session.host.resending.on_their_way(session.jid.local, intake, self._course)))
        sent_before = await self._sent_before()
        known = known_before(looking, sent_before)
        if intake.known is None and self._course == intake.course:  # or more may have come since than was looked for
            intake.known = known
            session.scope.later(AGAIN_WITHIN, _forget, intake, known)
        going = self._look_up_in(known)
        if going is not None:
            await going

    async def _look_up_again(self) -> None:
        """One that was on its way when this stream began."""
        going = self._keep((await self._sent_before()).get(self._said))
        if going is not None:
            await going

    async def _sent_before(self) -> Mapping[str, int]:
        server = self._session.host.server
        since = int(server.now() * 1_000_000) - KNOWN_FOR
        return await server.storage.archives.fingerprints(self._session.jid.bare.text, since, MOST_KNOWN)

    def _keep(self, known: int | None) -> Awaitable[None] | None:
        """Have it kept, unless the archive has it: *known* by that id."""
        session, message, passage = self._session, self._message, self._passage
        # It was kept and delivered by this very server.
        ours = known is not None and known >= session.host.server.first_archive_id
        if known is not None and self._only_looks_like(known, ours):
            known, ours = None, False
        passage.known = known
        if passage.mark is not None:
            passage.intake = session.intake
        if ours:
            passage.accepted = None
            return passage.go(message, lambda _: None)
        passage.note(session.jid.bare, self._to, message, sent=True, fingerprint=self._said)
        if passage.accepted is not None:
            passage.accepted = partial(_accepted, session, message, True)
        return self._route()

    def _only_looks_like(self, known: int, ours: bool) -> bool:
        """Whether its `id` does not make it the one that is *known*: see `core/resending.py`."""
        session = self._session
        if origin_id(self._message):
            return False
        return known <= session.host.resending.known_to(session.jid) or (ours and not session.intake.counts)


def _accepted(session: Session, message: Message, archived: bool, id_: str | None) -> None:
    # An id there is as well where only its recipient's archive keeps it.
    told = with_id(message, session.jid.bare, id_ if archived else None)
    hooks.user_accepted_message.run(session.host.chains, session, told)


def _forget(intake: Intake, known: Mapping[str, int | None]) -> None:
    if intake.known is known:
        intake.known, intake.looking = {}, None
