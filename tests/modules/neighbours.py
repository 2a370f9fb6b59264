"""What several tests of modules need: contacts without a roster, streams that pause, a look at what is logged."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from federix.api import JID, Module, hooks
from federix.testing import World


class Friends(Module):
    """Juliet shows her presence to Romeo, and to nobody else."""

    name = "mod_friends"

    @hooks.may_see_presence
    def may(self, account: JID, who: JID) -> list[bool]:
        return [(account.local, who.local) == ("juliet", "romeo")]


FRIENDS: dict[str, Any] = {"mod_friends": Friends}


class Pausable:
    """A session's stream whose reading the test pauses."""

    def __init__(self, attachment: Any) -> None:
        self._attachment = attachment
        self.paused = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._attachment, name)


class Sleepy(Pausable):
    """One that may be resumed: when its connection is cut, its session sleeps."""

    def abort(self) -> None:
        self.paused = True


def reload(world: World, modules: dict[str, Any]) -> None:
    """Run with these modules and options from now on."""
    world.run(world.server.reload(world.configure({**world.settings, "modules": modules})))


def worries(test: SynchronousTestCase) -> list[str]:
    """A list that fills with what is logged as a warning or worse."""
    found: list[str] = []

    def observe(event: Any) -> None:
        if event.get("log_level", LogLevel.info) >= LogLevel.warn:
            found.append(str(event.get("log_format")))

    globalLogPublisher.addObserver(observe)
    test.addCleanup(globalLogPublisher.removeObserver, observe)
    return found
