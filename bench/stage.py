"""What a scenario needs: one server of each make, or servers that federate, and the network they do it in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from .archived import ARCHIVING
from .federated import MEMBERS, couple, network, single
from .on_postgres import ON_POSTGRES
from .scenarios import Scenario
from .server import BenchServer, Subject
from .servers import MANAGING

#: The stages on which there is one server of a make, and not of every make.
_SOME: Final[Mapping[str, Mapping[str, type[BenchServer]]]] = {
    "archive": ARCHIVING,
    "postgres": ON_POSTGRES,
    "managed": MANAGING,
}


@contextmanager
def stage(
    scenario: Scenario, kinds: Sequence[type[BenchServer]], folder: Path, pem: Path, users: int, notes: list[str]
) -> Iterator[Sequence[Subject]]:
    """The servers, not yet started; what cannot take part here is told in *notes*.

    Raises `ServerFailed` where there can be no network.
    """
    if scenario.stage == "one":
        yield [kind(folder / kind.name, pem, users) for kind in kinds]
        return
    if scenario.stage in _SOME:
        able = _SOME[scenario.stage]
        yield [kind(folder / kind.name, pem, users) for kind in _taking_part(scenario, kinds, able, notes)]
        return
    members = _taking_part(scenario, kinds, MEMBERS, notes)
    make = couple if scenario.stage == "two" else single
    with network(folder / "network") as joined:
        yield [make(member, folder, users, joined) for member in members]


K = TypeVar("K", bound=BenchServer)


def _taking_part(
    scenario: Scenario, kinds: Sequence[type[BenchServer]], able: Mapping[str, type[K]], notes: list[str]
) -> list[type[K]]:
    """Those among *able* that are wanted and can be run here."""
    found = []
    for member in (able[kind.name] for kind in kinds if kind.name in able):
        problem = member.missing()
        if problem is None:
            found.append(member)
        elif (note := f"{member.name} has no part in {scenario.name}: {problem}") not in notes:
            notes.append(note)
    return found
