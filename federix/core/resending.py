"""Which messages a client sends again since it does not know whether they arrived, and which only look like it.

A message that comes again must not be kept twice, and one that says the same once more must not be lost. An origin-id
(XEP-0359) tells them apart. A plain `id` does not: some clients count, and begin anew with each stream. So by its `id`
a message is known again only where

- its client manages its stream (XEP-0198): no other learns what has arrived. Of the others it is known only what a
  server before this one has kept, and soon after the start: that is delivered again, so nothing is lost;
- the stream before was not closed as it should be, or resumed when all was settled: then the client knew;
- it comes soon after its stream has begun, and the first came over another.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred

from ..life.scope import Scope
from ..xmpp.jid import JID

if TYPE_CHECKING:
    from .intake import Intake

#: Of so many addresses it is remembered when they closed a stream; of the oldest it is forgotten.
MOST_CLOSED: Final = 10_000
#: What an account has sent before a stream began is kept as it is while it is no more; of more it takes a tenth.
FEW_KNOWN: Final = 256
#: Seconds that a message which is sent again waits for what becomes of itself; past them it goes on, perhaps twice.
PATIENCE: Final = 60.0


def known_before(on_their_way: Iterable[str], sent_before: Mapping[str, int]) -> dict[str, int | None]:
    """By what messages are known that may come again, each with its id in the archive once it has one."""
    if len(sent_before) > FEW_KNOWN:
        return _Many(on_their_way, sent_before)
    return {**dict.fromkeys(on_their_way), **sent_before}


class _Many(dict[str, int | None]):
    """Of the many that are in the archive it has the hashes and ids alone."""

    __slots__ = ("_hashes", "_ids")

    def __init__(self, on_their_way: Iterable[str], sent_before: Mapping[str, int]) -> None:
        super().__init__(dict.fromkeys(said for said in on_their_way if said not in sent_before))
        found = sorted((hash(said), id) for said, id in sent_before.items())
        self._hashes = array("q", [each for each, _ in found])
        self._ids = array("q", [id for _, id in found])

    def __contains__(self, said: object) -> bool:
        return super().__contains__(said) or self._find(said) is not None

    def __missing__(self, said: str) -> int:
        id = self._find(said)
        if id is None:
            raise KeyError(said)
        return id

    def _find(self, said: object) -> int | None:
        at = bisect_left(self._hashes, hash(said))
        return self._ids[at] if at < len(self._hashes) and self._hashes[at] == hash(said) else None


class Awaited:
    """A message whose end others wait for."""

    __slots__ = ("_waiting", "over")

    def __init__(self) -> None:
        #: Whether nothing more will become of it.
        self.over = False
        self._waiting: list[Deferred[None]] | None = None

    def end(self) -> None:
        """It is settled, whatever became of it."""
        self.over = True
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            for each in waiting:
                if not each.called:
                    each.callback(None)

    async def ended(self, scope: Scope) -> None:
        """Wait until it is settled, or until that is given up."""
        if self.over:
            return
        waiting: Deferred[None] = Deferred()
        if self._waiting is None:
            self._waiting = []
        self._waiting.append(waiting)
        timer = scope.later(PATIENCE, lambda: None if waiting.called else waiting.callback(None))
        try:
            await waiting
        finally:
            timer.cancel()


class OnItsWay(Awaited):
    """A message that is to be archived, and is not yet; *intake* is that of the session that sent it.

    *course* tells over which of that session's streams it came.
    """

    __slots__ = ("_course", "_intake")

    def __init__(self, intake: Intake, course: int) -> None:
        super().__init__()
        self._intake = intake
        self._course = course

    def came_over(self, intake: Intake, course: int) -> bool:
        """Whether it came over that stream of *intake*: what comes there as well is another."""
        return self._intake is intake and self._course == course


class Resending:
    """What one host knows of its accounts."""

    def __init__(self) -> None:
        #: By the local part of the account, and by what the message is known by.
        self._on_their_way: dict[str, dict[str, OnItsWay]] = {}
        self._closed: OrderedDict[JID, int] = OrderedDict()

    def on_their_way(self, local: str, intake: Intake, course: int) -> Collection[str]:
        """What messages of an account are known by that are on their way from other streams than that of *intake*."""
        mine = self._on_their_way.get(local, {})
        return [said for said, on_its_way in mine.items() if not on_its_way.came_over(intake, course)]

    def find(self, local: str, said: str) -> OnItsWay | None:
        mine = self._on_their_way.get(local)
        return None if mine is None else mine.get(said)

    def begin(self, local: str, said: str, message: OnItsWay) -> bool:
        """A *message* of an account is to be archived; false where one is on its way that is known by the same."""
        mine = self._on_their_way.get(local)
        if mine is None:
            mine = self._on_their_way[local] = {}
        elif said in mine:
            return False
        mine[said] = message
        return True

    def end(self, local: str, said: str) -> None:
        """It is, or will not be."""
        mine = self._on_their_way[local]
        settled = mine.pop(said)
        if not mine:
            del self._on_their_way[local]
        settled.end()

    def closed(self, session: JID, id: int) -> None:
        """A client has closed its stream: it knows of all it has sent, up to that archive id."""
        self._closed[session] = id
        self._closed.move_to_end(session)
        if len(self._closed) > MOST_CLOSED:
            self._closed.popitem(last=False)

    def known_to(self, session: JID) -> int:
        """Up to which archive id a client knows what has arrived of what it sent over earlier streams."""
        return self._closed.get(session, 0)
