"""RFC 6121 §3.1.3: subscription requests that wait: what of one is kept, and how an account's are handed to a client.

§3.1.3 has "the complete presence stanza" kept, and warns that this "introduces the possibility of an application
resource exhaustion attack": server implementers are "to set limits on the number or size". So a request that is too
large is kept without what makes it so, and a client gets those that wait in pieces.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from ..api import ELEMENT, JID, Element, Key, Presence, Session, StoreError, Timer, ns, presence
from .contacts import Crowded

if TYPE_CHECKING:
    from .roster import Roster

#: A client is handed so many requests, or bytes of them, at a time, and this many seconds later the next.
PIECE: Final = 20
PIECE_BYTES: Final = 32 * 1024
PAUSE: Final = 0.1
#: Seconds until storage is asked again for those it could not give.
AGAIN: Final = 30.0
#: Characters of its id and its status that are kept of a request that is too large.
MOST_ID: Final = 128
MOST_STATUS: Final = 200

_NEXT: Final[Key[Timer]] = Key("mod_roster.next_requests")


class Requests:
    """Hands requests that wait to clients."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster

    async def hand_over(self, session: Session) -> None:
        """§3.1.3: "The contact's server MUST continue to deliver the subscription request whenever the contact creates
        an available resource, until the contact either approves or denies the request."
        """
        try:
            await self._roster.contacts.take_turn(session.jid.bare, partial(self._hand_over, session))
        except (StoreError, Crowded):
            self._next(session, AGAIN, self._hand_over_after_all, session)

    def _hand_over_after_all(self, session: Session) -> None:
        if session.available:
            self._roster.scope.spawn(self.hand_over(session))

    def _next(self, session: Session, seconds: float, step: Callable[..., object], *args: object) -> None:
        self._cancel_next(session)
        session.notes[_NEXT] = session.scope.later(seconds, step, *args)

    def _cancel_next(self, session: Session) -> None:
        earlier = session.notes.pop(_NEXT)
        if earlier is not None:
            earlier.cancel()

    async def _hand_over(self, session: Session) -> None:
        waiting = await self._roster.storage.rosters.requests(str(session.jid.bare))
        self._cancel_next(session)
        self._hand_piece(session, deque(waiting.items()))

    def _hand_piece(self, session: Session, waiting: deque[tuple[str, bytes]]) -> None:
        if not session.available:
            return
        circle = self._roster.contacts.circle_now(session.jid.bare)
        count = size = 0
        while waiting and count < PIECE and size < PIECE_BYTES:
            contact, stanza = waiting.popleft()
            if circle is not None and JID.parse(contact) not in circle.requesters:
                continue  # it has been answered, or taken back
            count += 1
            size += len(stanza)
            session.send(Presence(ELEMENT.decode(stanza)))
        if waiting:
            self._next(session, PAUSE, self._hand_piece, session, waiting)


def to_keep(request: Presence, most: int) -> bytes:
    """A request as it is kept: whole, or as much of it as fits into *most* bytes; its addresses in any case."""
    whole = request.standalone()
    if len(whole) <= most:
        return whole
    id = request.id if len(request.id or "") <= MOST_ID else None
    kept = presence("subscribe", to=request.to, sender=request.sender, id=id)
    room = most - len(kept.standalone()) - len("</presence>") + len("/")
    fitting: list[Element] = []
    for child in request.element.elements():
        if child.ns == ns.CLIENT and child.name == "status":
            child = Element("status", ns.CLIENT, text=child.text[:MOST_STATUS], attrs=child.attrs)
        size = len(child.to_bytes(ns.CLIENT))
        if size <= room:
            room -= size
            fitting.append(child)
    return kept.appending(*fitting).standalone()
