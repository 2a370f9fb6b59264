"""XEP-0198 §4: what is acknowledged is kept; and what is not yet, the client is told of when it is."""

from __future__ import annotations

from federix.core.late import ANSWER_IN, APART, TICK
from federix.core.managed import MOST_ANSWERS
from federix.links.management import SETTLED_IN
from federix.testing import Client
from tests.core.passage_case import Keeper, SlowArchives

from .sm_case import SM, ManagedCase, R, a


class SettlingTests(ManagedCase):
    def setUp(self) -> None:
        self.begin(modules={"mod_keeper": {}}, own_modules={"mod_keeper": Keeper})
        self.archives = self.world.server.storage.archives = SlowArchives()  # type: ignore[assignment]
        self.archives.slow = True
        self.id = self.enable(self.romeo)

    def tell(self, *bodies: str, client: Client | None = None) -> None:
        for body in bodies:
            (client or self.romeo).send(
                f"<message to='juliet@example.org/balcony' type='chat'><body>{body}</body></message>"
            )

    def told_late(self, h: int) -> None:
        """Romeo is told how much of what he sent is settled, though not all is."""
        self.world.advance(ANSWER_IN)
        self.romeo.expect(a(h), exact=True)

    def test_the_answer_must_not_be_withheld(self) -> None:
        """§4: it "MUST NOT be withheld for any condition other than a timeout"."""
        self.tell("1", "2")
        self.romeo.send(R)
        self.told_late(0)
        self.romeo.nothing()

    def test_it_waits_a_moment_until_all_is_kept(self) -> None:
        self.tell("1", "2")
        self.romeo.send(R)
        self.world.advance(ANSWER_IN / 2)
        self.romeo.nothing()
        self.archives.commit()
        self.told(self.romeo, 2)
        self.world.advance(2 * ANSWER_IN)
        self.romeo.nothing()

    def test_another_follows_when_more_is_kept(self) -> None:
        self.tell("1", "2")
        self.romeo.send(R)
        self.told_late(0)
        self.archives.commit()
        self.told(self.romeo, 2)
        self.romeo.nothing()

    def test_each_question_has_an_answer(self) -> None:
        self.tell("1")
        self.romeo.send(R)
        self.tell("2")
        self.romeo.send(R)
        self.told_late(0)
        self.romeo.expect(a(0), exact=True)
        self.archives.commit()
        self.told(self.romeo, 2)
        self.romeo.nothing()

    def test_many_questions_are_answered_at_once(self) -> None:
        self.tell("1")
        self.romeo.send(R * MOST_ANSWERS)
        for _ in range(MOST_ANSWERS):
            self.romeo.expect(a(0), exact=True)

    def test_a_later_question_has_a_moment_of_its_own(self) -> None:
        self.tell("1")
        self.romeo.send(R)
        self.archives.commit()
        self.told(self.romeo, 1)
        self.tell("2")
        self.romeo.send(R)
        self.world.advance(ANSWER_IN - TICK)
        self.romeo.nothing()
        self.world.advance((APART + 1) * TICK)  # something was settled just before
        self.romeo.expect(a(1), exact=True)

    def test_what_comes_after_a_question_is_not_waited_for(self) -> None:
        self.tell("1")
        self.archives.commit()
        self.romeo.send(R)
        self.tell("2")
        self.told(self.romeo, 1)
        self.archives.commit()
        self.world.advance(2 * ANSWER_IN)
        self.romeo.nothing()

    def test_who_closes_his_stream_is_told_before_that(self) -> None:
        self.tell("1")
        self.romeo.write(R + "</stream:stream>")
        self.romeo.expect(a(0), exact=True)
        self.assertTrue(self.romeo.ended)

    def test_who_has_not_asked_is_told_nothing(self) -> None:
        self.tell("1", "2")
        self.archives.commit()
        self.romeo.nothing()

    def test_what_stands_behind_a_message_that_is_not_kept_is_not_acknowledged(self) -> None:
        self.tell("1")
        self.romeo.send(f"<message to='nobody@example.org' type='headline'/>{R}")
        self.told_late(0)
        self.archives.commit()
        self.told(self.romeo, 2)

    def test_who_resumes_is_told_of_what_was_on_its_way(self) -> None:
        self.tell("1", "2")
        self.romeo.cut()
        client = self.logged_in()
        client.send(f"<resume {SM} previd='{self.id}' h='0'/>")
        client.nothing()
        self.say("meanwhile")
        self.archives.commit()
        client.expect(f"<resumed {SM} h='2' previd='{self.id}'/>", exact=True)
        self.assertEqual(self.bodies(client), ["meanwhile"])

    def test_nothing_is_said_to_him_before_that(self) -> None:
        self.tell("1")
        self.romeo.write(R)
        self.archives.slow = False
        client = self.logged_in()
        self.romeo.write(R)
        client.send(f"<resume {SM} previd='{self.id}' h='0'/>")
        self.session().ask()
        self.archives.commit()
        client.expect(f"<resumed {SM} h='1'/>")
        client.nothing()
        self.session().ask()
        client.expect(R)

    def test_but_does_not_wait_for_ever(self) -> None:
        self.tell("1")
        self.romeo.cut()
        client = self.logged_in()
        client.send(f"<resume {SM} previd='{self.id}' h='0'/>")
        self.world.advance(SETTLED_IN)
        client.expect(f"<resumed {SM} h='0'/>")

    def test_one_who_is_cut_off_while_he_waits_may_come_back(self) -> None:
        self.tell("1")
        self.romeo.cut()
        client = self.logged_in()
        client.send(f"<resume {SM} previd='{self.id}' h='0'/>")
        client.cut()
        self.assertTrue(self.session().asleep)
        self.archives.commit()
        self.resumed(self.id, 0)

    def test_and_is_told_then_of_what_took_longer_than_he_waited(self) -> None:
        self.tell("1")
        self.romeo.cut()
        client = self.logged_in()
        client.send(f"<resume {SM} previd='{self.id}' h='0'/>")
        client.cut()
        self.world.advance(SETTLED_IN)
        self.archives.commit()
        self.archives.slow = False
        _, answer = self.resume(self.id, 0)
        self.assertEqual(answer.to_xml(), f"<resumed {SM} previd='{self.id}' h='1'/>")

    def test_of_two_who_come_back_at_once_the_later_one_goes_on(self) -> None:
        self.tell("1")
        self.romeo.cut()
        first, second = self.logged_in(), self.logged_in()
        for client in (first, second):
            client.send(f"<resume {SM} previd='{self.id}' h='0'/>")
        self.archives.commit()
        self.assert_stream_error(first, "conflict")
        second.expect(f"<resumed {SM} h='1'/>")
        self.say("1")
        self.assertEqual(self.bodies(second), [])  # it is not kept yet
        self.archives.commit()
        self.assertEqual(self.bodies(second), ["1"])

    def test_a_session_that_ends_while_its_client_comes_back_is_over(self) -> None:
        self.tell("1")
        self.romeo.cut()
        client = self.logged_in()
        client.send(f"<resume {SM} previd='{self.id}' h='0'/>")
        self.world.client("romeo@example.org/orchard")
        self.assert_stream_error(client, "conflict")
        self.archives.commit()

    def test_what_is_remembered_of_a_session_that_is_over_waits_for_it_as_well(self) -> None:
        self.tell("1")
        self.romeo.cut()
        self.world.advance(300)
        self.archives.commit()
        self.world.advance(10)
        _, answer = self.resume(self.id, 0)
        self.assertEqual(answer.get("h"), "1")
