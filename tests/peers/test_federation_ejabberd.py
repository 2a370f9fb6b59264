"""Federix and ejabberd: everything two people do, in each way for the two servers to know each other.

ejabberd 23.01 has no bidi (it came with 24.10), so there is a connection for each direction.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .components import answers_from_a_component
from .conversations import Conversations
from .federation import GOOD, REFUSED, Case, Federation, Meeting, federation, meeting
from .refusals import refused_both_ways

MEETINGS = [Case(kind, first) for kind in (*GOOD, "servers-only") for first in ("ours", "theirs")]
REFUSALS = [Case(kind, "ours") for kind in REFUSED]


@pytest.fixture(scope="module", name="federation")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with federation(tmp_path_factory.mktemp("ejabberd"), "ejabberd", [*MEETINGS, *REFUSALS]) as running:
        yield running


@pytest.fixture(scope="module", params=MEETINGS, ids=str)
def met(request: pytest.FixtureRequest, federation: Federation) -> Iterator[Meeting]:
    with meeting(federation, request.param) as found:
        yield found


class TestConversationsWithEjabberd(Conversations):
    """All of them, in each case."""


def test_a_component_answers_somebody_of_the_peer(federation: Federation, tmp_path: Path) -> None:
    answers_from_a_component(federation, MEETINGS[0], tmp_path / "component.log")


@pytest.mark.parametrize("case", REFUSALS, ids=str)
def test_who_is_not_to_be_trusted_is_refused_and_people_are_told(federation: Federation, case: Case) -> None:
    refused_both_ways(federation.pairs[case])
