"""Writes that follow each other, some part of which is only done where none before it failed.

A writer does not wait for one before it submits the next. What it says in the next about those before it is wrong where
one of them fails, and it may learn that too late to say something else.
"""

from __future__ import annotations


class Chain:
    """The writes of one writer, in the order in which they are submitted and done."""

    __slots__ = ("_last", "known", "number", "troubled")

    def __init__(self) -> None:
        #: How many there were.
        self.number = 0
        #: How many have failed that the writer knows of.
        self.known = 0
        #: Whether any has ever failed. As long as none has, none needs to look at those before it.
        self.troubled = False
        self._last: Link | None = None

    def next(self) -> Link:
        """For the write that is submitted now."""
        self.number += 1
        self._last = link = Link(self, self._last)
        return link

    def withdraw(self, link: Link, before: Link | None) -> None:
        """*link* was not even submitted: the last one is that *before* it."""
        if self._last is link:
            self._last = before


class Link:
    """One write. Whoever does it says whether it failed (`fail`), before the next one is tried."""

    __slots__ = ("_before", "_failures", "_held", "_known", "chain", "failed", "number")

    def __init__(self, chain: Chain, before: Link | None) -> None:
        self.chain = chain
        # The write before it, as long as that, or this, may be tried again.
        self._before = before
        #: Those with a higher one are done later.
        self.number = chain.number
        self.failed = False
        # How many before it failed, and how many of them its writer knew of.
        self._failures = 0
        self._known = chain.known
        self._held = False

    def fail(self, failed: bool = True) -> None:
        """It has failed, or is tried again and has not yet."""
        self.failed = failed
        if failed:
            self.chain.troubled = True

    def holds(self) -> bool:
        """Whether its writer knew of all that failed before it. To be asked each time that it is tried."""
        self._held = not self.chain.troubled or self._count() <= self._known
        return self._held

    def end(self) -> bool:
        """It was done, and its writer knows: whether it held when it was."""
        if self.chain.troubled:
            self._count()
        self._before = None
        return self._held

    def lose(self) -> None:
        """It was not done, and its writer knows."""
        if self.failed:
            self.end()
            self.chain.known += 1
        else:
            self.chain.withdraw(self, self._before)

    def _count(self) -> int:
        # Anew for all that are not over: with their batch they may fail after they were tried, or without being tried.
        failures, link = 0, self
        while (before := link._before) is not None:
            failures += before.failed
            link = before
        self._failures = link._failures + failures
        return self._failures
