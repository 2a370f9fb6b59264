from __future__ import annotations

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.api import JID, Contact, RosterItem
from federix.modules.circle import Circle
from federix.modules.subscription_states import Kind, Ties, inbound, outbound

from .rfc6121 import (
    APPROVED,
    INBOUND,
    MERCUTIO,
    NONE,
    NONE_IN,
    NONE_OUT,
    OUTBOUND,
    REQUEST,
    SEEN,
    STATES,
    TO,
    contact_in,
    state_of,
)

KINDS: tuple[Kind, ...] = get_args(Kind)


class TablesTest(SynchronousTestCase):
    """Appendix A, row by row."""

    def test_outbound(self) -> None:
        for kind in KINDS:
            for old, row in OUTBOUND[kind].items():
                with self.subTest(f"{kind} in state {old}"):
                    before = contact_in(old)
                    step = outbound(kind, before, MERCUTIO)
                    self.assertEqual(step.passes, row.passes)
                    assert step.after.item is not None
                    self.assertEqual(step.after.item.approved, row.new == APPROVED)
                    if row.new is None:
                        self.assertEqual(step.after, before)
                    elif row.new == APPROVED:
                        self.assertEqual(state_of(step.after), old)
                    else:
                        self.assertEqual(state_of(step.after), row.new)

    def test_inbound(self) -> None:
        for kind in KINDS:
            for old, row in INBOUND[kind].items():
                with self.subTest(f"{kind} in state {old}"):
                    before = contact_in(old)
                    step = inbound(kind, before, MERCUTIO, REQUEST)
                    self.assertEqual((step.passes, step.reply), (row.passes, row.reply))
                    self.assertEqual(state_of(step.after), row.new or old)
                    if row.new is None:
                        self.assertEqual(step.after, before)

    def test_what_changes_nothing_can_be_told_from_memory(self) -> None:
        contact = JID.parse(MERCUTIO)
        for kind in KINDS:
            for old in INBOUND[kind]:
                for approved in (False, True):
                    with self.subTest(f"{kind} in state {old}, approved: {approved}"):
                        before = contact_in(old, approved=approved)
                        assert before.item is not None
                        circle = Circle([before.item], [MERCUTIO] if before.request else [])
                        step = inbound(kind, before, MERCUTIO, REQUEST)
                        is_nothing = step.after == before and step.reply is None
                        self.assertEqual(circle.ignores(kind, contact), is_nothing)

    def test_the_tables_are_whole(self) -> None:
        for table in (OUTBOUND, INBOUND):
            self.assertEqual(set(table), set(KINDS))
            for rows in table.values():
                self.assertEqual(set(rows), set(STATES))


class ItemTest(SynchronousTestCase):
    def test_a_request_makes_no_item(self) -> None:
        """§3.1.3: "MUST NOT add an item for the user to the contact's roster"."""
        self.assertEqual(inbound("subscribe", Contact(), MERCUTIO, REQUEST).after, Contact(None, REQUEST))

    def test_a_denied_request_of_somebody_in_no_roster_leaves_nothing(self) -> None:
        self.assertEqual(outbound("unsubscribed", Contact(None, REQUEST), MERCUTIO).after, Contact())

    def test_what_ends_nothing_makes_no_item(self) -> None:
        for kind in ("unsubscribe", "unsubscribed"):
            self.assertEqual(outbound(kind, Contact(), MERCUTIO).after, Contact())

    def test_a_granted_request_makes_one(self) -> None:
        after = outbound("subscribed", Contact(None, REQUEST), MERCUTIO).after
        self.assertEqual(after, Contact(RosterItem(MERCUTIO, subscription="from")))

    def test_a_request_of_ones_own_makes_one(self) -> None:
        after = outbound("subscribe", Contact(None, REQUEST), MERCUTIO).after
        self.assertEqual(after, Contact(RosterItem(MERCUTIO, ask=True), REQUEST))

    def test_name_and_groups_stay(self) -> None:
        item = RosterItem(MERCUTIO, "Merc", groups=frozenset({"Friends"}))
        after = outbound("subscribe", Contact(item), MERCUTIO).after.item
        assert after is not None
        self.assertEqual((after.name, after.groups), ("Merc", frozenset({"Friends"})))

    def test_the_first_request_is_the_one_that_waits(self) -> None:
        after = inbound("subscribe", contact_in(NONE_IN), MERCUTIO, b"<another/>").after
        self.assertEqual(after.request, REQUEST)


class PreApprovalTest(SynchronousTestCase):
    def test_it_grants_a_request_without_asking(self) -> None:
        for state, after in ((NONE, "from"), (NONE_OUT, "from"), (TO, "both")):
            step = inbound("subscribe", contact_in(state, approved=True), MERCUTIO, REQUEST)
            assert step.after.item is not None
            self.assertEqual((step.after.item.subscription, step.after.request), (after, None))
            self.assertEqual((step.passes, step.reply), (False, "subscribed"))

    def test_it_is_used_up(self) -> None:
        step = inbound("subscribe", contact_in(NONE, approved=True), MERCUTIO, REQUEST)
        assert step.after.item is not None
        self.assertFalse(step.after.item.approved)

    def test_unsubscribed_cancels_it_and_is_not_sent(self) -> None:
        """§3.2.2: "MUST remove the pre-approval and MUST NOT route or deliver the presence stanza"."""
        step = outbound("unsubscribed", contact_in(TO, approved=True), MERCUTIO)
        self.assertEqual(step, (contact_in(TO), False, None))

    def test_nothing_the_contact_sends_cancels_it(self) -> None:
        for kind in ("subscribed", "unsubscribe", "unsubscribed"):
            step = inbound(kind, contact_in(NONE_OUT, approved=True), MERCUTIO, REQUEST)
            assert step.after.item is not None
            self.assertTrue(step.after.item.approved, kind)

    def test_it_is_for_somebody_in_no_roster_as_well(self) -> None:
        step = outbound("subscribed", Contact(), MERCUTIO)
        self.assertEqual(step, (Contact(RosterItem(MERCUTIO, approved=True)), False, None))


class BothSidesTest(SynchronousTestCase):
    """Two users, each with a server of this kind between them."""

    @given(st.lists(st.tuples(st.booleans(), st.sampled_from(KINDS)), max_size=30))
    def test_whatever_they_send_both_servers_agree(self, said: list[tuple[bool, Kind]]) -> None:
        sides = [Contact(), Contact()]

        def receive(side: int, kind: Kind) -> None:
            step = inbound(kind, sides[side], "other", REQUEST)
            sides[side] = step.after
            if step.reply is not None:
                receive(1 - side, step.reply)

        for speaker, kind in said:
            step = outbound(kind, sides[speaker], "other")
            sides[speaker] = step.after
            if step.passes:
                receive(1 - speaker, kind)
            one, other = map(Ties.of, sides)
            self.assertEqual((one.sees, one.is_seen), (other.is_seen, other.sees))
            self.assertEqual((one.asks, one.request is not None), (other.request is not None, other.asks))
            self.assertFalse(one.approved and one.is_seen)

    @given(st.sampled_from(sorted(STATES)), st.booleans(), st.sampled_from(KINDS))
    def test_the_same_again_changes_nothing(self, state: str, approved: bool, kind: Kind) -> None:
        start = contact_in(state, approved=approved and state not in SEEN)
        once = outbound(kind, start, MERCUTIO).after
        # Having granted what was asked, one cannot pre-approve it; having denied it, one takes back nothing more.
        self.assertEqual(outbound(kind, once, MERCUTIO).after, once)
        once = inbound(kind, start, MERCUTIO, REQUEST).after
        self.assertEqual(inbound(kind, once, MERCUTIO, REQUEST).after, once)
