"""XEP-0049: Private XML Storage -- keep whatever XML a client wants to find again on its user's other devices."""

from __future__ import annotations

from dataclasses import dataclass

from ..api import ELEMENT, IQ, Condition, Element, Module, StanzaError, Table, Xep, iq_get, iq_set, ns, option


class Private(Module):
    """Keeps fragments of XML for each account, by namespace and name of their root element."""

    name = "mod_private"
    implements = (Xep(49, "1.2"),)

    @dataclass(frozen=True)
    class Options(Module.Options):
        """Settings of mod_private."""

        max_size: int = option(128 * 1024, "Largest fragment that is kept.", unit="bytes", minimum=1)
        max_fragments: int = option(200, "How many fragments are kept for one account.", minimum=1)

    options: Options
    kept = Table("private", ELEMENT)

    @iq_get(ns.PRIVATE, "query", on=("account",))
    async def fetch(self, iq: IQ) -> Element:
        owner = _owner(iq)
        wanted = _fragments(iq)
        # §2.3: "A client MUST NOT query for more than one namespace in a single IQ get request."
        if len({fragment.ns for fragment in wanted}) > 1:
            raise StanzaError(Condition.NOT_ACCEPTABLE, "one namespace at a time")
        found = [await self.kept.get(owner, _key(fragment)) for fragment in wanted]
        # What was never stored comes back as it was asked for: empty.
        answers = (kept or Element(asked.name, asked.ns) for kept, asked in zip(found, wanted, strict=True))
        return Element("query", ns.PRIVATE, *answers)

    @iq_set(ns.PRIVATE, "query", on=("account",))
    async def store(self, iq: IQ) -> None:
        owner = _owner(iq)
        fragments = _fragments(iq)
        for fragment in fragments:
            if len(fragment.to_bytes()) > self.options.max_size:
                raise StanzaError(Condition.NOT_ACCEPTABLE, f"more than {self.options.max_size} bytes")
        await self._check_room(owner, fragments)
        for fragment in fragments:
            if _is_empty(fragment):
                # That is what is answered when there is none.
                await self.kept.remove(owner, _key(fragment))
            else:
                await self.kept.put(owner, _key(fragment), fragment)

    async def _check_room(self, owner: str, fragments: list[Element]) -> None:
        most = self.options.max_fragments
        if await self.kept.count(owner) + len(fragments) <= most:
            return
        there = set(await self.kept.all(owner))
        coming = {_key(fragment) for fragment in fragments if not _is_empty(fragment)} - there
        if coming and len(there) + len(coming) > most:
            raise StanzaError(Condition.RESOURCE_CONSTRAINT, f"more than {most} fragments")


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
    if not fragments or any(fragment.ns in ("", ns.PRIVATE) or fragment.ns in ns.CONTENT for fragment in fragments):
        raise StanzaError(Condition.NOT_ACCEPTABLE, "an element with a namespace of its own is needed")
    if len({_key(fragment) for fragment in fragments}) < len(fragments):
        raise StanzaError(Condition.NOT_ACCEPTABLE, "two elements of the same namespace and name")
    return fragments


def _key(fragment: Element) -> str:
    return f"{{{fragment.ns}}}{fragment.name}"


def _is_empty(fragment: Element) -> bool:
    return not fragment.children and not fragment.attrs
