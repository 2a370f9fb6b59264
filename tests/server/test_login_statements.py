"""What a login asks of the database: everybody comes back at once when a server was killed."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from federix.modules import MODULES
from federix.testing import Client, World

#: Whether there is such an account, and its keys.
AUTHENTICATION = ["account", "account"]
#: The contacts, the requests that wait, the version and those who are blocked: by one statement, when it is bound.
AHEAD = ["roster_item, roster_request, roster_version, document"]
ROSTER = ["roster_item, roster_version"]
BLOCKED = ["document"]
#: The messages that wait.
OFFLINE = ["entry"]
GET = "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>"
KNOWN = "<iq type='get' id='1'><query xmlns='jabber:iq:roster' ver='{}'/></iq>"
#: What only frames the others.
FRAMES = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA")


class LoginStatementTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.statements: list[str] = []
        connect = sqlite3.connect

        def counted(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection = connect(*arguments, **options)
            connection.set_trace_callback(self.note)
            return connection

        self.patch(sqlite3, "connect", counted)
        self.world = World(modules={name: {} for name in MODULES})
        self.addCleanup(self.world.stop)

    def note(self, statement: str) -> None:
        if not statement.lstrip().upper().startswith(FRAMES):
            tables = re.findall(r"\b(?:FROM|INTO|UPDATE) (\w+)", statement)
            self.statements.append(", ".join(tables))

    def asked(self) -> list[str]:
        """The tables of each statement since it was last asked."""
        asked, self.statements = self.statements, []
        return asked

    def come(self) -> Client:
        """Authenticate and bind, as the first of the account since the server was started."""
        self.world.register("romeo@example.org")
        self.asked()
        romeo = self.world.client("romeo@example.org/orchard")
        self.assertEqual(self.asked(), AUTHENTICATION + AHEAD)
        return romeo

    def test_a_login_with_roster_and_presence_takes_two_statements_behind_the_authentication(self) -> None:
        romeo = self.come()
        romeo.send(GET)
        self.assertEqual(self.asked(), [])
        romeo.send("<presence/>")
        self.assertEqual(self.asked(), OFFLINE)

    def test_a_client_that_knows_the_roster_takes_no_more(self) -> None:
        romeo = self.come()
        romeo.send(KNOWN.format(0))
        self.assertEqual(self.asked(), [])
        romeo.send("<presence/>")
        self.assertEqual(self.asked(), OFFLINE)

    def test_a_client_that_is_available_before_it_asks_for_the_roster_takes_one_more(self) -> None:
        romeo = self.come()
        romeo.send("<presence/>")
        self.assertEqual(self.asked(), OFFLINE)
        romeo.send(GET)
        self.assertEqual(self.asked(), ROSTER)

    def test_a_second_client_finds_all_but_the_roster_in_memory(self) -> None:
        self.come().send(GET)
        self.asked()
        garden = self.world.client("romeo@example.org/garden")
        garden.send(GET)
        self.assertEqual(self.asked(), AUTHENTICATION + ROSTER)
