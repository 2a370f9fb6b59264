"""What a run found, to be printed, drawn, and kept as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .figures import Figure, figure


@dataclass(frozen=True)
class Limit:
    """What we may cost at most, as times of what the cheapest of some others costs."""

    times: float
    of: Sequence[str]


@dataclass
class Result:
    """What several servers cost for the same work."""

    name: str
    title: str
    unit: str
    samples: dict[str, list[float]] = field(default_factory=dict)
    """Of each server one for each repetition, in *unit*."""
    failures: dict[str, str] = field(default_factory=dict)
    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    """For information, of each server's last repetition: round trips, TLS cipher, work done, and what was counted."""
    others: list[float] = field(default_factory=list)
    """Processors that were busy with something else, in each repetition."""
    limit: Limit | None = None

    def figures(self) -> dict[str, Figure]:
        return {name: figure(samples) for name, samples in self.samples.items() if name not in self.failures}


@dataclass
class Bound:
    """Something of Federix alone, with what it may be at most; without a *limit* it is for information."""

    name: str
    title: str
    unit: str
    samples: list[float] = field(default_factory=list)
    """One for each repetition; the least counts."""
    limit: float | None = None
    failure: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def figure(self) -> Figure | None:
        return figure(self.samples) if self.samples and self.failure is None else None

    @property
    def verdict(self) -> str:
        """Whether it keeps to its limit, for people."""
        if self.figure is None:
            return "FAILED"
        if self.limit is None:
            return ""
        return "kept" if self.figure.cost <= self.limit else "MISSED"


@dataclass
class Report:
    """A whole run."""

    servers: dict[str, str]
    """Names and versions."""
    machine: str
    notes: list[str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    bounds: list[Bound] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    """Processors that were busy with something else while the bounds were measured."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Report:
        """What `to_json` made. Raises TypeError or KeyError for something else."""
        results = [_result(result) for result in found["results"]]
        bounds = [Bound(**bound) for bound in found["bounds"]]
        return cls(found["servers"], found["machine"], found["notes"], results, bounds, found["others"])

    @property
    def failed(self) -> bool:
        return any(result.failures for result in self.results) or any(bound.failure for bound in self.bounds)


def _result(found: dict[str, Any]) -> Result:
    limit = found.get("limit")  # figures that were kept may be older than limits
    return Result(**{**found, "limit": limit and Limit(**limit)})
