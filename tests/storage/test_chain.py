from __future__ import annotations

from gc import get_referents

from twisted.trial.unittest import SynchronousTestCase

from federix.storage.chain import Chain, Link


class ChainTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.chain = Chain()

    def links(self, number: int) -> list[Link]:
        """That many, submitted one behind the other before anything is known of the first."""
        return [self.chain.next() for _ in range(number)]

    def holding(self, links: list[Link]) -> list[bool]:
        """Which of *links* hold, as they are tried in their order."""
        return [link.holds() for link in links]

    def test_all_hold_where_none_fails(self) -> None:
        self.assertEqual(self.holding(self.links(3)), [True] * 3)

    def test_behind_one_that_failed_none_holds_until_that_is_known(self) -> None:
        links = self.links(3)
        links[1].fail()
        unknowing = self.chain.next()
        links[1].lose()
        self.assertEqual(self.holding([*links, unknowing, self.chain.next()]), [True, True, False, False, True])

    def test_each_that_fails_is_to_be_known(self) -> None:
        links = self.links(4)
        links[0].fail()
        links[2].fail()
        self.assertEqual(self.holding(links), [True, False, False, False])
        links[0].lose()
        self.assertEqual(self.holding(self.links(1)), [False])
        links[2].lose()
        self.assertEqual(self.holding(self.links(1)), [True])

    def test_of_several_that_fail_together_after_they_were_tried_each_is_to_be_known(self) -> None:
        first, second = self.links(2)
        self.assertEqual(self.holding([first, second]), [True, True])
        first.fail()
        second.fail()
        first.lose()
        self.assertEqual(self.holding(self.links(1)), [False])
        second.lose()
        self.assertEqual(self.holding(self.links(1)), [True])

    def test_of_several_that_fail_without_being_tried_each_is_to_be_known(self) -> None:
        first, second = self.links(2)
        first.fail()
        second.fail()
        first.lose()
        self.assertEqual(self.holding(self.links(2)), [False, False])

    def test_one_that_is_tried_again_and_does_not_fail_breaks_nothing(self) -> None:
        links = self.links(3)
        links[0].fail()
        self.assertEqual(self.holding(links), [True, False, False])
        links[0].fail(False)
        self.assertEqual(self.holding(links), [True, True, True])

    def test_one_that_was_late_and_did_not_fail_leaves_those_behind_it_as_they_were_done(self) -> None:
        first, second, third = self.links(3)
        first.fail()
        self.assertEqual(self.holding([first, second, third]), [True, False, False])
        first.fail(False)
        self.assertEqual([first.end(), second.end(), third.end()], [True, False, False])
        self.assertEqual(self.holding(self.links(2)), [True, True])

    def test_one_that_was_not_even_submitted_changes_nothing(self) -> None:
        first, second = self.links(2)
        second.lose()
        first.fail()
        third = self.chain.next()
        self.assertEqual(self.holding([first, third]), [True, False])

    def test_whether_it_held_is_known_at_its_end(self) -> None:
        first, second = self.links(2)
        first.fail()
        self.assertEqual(self.holding([first, second]), [True, False])
        first.lose()
        self.assertIs(second.end(), False)

    def test_nothing_is_remembered_of_those_that_are_over(self) -> None:
        for number in range(50):
            link = self.chain.next()
            if number % 2 == 1:
                link.fail()
                link.lose()
            else:
                link.end()
        found = [self.chain.next()]
        for link in found:
            found += [each for each in get_referents(link) if isinstance(each, Link)]
        self.assertEqual(len(found), 2)
