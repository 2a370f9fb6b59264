"""What the server makes of clients that fall silent, and of its own sudden end."""

from collections.abc import Callable

from .client import Client
from .conftest import Account, Stage, StartServer
from .server import Server

StageFor = Callable[[Server], Stage]

PINGS = {"send_pings": True, "ping_interval": 1, "ping_ack_timeout": 2, "timeout_action": "kill"}


class Lovers:
    """Romeo and Juliet, who sees whether he is there."""

    def __init__(self, stage: Stage) -> None:
        self.romeo, self.juliet = stage.account("romeo"), stage.account("juliet")
        self.romeos = stage.enter("slixmpp", self.romeo, "starttls")
        self.juliets = stage.enter("slixmpp", self.juliet, "direct")
        self.juliets.do("subscribe", to=self.romeo.jid)
        self.romeos.expect("subscribe", sender=self.juliet.jid)
        self.romeos.do("approve", to=self.juliet.jid)
        self.juliets.expect("available", sender=self.romeos.jid)

    def say(self, to: Account, words: list[str]) -> None:
        """Juliet speaks."""
        for word in words:
            self.juliets.do("message", to=to.jid, body=word)


def heard(who: Client, event: str, count: int) -> list[object]:
    """The bodies of so many messages, in their order."""
    return [who.expect(event)["body"] for _ in range(count)]


def test_a_client_that_no_longer_answers_pings_is_seen_to_leave(start_server: StartServer, stage_for: StageFor) -> None:
    lovers = Lovers(stage_for(start_server({"mod_ping": PINGS})))

    lovers.romeos.freeze()

    lovers.juliets.expect("unavailable", sender=lovers.romeos.jid)
    lovers.romeos.thaw()
    lovers.romeos.expect("offline")
    # Her own client has answered all the while.
    lovers.say(lovers.juliet, ["Romeo?"])
    lovers.juliets.expect("message", body="Romeo?")


def test_what_is_said_to_a_client_that_no_longer_answers_pings_is_kept(
    start_server: StartServer, stage_for: StageFor
) -> None:
    stage = stage_for(start_server({"mod_ping": PINGS, "mod_mam": {}, "mod_offline": {}}))
    lovers = Lovers(stage)
    early, late = ["Romeo!", "Romeo?"], ["Wherefore", "art thou", "Romeo?"]

    lovers.romeos.freeze()
    # The server believes that he hears these: they are on their way to him, and in his archive.
    lovers.say(lovers.romeo, early)
    lovers.say(lovers.juliet, ["said"])
    lovers.juliets.expect("message", body="said")
    lovers.juliets.expect("unavailable", sender=lovers.romeos.jid)
    lovers.say(lovers.romeo, late)

    back = stage.enter("slixmpp", lovers.romeo, "starttls")
    assert heard(back, "message", len(late)) == late
    back.do("history", contact=lovers.juliet.jid)
    assert heard(back, "archived", len(early + late)) == (early + late)[::-1]


def test_accounts_and_rosters_outlive_a_server_that_is_killed(start_server: StartServer, stage_for: StageFor) -> None:
    server = start_server()
    stage = stage_for(server)
    romeo = stage.account("romeo")
    before = stage.enter("slixmpp", romeo, "starttls")
    before.do("roster", contact="juliet@localhost", name="Juliet", group="Capulets")
    before.expect("roster", contact="juliet@localhost", name="Juliet", group="Capulets")

    server.kill()
    server.start()

    after = stage.enter("slixmpp", romeo, "starttls")
    after.expect("roster", contact="juliet@localhost", name="Juliet", group="Capulets")
