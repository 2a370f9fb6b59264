"""Archives and what their owners prefer move with their account (XEP-0227 §4.11)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Final

from ...api import (
    JID,
    STANZA,
    ArchiveIds,
    ArchiveRow,
    Arrival,
    Arrived,
    Element,
    Host,
    Message,
    NotTaken,
    Portable,
    Span,
    StanzaError,
    Take,
    delay,
    fingerprint,
    ns,
    unclaimed,
)
from .preferences import Preferences
from .query import MICROSECONDS
from .wishes import Wishes

#: Messages read at a time.
PAGE: Final = 100
#: How many ids past its own are looked at for a message whose id is taken.
MOST_LOOKED_AT: Final = 1000


class PortableArchive(Portable):
    """ "a series of XEP-0313 <result/> elements within an <archive/> element …  in chronological order"."""

    what = "archived messages"
    tag = (ns.PIE_MAM, "archive")

    def __init__(self, host: Host) -> None:
        self._host = host

    async def leaving(self, account: JID) -> AsyncGenerator[Element | bytes]:
        after: int | None = None
        while rows := await self._host.storage.archives.page(account.text, Span(after=after), limit=PAGE):
            for row in rows:
                yield _result(row)
            after = rows[-1].id

    def arriving(self, account: JID, *, overwrite: bool) -> Take:
        return _Arriving(self._host, account).take


class _Arriving:
    """Takes messages for the archive of one account. One that is there is known by what it says and when; of several
    that say the same at one time each is known once."""

    def __init__(self, host: Host, account: JID) -> None:
        self._host = host
        self._account = account
        #: The time of the last ones, as an id; and by the ids they have here those they were brought with.
        self._time = 0
        self._brought_as: dict[int, str] = {}

    async def take(self, results: Sequence[Element]) -> Sequence[Arrival]:
        """What is there stays, and is not brought again; there is nothing to overwrite."""
        account = self._account
        # What is given an id from now on has a greater one.
        newest = self._host.server.archive_id()
        ids = self._host.server.archive_ids
        wanted = [_read(account, ids, newest, result) for result in results]
        rows = [each for each in wanted if isinstance(each, ArchiveRow)]
        arrivals: list[Arrival] = []
        keeping: dict[int, ArchiveRow] = {}
        archives = self._host.storage.archives
        known = {row.id: row for row in await archives.rows(account.text, [row.id for row in rows])}
        for row, result in zip(wanted, results, strict=True):
            if isinstance(row, NotTaken):
                arrivals.append(row)
                continue
            brought_as = result.get("id") or ""
            if row.id != self._time:
                self._time, self._brought_as = row.id, {}
            # Times that are told to the second alone are those of many messages: the later ones come behind.
            for _ in range(MOST_LOOKED_AT):
                there = known.get(row.id)
                is_it = there is not None and _is_same(there, row)
                is_it = is_it and self._brought_as.get(row.id, brought_as) == brought_as
                if there is None or is_it:
                    break
                row = row._replace(id=row.id + 1)
                if row.id not in known:
                    known |= {found.id: found for found in await archives.rows(account.text, [row.id])}
            if there is None and row.id < newest:
                known[row.id] = keeping[row.id] = row
                arrivals.append(Arrived.ADDED)
            elif is_it:
                arrivals.append(Arrived.THERE)
            else:
                arrivals.append(_TOO_MANY)
                continue
            self._brought_as[row.id] = brought_as
        if keeping:
            await archives.keep([keeping[id] for id in sorted(keeping)])
        return arrivals


_TOO_MANY: Final = NotTaken("too many messages of that time are there already")


class PortablePreferences(Portable):
    """Which messages the account keeps (XEP-0441). XEP-0227 does not have it: "an exporting server may put elements
    qualified by a namespace not mentioned in this specification"."""

    what = "archive preferences"
    tag = (ns.MAM, "prefs")
    around = False

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes

    async def leaving(self, account: JID) -> AsyncGenerator[Element | bytes]:
        said = await self._wishes.said(account)
        if said is not None:
            yield said.to_element(None)

    def arriving(self, account: JID, *, overwrite: bool) -> Take:
        return partial(self._take, account, overwrite)

    async def _take(self, account: JID, overwrite: bool, elements: Sequence[Element]) -> Sequence[Arrival]:
        return [await self._take_one(account, overwrite, element) for element in elements]

    async def _take_one(self, account: JID, overwrite: bool, element: Element) -> Arrival:
        try:
            wanted = Preferences.parse(element, must_say=False)
        except StanzaError as error:
            return NotTaken.because(error)
        said = await self._wishes.said(account)
        if said is not None and (said == wanted or not overwrite):
            return Arrived.THERE
        await self._wishes.set(account, wanted)
        return Arrived.ADDED if said is None else Arrived.REPLACED


_BEFORE: Final = (
    f"<result xmlns='{ns.MAM}' id='%d'><forwarded xmlns='{ns.FORWARD}'><delay xmlns='{ns.DELAY}' stamp='%s'/>"
)
_AFTER: Final = b"</forwarded></result>"
_NAME: Final = b"<message"


def _result(row: ArchiveRow) -> bytes:
    """As a client would get it, with the message in its own bytes, which stand in jabber:client.

    Its id is the number itself: the key of what clients are told stays here.
    """
    stanza = row.stanza
    if stanza.startswith(_NAME):
        stanza = b"%b xmlns='%b'%b" % (_NAME, ns.CLIENT.encode(), stanza[len(_NAME) :])
    else:
        stanza = STANZA.decode(stanza).standalone()
    before = _BEFORE % (row.id, delay.stamp(row.id / MICROSECONDS))
    return b"%b%b%b" % (before.encode(), stanza, _AFTER)


def _read(account: JID, ids: ArchiveIds, newest: int, result: Element) -> ArchiveRow | NotTaken:
    forwarded = result.child(ns.FORWARD, "forwarded") if result.ns.startswith(_MAM) else None
    when = None if forwarded is None else forwarded.child(ns.DELAY, "delay")
    element = None if forwarded is None else _message(forwarded)
    if element is None:
        return NotTaken("it is no <result/> with a message")
    if when is None:
        return NotTaken("the message does not say when it came")
    ours = element if element.ns == ns.CLIENT else element.in_namespace(element.ns, ns.CLIENT)
    message = unclaimed(Message(ours), account)
    try:
        at = round(delay.parse_stamp(when.get("stamp") or "") * MICROSECONDS)
        sender, to = message.sender, message.to
    except StanzaError as error:
        return NotTaken.because(error)
    # Where it had another kind of id it has the time.
    number = ids.brought(result.get("id") or "", at)
    id = at if number is None else number
    if not 0 < id < newest:
        return NotTaken("the message has not come yet, says the time it came")
    sent = sender is None or sender.bare == account
    peer = (to if sent else sender) or account
    known_by = fingerprint(message, sender or account) if sent else ""
    return ArchiveRow(account.text, id, peer.bare.text, peer.resource, sent, known_by, message.to_bytes(ns.CLIENT))


#: Of any version.
_MAM: Final = ns.MAM.rpartition(":")[0]


def _message(forwarded: Element) -> Element | None:
    return next((each for each in forwarded.elements() if each.name == "message" and each.ns in ns.CONTENT), None)


def _is_same(one: ArchiveRow, other: ArchiveRow) -> bool:
    if (one.peer, one.resource, one.sent) != (other.peer, other.resource, other.sent):
        return False
    return one.stanza == other.stanza or STANZA.decode(one.stanza).element == STANZA.decode(other.stanza).element
