"""To whom one session has sent directed presence (RFC 6121 §4.6), and who therefore has to hear when it goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..api import JID, Key


class Directed:
    """The addresses, bare or full, to which a session has sent directed presence and not taken it back."""

    __slots__ = ("_addresses", "_count")

    def __init__(self) -> None:
        self._addresses: dict[JID, set[JID]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[JID]:
        for addresses in self._addresses.values():
            yield from addresses

    def __contains__(self, to: JID) -> bool:
        return to in self._addresses.get(to.bare, ())

    def knows(self, who: JID) -> bool:
        """Whether *who*, or another resource of it, has been sent presence.

        In a room one tells one's presence to an occupant's address, one's own, and is spoken to from all the others.
        """
        return who.bare in self._addresses

    def add(self, to: JID) -> None:
        addresses = self._addresses.setdefault(to.bare, set())
        self._count += to not in addresses
        addresses.add(to)

    def discard(self, to: JID) -> None:
        """Forget an address."""
        addresses = self._addresses.get(to.bare)
        if addresses is None or to not in addresses:
            return
        addresses.remove(to)
        self._count -= 1
        if not addresses:
            del self._addresses[to.bare]

    def discard_account(self, account: JID) -> None:
        """Forget all addresses of an account."""
        self._count -= len(self._addresses.pop(account.bare, ()))


#: The note on a session.
DIRECTED: Final[Key[Directed]] = Key("mod_roster.directed")
