"""Federix and Prosody: everything two people do, in each way for the two servers to know each other.

Every case has a pair of domains for itself at addresses for itself, so its connections are its own.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .components import answers_from_a_component
from .conversations import Conversations
from .federation import GOOD, REFUSED, Case, Federation, Meeting, federation, meeting
from .refusals import refused_both_ways

MEETINGS = [Case(kind, first, bidi) for kind in GOOD for bidi in (False, True) for first in ("ours", "theirs")]
REFUSALS = [Case(kind, "ours", bidi) for kind in REFUSED for bidi in (False, True)]


@pytest.fixture(scope="module", name="federation")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with federation(tmp_path_factory.mktemp("prosody"), "prosody", [*MEETINGS, *REFUSALS]) as running:
        yield running


@pytest.fixture(scope="module", params=MEETINGS, ids=str)
def met(request: pytest.FixtureRequest, federation: Federation) -> Iterator[Meeting]:
    with meeting(federation, request.param) as found:
        yield found


class TestConversationsWithProsody(Conversations):
    """All of them, in each case."""


def test_a_component_answers_somebody_of_the_peer(federation: Federation, tmp_path: Path) -> None:
    answers_from_a_component(federation, MEETINGS[0], tmp_path / "component.log")


@pytest.mark.parametrize("case", REFUSALS, ids=str)
def test_who_is_not_to_be_trusted_is_refused_and_people_are_told(federation: Federation, case: Case) -> None:
    refused_both_ways(federation.pairs[case])
