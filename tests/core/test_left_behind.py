"""What is on its way when its stream or its session is over has little time left, and nothing is left of it then."""

from __future__ import annotations

from typing import ClassVar

from twisted.internet.defer import Deferred

from federix.api import Module
from federix.core.intake import LEFT_BEHIND, Intake
from federix.core.resending import Resending
from federix.streams import reading
from federix.xmpp import ns

from .passage_case import JULIET, PassageCase, Thinker, text


class LeftBehindCase(PassageCase):
    def setUp(self) -> None:
        super().setUp()
        self.romeo.send(f"<enable xmlns='{ns.SM}' resume='true'/>")
        self.romeo.receive()
        self.intake: Intake = self.session(self.romeo).intake

    @property
    def resending(self) -> Resending:
        return self.world.host("example.org").resending

    def assert_nothing_is_left(self) -> None:
        self.assertEqual((self.intake._flying, self.intake._latest, self.intake._slow), (0, None, set()))
        self.assertEqual(self.resending.on_their_way("romeo", Intake(), 0), [])


class GivenUpTests(LeftBehindCase):
    def test_those_that_wait_for_each_other_are_given_up_one_by_one(self) -> None:
        self.patch(self.world.host("example.org").accounts, "exists", lambda local: Deferred())
        for number in range(20):
            self.romeo.send(text("nobody@example.org", str(number), f"m{number}"))
        self.session(self.romeo).end()
        self.world.advance(LEFT_BEHIND)
        self.world.pump()
        self.assert_nothing_is_left()


class LostStreamTests(LeftBehindCase):
    own_modules: ClassVar[dict[str, type[Module]]] = {"mod_thinker": Thinker}

    def test_one_that_is_being_kept_is_not_given_up_with_its_stream(self) -> None:
        self.romeo.send(text(JULIET, "hark", "m1"))
        (thinking,) = self.world.host("example.org").module(Thinker).thinking
        self.archives.slow = True
        thinking.callback(None)
        self.romeo.cut()
        self.world.advance(reading.LEFT_BEHIND)
        self.assertEqual(len(self.archives.jobs), 1)
        self.archives.commit()
        self.world.pump()
        self.assertEqual(self.bodies(self.juliet), ["hark"])
        self.assert_nothing_is_left()
