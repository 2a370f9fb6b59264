"""Messages that wait move with their account (XEP-0227 §4.5)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from ..api import (
    JID,
    STANZA,
    ArchiveIds,
    Arrival,
    Arrived,
    Element,
    Message,
    NotTaken,
    Portable,
    StanzaError,
    Take,
    UnknownArchiveId,
    ns,
    together,
)
from .offline_records import Record

if TYPE_CHECKING:
    from .offline import Offline

#: Messages read at a time.
PAGE: Final = 50
#: Of how many messages that wait it is remembered that they are there. Where there are more, none are brought.
MOST_COMPARED: Final = 100_000
#: In which ids of archives count the time.
MICROSECONDS: Final = 1_000_000
#: Bytes of a digest by which two messages are told apart.
_DIGEST: Final = 16


class PortableMessages(Portable):
    """ "all the stored messages to the user, if any, …  starting with the oldest"."""

    what = "offline messages"
    tag = (ns.PIE, "offline-messages")

    def __init__(self, offline: Offline) -> None:
        self._offline = offline

    async def leaving(self, account: JID) -> AsyncGenerator[Element | bytes]:
        owner, host = account.text, self._offline.host
        ids = host.server.archive_ids
        async for record in _all(self._offline, owner):
            yield _in_file(record.delivered(host.jid, owner, ids), owner, ids).standalone()

    def arriving(self, account: JID, *, overwrite: bool) -> Take:
        return Waiting(self._offline, account).take


class Waiting:
    """Takes messages for one account. One that waits already is known by what it says, and each is known once."""

    def __init__(self, offline: Offline, account: JID) -> None:
        self._offline = offline
        self._account = account
        self._there: Counter[bytes] | None = None
        self._room: int | None = None
        self._too_many = False

    async def take(self, messages: Sequence[Element]) -> Sequence[Arrival]:
        if self._there is None:
            self._there = await self._look()
        arrivals: list[Arrival] = []
        keeping = []
        for element in messages:
            arrival, record = self._taken(element, self._there)
            arrivals.append(arrival)
            if record is not None:
                keeping.append(self._offline.kept.append(self._account.text, record))
        await together(keeping)  # what is begun first is kept first
        self._offline.deliveries.look_for_session(self._account.local)
        return arrivals

    async def _look(self) -> Counter[bytes]:
        there: Counter[bytes] = Counter()
        count = 0
        async with aclosing(_all(self._offline, self._account.text)) as waiting:
            async for record in waiting:
                count += 1
                if count > MOST_COMPARED:
                    self._too_many = True
                    break
                there[_digest(record)] += 1
        most = self._offline.host.number(self._offline.options.access_max_user_messages, self._account)
        self._room = None if most is None else most - count
        return there

    def _taken(self, element: Element, there: Counter[bytes]) -> tuple[Arrival, Record | None]:
        if element.name != "message" or element.ns not in (*ns.CONTENT, ns.PIE):
            return NotTaken("it is no message"), None
        message = Message(element.in_namespace(element.ns, ns.CLIENT))
        try:
            if message.sender is None:
                return NotTaken("the message does not say who sent it"), None
            record = self._offline.record_of(message)
            here = self._told_here(message, record.at)
            if here is not message:
                record = self._offline.record_of(here)
        except StanzaError as error:
            return NotTaken.because(error), None
        digest = _digest(record)
        if there[digest]:
            there[digest] -= 1
            return Arrived.THERE, None
        if self._too_many:
            return NotTaken(f"more than {MOST_COMPARED} messages wait already"), None
        if self._room is not None:
            if self._room <= 0:
                return NotTaken("as many wait as may, see mod_offline's access_max_user_messages"), None
            self._room -= 1
        return Arrived.ADDED, record

    def _told_here(self, message: Message, at: float) -> Message:
        ids = self._offline.host.server.archive_ids

        def here(text: str) -> str | None:
            number = ids.brought(text, round(at * MICROSECONDS))
            return None if number is None else ids.encode(number)

        return _retold(message, self._account.text, here)


async def _all(offline: Offline, owner: str) -> AsyncGenerator[Record]:
    """What waits for *owner*, the oldest first."""
    after: int | None = None
    while entries := await offline.read(owner, limit=PAGE, after=after):
        for _, record in entries:
            if record.stanza:
                yield record
        after = entries[-1][0]


def _in_file(message: Message, owner: str, ids: ArchiveIds) -> Message:
    """*message* with its number in the archive instead of its id, as the archive itself leaves."""

    def number(text: str) -> str | None:
        try:
            return str(ids.decode(text))
        except UnknownArchiveId:
            return None

    return _retold(message, owner, number)


def _retold(message: Message, owner: str, retell: Callable[[str], str | None]) -> Message:
    """*message* with the ids that the archive of *owner* has given it as *retell* has them, or without."""

    def is_given(child: Element) -> bool:
        return child.name == "stanza-id" and child.ns == ns.SID and child.get("by") == owner

    given = [child.get("id") or "" for child in message.element.elements() if is_given(child)]
    if not given:
        return message
    message = message.dropping(is_given)
    # XEP-0359 §3, rule 4: "at most one <stanza-id/> extension element with the same XMPP address" in 'by'.
    id = next((id for id in map(retell, given) if id is not None), None)
    return message if id is None else message.appending(Element("stanza-id", ns.SID, attrs={"by": owner, "id": id}))


def _digest(record: Record) -> bytes:
    """The same for the same message, however it is written down, and with or without its ids in archives."""
    told = STANZA.decode(record.stanza).dropping(lambda child: child.name == "stanza-id" and child.ns == ns.SID)
    return hashlib.blake2b(told.element.to_bytes(), digest_size=_DIGEST).digest()
