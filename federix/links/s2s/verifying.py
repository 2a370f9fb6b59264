"""Dialback keys of servers that we have to ask about: the servers they name are asked (XEP-0220 §2.1)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import DeferredSemaphore

from ...streams.addresses import customer
from ...xmpp.errors import Condition
from .dialback import DialbackFailed
from .dialer import open_link
from .failed import LinkFailed
from .outgoing import Purpose
from .pair import Domains

if TYPE_CHECKING:
    from .federation import Federation
    from .link import Link

#: Keys that are verified over streams of their own, and those of one address.
VERIFICATIONS_AT_ONCE: Final = 100
VERIFICATIONS_PER_ADDRESS: Final = 10
#: Seconds that a stream which is there has to answer about a key, before another one is opened for it.
ASK_ELSEWHERE_AFTER: Final = 5.0
#: Seconds for which a key that was not proved counts among those.
IN_VAIN: Final = 1.0


class Verifications:
    """The keys that are being verified."""

    def __init__(self, federation: Federation) -> None:
        self._federation = federation
        self._alone = DeferredSemaphore(VERIFICATIONS_AT_ONCE)
        self._by_address: Counter[int | None] = Counter()

    def __len__(self) -> int:
        """How many addresses have keys among them."""
        return len(self._by_address)

    async def verify(self, asking: Link, domains: Domains, stream_id: str, key: str) -> None:
        """Ask the server of ``domains.remote`` whether *key* is its own; raises `DialbackFailed`."""
        by = customer(asking.ip or "")
        if self._by_address[by] >= VERIFICATIONS_PER_ADDRESS:
            raise DialbackFailed(Condition.RESOURCE_CONSTRAINT, "too many keys from one address are verified")
        self._by_address[by] += 1
        try:
            await self._verify(asking, domains, stream_id, key)
        except BaseException:
            # Whoever only tries has us ask the DNS, and knock at others, no faster than that.
            self._federation.scope.later(IN_VAIN, self._verified, by)
            raise
        self._verified(by)

    def _verified(self, by: int | None) -> None:
        self._by_address[by] -= 1
        if not self._by_address[by]:
            del self._by_address[by]

    async def _verify(self, asking: Link, domains: Domains, stream_id: str, key: str) -> None:
        # XEP-0288 §2.2: never on the stream that the key came by.
        outgoing = self._federation.outgoing_to(domains.remote)
        known = next((link for link in outgoing if link is not asking), None)
        if known is not None:
            try:
                await known.dialback.verify(domains, stream_id, key, ASK_ELSEWHERE_AFTER)
                return
            except DialbackFailed as failed:
                if failed.condition is not Condition.REMOTE_SERVER_TIMEOUT:
                    raise
                # Nobody may be there any more: who comes to us anew may have crashed, or moved, without a word.
        async with self._alone:
            await self._verify_alone(domains, stream_id, key)

    async def _verify_alone(self, domains: Domains, stream_id: str, key: str) -> None:
        """Over a stream of its own."""
        try:
            link = await open_link(self._federation, domains, Purpose.VERIFY)
        except LinkFailed as failed:
            raise DialbackFailed(failed.condition, failed.text) from None
        try:
            await link.dialback.verify(domains, stream_id, key)
        except DialbackFailed as failed:
            if failed.condition is Condition.ITEM_NOT_FOUND:
                # XEP-0220 §2.5: that is how the receiving server calls it.
                raise DialbackFailed(Condition.REMOTE_SERVER_NOT_FOUND, failed.text) from None
            raise
        finally:
            link.stream.close()
