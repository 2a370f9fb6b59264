"""Of what was taken lately so much is remembered, for so long, and no more."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from federix.core.resending import PATIENCE
from federix.core.settled import Settled
from federix.life.scope import Scope
from federix.links.recent import KNOWN_FOR, MOST_OF_ALL, MOST_OF_ONE, Recent, Taken
from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.jid import JID
from federix.xmpp.stanza import Message


class RecentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.recent = Recent(self.clock)
        self.first, self.second = Settled(), Settled()

    def take(self, id: str, by: Settled, domain: str = "b.test", local: str = "juliet") -> Taken:
        sender = JID(local, domain, "y")
        element = Element("message", ns.CLIENT, attrs={"id": id, "from": sender.text, "to": "romeo@a.test"})
        taken = self.recent.take(Message(element), sender, by)
        assert taken is not None
        return taken

    def test_what_comes_by_another_stream_is_known_again_each_time(self) -> None:
        first = self.take("1", self.first)
        self.assertIsNone(self.take("2", self.second).earlier)
        again = self.take("1", self.second)
        self.assertIs(again.earlier, first)
        self.assertIs(self.take("1", self.first).earlier, again)

    def test_what_comes_by_the_same_stream_is_another(self) -> None:
        self.take("1", self.first)
        self.assertIsNone(self.take("1", self.first).earlier)

    def test_of_one_domain_the_newest_are_remembered(self) -> None:
        for number in range(3 * MOST_OF_ONE):
            self.take(str(number), self.first)
            self.assertLessEqual(len(self.recent), 2 * MOST_OF_ONE)
        for number in range(2 * MOST_OF_ONE, 3 * MOST_OF_ONE):
            self.assertIsNotNone(self.take(str(number), self.second).earlier)
        self.assertIsNone(self.take(str(MOST_OF_ONE - 1), self.second).earlier)

    def test_of_all_domains_that_which_has_sent_nothing_for_longest_is_forgotten(self) -> None:
        self.take("1", self.first, "long.test")
        self.take("1", self.first, "b.test")
        for number in range(MOST_OF_ALL - 1):
            self.take(str(number), self.first, f"b{number}.test")
        self.assertEqual(len(self.recent), MOST_OF_ALL)
        self.assertIsNotNone(self.take("1", self.second, "b.test").earlier)
        self.assertIsNone(self.take("1", self.second, "long.test").earlier)

    def test_after_a_while_nothing_is_remembered(self) -> None:
        self.take("1", self.first)
        self.clock.advance(KNOWN_FOR - 1)
        self.take("2", self.first)
        self.clock.advance(KNOWN_FOR)
        self.assertIsNotNone(self.take("2", self.second).earlier)
        self.clock.advance(KNOWN_FOR)
        self.assertIsNone(self.take("1", self.second).earlier)
        self.clock.advance(2 * KNOWN_FOR)
        self.assertIsNone(self.take("2", self.first).earlier)

    def test_a_domain_that_is_silent_is_forgotten_when_another_speaks(self) -> None:
        self.take("1", self.first)
        self.take("1", self.first, "c.test")
        self.clock.advance(2 * KNOWN_FOR)
        self.take("2", self.first, "c.test")
        self.assertEqual(len(self.recent), 1)

    def test_each_sender_says_it_for_himself(self) -> None:
        self.take("1", self.first)
        self.assertIsNone(self.take("1", self.second, "b.test", "nurse").earlier)

    def test_what_the_peer_knows_to_have_arrived_is_forgotten(self) -> None:
        self.take("1", self.first)
        self.take("2", self.second)
        self.take("1", self.first, "c.test")
        self.recent.forget(("b.test", "c.test", "d.test"), self.first)
        self.assertEqual(len(self.recent), 1)
        self.assertIsNone(self.take("1", self.second).earlier)
        self.assertIsNotNone(self.take("2", self.first).earlier)

    def test_who_waits_for_one_hears_of_its_end_or_waits_no_longer_than_he_would(self) -> None:
        scope = Scope(self.clock, "test")
        self.addCleanup(scope.close)
        one = self.take("1", self.first)
        waits = [scope.spawn(one.ended(scope))]
        self.clock.advance(1)
        waits.append(scope.spawn(one.ended(scope)))
        self.clock.advance(PATIENCE - 1)
        self.successResultOf(waits[0])
        self.assertNoResult(waits[1])
        one.end()
        self.successResultOf(waits[1])
        self.successResultOf(scope.spawn(one.ended(scope)))
        self.assertEqual(self.clock.getDelayedCalls(), [])
