"""Block lists that move with their account, as the privacy lists (XEP-0016) that XEP-0227 §4.8 has."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from ..api import JID, Arrival, Arrived, Element, InvalidJID, NotTaken, Portable, StanzaError, Take, ns

if TYPE_CHECKING:
    from .blocking import Blocking

#: What the list is called.
LIST: Final = "blocked"
#: Kinds of stanzas that a rule may be for; one without any, or with all of them, is for everything.
_KINDS: Final = frozenset(("message", "iq", "presence-in", "presence-out"))
#: Digits of a rule's place.
_MOST_DIGITS: Final = 10

_Read: TypeAlias = Callable[[Element], tuple[list[JID], int]]
"""Finds whom a list blocks, and how many of its rules say something else."""


class PortableBlockList(Portable):
    """§4.8: "A default privacy list, if set, is specified by including a <default/> element"."""

    what = "block lists"
    tag = (ns.PRIVACY, "query")
    around = False

    def __init__(self, blocking: Blocking) -> None:
        self._blocking = blocking

    async def leaving(self, account: JID) -> AsyncGenerator[Element | bytes]:
        blocked = await self._blocking.kept.get(str(account))
        if not blocked:
            return
        rules = (_rule(order, jid) for order, jid in enumerate(blocked, 1))
        # XEP-0016 §2.2: who matches no rule is let through: the last one says so to those who read lists only.
        last = Element("item", ns.PRIVACY, attrs={"action": "allow", "order": str(len(blocked) + 1)})
        named = {"name": LIST}
        yield Element(
            "query",
            ns.PRIVACY,
            Element("default", ns.PRIVACY, attrs=named),
            Element("list", ns.PRIVACY, *rules, last, attrs=named),
        )

    def arriving(self, account: JID, *, overwrite: bool) -> Take:
        return partial(_take, self._blocking, account, overwrite, _read_privacy)


class PortableBlocklistElement(Portable):
    """The list as XEP-0191 has it: a few servers write that. It is taken and not given."""

    what = "block lists"
    tag = (ns.BLOCKING, "blocklist")
    around = False

    def __init__(self, blocking: Blocking) -> None:
        self._blocking = blocking

    def arriving(self, account: JID, *, overwrite: bool) -> Take:
        return partial(_take, self._blocking, account, overwrite, _read_blocklist)


async def _take(
    blocking: Blocking, account: JID, overwrite: bool, read: _Read, elements: Sequence[Element]
) -> Sequence[Arrival]:
    return [await _take_one(blocking, account, overwrite, *read(element)) for element in elements]


async def _take_one(blocking: Blocking, account: JID, overwrite: bool, blocked: Sequence[JID], unclear: int) -> Arrival:
    # XEP-0191 §5: nobody can block himself.
    wanted = [jid for jid in blocked if jid.bare != account]
    before = await blocking.kept.get(str(account)) or ()
    missing = [jid for jid in wanted if jid.text not in before]
    surplus = [JID.parse(jid) for jid in before if overwrite and jid not in {jid.text for jid in wanted}]
    try:
        if surplus:
            await blocking.remove(account, surplus)
        if missing:
            await blocking.add(account, missing)
    except StanzaError as error:
        return NotTaken.because(error)
    if unclear:
        return NotTaken(f"{unclear} rules say what a block list cannot; {len(wanted)} addresses are blocked")
    if not missing and not surplus:
        return Arrived.THERE
    return Arrived.REPLACED if before else Arrived.ADDED


def _rule(order: int, jid: str) -> Element:
    attrs = {"type": "jid", "value": jid, "action": "deny", "order": str(order)}
    return Element("item", ns.PRIVACY, attrs=attrs)


def _read_privacy(query: Element) -> tuple[list[JID], int]:
    """Whom the default list blocks, and how many rules say something else; other lists are not in force."""
    default = query.child(ns.PRIVACY, "default")
    name = None if default is None else default.get("name")
    lists = query.children_of(ns.PRIVACY, "list")
    chosen = next((each for each in lists if each.get("name") == name), None)
    blocked: list[JID] = []
    unclear = sum(len(each.children_of(ns.PRIVACY, "item")) for each in lists if each is not chosen)
    allowed = False
    for item in sorted(chosen.children_of(ns.PRIVACY, "item"), key=_order) if chosen is not None else ():
        jid = _blocked_by(item)
        if item.get("type") is None and item.get("action") == "allow":
            break  # what comes behind it is never reached
        # Who is let through by an earlier rule would be blocked here.
        if jid is None or allowed:
            unclear += 1
            allowed = allowed or item.get("action") == "allow"
        else:
            blocked.append(jid)
    return blocked, unclear


def _blocked_by(item: Element) -> JID | None:
    """Whom a rule blocks altogether; ``None`` where it says something else."""
    if item.get("type") != "jid" or item.get("action") != "deny":
        return None
    if frozenset(child.name for child in item.elements()) not in (frozenset(), _KINDS):
        return None
    try:
        return JID.parse(item.get("value") or "")
    except InvalidJID:
        return None


def _order(item: Element) -> int:
    order = item.get("order") or ""
    return int(order) if order.isascii() and order.isdigit() and len(order) <= _MOST_DIGITS else 0


def _read_blocklist(element: Element) -> tuple[list[JID], int]:
    blocked: list[JID] = []
    items = element.children_of(ns.BLOCKING, "item")
    for item in items:
        try:
            blocked.append(JID.parse(item.get("jid") or ""))
        except InvalidJID:
            continue
    return blocked, len(items) - len(blocked)
