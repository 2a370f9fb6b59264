"""A message that went back counts when its sender knows, and what was kept behind it when that is kept (XEP-0198)."""

from __future__ import annotations

from collections.abc import Awaitable
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.task import deferLater

from federix.core.catching_up import AGAIN_IN
from federix.core.intake import LEFT_BEHIND, MOST_BEHIND, Intake
from federix.core.returning import SETTLED_IN
from federix.core.stream_management import STREAM_MANAGEMENT
from federix.storage.archive import Counted
from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.jid import JID
from federix.xmpp.stanza import Message

from .passage_case import JULIET, ROMEO, PassageCase, SlowArchives, text
from .support import condition

#: Of resources, each for one client.
NAMES = map(str, count())


class CatchingUpTests(PassageCase):
    def setUp(self) -> None:
        super().setUp()
        self.romeo.send(f"<enable xmlns='{ns.SM}' resume='true'/>")
        self.key = self.romeo.receive().get("id") or ""
        self.exists = self.world.host("example.org").accounts.exists
        self.intake: Intake = self.session(self.romeo).intake

    def look_later(self) -> Deferred[bool]:
        """Have it take until that fires to find out whether there is an account."""
        looking: Deferred[bool] = Deferred()
        self.patch(self.world.host("example.org").accounts, "exists", lambda local: looking)
        return looking

    def errors(self) -> list[str | None]:
        """The conditions of those that have come to Romeo, who says nothing to that."""
        return [condition(element) for element in self.romeo.drain() if element.name == "message"]

    def acknowledge(self) -> None:
        """Romeo has all that was sent to him."""
        self.romeo.drain()
        self.romeo.send(f"<a xmlns='{ns.SM}' h='{self.session(self.romeo).sent}'/>")

    def kept(self) -> list[int]:
        """All counts that were kept."""
        return [counted.h for counted in self.archives.counts if counted is not None]

    def is_stored(self, id: str) -> bool:
        return any(f"id='{id}'".encode() in row.stanza for row in self.archives.kept)

    # -- a message that went back ---------------------------------------------------------------------------------

    def test_one_that_went_back_counts_when_its_sender_has_the_error(self) -> None:
        """Or a server that crashes would tell him that it has arrived, and the error would be lost."""
        self.romeo.send(text("nobody@example.org", "0") + text(JULIET, "1"))
        self.assertEqual((self.intake.handled, self.kept()), (0, [0]))
        self.acknowledge()
        self.assertEqual((self.intake.handled, self.kept()), (2, [0, 2]))

    def test_he_is_asked_at_once(self) -> None:
        self.romeo.send(text("nobody@example.org", "0"))
        self.assertEqual([element.name for element in self.romeo.drain()], ["message", "r"])

    def test_and_again_where_he_was_asked_before(self) -> None:
        self.juliet.send(text("romeo@example.org/orchard", "hark"))
        self.world.advance(1.0)
        self.assertEqual([element.name for element in self.romeo.drain()], ["message", "r"])
        self.romeo.send(text("nobody@example.org", "0") + f"<a xmlns='{ns.SM}' h='1'/>")
        self.assertEqual([element.name for element in self.romeo.drain()], ["message", "r"])
        self.assertEqual(self.intake.handled, 0)
        self.acknowledge()
        self.assertEqual(self.intake.handled, 1)

    def test_one_that_could_not_be_kept_is_not_counted_with_those_behind_it(self) -> None:
        """They were on their way when it failed, and would tell that it has arrived."""
        self.archives.slow = True
        self.romeo.send(text(JULIET, "0") + text(JULIET, "1"))
        self.archives.fail(1)
        self.assertEqual(self.errors(), ["internal-server-error"])
        self.archives.commit(1)
        self.assertEqual((self.intake.handled, self.kept()), (0, []))
        self.archives.commit()
        self.assertEqual((self.intake.handled, self.kept()), (0, [0]))
        self.acknowledge()
        self.archives.commit()
        self.assertEqual((self.intake.handled, self.kept()), (2, [0, 2]))

    def test_nor_where_it_goes_back_later_because_of_one_that_is_on_its_way_still(self) -> None:
        self.romeo.send(text(JULIET, "0"))
        self.archives.slow = True
        self.romeo.send(text(JULIET, "1"))
        self.archives.full = True
        self.romeo.send(text(JULIET, "2"))
        self.archives.full = False
        self.romeo.send(text(JULIET, "3"))
        self.archives.commit()
        self.assertEqual(self.errors(), ["internal-server-error"])
        self.assertEqual((self.intake.handled, self.kept()), (2, [1, 2, 2]))
        self.acknowledge()
        self.archives.commit()
        self.assertEqual((self.intake.handled, self.kept()), (4, [1, 2, 2, 4]))

    def test_nor_with_those_that_come_before_anybody_knows_that(self) -> None:
        self.archives.slow = self.archives.mute = True
        self.romeo.send(text(JULIET, "0"))
        self.archives.fail()
        self.romeo.send(text(JULIET, "1"))
        self.archives.commit()
        self.archives.speak()
        self.assertEqual((self.intake.handled, self.kept()), (0, []))
        self.archives.commit()
        self.acknowledge()
        self.archives.commit()
        self.assertEqual((self.intake.handled, self.kept()), (2, [0, 2]))

    def test_one_that_was_kept_before_it_went_back_is_taken_back_though_the_store_fails(self) -> None:
        """Its sender's archive has it, but nobody else."""
        self.patch(self.keeper, "wants", lambda account, peer, message, sent: sent)
        self.patch(self.world.host("example.org").accounts, "exists", lambda local: succeed(True))
        self.archives.slow = True
        self.romeo.send(text("nurse@example.org", "0") + text(JULIET, "1"))
        self.archives.commit()
        self.assertEqual(self.errors(), ["service-unavailable"])
        self.archives.fail()
        self.world.advance(AGAIN_IN)
        self.archives.commit()
        self.assertEqual((self.intake.handled, self.kept()), (0, [1, 2, 0]))
        self.acknowledge()
        self.archives.commit()
        self.assertEqual((self.intake.handled, self.kept()), (2, [1, 2, 0, 2]))

    def test_those_before_it_are_not_concerned(self) -> None:
        self.archives.slow = True
        self.romeo.send(text(JULIET, "0") + text("nobody@example.org", "1"))
        self.archives.commit()
        self.assertEqual((self.intake.handled, self.kept(), self.archives.jobs), (1, [1], []))

    def test_one_of_a_session_that_is_over_never_counts(self) -> None:
        """Nobody was told of it: he sends it again when he is back."""
        self.archives.slow = True
        self.romeo.send(text(JULIET, "0"))
        self.session(self.romeo).end()
        self.archives.fail()
        self.assertEqual(self.intake.handled, 0)

    def test_nor_one_whose_sender_is_gone_before_he_has_the_error(self) -> None:
        self.romeo.send(text("nobody@example.org", "0"))
        self.session(self.romeo).end()
        self.assertEqual(self.intake.handled, 0)

    def test_nor_one_that_goes_back_when_its_session_is_over(self) -> None:
        looking = self.look_later()
        self.romeo.send(text("nobody@example.org", "0"))
        self.session(self.romeo).end()
        looking.callback(False)
        self.world.pump()
        self.assertEqual(self.intake.handled, 0)

    def test_nor_where_nothing_is_archived(self) -> None:
        self.world.host("example.org").archive = None
        self.test_nor_one_that_goes_back_when_its_session_is_over()

    def test_nor_where_it_is_known_late_that_it_was_not_sent_before(self) -> None:
        looking: Deferred[None] = Deferred()

        async def fingerprints(owner: str, since: int, limit: int) -> dict[str, int]:
            await looking
            return {}

        self.patch(self.archives, "fingerprints", fingerprints)
        self.romeo.send(text(JULIET, "blocked", "m1"))
        self.session(self.romeo).end()
        looking.callback(None)
        self.world.pump()
        self.assertEqual(self.intake.handled, 0)

    def test_nor_one_that_is_given_up_then(self) -> None:
        self.look_later()
        self.romeo.send(text("nobody@example.org", "0"))
        self.session(self.romeo).end()
        self.world.advance(LEFT_BEHIND)
        self.assertEqual((self.intake.handled, self.intake._flying), (0, 0))

    def test_who_comes_back_to_a_session_that_is_over_sends_it_again(self) -> None:
        looking = self.look_later()
        self.romeo.send(text("nobody@example.org", "0"))
        self.session(self.romeo).end()
        looking.callback(False)
        self.world.advance(SETTLED_IN)
        management = self.world.host("example.org").notes[STREAM_MANAGEMENT]
        account = JID.parse("romeo@example.org")
        self.assertEqual(self.successResultOf(ensureDeferred(management.memory.recall(account, self.key))), 0)

    def test_who_sends_on_without_a_word_is_told_all_the_same_in_the_end(self) -> None:
        """For what is not told is noted."""
        self.romeo.send(text("nobody@example.org", "0"))
        for _ in range(MOST_BEHIND - 2):
            self.intake.take(None, 1)
        self.assertEqual(self.intake.handled, 0)
        self.intake.take(None, 1)
        self.assertEqual((self.intake.handled, self.intake.behind), (MOST_BEHIND, 0))

    def test_nor_is_more_noted_of_who_sends_messages_and_has_never_got_the_error(self) -> None:
        self.romeo.send(text("nobody@example.org", "0"))
        for _ in range(MOST_BEHIND - 2):
            self.intake.take(None, 1)
        self.romeo.send(text(JULIET, "1") + f"<a xmlns='{ns.SM}' h='0'/>" + text(JULIET, "2"))
        self.assertEqual((self.intake.handled, self.intake.behind), (MOST_BEHIND + 1, 0))

    def test_without_resuming_it_counts_at_once(self) -> None:
        """Nobody is told anything after a crash then."""
        client = self.world.client("romeo@example.org/garden")
        client.send(f"<enable xmlns='{ns.SM}'/>" + text("nobody@example.org", "0"))
        self.assertEqual(self.session(client).intake.handled, 1)

    @given(
        st.lists(
            st.sampled_from(
                ("kept", "refused", "late", "looked up", "iq", "commit", "fail", "has errors", "mute", "speak")
            ),
            max_size=16,
        )
    )
    @settings(max_examples=500, deadline=None)
    def test_what_is_kept_tells_of_what_was_kept_or_told_and_of_nothing_else(self, course: list[str]) -> None:
        """And of all that is settled, when nothing is on its way any more: whatever happened."""
        self.archives = SlowArchives()
        self.world.server.storage.archives = self.archives
        self.archives.slow = True
        romeo = self.world.client("romeo@example.org/" + next(NAMES))
        romeo.send(f"<enable xmlns='{ns.SM}' resume='true'/>")
        romeo.receive()
        session = self.session(romeo)
        gates: list[Deferred[bool]] = []

        def exists(local: str) -> Awaitable[bool]:
            if local != "late":
                return self.exists(local)
            gates.append(Deferred())
            return gates[-1]

        self.patch(self.world.host("example.org").accounts, "exists", exists)
        fates: dict[str, str] = {}
        for number, step in enumerate((*course, "speak", "commit", "wait", "commit", "wait", "commit")):
            match step:
                case "kept":
                    fates[str(number)] = "kept"
                    romeo.send(text(JULIET, "x", str(number)))
                case "refused":
                    fates[str(number)] = "back"
                    romeo.send(text("nobody@example.org", "x", str(number)))
                case "late":
                    fates[str(number)] = "late"
                    romeo.send(text("late@example.org", "x", str(number)))
                case "looked up":
                    waiting, gates[:] = list(gates), []
                    for gate in waiting:
                        gate.callback(False)
                case "iq":
                    fates[str(number)] = "told"
                    romeo.send("<iq type='result' id='x'/>")
                case "commit" if course.count("fail") % 2:
                    self.archives.commit(1)
                case "commit":
                    self.archives.commit()
                case "fail":
                    self.archives.fail(1)
                case "mute":
                    self.archives.mute = True
                case "speak":
                    self.archives.speak()
                case "has errors":
                    romeo.send(f"<a xmlns='{ns.SM}' h='{session.sent}'/>")
                    fates = {id: "told" if fate == "back" else fate for id, fate in fates.items()}
                case _:
                    self.world.advance(AGAIN_IN)
            for element in romeo.drain():
                if element.get("type") == "error" and fates[element.get("id") or ""] in ("kept", "late"):
                    fates[element.get("id") or ""] = "back"
            for id, fate in [*fates.items()][: (self.kept() or [0])[-1]]:
                self.assertTrue(fate == "told" or self.is_stored(id), (id, fate, step))
        while self.archives.jobs:
            self.archives.commit()
            self.world.advance(AGAIN_IN)
        settled = [fate not in ("back", "late") for fate in fates.values()]
        sure = settled.index(False) if False in settled else len(settled)
        told = [counted.h for counted in self.archives.counts if counted is not None]
        self.assertEqual(session.intake.handled, sure)
        if told:
            behind = list(fates.values())[told[-1] : sure]
            self.assertLessEqual(told[-1], sure)
            self.assertEqual(behind, ["told"] * len(behind))

    # -- what was kept behind it ----------------------------------------------------------------------------------

    def test_what_was_kept_behind_one_that_goes_back_is_counted_for_good_then(self) -> None:
        """A server that crashes then tells its client that these have arrived, and not to send them again."""
        looking = self.look_later()
        self.romeo.send(text("nobody@example.org", "0") + text(JULIET, "1") + text(JULIET, "2"))
        self.assertEqual(self.kept(), [0, 0])
        looking.callback(False)
        self.world.pump()
        self.assertEqual(self.errors(), ["service-unavailable"])
        self.acknowledge()
        self.assertEqual(self.archives.counts, [*self.archives.counts[:2], Counted(self.key, "romeo@example.org", 3)])

    def test_and_where_it_was_taken_for_one_that_went_back(self) -> None:
        """An error may be about what was settled long ago, as of a message that another server cannot be given."""
        looking = self.look_later()
        self.archives.slow = True
        self.romeo.send(text("nobody@example.org", "0") + text(JULIET, "1"))
        error = Element("message", ns.CLIENT, attrs={"from": "a@far", "to": ROMEO, "type": "error"})
        self.session(self.romeo).send(Message(error))
        self.archives.commit()
        looking.callback(False)
        self.world.pump()
        self.acknowledge()
        self.archives.commit()
        self.assertEqual((self.intake.handled, self.kept()), (2, [0, 2]))

    def refuse_one_that_held_up_another(self) -> None:
        """The one that nobody is there for goes back, and what is kept then takes long."""
        looking = self.look_later()
        self.romeo.send(text("nobody@example.org", "0") + text(JULIET, "1"))
        self.archives.slow = True
        looking.callback(False)
        self.world.pump()
        self.acknowledge()

    def test_its_client_is_not_told_before(self) -> None:
        """After a crash it must not be told of less than before."""
        self.refuse_one_that_held_up_another()
        self.assertEqual((self.intake.handled, self.intake.come), (0, 2))
        self.archives.commit()
        self.assertEqual((self.intake.handled, self.intake.come), (2, 2))

    def test_nor_where_the_store_fails_but_when_it_can_keep_that_again(self) -> None:
        self.refuse_one_that_held_up_another()
        for _ in range(3):
            self.archives.fail()
            self.world.advance(AGAIN_IN)
        self.assertEqual((self.intake.handled, len(self.archives.jobs)), (0, 1))
        self.archives.commit()
        self.assertEqual(self.intake.handled, 2)

    def test_nor_where_the_one_that_held_it_up_cannot_be_kept_itself(self) -> None:
        looking = self.look_later()
        self.romeo.send(text(JULIET, "0") + text("nurse@example.org", "1") + text(JULIET, "2"))
        self.assertEqual(self.kept(), [1, 1])
        self.archives.slow = True
        looking.callback(True)
        self.romeo.send(text(JULIET, "3"))
        self.archives.fail()
        self.assertEqual(self.errors(), ["internal-server-error"] * 2)
        self.acknowledge()
        self.assertEqual((self.intake.handled, self.intake.come), (1, 4))
        self.archives.commit()
        self.assertEqual((self.intake.handled, self.kept()), (1, [1, 1]))
        self.archives.commit()
        self.assertEqual((self.intake.handled, self.kept()[-1]), (4, 4))

    def test_what_goes_back_meanwhile_waits_for_that_and_no_longer(self) -> None:
        self.refuse_one_that_held_up_another()
        accounts, clock = self.world.host("example.org").accounts, self.world.clock
        self.patch(accounts, "exists", lambda local: deferLater(clock, 0.1, bool))
        self.romeo.send(text("nobody@example.org", "2") + text("noone@example.org", "3"))
        self.world.advance(0.1)
        self.acknowledge()
        self.assertEqual(self.intake.handled, 0)
        self.archives.commit()
        self.assertEqual((self.intake.handled, self.archives.jobs), (4, []))

    def test_what_nothing_kept_depends_on_is_told_and_not_kept(self) -> None:
        self.romeo.send(text(JULIET, "0") + "<presence to='juliet@example.org'/>" + text("nobody@example.org", "1"))
        self.acknowledge()
        self.assertEqual((self.intake.handled, len(self.archives.counts)), (3, 1))

    def test_who_sends_on_is_told_all_the_same_in_the_end(self) -> None:
        self.refuse_one_that_held_up_another()
        for _ in range(MOST_BEHIND):
            self.intake.take(None, 1)
        self.assertEqual(self.intake.handled, 0)
        self.archives.fail()
        self.world.advance(AGAIN_IN)
        self.assertEqual((self.intake.handled, self.intake.behind), (2 + MOST_BEHIND, 0))

    def test_when_its_session_ends_all_that_was_settled_is_remembered(self) -> None:
        self.refuse_one_that_held_up_another()
        self.archives.fail()
        self.romeo.send("</stream:stream>")
        self.world.advance(AGAIN_IN)
        self.assertEqual((self.intake.handled, self.archives.jobs), (2, []))
