"""XEP-0199 with XEP-0198: clients that manage their streams are asked for an acknowledgement."""

from __future__ import annotations

from tests.links.sm_case import ManagedCase, R, a

PINGS = {"send_pings": True, "ping_interval": 60, "ping_ack_timeout": 32, "timeout_action": "kill"}


class ManagedPingTests(ManagedCase):
    def setUp(self) -> None:
        self.begin(modules={"mod_ping": PINGS})
        self.id = self.enable(self.romeo)
        self.juliet.send("<presence/>")

    def test_a_silent_client_is_asked_for_an_acknowledgement(self) -> None:
        self.world.advance(60)
        self.romeo.expect(R, exact=True)
        self.romeo.nothing()

    def test_and_again_when_it_has_answered_and_is_silent(self) -> None:
        for _ in range(5):
            self.world.advance(60)
            self.answer(self.romeo, 0)
        self.assertIsNone(self.romeo.lost)

    def test_one_that_does_not_answer_sleeps_and_can_be_resumed(self) -> None:
        self.world.advance(60 + 59)
        self.assertFalse(self.session().asleep)
        self.world.advance(1)
        self.assertTrue(self.session().asleep)
        romeo = self.resumed(self.id, 0)
        self.world.advance(60)
        self.answer(romeo, 0)

    def test_one_that_sleeps_is_asked_nothing(self) -> None:
        self.romeo.cut()
        self.world.advance(250)
        romeo = self.resumed(self.id, 0)
        romeo.nothing()

    def test_whoever_comes_back_is_asked_only_when_he_has_been_silent(self) -> None:
        self.world.advance(50)
        self.romeo.cut()
        romeo = self.resumed(self.id, 0)
        self.world.advance(59)
        romeo.nothing()
        self.world.advance(1)
        romeo.expect(R)

    def test_an_unanswered_ping_puts_to_sleep_who_enabled_it_meanwhile(self) -> None:
        client = self.world.client("romeo@example.org/late")
        self.world.advance(60)
        client.drain()
        id = self.enable(client)
        self.world.advance(32)
        self.assertTrue(self.session(resource="late").asleep)
        self.resumed(id, 0)

    def test_a_client_without_stream_management_is_pinged_as_ever(self) -> None:
        self.world.advance(60)
        self.juliet.expect("<iq type='get' from='example.org'><ping xmlns='urn:xmpp:ping'/></iq>")
        self.world.advance(32)
        self.assertFalse(self.is_there("juliet", "balcony"))

    def test_what_it_was_sent_may_be_acknowledged_in_the_same_answer(self) -> None:
        self.say("1")
        self.world.advance(1)
        self.romeo.drain()
        self.romeo.send(a(1))
        self.world.advance(59)
        self.romeo.expect(R)
