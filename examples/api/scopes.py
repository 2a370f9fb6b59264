"""Timers and tasks that end with their owner, and work that takes turns."""

from functools import partial

from twisted.internet.task import deferLater

from federix.api import Module, TooManyWait, Turns
from federix.testing import World


class Bell(Module):
    name = "mod_bell"

    async def on_start(self) -> None:
        self.rung: list[str] = []
        self.turns = Turns(self.scope, most=2)
        self.hourly = self.scope.later(3600.0, self.ring, "hour")

    def ring(self, what: str) -> None:
        self.rung.append(what)
        self.hourly = self.scope.later(3600.0, self.ring, "hour")

    async def slowly(self, what: str) -> None:
        await deferLater(self.host.clock, 1.0)  # a second, on the server's clock
        self.rung.append(what)


world = World(modules={"mod_bell": {}}, own_modules={"mod_bell": Bell})
bell = world.host("example.org").module(Bell)
world.advance(2 * 3600.0)
assert bell.rung == ["hour", "hour"] and bell.hourly.pending

refused: list[str] = []


async def tell(what: str) -> None:
    try:
        await bell.turns.take("tower", partial(bell.slowly, what))
    except TooManyWait:
        refused.append(what)


for what in ("first", "second", "third"):
    bell.scope.spawn(tell(what))
assert refused == ["third"]  # one is at work, one waits
world.advance(1.0)
assert bell.rung[2:] == ["first"]
world.advance(1.0)
assert bell.rung[2:] == ["first", "second"]

world.stop()
assert not bell.hourly.pending  # nothing outlives its owner
