"""Everything that is tried with each peer: conversations, a component of ours, and whom neither server may trust."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from .components import answers_from_a_component
from .conversations import Conversations
from .federation import Case, Federation, Meeting, federation, meeting
from .refusals import refused_both_ways


class WithPeer(Conversations):
    """Inherit this, and say who the peer is, and in which cases they are to meet and to refuse each other."""

    peer: ClassVar[str]
    meetings: ClassVar[Sequence[Case]]
    refusals: ClassVar[Sequence[Case]]

    @classmethod
    def pytest_generate_tests(cls, metafunc: pytest.Metafunc) -> None:
        if "met" in metafunc.fixturenames:
            metafunc.parametrize("met", cls.meetings, indirect=True, ids=str)
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", cls.refusals, ids=str)

    @pytest.fixture(scope="class", name="federation")
    @classmethod
    def both(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
        with federation(tmp_path_factory.mktemp(cls.peer), cls.peer, [*cls.meetings, *cls.refusals]) as running:
            yield running

    @pytest.fixture(scope="class")
    @classmethod
    def met(cls, request: pytest.FixtureRequest, federation: Federation) -> Iterator[Meeting]:
        with meeting(federation, request.param) as found:
            yield found

    def test_a_component_answers_somebody_of_the_peer(self, federation: Federation, tmp_path: Path) -> None:
        answers_from_a_component(federation, self.meetings[0], tmp_path / "component.log")

    def test_who_is_not_to_be_trusted_is_refused_and_people_are_told(self, federation: Federation, case: Case) -> None:
        refused_both_ways(federation.pairs[case])
