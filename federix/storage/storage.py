"""What every back end provides, in one place. Modules do not meet it: they declare shapes (`shapes.py`).

Owners are strings: a bare JID (``user@host``) for an account's data, a host's name for the host's own, or "" for the
server's. Values are bytes here; shapes put types on top. A method that changes something returns when the change is
kept for good: neither a crash of the process nor a power cut loses it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

from ..life.scope import Told
from ..xmpp.errors import Condition, ErrorType, StanzaError

if TYPE_CHECKING:
    from .accounts import Accounts
    from .archive import Archives
    from .roster import Rosters


class StoreError(StanzaError, Told):
    """Something could not be stored or fetched; trying later may help. *reason* is for the log, not for the peer.

    Where a stanza asked for it, the stanza is answered with internal-server-error of type wait.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(Condition.INTERNAL_SERVER_ERROR, "The server cannot reach its storage now.", ErrorType.WAIT)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


RawChange = Callable[[bytes | None], bytes | None]
"""A pure function from what is there to what shall be; ``None`` is "not there". It may run in another thread."""


class RawUpdate(NamedTuple):
    before: bytes | None
    after: bytes | None


class RawEntry(NamedTuple):
    id: int
    value: bytes


class Documents(ABC):
    """One value per store and owner."""

    @abstractmethod
    def expect(self, store: str) -> None:
        """What is in *store* is asked for as soon as a client comes: see `Storage.read_ahead`."""

    @abstractmethod
    async def get(self, store: str, owner: str) -> bytes | None: ...

    @abstractmethod
    async def update(self, store: str, owner: str, change: RawChange) -> RawUpdate:
        """Read, change and write as one step, which no other change can come between."""

    @abstractmethod
    async def put(self, store: str, owner: str, value: bytes) -> None: ...

    @abstractmethod
    async def put_new(self, store: str, owner: str, value: bytes) -> bytes:
        """Keep *value* unless there is one; returns what is there. Of several servers on one database one is first."""

    @abstractmethod
    async def remove(self, store: str, owner: str) -> bool:
        """True if there was something."""

    @abstractmethod
    async def owners(self, store: str, after: str, limit: int) -> list[str]:
        """Up to *limit* owners that have something in *store*, ascending, those past *after*."""


class Tables(ABC):
    """A dictionary per store and owner."""

    @abstractmethod
    async def get(self, store: str, owner: str, key: str) -> bytes | None: ...

    @abstractmethod
    async def update(self, store: str, owner: str, key: str, change: RawChange) -> RawUpdate:
        """Read, change and write as one step, which no other change can come between."""

    @abstractmethod
    async def put(self, store: str, owner: str, key: str, value: bytes) -> None: ...

    @abstractmethod
    async def remove(self, store: str, owner: str, key: str) -> bool:
        """True if there was something."""

    @abstractmethod
    async def all(self, store: str, owner: str) -> dict[str, bytes]:
        """Everything the owner has, keys ascending by code point."""

    @abstractmethod
    async def sizes(self, store: str, owner: str) -> dict[str, int]:
        """How many bytes each value has, keys ascending by code point; the values stay where they are."""

    @abstractmethod
    async def count(self, store: str, owner: str) -> int: ...

    @abstractmethod
    async def clear(self, store: str, owner: str) -> int:
        """Remove all of the owner's rows; returns how many there were."""

    @abstractmethod
    async def owners(self, store: str, after: str, limit: int) -> list[str]:
        """Up to *limit* owners that have something in *store*, ascending, those past *after*."""


class Logs(ABC):
    """A sequence per store and owner. Ids grow, with gaps, and are never given twice. Bounds are exclusive."""

    @abstractmethod
    async def append(self, store: str, owner: str, value: bytes) -> int:
        """Add at the end; returns the entry's id."""

    @abstractmethod
    async def append_within(self, store: str, owner: str, value: bytes, most: int) -> int | None:
        """As `append`, unless the owner has *most* entries there; one step, which no other change can come between."""

    @abstractmethod
    async def range(
        self, store: str, owner: str, after: int | None, before: int | None, limit: int, reverse: bool
    ) -> list[RawEntry]: ...

    @abstractmethod
    async def drop(self, store: str, owner: str, after: int | None, before: int | None) -> int:
        """Remove what lies between the bounds; returns how many entries that were."""

    @abstractmethod
    async def remove(self, store: str, owner: str, ids: Collection[int]) -> int:
        """Remove the entries of these ids, as one step; returns how many there were."""

    @abstractmethod
    async def count(self, store: str, owner: str) -> int: ...

    @abstractmethod
    async def owners(self, store: str, after: str, limit: int) -> list[str]:
        """Up to *limit* owners that have something in *store*, ascending, those past *after*."""


class Storage(ABC):
    """Where a server keeps things. All methods but ``start`` and ``stop`` raise :class:`StoreError` when they fail."""

    documents: Documents
    tables: Tables
    logs: Logs
    accounts: Accounts
    rosters: Rosters
    archives: Archives

    @abstractmethod
    async def start(self) -> None:
        """Open what is needed and bring its schema up to date; raises :class:`StoreError` if that is impossible."""

    @abstractmethod
    async def stop(self) -> None:
        """Finish what was begun, then close. Nothing may be asked afterwards."""

    async def update_schema(self) -> bool:
        """Bring the schema up to date, where that is not done at the start; true if it was not."""
        return False

    def figures(self) -> Mapping[str, int]:
        """What an operator may want to watch, by name: the jobs that wait, for one."""
        return {}

    @abstractmethod
    def read_ahead(self, owner: str) -> None:
        """A client of *owner* comes, and what it has in its roster and in `Documents.expect` is asked for soon.

        A back end may read all of that at once. It is told once, and only if nothing is written for *owner* meanwhile.
        """

    @abstractmethod
    async def forget(self, owner: str) -> None:
        """Remove all that *owner* has in any store, the roster and the archive; as one step.

        The account itself is not touched.
        When an account is removed, forget it first: a crash in between then leaves an account without data, and not
        data which the next account of that name would inherit.
        """
