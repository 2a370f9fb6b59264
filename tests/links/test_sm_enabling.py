"""XEP-0198 §2, §3: stream management is offered and enabled."""

from __future__ import annotations

from federix.streams.turn import SOON
from federix.testing import Client
from federix.testing.world import PASSWORD
from federix.xmpp import ns

from .sm_case import SM, ManagedCase, R, a, failed
from .support import names


class OfferTests(ManagedCase):
    """§2: "the features include an <sm/> element"."""

    def test_it_is_offered_when_the_client_has_authenticated(self) -> None:
        self.begin()
        features = self.logged_in().features
        assert features is not None
        self.assertIsNotNone(features.child(ns.SM, "sm"))
        self.assertIsNotNone(features.child(ns.SM_2, "sm"))

    def test_it_is_not_offered_before(self) -> None:
        self.begin()
        client = self.world.connect()
        self.assertNotIn("sm", names(client.open("example.org")))

    def test_it_is_not_offered_where_the_module_does_not_run(self) -> None:
        self.world = self.make()
        self.world.register("romeo@example.org", PASSWORD)
        self.assertNotIn("sm", names(self.logged_in().features))

    def test_where_the_module_does_not_run_its_elements_are_not_understood(self) -> None:
        self.world = self.make()
        client = self.world.client("romeo@example.org/orchard")
        client.send(f"<enable {SM}/>")
        self.assert_stream_error(client, "unsupported-stanza-type")


class EnableTests(ManagedCase):
    def setUp(self) -> None:
        self.begin()

    def test_the_server_must_reply_with_enabled(self) -> None:
        self.romeo.send(f"<enable {SM}/>")
        self.romeo.expect(f"<enabled {SM}/>", exact=True)

    def test_where_it_allows_to_resume_it_must_say_so_and_give_an_id(self) -> None:
        for yes in ("true", "1"):
            client = self.world.client(f"romeo@example.org/{yes}")
            client.send(f"<enable {SM} resume='{yes}'/>")
            enabled = client.receive()
            self.assertEqual(enabled.get("resume"), "true")
            self.assertEqual(enabled.get("max"), "300")
            self.assertGreaterEqual(len(enabled.get("id") or ""), 16)

    def test_who_does_not_ask_to_resume_gets_no_id(self) -> None:
        for no in ("resume='false'", "resume='0'", ""):
            client = self.world.client("romeo@example.org")
            client.send(f"<enable {SM} {no}/>")
            client.expect(f"<enabled {SM}/>", exact=True)

    def test_no_id_is_ever_given_twice(self) -> None:
        ids = {self.enable(self.world.client(f"romeo@example.org/{n}")) for n in range(50)}
        self.assertEqual(len(ids), 50)

    def test_nor_is_it_when_its_session_is_over(self) -> None:
        """§5: "The SM-ID MUST NOT be reused for simultaneous or subsequent sessions"."""
        ids: list[str] = []
        for end in (Client.close, Client.cut) * 10:
            client = self.world.client("romeo@example.org/orchard")
            ids.append(self.enable(client))
            end(client)
            self.world.advance(301)
            self.assertFalse(self.is_there())
        self.assertEqual(len(set(ids)), len(ids))

    def test_who_comes_back_to_a_session_that_is_over_does_not_get_the_next_one(self) -> None:
        ids = [self.enable(self.romeo)]
        self.romeo.cut()
        for _ in range(5):
            ids.append(self.enable(self.world.client("romeo@example.org/orchard")))
            for over in ids[:-1]:
                _, answer = self.resume(over, 0)
                self.assertEqual(answer.name, "failed")
        self.assertEqual(self.session().managed.id, ids[-1])

    def test_before_authentication_the_server_shall_return_failed(self) -> None:
        client = self.world.connect()
        client.open("example.org")
        for element in ("enable", "resume previd='x' h='0'", "r", "a h='0'"):
            client.send(f"<{element} {SM}/>")
            client.expect(failed("unexpected-request"))

    def test_before_binding_the_server_shall_return_failed(self) -> None:
        client = self.logged_in()
        client.send(f"<enable {SM}/>")
        client.expect(failed("unexpected-request"))
        client.bind(client.world.register("mercutio@example.org"))  # it goes on
        self.enable(client)

    def test_a_second_enable_ends_the_stream(self) -> None:
        self.enable(self.romeo)
        self.romeo.send(f"<enable {SM}/>")
        self.romeo.expect(failed("unexpected-request"))
        self.assert_stream_error(self.romeo, "policy-violation")
        self.assertFalse(self.is_there())

    def test_neither_is_understood_before_it_is_enabled(self) -> None:
        for element in (R, a(0)):
            self.romeo.send(element)
            self.romeo.expect(failed("unexpected-request"))

    def test_what_is_no_boolean_and_no_number_is_a_bad_request(self) -> None:
        for wrong in ("resume='yes'", "max='soon'", "max='-1'", "max=''"):
            self.romeo.send(f"<enable {SM} {wrong}/>")
            self.romeo.expect(failed("bad-request"))
        self.enable(self.romeo)

    def test_the_older_namespace_is_answered_in_itself(self) -> None:
        self.romeo.send(f"<enable xmlns='{ns.SM_2}' resume='true'/>")
        self.romeo.expect(f"<enabled xmlns='{ns.SM_2}' resume='true'/>")
        self.romeo.send(f"<r xmlns='{ns.SM_2}'/>")
        self.world.advance(SOON)
        self.romeo.expect(f"<a xmlns='{ns.SM_2}' h='0'/>")
        self.say("1")
        self.world.advance(2)
        self.romeo.receive()
        self.romeo.expect(f"<r xmlns='{ns.SM_2}'/>")

    def test_it_works_inside_tls(self) -> None:
        client = self.world.client("romeo@example.org/tls", tls=True)
        id = self.enable(client)
        client.cut()
        client, answer = self.resume(id, 0, tls=True)
        self.assertEqual(answer.name, "resumed")


class TimeTests(ManagedCase):
    def granted(self, options: dict[str, object], wanted: str = "") -> str | None:
        self.begin(options)
        self.romeo.send(f"<enable {SM} resume='true' {wanted}/>")
        return self.romeo.receive().get("max")

    def test_without_a_wish_it_is_resume_timeout(self) -> None:
        self.assertEqual(self.granted({"resume_timeout": "10 min", "max_resume_timeout": "1 hour"}), "600")

    def test_a_shorter_wish_is_granted(self) -> None:
        self.assertEqual(self.granted({}, "max='60'"), "60")

    def test_a_longer_one_up_to_max_resume_timeout(self) -> None:
        self.assertEqual(self.granted({}, "max='86400'"), "300")

    def test_which_may_be_longer_than_resume_timeout(self) -> None:
        self.assertEqual(self.granted({"max_resume_timeout": "1 hour"}, "max='86400'"), "3600")

    def test_with_no_time_at_all_nothing_can_be_resumed(self) -> None:
        self.begin({"resume_timeout": 0})
        self.romeo.send(f"<enable {SM} resume='true'/>")
        self.romeo.expect(f"<enabled {SM}/>", exact=True)
        self.romeo.cut()
        self.assertFalse(self.is_there())
