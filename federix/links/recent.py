"""What a peer sent lately, so that what it sends again, because it does not know that it has arrived, is known again.

A stream says each thing once. So it is only known again what comes by another stream than before, has an `id` or an
origin-id, and is in all that matters the same (`core.passage.fingerprint`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from twisted.internet.interfaces import IReactorTime

from ..core.passage import fingerprint
from ..core.resending import Awaited
from ..core.settled import Settled
from ..xmpp.jid import JID
from ..xmpp.stanza import Message

#: Messages of one domain that are remembered: as many as a peer like us leaves unconfirmed; and of all domains.
MOST_OF_ONE: Final = 1000
MOST_OF_ALL: Final = 16_384
#: Seconds for which they are. By then a peer has noticed the loss and sent again what it had, or has given up (we take
#: three minutes for both); and whoever uses an id twice for the same words after that is heard.
KNOWN_FOR: Final = 600.0


class Taken(Awaited):
    """A message that came by the stream that *by* counts, at that time (seconds on the clock)."""

    __slots__ = ("at", "by", "delivered", "earlier")

    def __init__(self, by: Settled, at: float) -> None:
        super().__init__()
        self.by = by
        self.at = at
        #: Itself, when it came before, by another stream.
        self.earlier: Taken | None = None
        #: Whether it was kept and delivered.
        self.delivered = False

    def deliver(self) -> None:
        """It was kept and delivered."""
        self.delivered = True

    def end(self) -> None:
        self.earlier = None
        super().end()


class Recent:
    """The messages that other servers sent lately: of each domain the newest, and of those that sent last."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        # The domain that sent last is the last one; so are its messages.
        self._domains: dict[str, dict[str, Taken]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def take(self, message: Message, sender: JID, by: Settled) -> Taken | None:
        """*message* has come from *sender*; ``None`` where it could not be told from another one."""
        said = fingerprint(message, sender)
        if not said:
            return None
        now = self._clock.seconds()
        self._forget_old(now - KNOWN_FOR)
        known = self._domains.pop(sender.domain, {})
        self._domains[sender.domain] = known
        key = said + sender.text
        earlier = known.pop(key, None)
        taken = known[key] = Taken(by, now)
        if earlier is None:
            self._count += 1
        elif earlier.by is not by and earlier.at > now - KNOWN_FOR:
            taken.earlier = earlier
        if len(known) > MOST_OF_ONE:
            self._forget_one(known)
        if self._count > MOST_OF_ALL:
            longest_ago, its = next(iter(self._domains.items()))
            self._forget_one(its)
            if not its:
                del self._domains[longest_ago]
        return taken

    def forget(self, domains: Iterable[str], by: Settled) -> None:
        """What came from *domains* by that stream is known to the peer to have arrived."""
        for domain in domains:
            known = self._domains.get(domain)
            if known is None:
                continue
            left = {key: taken for key, taken in known.items() if taken.by is not by}
            self._count -= len(known) - len(left)
            if left:
                self._domains[domain] = left
            else:
                del self._domains[domain]

    def _forget_one(self, known: dict[str, Taken]) -> None:
        del known[next(iter(known))]
        self._count -= 1

    def _forget_old(self, before: float) -> None:
        while self._domains:
            domain, known = next(iter(self._domains.items()))
            if next(reversed(known.values())).at > before:
                return
            self._count -= len(known)
            del self._domains[domain]
