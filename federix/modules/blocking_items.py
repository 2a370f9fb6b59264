"""XEP-0191: what stands in a block list and in the commands about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ..api import IQ, JID, JSON, Codec, Condition, Element, InvalidJID, Json, StanzaError, ns


def _read(stored: Json) -> tuple[str, ...]:
    assert isinstance(stored, list)
    return tuple(map(str, stored))


#: How a list is kept: the addresses, in the order in which they were blocked.
KEPT: Final[Codec[tuple[str, ...]]] = JSON.through(list, _read)


class BlockList:
    """The addresses that one account has blocked, as texts, in the order in which they were."""

    __slots__ = ("jids",)

    def __init__(self, jids: Iterable[str] = ()) -> None:
        self.jids = dict.fromkeys(jids)

    def __len__(self) -> int:
        return len(self.jids)

    def blocks(self, who: JID) -> bool:
        """§6: an address with a resource is that one, one without is any resource of it, a domain is all that is there.

        The order of the rules does not matter: all of them say no.
        """
        jids = self.jids
        return who.text in jids or who.domain in jids or who.bare.text in jids


#: The list of nearly everybody.
EMPTY: Final = BlockList()


def adding(named: Sequence[str], most: int, known: tuple[str, ...] | None) -> tuple[str, ...]:
    """Those of before and those *named*: a list that is too long already may stay so."""
    after = tuple(dict.fromkeys((*(known or ()), *named)))
    if len(after) > max(most, len(known or ())):
        raise StanzaError(Condition.POLICY_VIOLATION, f"more than {most} addresses")
    return after


def removing(named: Sequence[str], known: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """What is left; nothing where nobody is *named*."""
    unwanted = frozenset(named)
    return tuple(jid for jid in known or () if unwanted and jid not in unwanted) or None


def owner_of(iq: IQ) -> JID:
    """Whose list *iq* is about: its sender's. To others it is as if there were no such account."""
    to, sender = iq.to, iq.sender
    if to is None or sender is None or to.bare != sender.bare:
        raise StanzaError(Condition.SERVICE_UNAVAILABLE)
    return to.bare


def read_items(iq: IQ) -> list[JID]:
    """Whom a command names, each once."""
    assert iq.payload is not None
    found: dict[JID, None] = {}
    for item in iq.payload.children_of(ns.BLOCKING, "item"):
        text = item.get("jid")
        if not text:
            raise StanzaError(Condition.BAD_REQUEST, "an item without an address")
        try:
            found[JID.parse(text)] = None
        except InvalidJID as error:
            raise StanzaError(Condition.JID_MALFORMED, str(error)) from None
    return list(found)


def command(name: str, jids: Iterable[str]) -> Element:
    items = (Element("item", ns.BLOCKING, attrs={"jid": jid}) for jid in jids)
    return Element(name, ns.BLOCKING, *items)
