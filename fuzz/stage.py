"""A server in virtual time for targets that talk to one, and the rules that hold whatever is said to it.

Nothing is logged as a failure, and two people who have nothing to do with it can still chat. The server is a new one
every so often, since what it has been told before is part of what it does.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from federix.testing import Client, World

MODULES: Final[dict[str, dict[str, Any]]] = {
    "mod_blocking": {"max_items": 10},
    "mod_carboncopy": {},
    "mod_client_state": {},
    "mod_disco": {},
    "mod_last": {},
    "mod_mam": {},
    "mod_offline": {},
    "mod_ping": {"send_pings": True},
    "mod_private": {},
    "mod_push": {"max_registrations": 3},
    "mod_register": {"require_encryption": False, "access_from": "all"},
    "mod_roster": {"versioning": True},
    "mod_stream_mgmt": {"max_ack_queue": 100},
    "mod_time": {},
    "mod_version": {},
}
#: Inputs until the server is a new one.
LIFE: Final = 500

_WAIT: Final = re.compile(rb"""<wait seconds=['"]([0-9]{1,4})['"][^>]*/>""")


def with_waits(data: bytes) -> list[tuple[float, bytes]]:
    """*data* in the pieces in which it is said, each behind the seconds to wait before it."""
    said, *rest = _WAIT.split(data)
    return [(0.0, said), *zip(map(float, rest[::2]), rest[1::2], strict=True)]


class Stage:
    """A world with two people who chat, and a log in which nothing may fail."""

    def __init__(self) -> None:
        self.inputs: deque[bytes] = deque()
        self._failures: list[str] = []
        self._observer = cast("Any", self._hear)
        globalLogPublisher.addObserver(self._observer)
        self.world = World(modules=MODULES, config={"registration_timeout": "infinity"})
        self.juliet = self.world.client("juliet@example.org/balcony")
        self.nurse = self.world.client("nurse@example.org/house")
        self.juliet.send("<presence/>")
        self.world.register("romeo@example.org")
        #: Who has logged in, for as long as a target likes.
        self.romeo: Client | None = None
        self._count = 0

    def _hear(self, event: LogEvent) -> None:
        if "log_failure" in event or event.get("log_level", LogLevel.info) >= LogLevel.error:
            failure = event.get("log_failure")
            self._failures.append(f"{formatEvent(event)}\n{failure.getTraceback() if failure is not None else ''}")

    def say(self, client: Client, data: bytes) -> None:
        """Send *data* as it is; where it says ``<wait seconds='60'/>``, time passes."""
        for seconds, said in with_waits(data):
            if seconds:
                self.world.advance(seconds)
            self._write(client, said)

    def _write(self, client: Client, data: bytes) -> None:
        if client.transport is not None and client.wire.near.connected:
            client.send(data)

    def check(self) -> None:
        """The rules."""
        self._raise()
        self._count += 1
        for client in (self.juliet, self.nurse):
            client.drain()
            client.raw.clear()
        self.juliet.send(
            f"<message to='nurse@example.org/house' id='c{self._count}' type='chat'><body>x</body></message>"
        )
        self.nurse.expect(f"<message id='c{self._count}' from='juliet@example.org/balcony'><body>x</body></message>")
        self._raise()

    def end(self) -> None:
        """Stop the server, in good order."""
        try:
            self.world.stop()
            self._raise()
        finally:
            globalLogPublisher.removeObserver(self._observer)

    def _raise(self) -> None:
        if self._failures:
            failures, self._failures = self._failures, []
            raise AssertionError("logged as a failure:\n" + "\n".join(failures))


class Theatre:
    """Plays every input on a stage that is there already, and sees whose fault it is when one breaks a rule."""

    def __init__(self, play: Callable[[Stage, bytes], None]) -> None:
        self._play = play
        self._stage: Stage | None = None

    def check(self, data: bytes) -> None:
        stage = self._stage
        if stage is not None and len(stage.inputs) >= LIFE:
            self._stage = None
            self._blaming(stage, stage.end)
            stage = None
        if stage is None:
            stage = self._stage = Stage()
        stage.inputs.append(data)
        try:
            self._blaming(stage, lambda: self._play(stage, data))
        except BaseException:
            self._stage = None
            raise

    def close(self) -> None:
        """End the stage that is left, by the same rules."""
        stage, self._stage = self._stage, None
        if stage is not None:
            self._blaming(stage, stage.end)

    def _blaming(self, stage: Stage, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:
            raise AssertionError(
                f"{error}\nafter {len(stage.inputs)} inputs, the last: {list(stage.inputs)[-5:]}"
            ) from error
