"""The servers, each with an own configuration, data folder and port, as like one another as they can be.

One domain, one certificate, the same accounts; TLS by STARTTLS and plain TCP on one port; no shapers, nothing counted
per address, warnings logged to a file; their default storage. Each peer has the modules that Federix has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from .ours import Federix, Relay
from .peers import Ejabberd, Prosody
from .server import BenchServer

SERVERS: Final[Mapping[str, type[BenchServer]]] = {
    server.name: server for server in (Federix, Relay, Ejabberd, Prosody)
}
#: Those that let clients manage their streams; the relay knows of no stanzas that it would count.
MANAGING: Final = {name: server for name, server in SERVERS.items() if server is not Relay}


def runnable(names: Iterable[str]) -> tuple[list[type[BenchServer]], list[str]]:
    """Those of *names* that can be run here, and a note for each that cannot."""
    found, notes = [], []
    for name in names:
        problem = SERVERS[name].missing()
        if problem is None:
            found.append(SERVERS[name])
        else:
            notes.append(f"{name} is left out: {problem}")
    return found, notes
