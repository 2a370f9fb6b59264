"""Fragments of private XML that move with their account (XEP-0227 §4.6)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..api import JID, Arrival, Arrived, Element, NotTaken, Portable, StanzaError, Take, ns

if TYPE_CHECKING:
    from .private import Private


class PortableFragments(Portable):
    """ "a <query/> element qualified by the 'jabber:iq:private' namespace …  contains all elements saved"."""

    what = "private fragments"
    tag = (ns.PRIVATE, "query")

    def __init__(self, private: Private) -> None:
        self._private = private

    async def leaving(self, account: JID) -> AsyncGenerator[Element | bytes]:
        for fragment in (await self._private.kept.all(str(account))).values():
            yield fragment

    def arriving(self, account: JID, *, overwrite: bool) -> Take:
        return partial(self._take, str(account), overwrite)

    async def _take(self, owner: str, overwrite: bool, fragments: Sequence[Element]) -> Sequence[Arrival]:
        return [await self._take_one(owner, overwrite, fragment) for fragment in fragments]

    async def _take_one(self, owner: str, overwrite: bool, fragment: Element) -> Arrival:
        try:
            known = await self._private.kept_as(owner, fragment)
            if known is not None and (not overwrite or known == fragment):
                return Arrived.THERE
            await self._private.keep(owner, [fragment])
        except StanzaError as error:
            return NotTaken.because(error)
        return Arrived.ADDED if known is None else Arrived.REPLACED
