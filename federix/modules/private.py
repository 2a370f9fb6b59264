"""XEP-0049: Private XML Storage -- keep whatever XML a client wants to find again on its user's other devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from ..api import (
    ELEMENT,
    IQ,
    JID,
    Condition,
    Element,
    Module,
    Portable,
    StanzaError,
    Table,
    TooManyWait,
    Turns,
    Xep,
    iq_get,
    iq_set,
    ns,
    option,
)
from .private_moving import PortableFragments

#: How many requests to store something may wait for one account.
MOST_WAITING: Final = 8


class Private(Module):
    """Keeps fragments of XML for each account, by namespace and name of their root element."""

    name = "mod_private"
    implements = (Xep(49, "1.2"),)

    @dataclass(frozen=True)
    class Options(Module.Options):
        """Settings of mod_private."""

        max_size: int = option(128 * 1024, "Largest fragment that is kept.", unit="bytes", minimum=1)
        max_total_size: int = option(
            256 * 1024,
            "All fragments of one account together, and those of one answer where a client asks for several.",
            unit="bytes",
            minimum=1,
        )
        max_fragments: int = option(200, "How many fragments are kept for one account.", minimum=1)

    options: Options
    kept = Table("private", ELEMENT)

    async def on_start(self) -> None:
        #: An account's fragments are counted and changed by one request at a time.
        self._turns = Turns(self.scope, most=MOST_WAITING)

    @iq_get(ns.PRIVATE, "query", on=("account",))
    async def fetch(self, iq: IQ) -> Element:
        owner = _owner(iq)
        wanted = _fragments(iq)
        # §2.3: "A client MUST NOT query for more than one namespace in a single IQ get request."
        if len({fragment.ns for fragment in wanted}) > 1:
            raise StanzaError(Condition.NOT_ACCEPTABLE, "one namespace at a time")
        if len(wanted) == 1:
            return Element("query", ns.PRIVATE, await self._fragment(owner, wanted[0]))
        # "an IQ set or result MAY contain multiple elements qualified by the same namespace": as many as an account
        # may keep, so that a small request has no answer without an end.
        sizes = await self.kept.sizes(owner)
        if sum(sizes.get(_key(asked), 0) for asked in wanted) > self.options.max_total_size:
            raise StanzaError(Condition.NOT_ACCEPTABLE, "too much for one answer: ask for one element at a time")
        found = [await self._fragment(owner, asked) if _key(asked) in sizes else _nothing(asked) for asked in wanted]
        return Element("query", ns.PRIVATE, *found)

    async def _fragment(self, owner: str, asked: Element) -> Element:
        return await self.kept.get(owner, _key(asked)) or _nothing(asked)

    @iq_set(ns.PRIVATE, "query", on=("account",))
    async def store(self, iq: IQ) -> None:
        await self.keep(_owner(iq), _fragments(iq))

    def portables(self) -> Sequence[Portable]:
        return (PortableFragments(self),)

    async def kept_as(self, owner: str, fragment: Element) -> Element | None:
        """What is kept of that namespace and name; raises `StanzaError` where nothing can be."""
        _check_name(fragment)
        return await self.kept.get(owner, _key(fragment))

    async def keep(self, owner: str, fragments: list[Element]) -> None:
        """Keep these in place of what was there, within the limits; raises `StanzaError`."""
        for fragment in fragments:
            if len(fragment.to_bytes()) > self.options.max_size:
                raise StanzaError(Condition.NOT_ACCEPTABLE, f"more than {self.options.max_size} bytes")
        try:
            await self._turns.take(owner, partial(self._store, owner, fragments))
        except TooManyWait:
            raise StanzaError(Condition.RESOURCE_CONSTRAINT, "too much is being stored") from None

    async def _store(self, owner: str, fragments: list[Element]) -> None:
        await self._check_room(owner, fragments)
        local = JID.parse(owner).local
        for fragment in fragments:
            if self.host.accounts.is_leaving(local):
                raise StanzaError(Condition.SERVICE_UNAVAILABLE)  # the next owner of the name would find it
            if _is_empty(fragment):
                # That is what is answered when there is none.
                await self.kept.remove(owner, _key(fragment))
            else:
                await self.kept.put(owner, _key(fragment), fragment)

    async def _check_room(self, owner: str, fragments: list[Element]) -> None:
        """Raise `StanzaError` (resource-constraint) if it becomes too much, unless it becomes less than it was."""
        before = await self.kept.sizes(owner)
        after = dict(before)
        for fragment in fragments:
            if _is_empty(fragment):
                after.pop(_key(fragment), None)
            else:
                after[_key(fragment)] = len(fragment.to_bytes())
        options, size = self.options, sum(after.values())
        if len(after) > max(options.max_fragments, len(before)):
            raise StanzaError(Condition.RESOURCE_CONSTRAINT, f"more than {options.max_fragments} fragments")
        if size > max(options.max_total_size, sum(before.values())):
            raise StanzaError(Condition.RESOURCE_CONSTRAINT, f"more than {options.max_total_size} bytes together")


def _owner(iq: IQ) -> str:
    """Whose fragments *iq* is about: its sender's, who is the only one that may ask.

    §2.3: "If a user attempts to get or set jabber:iq:private data that belongs to another user, the server MUST
    return a "Forbidden" or "Service Unavailable" error". The latter is what an account that does not exist answers.
    """
    to, sender = iq.to, iq.sender
    if to is None or sender is None or to.bare != sender.bare:
        raise StanzaError(Condition.SERVICE_UNAVAILABLE)
    return str(to.bare)


def _fragments(iq: IQ) -> list[Element]:
    """What *iq* asks for or brings, each of another namespace or name."""
    assert iq.payload is not None
    fragments = list(iq.payload.elements())
    # §2.3: "At least one child element with a proper namespace MUST be included; otherwise the server MUST respond
    # with a "Not Acceptable" error".
    if not fragments:
        raise StanzaError(Condition.NOT_ACCEPTABLE, "an element is needed")
    for fragment in fragments:
        _check_name(fragment)
    if len({_key(fragment) for fragment in fragments}) < len(fragments):
        raise StanzaError(Condition.NOT_ACCEPTABLE, "two elements of the same namespace and name")
    return fragments


def _check_name(fragment: Element) -> None:
    if fragment.ns in ("", ns.PRIVATE) or fragment.ns in ns.CONTENT:
        raise StanzaError(Condition.NOT_ACCEPTABLE, "an element with a namespace of its own is needed")


def _key(fragment: Element) -> str:
    return f"{{{fragment.ns}}}{fragment.name}"


def _is_empty(fragment: Element) -> bool:
    return not fragment.children and not fragment.attrs


def _nothing(asked: Element) -> Element:
    """What was never stored comes back as it was asked for: empty."""
    return Element(asked.name, asked.ns)
