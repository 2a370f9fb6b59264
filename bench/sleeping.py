"""The memory of sessions that have lost their connections and wait to be resumed, and of what is kept for them.

It is looked at after a rest in which the server hands back to the system what it does not need: it does so each minute.
At the end all sessions are resumed, which proves that they and all that was kept for them were there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .load import Specification
from .load_process import LoadProcess
from .ours import Federix
from .process import ServerFailed
from .results import Bound
from .run import users_needed
from .scenarios import Size
from .sleepers import MORE, message
from .usage import pss_bytes

#: Sessions that come and go before, to have everything loaded.
WARM_UP: Final = 20
#: Seconds that the load may take, and that sessions may sleep.
STAYS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Scope:
    """How much of everything: *sleeping* says how many sessions, and how many messages for each; *rest* for how many
    seconds nothing happens before memory is looked at."""

    sleeping: Size
    rest: float


FULL: Final = Scope(Size(clients=500, count=20, repeat=1), 65.0)
QUICK: Final = Scope(Size(clients=30, count=5, repeat=1), 1.0)


class Waiting(Federix):
    """Its sessions wait for long."""

    def _settings(self) -> dict[str, object]:
        settings = super()._settings()
        modules = settings["modules"]
        assert isinstance(modules, dict)
        return settings | {"modules": modules | {"mod_stream_mgmt": {"resume_timeout": int(STAYS)}}}


def run(scope: Scope, folder: Path, pem: Path, tell: Callable[[str], None]) -> list[Bound]:
    """All of it once: what a process has taken it seldom gives back. A failure stands in what is returned."""
    size = scope.sleeping
    server = Waiting(folder / "sleeping", pem, users_needed(Size(size.clients + 1, size.count, size.repeat)))
    try:
        server.start()
        return bounds(size, *_measure(server, scope, tell))
    except (ServerFailed, OSError) as error:
        failure = f"{error}\n{server.said()[-1500:]}"
        return [Bound("sleeping", "memory of a session without a connection", "KiB", failure=failure)]
    finally:
        server.stop()
        shutil.rmtree(folder / "sleeping", ignore_errors=True)


def _measure(server: Federix, scope: Scope, tell: Callable[[str], None]) -> tuple[int, int, int, int]:
    """The bytes that the server has before anybody logs in, with sessions that sleep, with messages for them, and with
    more."""

    def rested(what: str) -> int:
        tell(f"sleeping: {what}; nothing happens for {scope.rest:g} s")
        time.sleep(scope.rest)
        return pss_bytes(server.pid)

    size = scope.sleeping
    load = LoadProcess(
        Specification(
            places=server.places,
            mechanism=server.mechanism,
            work="sleepers",
            tls=True,
            clients=size.clients,
            count=size.count,
            in_flight=min(WARM_UP, size.clients),
            seconds=STAYS,
        )
    )
    try:
        load.expect_ready()
        before = rested("nobody is there")
        load.go()
        asleep = rested(f"{size.clients} sessions sleep")
        load.go()
        some = rested(f"each has {size.count} messages")
        load.go()
        more = rested(f"each has {MORE * size.count} more")
        load.go()
    finally:
        load.end()
    return before, asleep, some, more


def bounds(size: Size, before: int, asleep: int, some: int, more: int) -> list[Bound]:
    """What was measured, of one session and of one message.

    The first messages lie in part in what logging in has left free, and cost less than they take.
    """
    sessions, messages = size.clients, size.clients * size.count
    sent = len(message("u0@localhost/bench", 0))
    details = {"before": before, "asleep": asleep, "some": some, "more": more}
    return [
        Bound(
            "sleeping-session",
            f"memory of each of {sessions} sessions without a connection",
            "KiB",
            [(asleep - before) / sessions / 1024],
            details=details,
        ),
        Bound(
            "sleeping-stanza",
            f"memory of each of the first {size.count} messages of {sent} bytes that wait for each",
            "bytes",
            [(some - asleep) / messages],
        ),
        Bound(
            "sleeping-further-stanza",
            f"memory of each of the next {MORE * size.count}",
            "bytes",
            [(more - some) / (MORE * messages)],
        ),
    ]
