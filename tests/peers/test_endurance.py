"""What the server makes of clients that fall silent, and of its own sudden end."""

from collections.abc import Callable

from .conftest import Stage, StartServer
from .server import Server

StageFor = Callable[[Server], Stage]


def test_a_client_that_no_longer_answers_pings_is_seen_to_leave(start_server: StartServer, stage_for: StageFor) -> None:
    pings = {"send_pings": True, "ping_interval": 1, "ping_ack_timeout": 2, "timeout_action": "kill"}
    stage = stage_for(start_server({"mod_ping": pings}))
    romeo, juliet = stage.account("romeo"), stage.account("juliet")
    romeos, juliets = stage.enter("slixmpp", romeo, "starttls"), stage.enter("slixmpp", juliet, "direct")
    juliets.do("subscribe", to=romeo.jid)
    romeos.expect("subscribe", sender=juliet.jid)
    romeos.do("approve", to=juliet.jid)
    juliets.expect("available", sender=romeos.jid)

    romeos.freeze()

    juliets.expect("unavailable", sender=romeos.jid)
    romeos.thaw()
    romeos.expect("offline")
    # Her own client has answered all the while.
    juliets.do("message", to=juliet.jid, body="Romeo?")
    juliets.expect("message", body="Romeo?")


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
