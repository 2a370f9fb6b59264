"""What anybody may send who has not logged in: before a stream is opened, and on one."""

from __future__ import annotations

from typing import Final

from ..mutation import elements_changed
from ..stage import Stage, Theatre

changed = elements_changed


def _play(stage: Stage, data: bytes) -> None:
    stranger = stage.world.connect(ip="192.0.2.7")
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
