"""A real client that manages its stream (XEP-0198), on a network that fails."""

import itertools
import time
from collections.abc import Callable, Iterator

import pytest

from .cable import Cable
from .client import Client
from .conftest import Stage, StartServer
from .federix_server import FederixServer
from .server import Server

StageFor = Callable[[Server], Stage]

#: Where the cable begins whose other end is the server's address.
ELSEWHERE = "127.0.0.9"
OPTIONS = {"mod_stream_mgmt": {"ack_timeout": 2, "resume_timeout": 60}}
#: The time for the answer to a ping is longer than these tests wait: it is not what counts here.
PINGS = {"send_pings": True, "ping_interval": 1, "ping_ack_timeout": 300, "timeout_action": "kill"}
WORDS = [f"word {number}" for number in range(30)]


@pytest.fixture
def server(start_server: StartServer) -> Server:
    return start_server(OPTIONS)


@pytest.fixture
def cable(server: Server) -> Iterator[Cable]:
    with Cable(ELSEWHERE, server.starttls_port, "127.0.0.1") as cable:
        yield cable


class Lovers:
    """Romeo at the end of a cable, if not elsewhere, and Juliet beside the server."""

    def __init__(self, stage: Stage, address: str = ELSEWHERE) -> None:
        romeo, juliet = stage.account("romeo"), stage.account("juliet")
        self.romeo = stage.enter("slixmpp_managed", romeo, "starttls", address=address)
        self.romeo.expect("managed")
        self.juliet = stage.enter("slixmpp", juliet, "direct")

    def say(self, who: Client, to: Client, words: list[str]) -> None:
        for word in words:
            who.do("message", to=to.jid, body=word)


def wait_until_asleep(server: Server) -> None:
    """Wait until the server has noticed that nobody is at the other end."""
    assert isinstance(server, FederixServer)
    deadline = time.monotonic() + 30
    while "client session waits to be resumed" not in server.log_tail():
        assert time.monotonic() < deadline, server.log_tail()
        time.sleep(0.1)


def wait_until_asked_in_silence(who: Client) -> None:
    """Wait until it is asked again for what it has acknowledged: it was sent nothing, and is asked for its silence."""
    answers = (who.expect("asked")["h"] for _ in range(10))
    assert any(before == now for before, now in itertools.pairwise(answers))


def heard(who: Client, count: int) -> list[object]:
    """What it heard, in its order: *any* message is taken, whichever comes first."""
    return [who.expect("message")["body"] for _ in range(count)]


def test_nothing_is_lost_when_a_cable_is_cut_without_a_word(server: Server, cable: Cable, stage_for: StageFor) -> None:
    lovers = Lovers(stage_for(server))
    lovers.say(lovers.juliet, lovers.romeo, WORDS[:5])
    assert heard(lovers.romeo, 5) == WORDS[:5]

    cable.cut()
    lovers.say(lovers.juliet, lovers.romeo, WORDS[5:20])
    lovers.say(lovers.romeo, lovers.juliet, WORDS[:10])
    # Behind these the server has seen that nobody acknowledges, and has closed the connection.
    wait_until_asleep(server)
    lovers.say(lovers.juliet, lovers.romeo, WORDS[20:])
    cable.mend()

    lovers.romeo.expect("resumed")
    assert heard(lovers.romeo, 25) == WORDS[5:]
    assert heard(lovers.juliet, 10) == WORDS[:10]


def test_a_session_is_resumed_while_the_server_believes_in_the_old_connection(
    server: Server, cable: Cable, stage_for: StageFor
) -> None:
    lovers = Lovers(stage_for(server))
    cable.cut()
    lovers.say(lovers.juliet, lovers.romeo, WORDS)
    cable.mend()

    lovers.romeo.expect("resumed")
    assert heard(lovers.romeo, len(WORDS)) == WORDS
    lovers.say(lovers.romeo, lovers.juliet, ["here I am"])
    assert heard(lovers.juliet, 1) == ["here I am"]


def test_a_client_that_stands_still_gets_all_when_it_goes_on(server: Server, cable: Cable, stage_for: StageFor) -> None:
    lovers = Lovers(stage_for(server))
    lovers.romeo.freeze()
    lovers.say(lovers.juliet, lovers.romeo, WORDS[:20])
    wait_until_asleep(server)
    lovers.say(lovers.juliet, lovers.romeo, WORDS[20:])
    lovers.romeo.thaw()

    lovers.romeo.expect("resumed")
    assert heard(lovers.romeo, len(WORDS)) == WORDS


def test_a_silent_client_that_mod_ping_puts_to_sleep_gets_all_when_it_goes_on(
    start_server: StartServer, stage_for: StageFor
) -> None:
    server = start_server({**OPTIONS, "mod_ping": PINGS})
    lovers = Lovers(stage_for(server), address="127.0.0.1")
    wait_until_asked_in_silence(lovers.romeo)

    lovers.romeo.freeze()
    wait_until_asleep(server)
    lovers.say(lovers.juliet, lovers.romeo, WORDS)
    # What comes back to her came behind the others: they have all been said to one who sleeps.
    lovers.say(lovers.juliet, lovers.juliet, ["said"])
    assert heard(lovers.juliet, 1) == ["said"]
    lovers.romeo.thaw()

    lovers.romeo.expect("resumed")
    lovers.say(lovers.juliet, lovers.romeo, ["and on"])
    assert heard(lovers.romeo, len(WORDS) + 1) == [*WORDS, "and on"]
