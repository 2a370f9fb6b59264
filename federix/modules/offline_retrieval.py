"""XEP-0013: a client looks at what waits for its account, fetches it, and removes it, as with a mailbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..api import IQ, JID, Condition, Element, Key, Session, StanzaError, forms, ns
from .offline_catching_up import BYTES_ON_THE_WAY, PIECE, taken

if TYPE_CHECKING:
    from .offline import Offline
    from .offline_records import Record

_USED: Final[Key[bool]] = Key("mod_offline.retrieval")

#: Digits of a node: §2.3 lets clients order them as text.
_DIGITS: Final = 19
#: How many messages are removed together.
_TOGETHER: Final = 100


class Retrieval:
    """What clients ask about the messages that wait."""

    def __init__(self, offline: Offline) -> None:
        self._offline = offline

    def is_used_by(self, session: Session) -> bool:
        """Whether that session fetches its messages itself."""
        return _USED in session.notes

    def _use(self, who: JID) -> None:
        """§2.2: after that "the server MUST NOT send a flood of offline messages if the user subsequently sends initial
        presence to the server during this session".
        """
        session = self._offline.host.sessions.find(who.local, who.resource)
        if session is not None:
            session.notes[_USED] = True

    # -- looking ------------------------------------------------------------------------------------------------------

    async def number(self, who: JID) -> forms.Form:
        """§2.2: how many there are."""
        self._use(who)
        count = await self._offline.kept.count(str(who.bare))
        field = forms.Field("number_of_messages", values=(str(count),))
        return forms.Form.of(forms.FormType.RESULT, ns.OFFLINE, [field])

    async def headers(self, who: JID) -> list[Element]:
        """§2.3: "the full Jabber ID of the sender (encoded in the 'name' attribute) and a unique identifier"."""
        self._use(who)
        owner = str(who.bare)
        items: list[Element] = []
        last: int | None = None
        while entries := await self._offline.kept.range(owner, limit=PIECE, after=last):
            for id_, record in entries:
                attrs = {"jid": owner, "node": _node(id_), "name": record.sender}
                items.append(Element("item", ns.DISCO_ITEMS, attrs=attrs))
            last = entries[-1].id
        return items

    # -- fetching -----------------------------------------------------------------------------------------------------

    async def fetch(self, iq: IQ) -> None:
        """§2.4: "the server MUST send the requested message(s) plus an IQ result"; they are left where they are."""
        who, query = _asked(iq)
        everything, ids = _wanted(query, "fetch", "view")
        session = self._offline.host.sessions.find(who.local, who.resource)
        if session is None:
            raise StanzaError(Condition.FORBIDDEN)
        if everything:
            self._use(who)
            await self._send_all(session)
        else:
            await self._check(str(who.bare), ids)
            await self._send(session, ids)

    async def _send_all(self, session: Session) -> None:
        owner = str(session.jid.bare)
        last: int | None = None
        size = 0
        while entries := await self._offline.read(owner, limit=PIECE, after=last):
            for id_, record in entries:
                size += self._hand(session, id_, record)
                last = id_
                if size >= BYTES_ON_THE_WAY or session.crowded:
                    break
            await taken(self._offline, session)
            size = 0
            if session.ended:
                return

    async def _send(self, session: Session, ids: list[int]) -> None:
        size = 0
        for count, id_ in enumerate(ids, 1):
            for _, record in await self._offline.read(str(session.jid.bare), limit=1, after=id_ - 1, before=id_ + 1):
                size += self._hand(session, id_, record)
            if size >= BYTES_ON_THE_WAY or count % PIECE == 0 or session.crowded:
                await taken(self._offline, session)
                size = 0
            if session.ended:
                return

    def _hand(self, session: Session, id_: int, record: Record) -> int:
        """§2.4: "In order to distinguish incoming messages, each message MUST contain the node value."."""
        item = Element("item", ns.OFFLINE, attrs={"node": _node(id_)})
        self._offline.deliveries.hand(session, record, Element("offline", ns.OFFLINE, item))
        return len(record.stanza)

    # -- removing -----------------------------------------------------------------------------------------------------

    async def discard(self, iq: IQ) -> None:
        """§2.5: "the server MUST remove the messages and inform the user"."""
        who, query = _asked(iq)
        owner = str(who.bare)
        everything, ids = _wanted(query, "purge", "remove")
        if everything:
            await self._offline.kept.drop(owner)
            return
        await self._check(owner, ids)
        for start in range(0, len(ids), _TOGETHER):
            await self._offline.kept.remove_all(owner, ids[start : start + _TOGETHER])

    async def _check(self, owner: str, ids: list[int]) -> None:
        """§2.4, §2.5: "If the requester is authorized but the node does not exist, the server MUST return an
        <item-not-found/> error."."""
        for id_ in ids:
            if not await self._offline.kept.range(owner, limit=1, after=id_ - 1, before=id_ + 1):
                raise StanzaError(Condition.ITEM_NOT_FOUND)


def _asked(iq: IQ) -> tuple[JID, Element]:
    """Who asks for what. That it is the account itself has been checked."""
    who, query = iq.sender, iq.payload
    assert who is not None and query is not None
    return who, query


def _wanted(query: Element, all_of_them: str, action: str) -> tuple[bool, list[int]]:
    """Whether all messages are meant, or else the ids of which; raises `StanzaError` (bad-request)."""
    children = list(query.elements())
    if [child.name for child in children] == [all_of_them] and children[0].ns == ns.OFFLINE:
        return True, []
    ids: dict[int, None] = {}
    for child in children:
        if child.ns != ns.OFFLINE or child.name != "item" or child.get("action") != action:
            raise StanzaError(Condition.BAD_REQUEST)
        ids[_id(child.get("node") or "")] = None
    if not ids:
        raise StanzaError(Condition.BAD_REQUEST)
    return False, list(ids)


def _node(id_: int) -> str:
    return f"{id_:0{_DIGITS}}"


def _id(node: str) -> int:
    if len(node) != _DIGITS or not (node.isascii() and node.isdigit()):
        raise StanzaError(Condition.ITEM_NOT_FOUND)
    return int(node)
