"""What people do all day, done with the clients they use: each over STARTTLS and over direct TLS."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from .client import Client
from .conftest import Account, Stage, Tls

LINES = ("But soft, what <light> & 'shadow' through yonder window breaks?", "It is the east — ☀ 🌹")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two users of the same client who have never met."""

    romeo: Account
    juliet: Account
    romeos: Client
    juliets: Client


def _cases(*kinds: str) -> list[object]:
    return [pytest.param((kind, tls), id=f"{kind}-{tls}") for kind in kinds for tls in ("starttls", "direct")]


@pytest.fixture(scope="module")
def pair(request: pytest.FixtureRequest, stage: Stage) -> Iterator[Pair]:
    kind: str
    tls: Tls
    kind, tls = request.param
    romeo, juliet = stage.account("romeo"), stage.account("juliet")
    romeos, juliets = stage.enter(kind, romeo, tls), stage.enter(kind, juliet, tls)
    yield Pair(romeo, juliet, romeos, juliets)
    romeos.kill()
    juliets.kill()


@pytest.mark.parametrize(
    "pair", _cases("slixmpp", "aioxmpp", "xmppjs", "profanity", "go_sendxmpp"), indirect=True, scope="module"
)
def test_messages_arrive_in_both_directions_and_in_order(pair: Pair) -> None:
    for line in LINES:
        pair.romeos.do("message", to=pair.juliet.jid, body=line)
    assert [pair.juliets.expect("message", sender=pair.romeo.jid)["body"] for _ in LINES] == list(LINES)
    for line in LINES:
        pair.juliets.do("message", to=pair.romeo.jid, body=line)
    assert [pair.romeos.expect("message", sender=pair.juliet.jid)["body"] for _ in LINES] == list(LINES)


@pytest.mark.parametrize("pair", _cases("slixmpp"), indirect=True, scope="module")
def test_what_was_said_can_be_read_in_the_archive_page_by_page(pair: Pair) -> None:
    lines = [f"{line} (for the archive)" for line in LINES]
    for line in lines:
        pair.romeos.do("message", to=pair.juliet.jid, body=line)
        pair.juliets.expect("message", sender=pair.romeo.jid, body=line)
    for reads, contact in ((pair.juliets, pair.romeo.jid), (pair.romeos, pair.juliet.jid)):
        reads.do("history", contact=contact)
        found = [reads.expect("archived") for _ in lines]
        assert [message["body"] for message in found] == lines[::-1]
        assert len({message["id"] for message in found}) == len(lines)


@pytest.mark.parametrize("pair", _cases("slixmpp", "aioxmpp", "xmppjs", "profanity"), indirect=True, scope="module")
def test_a_change_of_the_roster_comes_back_as_a_push(pair: Pair) -> None:
    pair.romeos.do("roster", contact="nurse@localhost", name="Angelica", group="Capulets")
    pair.romeos.expect("roster", contact="nurse@localhost", name="Angelica", group="Capulets")


@pytest.mark.parametrize("pair", _cases("slixmpp", "aioxmpp", "xmppjs", "profanity"), indirect=True, scope="module")
def test_a_subscription_that_is_approved_brings_presence(pair: Pair) -> None:
    pair.romeos.do("subscribe", to=pair.juliet.jid)
    pair.juliets.expect("subscribe", sender=pair.romeo.jid)
    pair.juliets.do("approve", to=pair.romeo.jid)
    pair.romeos.expect("subscribed", sender=pair.juliet.jid)
    pair.romeos.expect("available", sender=pair.juliets.jid)
    pair.juliets.quit()
    pair.romeos.expect("unavailable", sender=pair.juliets.jid)
