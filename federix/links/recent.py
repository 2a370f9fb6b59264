"""What a peer sent lately, so that what it sends again, because it does not know that it has arrived, is known again.

A stream says each thing once. So it is only known again what comes by another stream than before, has an `id` or an
origin-id, and is in all that matters the same (`core.passage.identity`).

Every message passes here, so it costs little: it is known by one number, and forgotten with all of its age.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from twisted.internet.interfaces import IReactorTime

from ..core.passage import identity
from ..core.resending import Awaited
from ..core.settled import Settled
from ..xmpp.jid import JID
from ..xmpp.stanza import Message

#: Messages of one domain that are remembered at least, and half of what may be: as many as a peer like us leaves
#: unconfirmed; and those of all domains.
MOST_OF_ONE: Final = 1000
MOST_OF_ALL: Final = 16_384
#: Seconds for which they are at least, and a third of those for which they may be. By then a peer has noticed the loss
#: and sent again what it had, or has given up (we take three minutes for both); and whoever uses an id twice for the
#: same words later is heard.
KNOWN_FOR: Final = 300.0


class Taken(Awaited):
    """A message that came by the stream that *by* counts."""

    __slots__ = ("by", "delivered", "earlier")

    def __init__(self, by: Settled) -> None:
        super().__init__()
        self.by = by
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


class _Generations:
    """The messages of one domain, those that came since *began* (seconds on the clock) and those before, by a hash."""

    __slots__ = ("began", "new", "old")

    def __init__(self, now: float) -> None:
        self.new: dict[int, Taken] = {}
        self.old: dict[int, Taken] = {}
        self.began = now

    def __len__(self) -> int:
        return len(self.new) + len(self.old)


class Recent:
    """The messages that other servers sent lately: of each domain the newest, and of those that sent last."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        # The domain that sent last is the last one.
        self._domains: OrderedDict[str, _Generations] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def take(self, message: Message, sender: JID, by: Settled) -> Taken | None:
        """*message* has come from *sender*; ``None`` where it could not be told from another one."""
        said = identity(message, sender)
        if said is None:
            return None
        now = self._clock.seconds()
        domain = sender.domain
        known = self._domains.get(domain)
        if known is None:
            known = self._domains[domain] = _Generations(now)
        else:
            self._domains.move_to_end(domain)
        if now - known.began >= KNOWN_FOR or len(known.new) >= MOST_OF_ONE:
            self._grow_older(known, now)
        # Of 64 bits, with a key that nobody knows: two messages do not have the same one.
        key = hash((sender.text, said))
        earlier = known.new.get(key)
        if earlier is None:
            earlier = known.old.get(key)
            self._count += 1
        taken = known.new[key] = Taken(by)
        if earlier is not None and earlier.by is not by:
            taken.earlier = earlier
        if self._count > MOST_OF_ALL:
            _, longest_ago = self._domains.popitem(last=False)
            self._count -= len(longest_ago)
        return taken

    def forget(self, domains: Iterable[str], by: Settled) -> None:
        """What came from *domains* by that stream is known to the peer to have arrived."""
        for domain in domains:
            known = self._domains.get(domain)
            if known is None:
                continue
            self._count -= len(known)
            known.new, known.old = (
                {key: taken for key, taken in those.items() if taken.by is not by} for those in (known.new, known.old)
            )
            if known:
                self._count += len(known)
            else:
                del self._domains[domain]

    def _grow_older(self, known: _Generations, now: float) -> None:
        """What is new in *known* is old from now on, and what is old is forgotten; so are domains without anything."""
        self._count -= len(known)
        known.old = known.new if now - known.began < 2 * KNOWN_FOR else {}
        known.new = {}
        known.began = now
        self._count += len(known)
        while (longest_ago := next(iter(self._domains.values()))) is not known:
            if now - longest_ago.began < 2 * KNOWN_FOR:
                break
            self._domains.popitem(last=False)
            self._count -= len(longest_ago)
