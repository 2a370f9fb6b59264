"""Two devices of one account, a network that fails and a server that is killed: what was acknowledged is not lost."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from .cable import Cable
from .client import Client
from .conftest import Stage, StartServer
from .federix_server import FederixServer
from .server import Server

StageFor = Callable[[Server], Stage]

#: Where the cables begin whose other end is the server's address.
ROMEOS, PHONES, LAPTOPS = "127.0.0.9", "127.0.0.10", "127.0.0.11"
MODULES: dict[str, dict[str, object]] = {
    "mod_carboncopy": {},
    "mod_mam": {},
    "mod_offline": {},
    "mod_stream_mgmt": {"ack_timeout": 2, "resume_timeout": 60},
}


class Conversation:
    """Romeo, and Juliet's phone and laptop, each at the end of a cable."""

    def __init__(self, server: Server, stage: Stage, cables: contextlib.ExitStack) -> None:
        self.romeos, self.phones, self.laptops = (
            cables.enter_context(Cable(address, server.starttls_port, "127.0.0.1"))
            for address in (ROMEOS, PHONES, LAPTOPS)
        )
        romeo, juliet = stage.account("romeo"), stage.account("juliet")
        self.romeo = stage.enter("slixmpp_keeping", romeo, "starttls", address=ROMEOS)
        self.phone = stage.enter("slixmpp_keeping", juliet, "starttls", address=PHONES)
        self.laptop = stage.enter("slixmpp_keeping", juliet, "starttls", address=LAPTOPS)
        #: What romeo writes to in turn: the account and each of its devices.
        self._to = [juliet.jid, "", ""]
        #: All that romeo has said.
        self.said: list[str] = []
        self.romeo.expect("caught_up")
        self.find_devices()

    def find_devices(self) -> None:
        """Wait until both devices have new sessions."""
        self.find(self.phone)
        self.find(self.laptop)

    def find(self, device: Client) -> None:
        """Wait until *device* has a new session, and knows what was said before it."""
        self._to[1 if device is self.phone else 2] = str(device.expect("caught_up")["jid"])

    def say(self, count: int) -> list[str]:
        """Have romeo say so much more; he may not be heard yet."""
        words = [f"word {len(self.said) + number}" for number in range(count)]
        for word, to in zip(words, itertools.cycle(self._to), strict=False):
            self.romeo.do("message", to=to, body=word)
        self.said += words
        return words

    def finish(self) -> None:
        """Wait until romeo's server has acknowledged all that he said, and both devices have heard the last of it."""
        last = self.say(1)[-1]
        self.romeo.do("acknowledge")
        self.romeo.expect("acknowledged", body=last)
        self.romeo.do("recount")
        assert self.romeo.expect("recount")["unacknowledged"] == []
        for device in (self.phone, self.laptop):
            device.expect("heard", body=last)


@pytest.fixture
def server(start_server: StartServer) -> Server:
    return start_server(MODULES)


@pytest.fixture
def conversation(server: Server, stage_for: StageFor) -> Iterator[Conversation]:
    with contextlib.ExitStack() as cables:
        yield Conversation(server, stage_for(server), cables)


def wait_for_log(server: Server, sentence: str) -> None:
    """Wait until the server has said it."""
    assert isinstance(server, FederixServer)
    deadline = time.monotonic() + 15
    while sentence not in server.log_tail():
        assert time.monotonic() < deadline, server.log_tail()
        time.sleep(0.1)


def ways_of_all_that_was_said(device: Client, said: list[str], *, anew: bool = False, late: bool = False) -> set[str]:
    """Check that *device* has heard it all, in order and none twice; which ways it came.

    Where what another device did not acknowledge is delivered *anew*, it hears some again, by the same stanza-id.
    Where it comes while romeo speaks, what waited offline may come *late*, behind carbons: the archive says where it
    belongs.
    """
    device.do("recount")
    heard = [tuple(entry) for entry in cast("list[list[object]]", device.expect("recount")["heard"])]
    by_id: dict[object, object] = {}
    for _, way, id, body in heard:
        # It may read in the archive what it has heard: by its stanza-id it knows that again.
        assert by_id.setdefault(id, body) == body, f"{id} is two messages, one by {way}: {heard}"
    # Ids say nothing about order: the archive does.
    device.do("archive")
    kept = cast("list[object]", device.expect("archive")["ids"])
    # A message with two stanza-ids would be here twice.
    assert set(by_id) == set(kept), "what it heard is what the archive has"
    assert [by_id[id] for id in kept] == said
    directly = [str(body) for _, way, _, body in heard if way != "archive"]
    if late:
        twice = [entry for entry in heard if entry[1] != "archive" and directly.count(str(entry[3])) > 1]
        assert not twice, f"what comes by itself comes once: {twice}"
    elif not anew:
        assert directly == [word for word in said if word in directly], "what comes by itself comes once and in order"
    return {str(way) for _, way, _, _ in heard}


def test_nothing_is_lost_when_cables_are_pulled_in_the_middle_of_a_conversation(conversation: Conversation) -> None:
    told = conversation.say(12)
    conversation.phone.expect("heard", body=told[-1])

    conversation.phones.cut()
    told = conversation.say(12)
    conversation.laptop.expect("heard", body=told[-1])
    conversation.romeos.cut()
    conversation.say(12)
    conversation.phones.mend()
    conversation.phone.expect("resumed")
    conversation.phone.expect("heard", body=told[-1])
    conversation.romeos.mend()
    conversation.romeo.expect("resumed")
    conversation.say(12)

    conversation.finish()
    assert "carbon" in ways_of_all_that_was_said(conversation.phone, conversation.said)
    assert "carbon" in ways_of_all_that_was_said(conversation.laptop, conversation.said)


def test_nothing_is_lost_when_the_server_is_killed_in_the_middle_of_a_conversation(
    server: Server, conversation: Conversation
) -> None:
    for _ in range(2):
        told = conversation.say(12)
        conversation.phone.expect("heard", body=told[-1])
        conversation.phones.cut()
        # He is still writing when it dies: some of it is handled, some is on its way, some nobody has read.
        told = conversation.say(40)
        conversation.romeo.expect("acknowledged", body=told[0])
        server.kill()
        conversation.say(10)
        server.start()
        conversation.phones.mend()
        # What he is told of the session that is over says exactly what he has to say again.
        assert conversation.romeo.expect("failed")["h"] is not None
        conversation.romeo.expect("caught_up")
        conversation.find_devices()

    conversation.finish()
    assert "carbon" in ways_of_all_that_was_said(conversation.phone, conversation.said, late=True)
    assert "carbon" in ways_of_all_that_was_said(conversation.laptop, conversation.said, late=True)


def test_nothing_is_lost_when_both_devices_are_away_while_the_server_is_killed(
    server: Server, conversation: Conversation
) -> None:
    told = conversation.say(12)
    conversation.phone.expect("heard", body=told[-1])
    conversation.phones.cut()
    conversation.laptops.cut()
    # The server believes in both, and what it has written for them is gone with it.
    told = conversation.say(12)
    conversation.romeo.do("acknowledge")
    conversation.romeo.expect("acknowledged", body=told[-1])
    server.kill()
    server.start()
    conversation.romeo.expect("caught_up")
    # Now it knows that nobody is there, and keeps these for the device that comes first.
    told = conversation.say(12)
    conversation.romeo.do("acknowledge")
    conversation.romeo.expect("acknowledged", body=told[-1])
    conversation.phones.mend()
    conversation.laptops.mend()
    conversation.find_devices()

    conversation.finish()
    assert "archive" in ways_of_all_that_was_said(conversation.phone, conversation.said, late=True)
    assert "archive" in ways_of_all_that_was_said(conversation.laptop, conversation.said, late=True)


def test_nothing_is_lost_when_a_device_comes_back_too_late_to_resume(
    start_server: StartServer, stage_for: StageFor
) -> None:
    server = start_server({**MODULES, "mod_stream_mgmt": {"ack_timeout": 1, "resume_timeout": 1}})
    with contextlib.ExitStack() as cables:
        conversation = Conversation(server, stage_for(server), cables)
        told = conversation.say(12)
        conversation.phone.expect("heard", body=told[-1])
        conversation.phones.cut()
        conversation.say(12)
        wait_for_log(server, "client session was not resumed")
        conversation.say(12)
        conversation.phones.mend()
        conversation.phone.expect("failed")
        conversation.find(conversation.phone)

        conversation.finish()
        assert "archive" in ways_of_all_that_was_said(conversation.phone, conversation.said)
        # What the phone had not acknowledged went to the laptop, which has it already.
        assert "carbon" in ways_of_all_that_was_said(conversation.laptop, conversation.said, anew=True)
