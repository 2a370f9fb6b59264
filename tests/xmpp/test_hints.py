from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp import hints, ns
from federix.xmpp.element import Element
from federix.xmpp.stanza import Message, message


def hinted(*names: str, kind: str = "chat", namespace: str = ns.HINTS) -> Message:
    return message(kind, *(Element(name, namespace) for name in names), body="Hark!")


class HintTests(SynchronousTestCase):
    """XEP-0334 §4."""

    def test_what_is_not_asked_for_is_not_wished(self) -> None:
        plain = hinted()
        asked = (hints.no_store, hints.no_permanent_store, hints.no_copy, hints.store)
        self.assertEqual([ask(plain) for ask in asked], [False] * 4)

    def test_a_message_may_say_that_it_is_not_to_be_stored_at_all(self) -> None:
        self.assertTrue(hints.no_store(hinted("no-store")))

    def test_what_is_not_to_be_stored_at_all_is_not_to_be_stored_permanently(self) -> None:
        self.assertTrue(hints.no_permanent_store(hinted("no-store")))

    def test_a_message_off_the_record_may_wait_for_its_recipient(self) -> None:
        off_the_record = hinted("no-permanent-store")
        self.assertTrue(hints.no_permanent_store(off_the_record))
        self.assertFalse(hints.no_store(off_the_record))

    def test_a_message_may_say_that_it_is_not_to_be_copied(self) -> None:
        self.assertTrue(hints.no_copy(hinted("no-copy")))
        self.assertFalse(hints.no_copy(hinted("no-store")))

    def test_a_message_may_say_that_it_is_worth_storing(self) -> None:
        self.assertTrue(hints.store(hinted("store")))
        self.assertTrue(hints.store(hinted("store", "no-permanent-store")))

    def test_of_contradicting_hints_the_careful_one_counts(self) -> None:
        self.assertFalse(hints.store(hinted("store", "no-store")))

    def test_hints_in_an_error_should_be_ignored(self) -> None:
        error = hinted("no-store", "no-copy", "no-permanent-store", kind="error")
        self.assertFalse(hints.no_store(error) or hints.no_copy(error) or hints.no_permanent_store(error))
        self.assertFalse(hints.store(hinted("store", kind="error")))

    def test_a_hint_is_one_in_its_own_namespace_only(self) -> None:
        self.assertFalse(hints.no_copy(hinted("no-copy", namespace="urn:example")))
