"""An executor whose work waits until the test lets it go on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from twisted.internet.defer import Deferred

P = ParamSpec("P")
T = TypeVar("T")


class HeldExecutor:
    def __init__(self) -> None:
        self.holds = False
        self.held: deque[Callable[[], None]] = deque()

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        answer: Deferred[T] = Deferred()

        def work() -> None:
            try:
                result = function(*args, **kwargs)
            except Exception:
                answer.errback()
            else:
                answer.callback(result)

        if self.holds:
            self.held.append(work)
        else:
            work()
        return answer

    def step(self) -> None:
        """Do the piece of work that has waited longest."""
        self.held.popleft()()

    def go_on(self) -> None:
        """Do all that waits, and hold nothing any more."""
        self.holds = False
        while self.held:
            self.step()
