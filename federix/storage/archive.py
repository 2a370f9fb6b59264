"""Message archives (XEP-0313): what an account has sent and received, in the order in which the server took it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from .chain import Link

#: Microseconds by which what is noted of the ids that are used may be past them: so often it is noted, at most, and so
#: far ids may be past the time after a crash.
AHEAD: Final = 2_000_000


class ArchiveRow(NamedTuple):
    """One message in the archive of *owner*, a bare JID.

    *id* is when the server took it, in microseconds since 1970: ids grow, none is given twice, and a message has the
    same in its sender's archive and in its recipient's. *peer* is the other side's bare JID, *resource* its resource
    ("" for none); *sent* says whether the owner sent it. *fingerprint* tells a message that is sent again from a new
    one ("" for none). *stanza* are its bytes in ``jabber:client``, without the owner's own stanza-id.
    """

    owner: str
    id: int
    peer: str
    resource: str
    sent: bool
    fingerprint: str
    stanza: bytes


@dataclass(slots=True)  # not frozen: one is made for each message, and it would take twice as long
class Counted:
    """How many stanzas of *owner*'s client are settled in one managed stream (XEP-0198): *key* names it, *h* is the
    number.

    It is kept in the same step as the message that was settled last, so neither is ever there without the other. *at*
    is when that was so, in seconds since 1970; it need not be told where rows are kept with it, nor where it is read.
    With a *link* that does not hold it is left out of what is kept.
    """

    key: str
    owner: str
    h: int
    at: float = field(default=0.0, compare=False)
    link: Link | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Span:
    """Which rows of an archive: all whose id is past *after* and below *before*, with *peer* and that *resource* of it.

    ``None`` is no condition; a *resource* counts only beside a *peer*.
    """

    after: int | None = None
    before: int | None = None
    peer: str | None = None
    resource: str | None = None

    def within(self, *, after: int | None = None, before: int | None = None) -> Span:
        """The part of it that lies between these bounds, too."""
        afters = [bound for bound in (self.after, after) if bound is not None]
        befores = [bound for bound in (self.before, before) if bound is not None]
        return Span(max(afters, default=None), min(befores, default=None), self.peer, self.resource)


EVERYTHING = Span()


class RowSize(NamedTuple):
    """A row's *id*, and the *size* of its stanza in bytes."""

    id: int
    size: int


class Oldest(NamedTuple):
    """Whose archive it is (*owner*), and the *id* of its oldest row."""

    owner: str
    id: int


class Archives(ABC):
    """The archives of all accounts. What concerns an owner sees all that was kept for it before, done or under way."""

    # -- on the way of a message ----------------------------------------------------------------------------------

    @abstractmethod
    def keep(self, rows: Sequence[ArchiveRow], counted: Counted | None = None) -> Awaitable[object]:
        """Keep all of it, or nothing. Its place in the order of writes is taken at once, not when it is awaited.

        Of several *rows* with the same owner and id the first is kept: a message to oneself. *counted* takes the place
        of what was there for its key, and is as old as the newest of *rows*; without any, as old as it was. Where this
        fails, its link is told before anything is tried that was submitted later.
        """

    @abstractmethod
    async def fingerprints(self, owner: str, since: int, limit: int) -> dict[str, int]:
        """The ids of what *owner* sent, by fingerprint: those past the id *since*, the newest *limit* of them."""

    @abstractmethod
    async def counted(self, key: str) -> Counted | None:
        """How far that stream is settled."""

    @abstractmethod
    async def forget_counted(self, key: str) -> None:
        """That stream is over."""

    @abstractmethod
    async def forget_counted_before(self, seconds: float) -> int:
        """Forget those that are older than *seconds* since 1970; returns how many that were."""

    @abstractmethod
    async def unused(self) -> int:
        """An id such that neither it nor a greater one was ever kept; it is past those by `AHEAD` at most.

        To be asked when the storage has started. Rows and what this rests on are kept in the same step.
        """

    # -- reading --------------------------------------------------------------------------------------------------

    @abstractmethod
    async def page(self, owner: str, span: Span, *, limit: int, reverse: bool = False) -> list[ArchiveRow]:
        """Up to *limit* rows, the oldest first, or if *reverse* the newest first."""

    @abstractmethod
    async def sizes(self, owner: str, span: Span, *, limit: int, reverse: bool = False) -> list[RowSize]:
        """As `page`, without the rows themselves: cheap, however large they are."""

    @abstractmethod
    async def rows(self, owner: str, ids: Iterable[int]) -> list[ArchiveRow]:
        """The rows of these *ids* that are there, the oldest first."""

    @abstractmethod
    async def existing(self, owner: str, ids: Iterable[int]) -> set[int]:
        """Which of *ids* are there."""

    @abstractmethod
    async def count(self, owner: str, span: Span = EVERYTHING, *, most: int | None = None) -> int:
        """How many rows there are; it counts no further than *most*."""

    @abstractmethod
    async def ends(self, owner: str) -> tuple[int, int] | None:
        """The ids of the oldest and the newest row; ``None`` where there is none."""

    @abstractmethod
    async def newest_but(self, owner: str, number: int) -> int | None:
        """The id of the newest row that has *number* newer ones; ``None`` where there are not so many."""

    @abstractmethod
    async def owners(self, after: str, limit: int) -> list[Oldest]:
        """Up to *limit* archives that are not empty, owners ascending, those past *after*."""

    # -- removing -------------------------------------------------------------------------------------------------

    @abstractmethod
    async def remove(self, owner: str, span: Span, *, limit: int) -> int:
        """Remove the oldest *limit* rows of *span*; returns how many that were."""

    @abstractmethod
    async def remove_rows(self, owner: str, ids: Iterable[int]) -> int:
        """Remove the rows of these *ids*; returns how many were there."""
