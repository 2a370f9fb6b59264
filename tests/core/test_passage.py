"""A message is kept before it is delivered; its sender's stream is read on, and what it sends later stays behind."""

from __future__ import annotations

import gc
from typing import ClassVar

from twisted.internet.defer import Deferred

from federix.api import JID, Module
from federix.core.archive_ids import ArchiveIds
from federix.core.intake import MOST_BEHIND, MOST_MESSAGES, Intake
from federix.core.passage import Keeping, Passage
from federix.core.settled import MODULUS, Mark
from federix.links.sending import Outgoing
from federix.storage.archive import Counted
from federix.xmpp import ns

from .passage_case import JULIET, NURSE, ROMEO, Dawdler, PassageCase, Thinker, stanza_ids, text
from .support import WorldTestCase, condition

ACCOUNT = JID.parse("romeo@example.org")


class PassageTests(PassageCase):
    def test_a_message_is_delivered_when_it_is_kept_and_not_before(self) -> None:
        self.archives.slow = True
        self.romeo.send(text(JULIET, "hark"))
        self.assertEqual(self.juliet.drain(), [])
        self.archives.commit()
        self.assertEqual(self.bodies(self.juliet), ["hark"])

    def test_both_sides_keep_it_in_one_step_and_know_it_by_the_same_id(self) -> None:
        self.romeo.send(text(JULIET, "hark"))
        mine, hers = self.archives.kept
        self.assertEqual(len(self.archives.counts), 1)
        self.assertEqual(
            (mine.owner, mine.peer, mine.resource, mine.sent),
            ("romeo@example.org", "juliet@example.org", "balcony", True),
        )
        self.assertEqual(
            (hers.owner, hers.peer, hers.resource, hers.sent),
            ("juliet@example.org", "romeo@example.org", "orchard", False),
        )
        self.assertEqual(mine.id, hers.id)
        self.assertIn(b"hark", hers.stanza)
        (got,) = self.juliet.drain()
        self.assertEqual(stanza_ids(got), [("juliet@example.org", self.told(hers.id))])

    def test_the_id_that_both_are_told_is_made_once(self) -> None:
        made = []

        class Counted(ArchiveIds):
            def encode(self, number: int) -> str:
                made.append(number)
                return super().encode(number)

        self.patch(self.world.server, "_archive_ids", Counted(bytes(16)))
        self.romeo.send(text(JULIET, "hark"))
        self.assertEqual(made, [self.archives.kept[0].id])
        told = self.told(made[0])
        self.assertEqual([stanza_ids(m.element) for m in self.keeper.accepted], [[("romeo@example.org", told)]])
        self.assertEqual(stanza_ids(self.juliet.receive()), [("juliet@example.org", told)])

    def test_one_that_is_settled_is_gone_before_the_collector_comes(self) -> None:
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        self.romeo.send(text(JULIET, "hark"))
        self.assertEqual(self.bodies(self.juliet), ["hark"])
        self.assertEqual([each for each in gc.get_objects() if isinstance(each, Passage | Outgoing)], [])

    def test_ids_grow_though_time_stands_still(self) -> None:
        self.romeo.send(text(JULIET, "1") + text(JULIET, "2") + text(JULIET, "3"))
        ids = [row.id for row in self.archives.kept[::2]]
        self.assertEqual(ids, sorted(set(ids)))

    def test_who_is_about_to_read_it_gets_no_forged_id(self) -> None:
        """XEP-0359 §5: what claims to be from the account itself is removed; that of others stays."""
        forged = "".join(
            f"<stanza-id xmlns='urn:xmpp:sid:0' by='{by}' id='x'/>" for by in ("juliet@example.org", "room@far")
        )
        self.romeo.send(text(JULIET, "hark", extra=forged) + f"<message to='{JULIET}'>{forged}</message>")
        kept, not_kept = self.juliet.drain()
        self.assertEqual(
            stanza_ids(kept), [("room@far", "x"), ("juliet@example.org", self.told(self.archives.kept[0].id))]
        )
        self.assertEqual(stanza_ids(not_kept), [("room@far", "x")])

    def test_the_stream_is_read_on_meanwhile(self) -> None:
        self.archives.slow = True
        self.romeo.send(text(JULIET, "hark"))
        self.romeo.send("<iq type='get' id='p' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>")
        self.assertEqual(self.romeo.receive().get("id"), "p")

    def test_what_goes_to_the_same_recipient_stays_behind(self) -> None:
        self.archives.slow = True
        nurse = self.world.client(NURSE)
        self.romeo.send(text(JULIET, "1") + f"<message to='{JULIET}'/><presence to='{JULIET}'/>")
        self.romeo.send(f"<message to='{NURSE}'/>" + text(JULIET, "2"))
        self.assertEqual(self.juliet.drain(), [])
        self.archives.commit()
        self.archives.commit()
        got = [(element.name, element.text_of(ns.CLIENT, "body")) for element in self.juliet.drain()]
        self.assertEqual(got, [("message", "1"), ("message", None), ("presence", None), ("message", "2")])
        self.assertEqual(len(nurse.drain()), 1)

    def test_a_message_that_is_kept_later_stays_behind_one_that_is_not_kept(self) -> None:
        self.archives.slow = True
        self.romeo.send(text(JULIET, "1") + f"<message to='{JULIET}'/>")
        self.archives.slow = False
        self.romeo.send(text(JULIET, "2"))
        self.assertEqual(self.juliet.drain(), [])
        self.archives.commit()
        self.assertEqual(self.bodies(self.juliet), ["1", None, "2"])

    def test_what_cannot_be_kept_goes_back_and_may_be_tried_again(self) -> None:
        self.archives.slow = True
        self.romeo.send(text(JULIET, "hark", "a"))
        self.archives.fail()
        refused = self.romeo.receive()
        self.assertEqual((refused.get("id"), condition(refused)), ("a", "internal-server-error"))
        error = next(child for child in refused.elements() if child.name == "error")
        self.assertEqual(error.get("type"), "wait")
        self.archives.full = True
        self.romeo.send(text(JULIET, "hark", "b"))
        self.assertEqual(self.romeo.receive().get("id"), "b")
        self.assertEqual(self.juliet.drain(), [])

    def test_who_sends_too_much_at_once_is_not_read_until_it_is_kept(self) -> None:
        self.archives.slow = True
        for number in range(MOST_MESSAGES + 10):
            self.romeo.send(text(JULIET, str(number)))
        self.assertEqual(len(self.archives.jobs), MOST_MESSAGES)
        self.archives.commit()
        self.world.pump()
        self.archives.commit()
        self.world.pump()
        self.assertEqual(self.bodies(self.juliet), [str(number) for number in range(MOST_MESSAGES + 10)])

    def test_nor_is_who_sends_too_much_else_behind_one_that_is_on_its_way(self) -> None:
        self.session(self.romeo).intake.begin_counting("key", ACCOUNT)
        self.archives.slow = True
        self.romeo.send(text(JULIET, "1"))
        for _ in range(MOST_BEHIND):
            self.romeo.send("<iq type='result' id='x'/>")
        intake = self.session(self.romeo).intake
        self.assertEqual((intake.handled, intake.behind), (0, MOST_BEHIND))
        self.archives.commit()
        self.world.pump()
        self.assertEqual((intake.handled, intake.behind), (MOST_BEHIND + 1, 0))

    def test_a_message_that_is_refused_is_not_kept(self) -> None:
        self.romeo.send(text(JULIET, "blocked") + text("nobody@example.org", "hark") + text("example.org", "hark"))
        self.assertEqual([condition(e) for e in self.romeo.drain()], ["service-unavailable"] * 3)
        self.assertEqual([row.owner for row in self.archives.kept], ["romeo@example.org"])  # the host may be written to

    def test_a_message_that_a_module_takes_is_kept_by_its_sender(self) -> None:
        self.romeo.send(text(JULIET, "taken"))
        self.assertEqual([row.owner for row in self.archives.kept], ["romeo@example.org"])
        self.assertEqual(self.juliet.drain(), [])

    def test_a_message_to_another_server_is_kept_by_its_sender_first(self) -> None:
        self.archives.slow = True
        self.romeo.send(text("someone@far.invalid", "hark"))
        self.archives.commit()
        self.assertEqual([row.owner for row in self.archives.kept], ["romeo@example.org"])

    def test_a_message_to_oneself_is_kept_once(self) -> None:
        self.romeo.send(text("romeo@example.org/orchard", "note"))
        (row,) = self.archives.kept
        (got,) = self.romeo.drain()
        self.assertEqual(stanza_ids(got), [("romeo@example.org", self.told(row.id))])

    def test_a_message_of_the_server_itself_is_kept_by_its_recipient(self) -> None:
        from federix.api import message

        host = self.world.host("example.org")
        self.archives.slow = True
        host.route(message("normal", to=JID.parse(JULIET), sender=host.jid, body="welcome"))
        self.assertEqual(self.juliet.drain(), [])
        self.archives.commit()
        self.assertEqual(self.bodies(self.juliet), ["welcome"])

    def test_what_is_kept_for_somebody_absent_does_not_go_back(self) -> None:
        self.world.register("nurse@example.org")
        self.romeo.send(text("nurse@example.org", "later"))
        self.assertEqual([row.owner for row in self.archives.kept], ["romeo@example.org", "nurse@example.org"])
        self.assertEqual(self.romeo.drain(), [])

    def test_what_nobody_keeps_goes_back(self) -> None:
        self.world.register("nurse@example.org")
        self.romeo.send("<message to='nurse@example.org'><subject>later</subject></message>")
        self.assertEqual(condition(self.romeo.receive()), "service-unavailable")

    def test_what_cannot_be_kept_goes_back_behind_what_is_still_on_its_way(self) -> None:
        """Or what came later would not know that it must wait for that."""
        self.world.run(self.world.host("example.org").modules.add(Dawdler(self.world.host("example.org"), {})))
        dawdler = self.world.host("example.org").module(Dawdler)
        # What was sent before is looked up now, which those behind would wait for.
        self.romeo.send(text(JULIET, "0", "z"))
        (session,) = self.world.host("example.org").sessions.of("juliet")
        session.catching_up = True
        self.archives.slow = True
        self.romeo.send(text(JULIET, "1", "a") + text(JULIET, "2", "b") + text(JULIET, "3", "c"))
        self.archives.commit(1)
        self.archives.fail(1)
        self.archives.commit()
        self.assertEqual((dawdler.came, self.romeo.drain()), (["1"], []))
        dawdler.dawdling[0].callback(None)
        self.assertEqual(dawdler.came, ["1", "3"])
        self.assertEqual([error.get("id") for error in self.romeo.drain()], ["b"])

    # -- what others are told -----------------------------------------------------------------------------------------

    def test_events_come_when_it_is_kept(self) -> None:
        self.archives.slow = True
        self.romeo.send(text(JULIET, "hark"))
        self.assertEqual((self.keeper.accepted, self.keeper.delivered), ([], []))
        self.archives.commit()
        id_ = self.told(self.archives.kept[0].id)
        self.assertEqual([stanza_ids(m.element) for m in self.keeper.accepted], [[("romeo@example.org", id_)]])
        ((account, message, sessions),) = self.keeper.delivered
        self.assertEqual(
            (account.text, stanza_ids(message.element), sessions),
            ("juliet@example.org", [("juliet@example.org", id_)], 1),
        )

    def test_events_come_for_what_is_not_kept(self) -> None:
        self.romeo.send(f"<message to='{JULIET}'/>")
        self.assertEqual((len(self.keeper.accepted), len(self.keeper.delivered)), (1, 1))

    # -- counting -----------------------------------------------------------------------------------------------------

    def test_only_what_is_kept_is_counted_and_all_before_it(self) -> None:
        intake = self.session(self.romeo).intake
        moves: list[int] = []
        intake.moved = lambda: moves.append(intake.handled)
        intake.begin_counting("key", ACCOUNT)
        self.romeo.send(f"<message to='{JULIET}'/>")
        self.assertEqual(intake.handled, 1)
        self.archives.slow = True
        self.romeo.send(text(JULIET, "1") + f"<message to='{NURSE}'/>")
        self.assertEqual((intake.handled, moves), (1, []))
        self.archives.commit()
        self.assertEqual((intake.handled, moves), (3, [3]))
        self.assertEqual(self.archives.counts, [Counted("key", "romeo@example.org", 2)])

    def test_a_burst_that_waits_for_a_look_up_is_counted_message_by_message(self) -> None:
        looking: Deferred[None] = Deferred()

        async def fingerprints(owner: str, since: int, limit: int) -> dict[str, int]:
            await looking
            return {}

        self.patch(self.archives, "fingerprints", fingerprints)
        self.session(self.romeo).intake.begin_counting("key", ACCOUNT)
        self.romeo.send("".join(text(JULIET, str(number), f"m{number}") for number in range(3)))
        looking.callback(None)
        self.world.pump()
        self.assertEqual([counted.h for counted in self.archives.counts if counted], [1, 2, 3])

    def test_messages_for_who_is_absent_are_counted_as_well(self) -> None:
        """Whether there is such an account is looked up first, and several wait for that at the same time."""
        looking: list[Deferred[None]] = []
        exists = self.world.host("example.org").accounts.exists

        async def later(local: str) -> bool:
            looking.append(Deferred())
            await looking[-1]
            return await exists(local)

        for name in ("nurse", "tybalt", "paris"):
            self.world.register(f"{name}@example.org")
        self.patch(self.world.host("example.org").accounts, "exists", later)
        self.session(self.romeo).intake.begin_counting("key", ACCOUNT)
        self.romeo.send("".join(text(f"{name}@example.org", "1") for name in ("nurse", "tybalt", "paris")))
        for gate in looking:
            gate.callback(None)
        self.assertEqual([counted.h for counted in self.archives.counts if counted], [1, 2, 3])

    def test_a_message_that_goes_back_is_settled(self) -> None:
        intake = self.session(self.romeo).intake
        intake.begin_counting("key", ACCOUNT)
        self.archives.slow = True
        self.romeo.send(text(JULIET, "1"))
        self.archives.fail()
        self.assertEqual(intake.handled, 1)

    def test_one_may_wait_until_all_is_settled(self) -> None:
        self.archives.slow = True
        session = self.session(self.romeo)
        self.romeo.send(text(JULIET, "1"))
        waiting = session.scope.spawn(session.intake.settled(session.scope, 5.0))
        self.assertFalse(waiting.called)
        self.archives.commit()
        self.assertTrue(waiting.called)
        self.romeo.send(text(JULIET, "2"))
        waiting = session.scope.spawn(session.intake.settled(session.scope, 5.0))
        self.world.advance(4.9)
        self.assertFalse(waiting.called)
        self.world.advance(0.2)
        self.assertTrue(waiting.called)


class StablePagesTests(PassageCase):
    """XEP-0313 §4.3.2: no page that was read has another message in it later, so none says `stable='false'`.

    Who reads an archive waits for what has its place there (`tests/contracts/archives.py`).
    """

    own_modules: ClassVar[dict[str, type[Module]]] = {"mod_thinker": Thinker}

    def test_a_message_is_given_its_id_when_it_takes_its_place_and_not_when_it_comes(self) -> None:
        self.archives.slow = True
        self.romeo.send(text(JULIET, "hark"))
        self.juliet.send(text(ROMEO, "obvious 1") + text(ROMEO, "obvious 2"))
        (thinking,) = self.world.host("example.org").module(Thinker).thinking
        self.world.advance(1)
        thinking.callback(None)
        self.world.pump()
        self.juliet.send(text(ROMEO, "obvious 3"))
        ids = [{row.id for row in rows} for _, rows, _ in self.archives.jobs]
        self.assertEqual([len(each) for each in ids], [1, 1, 1, 1])
        numbers = [number for (number,) in ids]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertIn(b"hark", self.archives.jobs[2][1][0].stanza)

    def test_what_is_sent_again_and_was_given_an_id_before_is_not_kept_under_it_now(self) -> None:
        said = text(JULIET, "obvious", extra="<origin-id xmlns='urn:xmpp:sid:0' id='o1'/>")
        self.romeo.send(said)
        self.juliet.receive()
        kept = list(self.archives.kept)
        before = self.world.server.first_archive_id - 1
        self.archives.sent_before = {kept[0].fingerprint: before}
        self.world.client("romeo@example.org/again").send(said)
        self.assertEqual(stanza_ids(self.juliet.receive()), [("juliet@example.org", self.told(before))])
        self.assertEqual(self.archives.kept, kept)


class CountingTests(WorldTestCase):
    def test_counters_begin_anew_at_two_to_the_thirty_second(self) -> None:
        """XEP-0198 §4: "the value of 'h' … SHOULD be reset to zero … at 2^32"."""
        intake = Intake()
        intake.begin_counting("key", ACCOUNT)
        intake.handled = MODULUS - 2
        for _ in range(3):
            intake.take(None, 1)
        self.assertEqual(intake.handled, 1)

    def test_a_mark_of_before_a_resumption_moves_nothing(self) -> None:
        intake = Intake()
        intake.begin_counting("key", ACCOUNT)
        late = Keeping(placed=True)
        intake.take(late, 1)
        self.assertEqual(intake.resume(), 0)
        intake.take(None, 1)
        late.callback(None)
        self.assertEqual(intake.handled, 1)

    def counted(self, intake: Intake, mark: Mark | None) -> int | None:
        counted = intake.counted(mark, 0.0)
        return None if counted is None else counted.h

    def test_counted_is_a_message_with_all_before_it(self) -> None:
        intake = Intake()
        self.assertIsNone(intake.arrive())
        intake.begin_counting("key", ACCOUNT)
        intake.handled = MODULUS - 1
        intake.arrive()
        intake.take(Keeping(placed=True), 1)
        self.assertEqual(self.counted(intake, intake.arrive()), 1)

    def test_what_came_later_is_counted_with_a_message_where_its_place_is_before_it(self) -> None:
        intake = Intake()
        intake.begin_counting("key", ACCOUNT)
        first = intake.arrive()
        intake.take(Keeping(placed=False), 1)
        for placed in (True, False, True):
            intake.arrive()
            intake.take(Keeping(placed=placed), 1)
        self.assertEqual(self.counted(intake, first), 2)

    def test_a_message_whose_place_is_not_taken_ends_the_count(self) -> None:
        intake = Intake()
        intake.begin_counting("key", ACCOUNT)
        slow = Keeping(placed=False)
        intake.arrive()
        intake.take(slow, 1)
        second = intake.arrive()
        self.assertEqual(self.counted(intake, second), 0)
        intake.take(Keeping(placed=True), 1)
        slow.callback(None)
        self.assertEqual(self.counted(intake, second), 2)

    def test_a_message_of_before_a_resumption_is_not_counted(self) -> None:
        intake = Intake()
        intake.begin_counting("key", ACCOUNT)
        first = intake.arrive()
        intake.take(Keeping(placed=False), 1)
        intake.resume()
        intake.arrive()
        self.assertEqual(self.counted(intake, first), 0)
