"""Which jobs of a batch consist of statements alone, so that a back end may send many of them in one piece."""

from __future__ import annotations

from typing import Any

from ..lane import Job
from .database import Change, Changes, Insertion


def is_plain(work: object) -> bool:
    """Whether *work* consists of statements alone."""
    return isinstance(work, Change | Insertion | Changes)


def sorted_out(batch: list[Job[Any]]) -> tuple[list[Job[Any]], list[Job[Any]]]:
    """The plain jobs, and the rest, which come behind them; what is for one owner keeps its order."""
    plain: list[Job[Any]] = []
    rest: list[Job[Any]] = []
    behind: set[str] = set()
    for job in batch:
        if is_plain(job.work) and behind.isdisjoint(job.owners):
            plain.append(job)
        else:
            rest.append(job)
            behind.update(job.owners)
    return plain, rest
