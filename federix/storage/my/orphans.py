"""What a server that was killed has left running in MariaDB or MySQL, and how it is found.

By itself the database shows nobody's name. So each connection holds a lock that is named after its server, which the
database lets go of when the connection has ended, and not before: whoever holds one is still there.
"""

from __future__ import annotations

from typing import Any, Final

import pymysql

from ..sql.server import SqlServer

#: So many names there are for the connections of a server, one after the other. None is used again while a connection
#: has it, so there are many more than connections: some were lost, and others came in their places.
NAMES: Final = 1000


def take_name(connection: Any, server: SqlServer, number: int) -> None:
    """Have *connection* be known by that *number*, or by the next that is free: a much older one may have it."""
    if not server.identity:
        return
    for each in range(number, number + NAMES):
        if _ask(connection, f"SELECT GET_LOCK({_lock(server, each % NAMES)}, 0)") != (0,):
            return


def end_orphans(connection: Any, server: SqlServer) -> bool:
    """End those connections that are named after *server*; whether there were any."""
    locks = ", ".join(f"IS_USED_LOCK({_lock(server, number)})" for number in range(NAMES))
    found = {holder for holder in _ask(connection, f"SELECT {locks}") if holder is not None}
    for holder in found:
        try:
            connection.cursor().execute(f"KILL CONNECTION {int(holder)}")
        except pymysql.MySQLError:
            if not connection.open:
                raise
            # It has ended by itself, or we may not: it is seen when it is looked again.
    return bool(found)


def _lock(server: SqlServer, number: int) -> str:
    """Locks are the whole server's, and their names have at most 64 characters."""
    return f"CONCAT('federix {server.identity} ', MD5(DATABASE()), ' {number}')"


def _ask(connection: Any, sql: str) -> tuple[Any, ...]:
    cursor = connection.cursor()
    cursor.execute(sql)
    (row,) = cursor.fetchall()
    return row  # type: ignore[no-any-return]
