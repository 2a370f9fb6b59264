"""What anybody may send who has not logged in: before a stream is opened, and on one."""

from __future__ import annotations

from typing import Final

from ..mutation import elements_changed
from ..stage import Stage, Theatre

changed = elements_changed


def _play(stage: Stage, data: bytes) -> None:
    # Each from an address of its own: one address is not heard as often as a fuzzer speaks.
    number = len(stage.inputs)
    stranger = stage.world.connect(ip=f"198.18.{number // 256}.{number % 256}")
    if not data.startswith((b"<?xml", b"<stream")):
        stranger.open("example.org")
    stage.say(stranger, data)
    stage.check()
    stranger.cut()
    stage.world.host("example.org")  # still there
    stage.check()


theatre: Final = Theatre(_play)
check = theatre.check
close = theatre.close
