"""Who may log in: the accounts of a host and their stored secrets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..xmpp.errors import Condition, StanzaError


@dataclass(frozen=True, slots=True)
class Account:
    """``local@host``.

    *credentials* maps a kind of stored secret (``SCRAM-SHA-256``, ``PLAIN``) to its text, which means nothing here.
    *created* is in seconds since 1970, UTC.
    """

    local: str
    host: str
    # Not part of the representation: secrets must not reach a log.
    credentials: Mapping[str, str] = field(repr=False)
    created: float

    @property
    def owner(self) -> str:
        """The name under which stores keep this account's data: its bare JID."""
        return owner_of(self.local, self.host)


class AccountExists(StanzaError):
    """There is an account of that name already."""

    def __init__(self) -> None:
        super().__init__(Condition.CONFLICT, "There is an account of that name already.")


class NoSuchAccount(StanzaError):
    """There is no account of that name."""

    def __init__(self) -> None:
        super().__init__(Condition.ITEM_NOT_FOUND, "There is no such account.")


def owner_of(local: str, host: str) -> str:
    return f"{local}@{host}"


class Accounts(ABC):
    """The accounts of all hosts. Names are already prepared (RFC 7622); they are compared as they are."""

    @abstractmethod
    async def get(self, local: str, host: str) -> Account | None: ...

    @abstractmethod
    async def exists(self, local: str, host: str) -> bool: ...

    @abstractmethod
    async def create(self, account: Account) -> None:
        """Raises :class:`AccountExists`."""

    @abstractmethod
    async def set_credentials(self, local: str, host: str, credentials: Mapping[str, str]) -> None:
        """Replace all stored secrets; raises :class:`NoSuchAccount`."""

    @abstractmethod
    async def delete(self, local: str, host: str) -> bool:
        """True if there was such an account. What it owns is forgotten with ``Storage.forget``, and before this."""

    @abstractmethod
    async def names(self, host: str, *, limit: int, after: str = "") -> list[str]:
        """Up to *limit* local parts, ascending by code point, those past *after*."""

    @abstractmethod
    async def count(self, host: str) -> int: ...
