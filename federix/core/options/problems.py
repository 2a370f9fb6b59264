"""What is wrong with a configuration, and where: for people, one line each."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written. Line and column count from 1; 0 means that there is none."""

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


NOWHERE = Place()


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to tell the operator. *path* names the setting: `modules.mod_ping.ping_interval`."""

    path: str
    why: str
    place: Place = NOWHERE

    def __str__(self) -> str:
        return ": ".join(part for part in (str(self.place), self.path, self.why) if part)


class ConfigError(Exception):
    """One setting is wrong; the server does not start with it, or keeps what it has on reload."""

    def __init__(self, path: str, why: str, place: Place = NOWHERE) -> None:
        self.problem = Problem(path, why, place)
        super().__init__(str(self.problem))


class ConfigErrors(Exception):
    """Everything that is wrong with a configuration, at once, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def joined(path: str, name: str) -> str:
    """The path of *name* inside *path*."""
    return f"{path}.{name}" if path else name


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint to append to a reason: ", did you mean 'x'?", or nothing when no known word is near."""
    near = difflib.get_close_matches(word[:100], sorted(known), n=1, cutoff=0.6)
    return f", did you mean {near[0]!r}?" if near else ""
