"""Messages that have waited too long are removed, at the operator's word."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..api import CommandError

if TYPE_CHECKING:
    from .offline import Offline
    from .offline_records import Record

DAY: Final = 86_400.0
#: How many accounts, and messages of one, are looked at before others have their turn.
PAGE: Final = 20


def older_than(now: float, days: int) -> Callable[[Record], bool]:
    """Whether a message came more than so many *days* before *now*; raises `CommandError` for less than none."""
    if days < 0:
        raise CommandError("a number of days is never below 0")
    return lambda record: record.at < now - days * DAY


async def remove_where(offline: Offline, host: str, unwanted: Callable[[Record], bool]) -> int:
    """Remove what is *unwanted*, of *host* or of all hosts where that is ""; how many messages those were."""
    removed = 0
    last = ""
    while owners := await offline.kept.owners(limit=PAGE, after=last):
        for owner in owners:
            if not host or owner.rpartition("@")[2] == offline.host.name:
                removed += await _remove_of(offline, owner, unwanted)
        last = owners[-1]
        await offline.sleep(0)
    return removed


async def _remove_of(offline: Offline, owner: str, unwanted: Callable[[Record], bool]) -> int:
    removed = 0
    last: int | None = None
    while entries := await offline.kept.range(owner, limit=PAGE, after=last):
        removed += await offline.kept.remove_all(owner, [entry.id for entry in entries if unwanted(entry.value)])
        last = entries[-1].id
        await offline.sleep(0)
    return removed
