"""What a client sends again is kept once, and what only looks like it is not lost."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from federix.api import JID
from federix.core import resending
from federix.core.catching_up import AGAIN_IN
from federix.core.intake import Intake
from federix.core.resending import FEW_KNOWN, Resending, known_before
from federix.links.sending import AGAIN_WITHIN, BACK_WITHIN
from federix.storage.archive import Counted
from federix.testing.login import scram_sha_1
from federix.testing.world import PASSWORD

from .passage_case import JULIET, ROMEO, PassageCase, stanza_ids, text


def deferred_after(gate: Deferred[None]) -> Deferred[None]:
    """One of many that wait for *gate*."""
    waiting: Deferred[None] = Deferred()
    gate.addCallback(lambda _: waiting.callback(None))
    return waiting


ORIGIN = "<origin-id xmlns='urn:xmpp:sid:0' id='o1'/>"


class KnownTests(SynchronousTestCase):
    def test_of_many_is_known_what_is_known_of_few(self) -> None:
        for count in (3, FEW_KNOWN, FEW_KNOWN + 1, 4 * FEW_KNOWN):
            sent_before = {
                f"romeo@example.org/orchard {number}": 1_790_000_000_000_000 + number for number in range(count)
            }
            known = known_before(["on its way", "romeo@example.org/orchard 1"], sent_before)
            self.assertEqual({said: known[said] for said in sent_before}, sent_before)
            self.assertTrue(all(said in known for said in (*sent_before, "on its way")))
            self.assertIsNone(known["on its way"])
            self.assertNotIn("never said", known)
            self.assertRaises(KeyError, known.__getitem__, "never said")
            known["romeo@example.org/orchard 2"] = None
            self.assertIsNone(known["romeo@example.org/orchard 2"])


class ResendingTests(PassageCase):
    def again(self, extra: str = "") -> str:
        return text(JULIET, "hark", "m1", extra)

    def manage(self, extra: str = "") -> str:
        """The client manages its stream from now on; the id of its session, if it may resume it."""
        self.romeo.send(f"<enable xmlns='urn:xmpp:sm:3'{extra}/>")
        return self.romeo.receive().get("id") or ""

    def archived(self) -> None:
        """The archive knows what was sent."""
        self.archives.sent_before = {row.fingerprint: row.id for row in self.archives.kept if row.sent}

    def come_back(self, *, closing: bool = False, managing: bool = True) -> None:
        """The stream of the client is lost, unless it closes it; and it logs in anew."""
        self.archived()
        if closing:
            self.romeo.close()
        else:
            self.romeo.cut()
        self.romeo = self.world.client(ROMEO)
        if managing:
            self.manage()

    def resume(self, previous: str, handled: int) -> None:
        """The stream is lost, and the client resumes its session; so many stanzas have arrived."""
        self.romeo.cut()
        self.romeo = self.world.connect()
        self.romeo.open("example.org")
        scram_sha_1(self.romeo, "romeo", PASSWORD)
        self.romeo.open("example.org")
        self.romeo.send(f"<resume xmlns='urn:xmpp:sm:3' previd='{previous}' h='0'/>")
        self.romeo.expect(f"<resumed xmlns='urn:xmpp:sm:3' previd='{previous}' h='{handled}'/>")

    def assert_kept(self, *bodies: str) -> None:
        """Both archives and the recipient have these, each as often."""
        said = [row.stanza.partition(b"<body>")[2].partition(b"<")[0].decode() for row in self.archives.kept]
        self.assertEqual(said[::2], list(bodies))
        self.assertEqual(said[1::2], list(bodies))
        self.assertEqual(self.bodies(self.juliet), list(bodies))

    # -- what comes again ---------------------------------------------------------------------------------------------

    def test_a_message_that_is_sent_again_is_kept_and_delivered_once(self) -> None:
        self.manage()
        self.romeo.send(self.again())
        self.come_back()
        self.romeo.send(self.again("<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>"))
        self.assert_kept("hark")
        self.assertEqual(self.romeo.drain(), [])

    def test_what_is_sent_again_is_counted_again(self) -> None:
        self.manage()
        self.romeo.send(self.again())
        self.come_back()
        self.session(self.romeo).intake.begin_counting("again", self.session(self.romeo).jid.bare)
        self.romeo.send(self.again())
        self.assertEqual(self.archives.counts[-1], Counted("again", "romeo@example.org", 1))

    def test_what_is_sent_again_does_not_go_back_where_that_cannot_be_counted(self) -> None:
        """Its recipient has it: the store has failed in nothing but to note that it came again."""
        self.count_in_vain("slow")

    def test_nor_where_the_store_takes_nothing_at_all(self) -> None:
        self.count_in_vain("full")

    def count_in_vain(self, away: str) -> None:
        self.manage()
        self.romeo.send(self.again())
        self.come_back(managing=False)
        self.manage(" resume='true'")
        setattr(self.archives, away, True)
        self.romeo.send(self.again())
        self.archives.fail()
        setattr(self.archives, away, False)
        self.archives.commit()
        self.assertEqual(self.romeo.drain(), [])
        self.world.advance(AGAIN_IN)
        told = self.archives.counts[-1]
        self.assertEqual((self.session(self.romeo).intake.handled, told and told.h), (1, 1))
        self.assert_kept("hark")

    def test_what_is_sent_again_while_it_is_on_its_way_waits_for_that(self) -> None:
        self.archives.slow = True
        self.manage()
        self.romeo.send(self.again())
        self.come_back()
        self.romeo.send(self.again())
        self.assertEqual(len(self.archives.jobs), 1)
        ((_, rows, _),) = self.archives.jobs
        self.archives.sent_before = {row.fingerprint: row.id for row in rows if row.sent}
        self.archives.commit()
        self.world.pump()
        self.assertEqual(len(self.archives.jobs), 0)
        self.assert_kept("hark")
        self.assertEqual(self.world.host("example.org").resending.on_their_way("romeo", Intake(), 0), [])

    def test_what_was_on_its_way_when_the_stream_began_is_known_when_it_comes_later(self) -> None:
        self.archives.slow = True
        self.manage()
        self.romeo.send(self.again())
        self.come_back()
        self.romeo.send(text(JULIET, "something else", "m0"))
        self.archives.commit()
        self.world.pump()
        self.archives.commit()
        self.archived()
        self.archives.slow = False
        self.romeo.send(self.again())
        self.assert_kept("hark", "something else")

    def test_what_has_hardly_been_looked_at_when_its_session_ends_is_kept_once(self) -> None:
        """The database is away, and the client comes back before it does."""
        gate: Deferred[None] = Deferred()

        async def fingerprints(owner: str, since: int, limit: int) -> dict[str, int]:
            if not gate.called:
                await deferred_after(gate)
            return {row.fingerprint: row.id for row in self.archives.kept if row.sent}

        self.patch(self.archives, "fingerprints", fingerprints)
        bodies = [str(number) for number in range(5)]
        said = "".join(text(JULIET, body, f"m{body}") for body in bodies)
        self.manage()
        self.romeo.send(said)
        self.come_back()
        self.romeo.send(said)
        self.assertEqual(self.archives.kept, [])
        gate.callback(None)
        self.world.pump()
        self.assert_kept(*bodies)

    def test_what_is_sent_again_while_it_fails_is_tried_again(self) -> None:
        self.archives.slow = True
        self.manage()
        self.romeo.send(self.again())
        self.come_back()
        self.romeo.send(self.again())
        self.archives.fail()
        self.world.pump()
        self.assertEqual(len(self.archives.jobs), 1)
        self.archives.commit()
        self.assertEqual(self.bodies(self.juliet), ["hark"])

    def test_what_a_server_that_crashed_had_kept_is_delivered_under_its_old_id(self) -> None:
        """It may have crashed between keeping it and delivering it."""
        self.manage()
        self.assert_known_from_before_the_crash(managing=True)

    def test_that_goes_for_who_does_not_manage_his_stream_too(self) -> None:
        self.assert_known_from_before_the_crash(managing=False)

    def test_but_not_long_after_the_start_and_nothing_is_looked_up_then(self) -> None:
        self.romeo.send(self.again())
        self.juliet.drain()
        self.come_back(managing=False)
        self.world.advance(BACK_WITHIN)
        self.archives.sent_before = {self.archives.kept[0].fingerprint: self.world.server.first_archive_id - 1_000_000}
        self.romeo.send(self.again())
        self.assertEqual(len(self.archives.kept), 4)
        self.assertIsNone(self.session(self.romeo).intake.known)

    def assert_known_from_before_the_crash(self, *, managing: bool) -> None:
        self.romeo.send(self.again())
        self.juliet.drain()
        self.come_back(managing=managing)
        old = self.world.server.first_archive_id - 1_000_000
        self.archives.sent_before = {self.archives.kept[0].fingerprint: old}
        self.romeo.send(self.again())
        self.assertEqual(len(self.archives.kept), 2)
        self.assertEqual(stanza_ids(self.juliet.receive()), [("juliet@example.org", self.told(old))])

    def test_very_much_that_is_sent_again_is_kept_once(self) -> None:
        said = [str(number) for number in range(4000)]
        for client_is_back in (False, True):
            if client_is_back:
                self.come_back()
            for each in said:
                self.romeo.send(text(JULIET, each, each))
        self.assert_kept(*said)

    def test_an_origin_id_tells_it_from_any_resource_and_however_the_stream_ended(self) -> None:
        self.romeo.send(text(JULIET, "hark", "1", ORIGIN))
        self.come_back(closing=True, managing=False)
        elsewhere = self.world.client("romeo@example.org/elsewhere")
        for client in (self.romeo, elsewhere):
            client.send(text(JULIET, "hark", "2", ORIGIN))
        self.assert_kept("hark")

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.sampled_from(("say", "say", "lose", "keep one", "keep", "look up")), max_size=25))
    def test_whatever_happens_each_is_kept_once_and_in_order(self, course: list[str]) -> None:
        """A client says something, or loses its stream, comes back and says again what it has said."""
        self.setUp()
        looking: list[Deferred[None]] = []
        said: list[str] = []

        async def fingerprints(owner: str, since: int, limit: int) -> dict[str, int]:
            looking.append(Deferred())
            await looking[-1]
            return {row.fingerprint: row.id for row in self.archives.kept if row.sent}

        def look_up() -> None:
            waiting, looking[:] = looking[:], []
            for each in waiting:
                each.callback(None)
            self.world.pump()

        self.patch(self.archives, "fingerprints", fingerprints)
        self.archives.slow = True
        self.manage()
        for action in course:
            if action == "say":
                said.append(str(len(said)))
                self.romeo.send(text(JULIET, said[-1], f"m{said[-1]}"))
            elif action == "lose":
                self.come_back()
                self.romeo.send("".join(text(JULIET, body, f"m{body}") for body in said))
            elif action == "keep one":
                self.archives.commit(1)
            elif action == "keep":
                self.archives.commit()
            else:
                look_up()
        while looking or self.archives.jobs:
            look_up()
            self.archives.commit()
            self.world.pump()
        bodies = [row.stanza.partition(b"<body>")[2].partition(b"<")[0].decode() for row in self.archives.kept]
        self.assertEqual((bodies[::2], bodies[1::2]), (said, said))

    # -- what only looks like it --------------------------------------------------------------------------------------

    def test_other_words_under_an_old_id_are_another_message(self) -> None:
        self.manage()
        self.romeo.send(text(JULIET, "hark", "m1"))
        self.come_back()
        self.romeo.send(text(JULIET, "hark again", "m1"))
        self.assert_kept("hark", "hark again")

    def test_a_client_that_is_told_nothing_sends_nothing_again(self) -> None:
        """A script that is run each hour says the same under the same id, and just hangs up."""
        self.romeo.send(self.again())
        self.come_back(managing=False)
        self.romeo.send(self.again())
        self.assert_kept("hark", "hark")

    def test_nor_one_that_has_closed_its_stream(self) -> None:
        """It counts its messages, and begins anew with each stream."""
        self.manage()
        self.romeo.send(self.again())
        self.come_back(closing=True)
        self.romeo.send(self.again())
        self.assert_kept("hark", "hark")

    def test_nothing_is_sent_again_over_the_same_stream(self) -> None:
        self.manage()
        self.romeo.send(self.again() + self.again())
        self.archived()
        self.romeo.send(self.again())
        self.assert_kept("hark", "hark", "hark")

    def test_nor_while_the_first_is_on_its_way(self) -> None:
        self.archives.slow = True
        self.manage()
        self.romeo.send(text(JULIET, "first", "m0"))
        self.romeo.send(self.again() + self.again())
        while self.archives.jobs:
            self.archives.commit()
            self.world.pump()
        self.assert_kept("first", "hark", "hark")

    def test_nor_when_all_was_settled_before_the_stream_was_resumed(self) -> None:
        previous = self.manage(" resume='true'")
        self.romeo.send(self.again())
        self.archived()
        self.resume(previous, 1)
        self.romeo.send(self.again())
        self.assert_kept("hark", "hark")

    def test_but_what_came_over_a_stream_before_is_known_after_that_too(self) -> None:
        """It had not been sent again yet."""
        self.manage()
        self.romeo.send(self.again())
        self.archived()
        self.romeo.cut()
        self.romeo = self.world.client(ROMEO)
        previous = self.manage(" resume='true'")
        self.resume(previous, 0)
        self.romeo.send(self.again())
        self.assert_kept("hark")

    def test_and_so_it_is_where_other_messages_came_in_between(self) -> None:
        self.manage()
        self.romeo.send(text(JULIET, "first", "m0") + self.again())
        self.archived()
        self.romeo.cut()
        self.romeo = self.world.client(ROMEO)
        previous = self.manage(" resume='true'")
        self.romeo.send(text(JULIET, "first", "m0"))
        self.resume(previous, 1)
        self.romeo.send(self.again())
        self.assert_kept("first", "hark")

    def test_nor_long_after_the_stream_has_begun(self) -> None:
        self.manage()
        self.romeo.send(self.again())
        self.come_back()
        self.romeo.send(text(JULIET, "first", "m0"))
        self.world.advance(AGAIN_WITHIN)
        self.assertEqual(self.session(self.romeo).intake.known, {})
        self.romeo.send(self.again())
        self.assert_kept("hark", "first", "hark")

    def test_only_so_many_that_closed_their_stream_are_remembered(self) -> None:
        self.patch(resending, "MOST_CLOSED", 2)
        host = Resending()
        who = [JID.parse(f"romeo@example.org/{number}") for number in range(3)]
        for id, jid in enumerate((who[0], who[1], who[0], who[2]), 1):
            host.closed(jid, id)
        self.assertEqual([host.known_to(jid) for jid in who], [3, 0, 4])
