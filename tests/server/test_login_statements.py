"""What a login asks of the database: everybody comes back at once when a server was killed."""

from __future__ import annotations

import sqlite3
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from federix.modules import MODULES
from federix.testing import World

#: Statements that a login of somebody known may take, from the account's keys to the presence, with every module.
AT_MOST = 8
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
            self.statements.append(" ".join(statement.split())[:200])

    def test_a_login_takes_a_few_statements(self) -> None:
        self.world.client("romeo@example.org/orchard").close()
        self.statements.clear()
        romeo = self.world.client("romeo@example.org/orchard")
        romeo.send("<presence/>")
        self.assertTrue(self.statements, "nothing is counted")
        self.assertLessEqual(len(self.statements), AT_MOST, self.statements)
