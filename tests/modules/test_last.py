from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from federix.api import StoreError
from federix.modules import last
from federix.modules.last import AGAIN, GATHER, MAX_STATUS, Last
from federix.testing import Client, World

from .neighbours import FRIENDS

QUERY = "<query xmlns='jabber:iq:last'/>"
INFO = "<query xmlns='http://jabber.org/protocol/disco#info'/>"


class Case(SynchronousTestCase):
    """Romeo may see Juliet's presence; nobody else may see anybody's."""

    def setUp(self) -> None:
        self.world = World(modules={"mod_last": {}, "mod_friends": {}, "mod_disco": {}}, own_modules=FRIENDS)
        self.addCleanup(self.world.stop)
        self.romeo = self.world.client("romeo@example.org/orchard")

    def ask(self, to: str, client: Client | None = None) -> Any:
        return (client or self.romeo).request(f"<iq type='get' to='{to}' id='last1'>{QUERY}</iq>")

    def assert_answer(self, answer: Any, seconds: int, status: str = "") -> None:
        query = answer.child("jabber:iq:last", "query")
        self.assertEqual((answer.get("type"), query.get("seconds"), query.text), ("result", str(seconds), status))

    def assert_error(self, answer: Any, condition: str) -> None:
        self.assertEqual(answer.get("type"), "error")
        self.assertIn(f"<{condition} ", answer.to_xml())


class OfflineTests(Case):
    """XEP-0012 §3."""

    def test_the_answer_is_the_seconds_since_the_user_logged_out_and_his_last_words(self) -> None:
        juliet = self.world.client("juliet@example.org/balcony")
        juliet.send("<presence/><presence type='unavailable'><status>Heading Home</status></presence>")
        juliet.close()
        self.world.advance(903)
        self.assert_answer(self.ask("juliet@example.org"), 903, "Heading Home")

    def test_who_leaves_without_a_word_has_none(self) -> None:
        self.world.client("juliet@example.org/balcony").cut()
        self.world.advance(5.9)
        self.assert_answer(self.ask("juliet@example.org"), 5)

    def test_words_of_farewell_that_were_taken_back_are_forgotten(self) -> None:
        juliet = self.world.client("juliet@example.org/balcony")
        juliet.send("<presence type='unavailable'><status>Heading Home</status></presence><presence/>")
        juliet.cut()
        self.assert_answer(self.ask("juliet@example.org"), 0)

    def test_a_farewell_to_one_contact_is_not_for_the_others(self) -> None:
        juliet = self.world.client("juliet@example.org/balcony")
        juliet.send("<presence type='unavailable' to='nurse@example.org'><status>Good night</status></presence>")
        juliet.cut()
        self.assert_answer(self.ask("juliet@example.org"), 0)

    def test_long_words_of_farewell_are_cut(self) -> None:
        juliet = self.world.client("juliet@example.org/balcony")
        juliet.send(f"<presence type='unavailable'><status>{'o' * 5000}</status></presence>")
        juliet.close()
        self.assert_answer(self.ask("juliet@example.org"), 0, "o" * MAX_STATUS)

    def test_it_counts_from_the_end_of_the_last_session(self) -> None:
        balcony, chamber = (self.world.client(f"juliet@example.org/{name}") for name in ("balcony", "chamber"))
        balcony.close()
        kept = self.world.host("example.org").module(Last).kept
        self.assertIsNone(self.world.run(kept.get("juliet@example.org")))
        self.world.advance(100)
        chamber.close()
        self.world.advance(10)
        self.assert_answer(self.ask("juliet@example.org"), 10)

    def gone(self, *names: str) -> list[bool]:
        """Juliet and others come and go; whether their farewells are in storage now."""
        for name in names:
            self.world.client(f"{name}@example.org/balcony").close()
        return self.written(*names)

    def written(self, *names: str) -> list[bool]:
        kept = Last.kept.bind(self.world.server.storage)
        return [self.world.run(kept.get(f"{name}@example.org")) is not None for name in names]

    def test_farewells_are_known_at_once_and_written_together(self) -> None:
        self.assertEqual(self.gone("juliet"), [False])
        self.assert_answer(self.ask("juliet@example.org"), 0)
        self.world.advance(GATHER / 2)
        self.assertEqual(self.gone("nurse"), [False])
        self.world.advance(GATHER / 2)
        self.assertEqual(self.written("juliet", "nurse"), [True, True])
        self.assertEqual(self.gone("tybalt"), [False])
        self.world.advance(GATHER)
        self.assertEqual(self.written("tybalt"), [True])

    def test_a_farewell_is_known_while_it_is_being_written(self) -> None:
        documents: Any = self.world.server.storage.documents
        put, written = documents.put, Deferred[None]()

        async def slowly(*args: object) -> None:
            await written
            await put(*args)

        self.patch(documents, "put", slowly)
        self.gone("juliet")
        self.world.advance(GATHER)
        self.assert_answer(self.ask("juliet@example.org"), 1)
        written.callback(None)
        self.assertEqual(self.written("juliet"), [True])
        self.assert_answer(self.ask("juliet@example.org"), 1)

    def test_a_store_that_is_away_is_not_told_of_by_everybody(self) -> None:
        """Who keeps it has told the log once."""
        documents = self.world.server.storage.documents
        self.patch(documents, "put", lambda *_: fail(StoreError("the database is away")))
        self.assertEqual(self.gone("juliet"), [False])
        self.world.advance(GATHER)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_what_a_store_could_not_take_is_written_when_it_is_back(self) -> None:
        documents = self.world.server.storage.documents
        broken = self.patch(documents, "put", lambda *_: fail(StoreError("the database is away")))
        self.gone("juliet")
        self.world.advance(GATHER)
        broken.restore()
        self.assert_answer(self.ask("juliet@example.org"), 1)
        self.world.advance(AGAIN + GATHER)
        self.assertEqual(self.written("juliet"), [True])

    def test_what_comes_meanwhile_is_not_overwritten(self) -> None:
        documents = self.world.server.storage.documents
        broken = self.patch(documents, "put", lambda *_: fail(StoreError("the database is away")))
        self.gone("juliet")
        self.world.advance(GATHER)
        broken.restore()
        self.world.advance(5)
        self.gone("juliet")
        self.world.advance(2 * AGAIN)
        self.assert_answer(self.ask("juliet@example.org"), int(2 * AGAIN))

    def test_what_waits_to_be_written_again_is_bounded(self) -> None:
        self.patch(last, "MOST_GATHERED", 2)
        documents = self.world.server.storage.documents
        self.patch(documents, "put", lambda *_: fail(StoreError("the database is away")))
        self.gone("juliet", "nurse", "tybalt")
        self.world.advance(GATHER)
        module = self.world.host("example.org").module(last.Last)
        self.assertEqual(sorted(module._unwritten), ["juliet@example.org", "nurse@example.org"])
        self.world.run(self.world.host("example.org").modules.remove("mod_last"))  # and it ends

    def test_what_is_gathered_is_bounded(self) -> None:
        self.patch(last, "MOST_GATHERED", 2)
        self.assertEqual(self.gone("juliet", "nurse", "tybalt"), [True, True, False])

    def test_a_module_that_stops_writes_what_it_has_gathered(self) -> None:
        self.gone("juliet")
        self.world.run(self.world.host("example.org").modules.remove("mod_last"))
        self.assertEqual(self.written("juliet"), [True])

    def test_who_is_removed_leaves_no_farewell_to_the_next_owner_of_the_name(self) -> None:
        self.gone("juliet")
        self.world.run(self.world.host("example.org").accounts.remove("juliet"))
        self.world.advance(2 * GATHER)
        self.assertEqual(self.written("juliet"), [False])

    def test_who_was_never_here_has_no_last_activity(self) -> None:
        self.world.register("juliet@example.org")
        self.assert_error(self.ask("juliet@example.org"), "item-not-found")

    def test_with_a_connected_resource_the_seconds_must_be_zero(self) -> None:
        juliet = self.world.client("juliet@example.org/balcony")
        juliet.send("<presence type='unavailable'><status>Soon</status></presence>")
        juliet.close()
        self.world.advance(100)
        self.world.client("juliet@example.org/balcony")
        self.assert_answer(self.ask("juliet@example.org"), 0)

    def test_a_user_may_ask_about_himself(self) -> None:
        self.assert_answer(self.ask("romeo@example.org"), 0)

    def test_who_registers_a_removed_account_was_never_here(self) -> None:
        self.world.client("juliet@example.org/balcony")
        self.world.run(self.world.host("example.org").accounts.remove("juliet"))
        self.world.register("juliet@example.org")
        self.assert_error(self.ask("juliet@example.org"), "item-not-found")


class StrangerTests(Case):
    def test_who_may_not_see_presence_must_get_forbidden_for_an_account(self) -> None:
        self.world.client("mercutio@example.org/street").close()
        self.assert_error(self.ask("mercutio@example.org"), "forbidden")

    def test_a_connected_account_looks_like_one_that_is_not_there(self) -> None:
        self.world.client("mercutio@example.org/street")
        there = self.ask("mercutio@example.org").to_xml()
        self.assertEqual(there.replace("mercutio", "mercutia"), self.ask("mercutia@example.org").to_xml())

    def test_the_query_must_not_be_delivered_to_a_resource(self) -> None:
        """§4: "the user's server MUST NOT deliver the IQ-get to an available resource"."""
        mercutio = self.world.client("mercutio@example.org/street")
        self.assert_error(self.ask("mercutio@example.org/street"), "forbidden")
        mercutio.nothing()

    def test_a_resource_that_is_not_there_looks_the_same(self) -> None:
        self.world.client("mercutio@example.org/street")
        there = self.ask("mercutio@example.org/street").to_xml()
        self.assertEqual(there.replace("street", "alley"), self.ask("mercutio@example.org/alley").to_xml())

    def test_other_requests_are_let_through(self) -> None:
        mercutio = self.world.client("mercutio@example.org/street")
        self.romeo.send(
            "<iq type='get' to='mercutio@example.org/street' id='1'><query xmlns='jabber:iq:version'/></iq>"
        )
        mercutio.expect("<iq type='get' id='1'><query xmlns='jabber:iq:version'/></iq>")


class OnlineTests(Case):
    """XEP-0012 §4."""

    def test_for_a_full_address_the_client_answers(self) -> None:
        juliet = self.world.client("juliet@example.org/balcony")
        self.romeo.send(f"<iq type='get' to='juliet@example.org/balcony' id='last2'>{QUERY}</iq>")
        juliet.expect(f"<iq type='get' from='romeo@example.org/orchard' id='last2'>{QUERY}</iq>")
        answer = "<query xmlns='jabber:iq:last' seconds='123'/>"
        juliet.send(f"<iq type='result' to='romeo@example.org/orchard' id='last2'>{answer}</iq>")
        self.romeo.expect(f"<iq type='result' from='juliet@example.org/balcony' id='last2'>{answer}</iq>")

    def test_a_resource_that_is_not_there_is_unavailable(self) -> None:
        self.world.client("juliet@example.org/balcony")
        self.assert_error(self.ask("juliet@example.org/chamber"), "service-unavailable")


class HostTests(Case):
    def test_the_host_tells_how_long_it_has_been_up(self) -> None:
        """XEP-0012 §5."""
        self.world.advance(123456)
        self.assert_answer(self.ask("example.org"), 123456)

    def test_the_feature_must_be_advertised(self) -> None:
        """§6."""
        for to in ("to='example.org'", ""):
            info = self.romeo.request(f"<iq type='get' {to} id='1'>{INFO}</iq>")
            self.assertIn("<feature var='jabber:iq:last'/>", info.to_xml())
