"""The forms in which passwords are kept, and which of them all accounts of a host have in common.

A mechanism is offered before the user is known. When the operator wants passwords kept in other forms than before, old
accounts still have the old ones: what is offered must fit them as well as the new ones, or their owners are locked out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import DeferredLock

from ..storage.codec import JSON, Json
from ..storage.shapes import Document
from ..xmpp.sasl import HASH_NAMES, PLAIN, HashName

if TYPE_CHECKING:
    from ..storage.storage import Storage

SCRAM: Final = "SCRAM-"
#: Accounts looked at before others that want to write get their turn.
PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Forms:
    """*keys*: the hashes for which SCRAM keys are kept; *usable*: those a login can be checked with.

    The password itself makes every hash usable.
    """

    keys: frozenset[HashName]
    usable: frozenset[HashName]

    @classmethod
    def of(cls, kinds: Iterable[str]) -> Forms:
        """Those of an account, by the kinds of secrets that are kept for it."""
        kinds = frozenset(kinds)
        keys = frozenset(name for name in HASH_NAMES if SCRAM + name in kinds)
        return cls(keys, frozenset(HASH_NAMES) if PLAIN in kinds else keys)

    def __and__(self, other: Forms) -> Forms:
        return Forms(self.keys & other.keys, self.usable & other.usable)

    def __le__(self, other: Forms) -> bool:
        return self.keys <= other.keys and self.usable <= other.usable


#: What all accounts have in common as long as there is none.
ANY: Final = Forms(frozenset(HASH_NAMES), frozenset(HASH_NAMES))
NONE: Final = Forms(frozenset(), frozenset())


def _write(forms: Forms) -> Json:
    return {"keys": sorted(forms.keys), "usable": sorted(forms.usable)}


def _read(stored: Json) -> Forms:
    assert isinstance(stored, dict)
    return Forms(_hashes(stored["keys"]), _hashes(stored["usable"]))


def _hashes(names: Json) -> frozenset[HashName]:
    assert isinstance(names, Sequence)
    return frozenset(name for name in HASH_NAMES if name in names)


CODEC: Final = JSON.through(_write, _read)
_COMMON: Final = Document("password-forms", CODEC)


class CommonForms:
    """What all accounts of one host have in common.

    It is written down, so that a start need not look at all of them, and never more than is true: whoever keeps a
    password says so before.
    """

    def __init__(self) -> None:
        self.now = NONE
        self._host = ""
        self._lock = DeferredLock()
        self._looking = DeferredLock()
        #: What was written since the present look at all accounts began.
        self._written = ANY

    async def start(self, storage: Storage, host: str) -> None:
        """Read what is known; where nothing is, look."""
        self._storage, self._host = storage, host
        known = await _COMMON.bind(storage).get(host)
        if known is None:
            await self.look(ANY)
        else:
            self.now = known

    @asynccontextmanager
    async def writing(self, forms: Forms) -> AsyncIterator[None]:
        """While a password is kept in *forms*; one at a time."""
        async with self._lock:
            self._written &= forms
            if not self.now <= forms:
                await self._put(self.now & forms)
            yield

    async def look(self, wanted: Forms) -> None:
        """Find out what all accounts have in common, as long as there is hope for more of *wanted* than is known."""
        async with self._looking:
            found, after = ANY, ""
            self._written = ANY
            while True:
                async with self._lock:
                    names = await self._storage.accounts.names(self._host, limit=PAGE, after=after)
                    for name in names:
                        account = await self._storage.accounts.get(name, self._host)
                        if account is not None:
                            found &= Forms.of(account.credentials)
                    common = found & self._written
                    if len(names) < PAGE:
                        await self._put(common)
                        return
                    if common & wanted <= self.now:
                        return
                    after = names[-1]

    async def _put(self, common: Forms) -> None:
        await _COMMON.bind(self._storage).put(self._host, common)
        self.now = common
