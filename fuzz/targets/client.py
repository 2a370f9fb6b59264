"""What a client may send that has logged in: stanzas of every kind, changed element by element."""

from __future__ import annotations

from typing import Final

from federix.testing import Client
from federix.testing.world import PASSWORD

from ..mutation import elements_changed
from ..stage import Stage, Theatre

changed = elements_changed

_ROMEO: Final = "romeo@example.org/orchard"


#: Inputs that one session hears, unless one ends it.
_INPUTS: Final = 10


def _play(stage: Stage, data: bytes) -> None:
    romeo = stage.romeo
    if romeo is None or romeo.ended or not romeo.wire.near.connected:
        if romeo is not None:
            romeo.cut()
        romeo = stage.romeo = _logged_in(stage)
    stage.say(romeo, data)
    stage.check()
    romeo.drain()
    romeo.raw.clear()
    if len(stage.inputs) % _INPUTS == 0:
        romeo.cut()
        stage.check()


def _logged_in(stage: Stage) -> Client:
    """Romeo as he was before, though he may have given up his account, or changed its password."""
    world = stage.world
    accounts = world.host("example.org").accounts
    if world.run(accounts.exists("romeo")) and not world.run(accounts.check_password("romeo", PASSWORD)):
        world.run(accounts.set_password("romeo", PASSWORD))
    # From one address only so many connections may come, and hardly any time passes.
    return world.client(_ROMEO, ip=f"192.0.2.{len(stage.inputs) % 200 + 2}")


theatre: Final = Theatre(_play)
check = theatre.check
close = theatre.close
