"""What becomes of messages when the other server, the network or the DNS fails in the middle of a conversation.

With a peer that has stream management (XEP-0198) what it did not acknowledge is sent again, in order. With one that has
not, what nobody can know to have arrived comes back to its sender. In no case does anything vanish.
"""

import json
import time
from collections.abc import Iterator

import pytest

from .cable import Cable
from .domains import SERVER_PORT
from .federation import Case, Federation, Meeting, federation, meeting
from .sockets import connections
from .talker import Talker

CASES = {
    "prosody": [Case("certificates", "ours"), Case("certificates", "ours", bidi=True), Case("dialback", "theirs")],
    "prosody-sm": [Case("certificates", "ours"), Case("certificates", "theirs", bidi=True)],
    "ejabberd": [Case("certificates", "ours")],
}


def _cases(most: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("federation", "case"),
        [pytest.param(peer, case, id=f"{peer}-{case}") for peer, cases in CASES.items() for case in cases[:most]],
        indirect=["federation"],
        scope="module",
    )


in_each_case, with_each_peer = _cases(3), _cases(1)
COUNT = 10
#: Seconds until everything must have arrived, or come back.
SETTLED = 20.0


@pytest.fixture(scope="module", name="federation")
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    folder = tmp_path_factory.mktemp(request.param)
    with federation(folder, request.param, CASES[request.param], cabled=True) as running:
        yield running


@pytest.fixture
def met(federation: Federation, case: Case) -> Iterator[Meeting]:
    with meeting(federation, case) as found:
        yield found


@in_each_case
def test_what_is_said_while_the_peer_is_dead_arrives_when_it_lives_or_comes_back(
    federation: Federation, met: Meeting
) -> None:
    romeo, peer = met.romeo, met.juliet.name
    _said(romeo, peer, "before")
    met.juliet.expect(f"<message><body>before {COUNT - 1}</body></message>")
    # So long that all of it is confirmed: the peer shall not die with something that nobody knows the fate of.
    time.sleep(1)
    federation.theirs.kill()
    _said(romeo, peer, "away")
    for cable in federation.cables:
        cable.cut()
    federation.theirs.start()
    with Talker(met.pair.theirs) as juliet:
        # She is there before anything can be: ejabberd may forget, until she comes again, what comes with her.
        for cable in federation.cables:
            cable.mend()
        _said(romeo, peer, "after")
        arrived, returned = _accounted(romeo, juliet, ("away", "after"))
    assert arrived, "nothing came through to the peer that lives again"
    assert not set(arrived) & returned, "what came back had arrived"


@in_each_case
def test_what_a_silent_network_swallowed_is_sent_again_or_comes_back(federation: Federation, met: Meeting) -> None:
    romeo, juliet = met.romeo, met.juliet
    counts = "prosody-sm" in met.pair.theirs.name
    romeo.say(juliet.jid, "Art thou there?")
    juliet.expect("<message><body>Art thou there?</body></message>")
    _until_counting(federation, met, counts)
    for cable in federation.cables:
        cable.cut()
    _said(romeo, juliet.name, "swallowed")
    time.sleep(0.5)
    # Whoever was in the middle has forgotten all connections, and says so to who still uses them.
    for cable in federation.cables:
        cable.mend()
    _said(romeo, juliet.name, "later")
    arrived, returned = _accounted(romeo, juliet, ("swallowed", "later"))
    if counts:
        assert not returned
    else:
        assert not [text for text in arrived if text.startswith("swallowed")]
    _gets_through(romeo, juliet)
    _gets_through(juliet, romeo)


@with_each_peer
def test_the_conversation_goes_on_when_federix_was_killed(federation: Federation, met: Meeting) -> None:
    federation.ours.kill()
    federation.ours.start()
    with Talker(met.pair.ours) as romeo:
        romeo.say(met.juliet.jid, "I live")
        met.juliet.expect(f"<message from='{romeo.jid}'><body>I live</body></message>")
        _gets_through(met.juliet, romeo)


@with_each_peer
def test_a_peer_that_moved_is_found_where_dns_says_it_is_now(federation: Federation, met: Meeting) -> None:
    theirs = met.pair.theirs
    elsewhere = federation.zone.new_address()
    with Cable(elsewhere, SERVER_PORT, theirs.address):
        theirs.publish(federation.zone, elsewhere)
        for cable in federation.cables:
            # All old connections end, and where it was nobody answers.
            cable.cut()
            if cable.to == theirs.address:
                cable.refuse()
            cable.mend()
        _said(met.romeo, met.juliet.name, "moved")
        arrived, _ = _accounted(met.romeo, met.juliet, ("moved",))
        if arrived[-1:] != [f"moved {COUNT - 1}"]:
            met.romeo.say(met.juliet.jid, "moved at last")
            met.juliet.expect("<message><body>moved at last</body></message>")
        assert connections({elsewhere}), "nothing goes to the new address"


def _until_counting(federation: Federation, met: Meeting, counts: bool) -> None:
    """Wait until both count what goes over their streams (XEP-0198), which they agree on when these are open."""
    deadline = time.monotonic() + SETTLED
    while {row["sm"] for row in json.loads(federation.ours.ask("s2s", domain=met.pair.theirs.name))} != {counts}:
        assert time.monotonic() < deadline, "they do not come to an agreement about stream management"
        time.sleep(0.05)


def _said(speaker: Talker, to: str, what: str) -> None:
    """Say `COUNT` things, each with itself as its id."""
    for number in range(COUNT):
        text = f"{what} {number}"
        speaker.send(f"<message type='chat' to='{to}' id='{text}'><body>{text}</body></message>")


def _gets_through(speaker: Talker, hearer: Talker) -> None:
    """Repeat something until it is heard: what a peer writes to a dead connection it may lose, and then it waits."""
    deadline = time.monotonic() + SETTLED
    while not hearer.has_heard(f"<message type='chat' from='{speaker.jid}'/>"):
        assert time.monotonic() < deadline, f"{speaker.name} does not get through"
        speaker.say(hearer.jid, "Dost thou hear?")
        time.sleep(0.5)


def _accounted(speaker: Talker, hearer: Talker, what: tuple[str, ...]) -> tuple[list[str], set[str]]:
    """Wait until all of it arrived or came back; what arrived, in its order and each once, and what came back."""
    missing = [f"{word} {number}" for word in what for number in range(COUNT)]
    order = list(missing)
    arrived: list[str] = []
    returned: set[str] = set()
    deadline = time.monotonic() + SETTLED
    while missing:
        arrived += [body for body in hearer.bodies(speaker.name) if body in order]
        returned |= set(speaker.bounced(hearer.name)) & set(order)
        missing = [text for text in missing if text not in arrived and text not in returned]
        assert time.monotonic() < deadline, f"neither arrived nor came back: {missing}; {arrived=} {returned=}"
        time.sleep(0.05)
    assert arrived == [text for text in order if text in arrived], f"out of order, or twice: {arrived}"
    return arrived, returned
