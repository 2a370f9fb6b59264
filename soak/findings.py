"""What went wrong, and what was done: both are counted, and the first of the former are kept in words."""

from __future__ import annotations

from collections import Counter
from typing import Final

#: Problems that are told in full.
MOST_TOLD: Final = 100
#: Characters of one of them.
MOST_SHOWN: Final = 600


class Findings:
    """The run's own log."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.count = 0
        #: How often each thing was done.
        self.done: Counter[str] = Counter()

    def problem(self, text: str) -> None:
        self.count += 1
        if len(self.problems) < MOST_TOLD:
            self.problems.append(text[:MOST_SHOWN])
            print(f"PROBLEM: {text[:MOST_SHOWN]}", flush=True)
