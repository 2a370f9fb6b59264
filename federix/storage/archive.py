"""Messages that were sent and received, per account (XEP-0313), and how far each managed stream is settled (XEP-0198).

Both are kept in one step: after a crash a client can be told which of its messages arrived.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ArchiveRow:
    """One message in one archive: that of *owner*, a bare JID.

    *id* is in microseconds since 1970, grows, and is the same in the archives of both sides. *peer* (a bare JID) and
    *resource* are the other side; *sent* tells whether the owner sent it. *fingerprint* is what a message that is sent
    again has in common with this one, "" for none. *stanza* stands in ``jabber:client``.
    """

    owner: str
    id: int
    peer: str
    resource: str
    sent: bool
    fingerprint: str
    stanza: bytes


@dataclass(frozen=True, slots=True)
class Counted:
    """How many stanzas (*h*) of the managed stream *key*, of the account *owner*, are settled."""

    key: str
    owner: str
    h: int


class Archives(ABC):
    """All archives of a server. Methods raise `StoreError` when storage fails."""

    @abstractmethod
    def keep(self, rows: Sequence[ArchiveRow], counted: Counted | None = None) -> Awaitable[None]:
        """Keep all of it or nothing. Its place in the order of writes is taken at once, not when it is awaited."""

    @abstractmethod
    async def fingerprints(self, owner: str, since: int, limit: int) -> dict[str, int]:
        """The newest *limit* messages that *owner* sent and whose id is past *since*: fingerprints and ids."""
