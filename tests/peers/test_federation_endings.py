"""What ends streams that nobody has closed: a certificate that runs out, and a network that is silent for good.

Both take their time, so each is tried once, with Prosody.
"""

import datetime
import json
import time
from pathlib import Path
from typing import Final

import pytest

from federix.links.s2s.confirm import ANSWER_TIMEOUT, ASK_IN
from federix.server.ctl.asking import Refused

from .federation import Case, Pair, federation, meeting
from .refusals import refused_both_ways
from .sockets import settled
from .talker import Talker

CASE: Final = Case("certificates", "ours")
#: How long the certificate of the peer is good. It has to start and to be met within.
LIFETIME: Final = datetime.timedelta(seconds=15)
#: Seconds beyond which nothing may take longer than it has to.
GRACE: Final = 15.0


def test_streams_end_with_the_certificate_of_the_peer_and_no_others_follow(tmp_path: Path) -> None:
    with federation(tmp_path, "prosody", [CASE]) as running:
        pair = running.pairs[CASE]
        running.theirs.kill()
        running.issuer.issue(pair.theirs.name, pair.theirs.rooms, lifetime=LIFETIME)
        end = time.time() + LIFETIME.total_seconds()
        running.theirs.start()
        with meeting(running, CASE) as met:
            # One that we have opened, and one that the peer has: both proved by that certificate.
            rows = json.loads(running.ours.ask("s2s", domain=pair.theirs.name))
            assert {row["proof"] for row in rows} == {"certificate"}, rows
            settled(_addresses(pair), lambda found: len(found) == 2)
            time.sleep(max(end - time.time(), 0.0))
            settled(_addresses(pair), lambda found: not found, GRACE)
            # Nobody had anything under way.
            assert not met.romeo.bounced(pair.theirs.jid)
            assert not met.juliet.bounced(pair.ours.jid)
        refused_both_ways(pair)
        (row,) = json.loads(running.ours.ask("s2s", domain=pair.theirs.name))
        assert "expired on" in row["last error"], row
        with pytest.raises(Refused, match="It cannot be reached: its certificate: it expired on"):
            running.ours.ask("why_s2s", domain=pair.theirs.name, host=pair.ours.name)


def test_what_a_network_swallowed_that_stays_silent_comes_back_when_it_is_given_up(tmp_path: Path) -> None:
    with federation(tmp_path, "prosody", [CASE], cabled=True) as running:
        pair = running.pairs[CASE]
        with meeting(running, CASE) as met:
            # So long that the peer has said that it has what came before.
            time.sleep(2 * ASK_IN + 1.0)
            for cable in running.cables:
                cable.cut()
            begun = time.monotonic()
            _say(met.romeo, pair.theirs.jid, "swallowed")
            met.romeo.expect(_returned(pair, "swallowed"), ANSWER_TIMEOUT + GRACE)
            assert time.monotonic() - begun >= ANSWER_TIMEOUT
            assert not met.romeo.has_heard(_returned(pair, "swallowed")), "it came back twice"
        for cable in running.cables:
            cable.mend()
        with Talker(pair.ours) as romeo, Talker(pair.theirs) as juliet:
            assert "swallowed" not in juliet.bodies(pair.ours.jid)
            deadline = time.monotonic() + GRACE
            while not juliet.has_heard(f"<message from='{romeo.jid}'/>"):
                assert time.monotonic() < deadline, "nothing gets through though the network is there again"
                romeo.say(juliet.jid, "Dost thou hear?")
                time.sleep(0.5)


def _say(speaker: Talker, to: str, text: str) -> None:
    speaker.send(f"<message type='chat' to='{to}' id='{text}'><body>{text}</body></message>")


def _returned(pair: Pair, id: str) -> str:
    error = "<error><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    return f"<message type='error' id='{id}' from='{pair.theirs.jid}'>{error}</message>"


def _addresses(pair: Pair) -> set[str]:
    return {pair.ours.address, pair.theirs.address}
