"""What stream management (XEP-0198) adds to the cost of a message.

Two loads are connected to one server: pairs who talk, and as many who do the same with stream management. They take
turns, a second or less each, so that whatever disturbs the machine disturbs both. First without an archive, where a
message costs least and whatever is added weighs most, then with one, as Federix runs unless it is told otherwise.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Final

from .archived import ArchivingFederix
from .figures import percentile
from .load import Specification
from .load_process import LoadProcess
from .ours import Federix
from .process import ServerFailed
from .results import Bound
from .run import users_needed
from .scenarios import Size
from .usage import exact_cpu_seconds

#: What a message may cost with stream management, as times of what it costs without.
LIMIT: Final = 1.15
#: Messages of a pair under way at a time.
IN_FLIGHT: Final = (1, 5)
FULL: Final = Size(clients=100, count=100, repeat=24)
QUICK: Final = Size(clients=10, count=20, repeat=2)
#: Seconds that a load may take for all its turns.
STAYS: Final = 900.0
#: The kinds of work, without and with.
WITHOUT: Final = "pairs"
WITH: Final = "managed"


def run(size: Size, folder: Path, pem: Path, tell: Callable[[str], None]) -> list[Bound]:
    """Both, *size.repeat* times in turns, for each number in flight. A failure stands in what is returned."""
    found: list[Bound] = []
    # Each has a server of its own: an archive would know the same messages, from clients that were cut, for sent again.
    for kind, in_flight in product((Federix, ArchivingFederix), IN_FLIGHT):
        server = kind(folder / "managing", pem, users_needed(Size(2 * size.clients, size.count, size.repeat)))
        try:
            server.start()
            tell(f"managing: {in_flight} in flight{', archived' if kind.archives else ''}")
            found += bounds(in_flight, *_measure(server, size, in_flight), archived=kind.archives)
        except (ServerFailed, OSError) as error:
            failure = f"{error}\n{server.said()}"
            found.append(Bound("managing", "a message with stream management", "×", failure=failure))
        finally:
            server.stop()
            shutil.rmtree(folder / "managing", ignore_errors=True)
    return found


def _measure(server: Federix, size: Size, in_flight: int) -> tuple[list[float], list[float]]:
    """The processor time of a message without and with, in seconds, of each turn."""
    cpu: dict[str, list[float]] = {WITHOUT: [], WITH: []}
    with ExitStack() as stack:
        loads = {}
        for number, work in enumerate(cpu):
            loads[work] = load = LoadProcess(_specification(server, size, work, in_flight, number * size.clients))
            stack.callback(load.end)
            load.expect_ready()
        for _ in range(size.repeat):
            for work, load in loads.items():
                before = exact_cpu_seconds(server.pid)
                done = load.go()["done"]
                cpu[work].append((exact_cpu_seconds(server.pid) - before) / done)
    return cpu[WITHOUT], cpu[WITH]


def _specification(server: Federix, size: Size, work: str, in_flight: int, first: int) -> Specification:
    return Specification(
        places=server.places,
        mechanism=server.mechanism,
        work=work,
        tls=True,
        clients=size.clients,
        count=size.count,
        in_flight=in_flight,
        seconds=STAYS,
        first=first,
    )


def bounds(in_flight: int, without: Sequence[float], managed: Sequence[float], *, archived: bool) -> list[Bound]:
    """What was measured of each turn."""
    times = percentile(managed, 0.5) / percentile(without, 0.5)
    title = f"CPU of a message{' that both archive in SQLite' if archived else ''}, TLS, {in_flight} in flight"
    name = f"managing-{'archived-' if archived else ''}{in_flight}"
    return [
        Bound(f"{name}-without", title, "µs", [seconds * 1e6 for seconds in without]),
        Bound(
            name,
            f"{title}, with stream management, × without",
            "×",
            [times],
            LIMIT,
            details={"without": list(without), "with": list(managed)},
        ),
    ]
