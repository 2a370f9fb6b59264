"""Queries are answered: results as messages, then `<fin/>`; and no client keeps others waiting (XEP-0313 §4.2)."""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred

from ...api import (
    HANDLED,
    IQ,
    JID,
    STANZA,
    ArchiveIds,
    ArchiveRow,
    Condition,
    Element,
    Handled,
    Host,
    Message,
    Scope,
    Session,
    StanzaError,
    TooManyWait,
    Turns,
    delay,
    forward,
    ns,
)
from .pages import Page, fetch, pieces, plan
from .query import MICROSECONDS, Query

#: How many queries of one session may wait for each other, the one that is answered included.
MOST_WAITING: Final = 8
#: How many queries are answered at the same time, whoever asks; the others take turns.
TOGETHER: Final = 8
#: A session of which more bytes than these wait for its connection, or much for its client to acknowledge it, gets no
#: page now; it is looked at again so many seconds later.
BEHIND: Final = 64 * 1024
LOOK_AGAIN: Final = 0.2


class Answers:
    """Answers the queries of a host's accounts; what is under way ends with *scope*.

    A session's queries are answered one by one, each when the pages before it have left. A page is bounded
    (`pages.MOST_BYTES`), and leaves in pieces with the reactor's other work between them.
    """

    def __init__(self, host: Host, scope: Scope) -> None:
        self._host = host
        self._scope = scope
        self._sessions = Turns(scope, most=MOST_WAITING)
        self._pages = Turns(scope, most=1, together=TOGETHER)

    def __len__(self) -> int:
        """Of how many sessions queries are under way."""
        return len(self._sessions)

    async def answer(self, iq: IQ, query: Query, size: int) -> Handled:
        """Send a page of at most *size* messages and its end; raises `StanzaError`."""
        jid = iq.sender
        assert jid is not None
        session = self._host.sessions.find(jid.local, jid.resource)
        if session is None:
            return HANDLED  # it has gone

        async def page() -> None:
            await self._caught_up(session)
            await self._pages.take(jid.text, lambda: self._send(session, iq, query, size))

        try:
            await self._sessions.take(jid.text, page)
        except TooManyWait:
            raise StanzaError(Condition.RESOURCE_CONSTRAINT, "too many queries at once") from None
        return HANDLED

    async def _caught_up(self, session: Session) -> None:
        """Wait until the connection of *session* has taken most of what was sent, and its client, where it says so."""
        while not session.ended and (session.attachment.waiting > BEHIND or session.crowded):
            await self._pause(LOOK_AGAIN)

    async def _send(self, session: Session, iq: IQ, query: Query, size: int) -> None:
        archives, owner = self._host.storage.archives, session.jid.bare
        page = await plan(archives, owner.text, query, size)
        for number, ids in enumerate(pieces(page, query.flipped)):
            if number:
                await self._pause(0)
            rows = await fetch(archives, owner.text, query, ids)
            if session.ended:
                return
            for row in rows:
                session.send(self._result(row, session.jid, query.queryid))
        if not session.ended:
            # "the server MUST send the <iq/> result after last query result has been sent to the client."
            session.send(iq.result(_fin(page, self._host.server.archive_ids)))

    def _result(self, row: ArchiveRow, to: JID, queryid: str | None) -> Message:
        """§4.2: "The result messages MUST contain a <result/> element with an 'id' attribute that gives the current
        message's archive UID"; a 'queryid' that the client gave, "the server MUST also include that".
        """
        told = self._host.server.archive_ids.encode(row.id)
        result = Element("result", ns.MAM, attrs={"queryid": queryid, "id": told})
        # "The value of the 'stamp' attribute MUST be the time the message was originally received".
        when = delay.delay(None, row.id / MICROSECONDS)
        attrs = {"from": row.owner, "to": to.text, "id": self._host.server.token()}
        return forward.forwarding(STANZA.decode(row.stanza), result, attrs, when)

    async def _pause(self, seconds: float) -> None:
        over: Deferred[None] = Deferred()
        timer = self._scope.later(seconds, over.callback, None)
        try:
            await over
        finally:
            timer.cancel()


def _fin(page: Page, ids: ArchiveIds) -> Element:
    """§4: "The final <iq/> result response MUST include an RSM <set/> element, wrapped into a <fin/> element".

    §4.3.2: complete: "when they have not been limited by the maximum size of the result page". 'stable' is never false:
    a message is given its id when it takes its place among what is kept, and who reads waits for all that has one. So
    nothing comes between messages that were read but what an operator brings from elsewhere.
    """
    described = page.described(ids).to_element()
    return Element("fin", ns.MAM, described, attrs={"complete": "true" if page.complete else None})
