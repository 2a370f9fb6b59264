"""Federix and Prosody that find each other by AAAA records alone, and speak over ::1."""

import json
from collections.abc import Iterator

import pytest

from .domains import LOOPBACK_6
from .federation import Case, Federation, federation, meeting

CASES = [
    Case(kind, first, bidi)
    for kind in ("certificates", "dialback")
    for bidi in (False, True)
    for first in ("ours", "theirs")
]


@pytest.fixture(scope="module", name="federation")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with federation(tmp_path_factory.mktemp("prosody"), "prosody", CASES, ipv6=True) as running:
        yield running


@pytest.mark.parametrize("case", CASES, ids=str)
def test_they_meet_over_ipv6(federation: Federation, case: Case) -> None:
    with meeting(federation, case) as met:
        met.romeo.say(met.juliet.jid, "Is it thou?")
        met.juliet.expect(f"<message from='{met.romeo.jid}'><body>Is it thou?</body></message>")
        met.juliet.say(met.romeo.jid, "It is I")
        met.romeo.expect(f"<message from='{met.juliet.jid}'><body>It is I</body></message>")
        rows = json.loads(federation.ours.ask("s2s", domain=met.pair.theirs.name))
        assert {row["peer"] for row in rows} == {LOOPBACK_6}, rows
        proof = "dialback" if case.kind == "dialback" else "certificate"
        assert {row["proof"] for row in rows} == {proof}, rows
        steps = json.loads(federation.ours.ask("why_s2s", domain=met.pair.theirs.name, host=met.pair.ours.name))
        assert f"connecting to {LOOPBACK_6} port {met.pair.theirs.ipv6_port}" in steps, steps
        assert steps[-1] == "All is well", steps
