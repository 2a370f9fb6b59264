"""mod_register: XEP-0077, by its sections, and what holds strangers back."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.api import HANDLED, JID, Module, StanzaError, hooks
from federix.modules.register_forms import Wish
from federix.modules.register_limits import MAX_FAILURES, Sources, entropy, is_loopback, network
from federix.testing import Client, World
from federix.testing.match import mismatch, parse

NS = "jabber:iq:register"
FIELDS = "<username>juliet</username><password>balcony</password>"


def form(*fields: tuple[str, str], kind: str = "submit", form_type: str = NS) -> str:
    values = "".join(f"<field var='{var}'><value>{value}</value></field>" for var, value in fields)
    form_field = f"<field var='FORM_TYPE' type='hidden'><value>{form_type}</value></field>" if form_type else ""
    return f"<x xmlns='jabber:x:data' type='{kind}'>{form_field}{values}</x>"


class Case(SynchronousTestCase):
    options: ClassVar[dict[str, Any]] = {}
    config: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        options = {"require_encryption": False, **self.options}
        self.world = World(self.config, modules={"mod_register": options}, hosts=("example.org", "example.net"))
        self.addCleanup(self.world.stop)

    def stranger(self, ip: str = "192.0.2.7", *, tls: bool = False) -> Client:
        client = self.world.connect(ip=ip)
        client.open("example.org")
        if tls:
            client.start_tls("example.org")
            client.open("example.org")
        return client

    def ask(self, client: Client, kind: str, payload: str = "", attrs: str = "to='example.org'") -> Any:
        return client.request(f"<iq type='{kind}' {attrs} id='r1'><query xmlns='{NS}'>{payload}</query></iq>")

    def register(self, ip: str = "192.0.2.7", payload: str = FIELDS, client: Client | None = None) -> Any:
        return self.ask(client or self.stranger(ip), "set", payload)

    def exists(self, local: str = "juliet") -> bool:
        return bool(self.world.run(self.world.host("example.org").accounts.exists(local)))

    def has_password(self, password: str, local: str = "juliet") -> bool:
        return bool(self.world.run(self.world.host("example.org").accounts.check_password(local, password)))

    def assert_done(self, answer: Any) -> None:
        self.assertEqual((answer.get("type"), list(answer.elements())), ("result", []), answer.to_xml())

    def assert_refused(self, condition: str, answer: Any, code: int | None = None) -> None:
        self.assertEqual(answer.get("type"), "error", answer.to_xml())
        error = answer.child("jabber:client", "error")
        self.assertEqual(next(iter(error.elements())).name, condition)
        if code is not None:
            self.assertEqual(error.get("code"), str(code))

    def assert_has(self, pattern: str, answer: Any) -> None:
        self.assertIsNone(mismatch(parse(pattern), answer), answer.to_xml())


class AskingTest(Case):
    """§3.1, the fields."""

    def test_the_host_tells_the_required_fields(self) -> None:
        # "the host MUST inform the entity of the required registration fields"
        answer = self.ask(self.stranger(), "get")
        self.assert_has(
            f"<iq type='result' id='r1' from='example.org' to='-'><query xmlns='{NS}'><instructions>*</instructions>"
            "<username/><password/></query></iq>",
            answer,
        )
        self.assertIsNone(answer.child(NS, "query").child(NS, "registered"))

    def test_a_form_asks_for_the_same(self) -> None:
        # §4: a form "SHOULD contain x:data fields that correspond to all of the iq:register fields"
        self.assert_has(
            f"<iq type='result'><query xmlns='{NS}'><x xmlns='jabber:x:data' type='form'>"
            f"<field var='FORM_TYPE' type='hidden'><value>{NS}</value></field>"
            "<field var='username' type='text-single'><required/></field>"
            "<field var='password' type='text-private'><required/></field></x></query></iq>",
            self.ask(self.stranger(), "get"),
        )

    def test_without_to_it_is_asked_as_well(self) -> None:
        self.assertEqual(self.ask(self.stranger(), "get", attrs="").get("type"), "result")

    def test_who_is_registered_is_told_so(self) -> None:
        # "the IQ result … MUST contain an empty <registered/> element"
        juliet = self.world.client("juliet@example.org/room")
        for attrs in ("to='example.org'", "to='juliet@example.org'", ""):
            answer = self.ask(juliet, "get", attrs=attrs)
            query = answer.child(NS, "query")
            self.assertEqual(query.child(NS, "registered").children, [])
            self.assertEqual(query.text_of(NS, "username"), "juliet")
            self.assertEqual(query.text_of(NS, "password"), "")

    def test_who_comes_from_elsewhere_is_asked(self) -> None:
        romeo = self.world.client("romeo@example.net/orchard")
        query = self.ask(romeo, "get").child(NS, "query")
        self.assertIsNone(query.child(NS, "registered"))
        self.assertIsNotNone(query.child(NS, "username"))

    def test_the_account_of_another_tells_nothing(self) -> None:
        self.world.client("juliet@example.org/balcony")
        self.world.register("mother@example.org")
        for romeo in (self.world.client("romeo@example.net/orchard"), self.world.client("romeo@example.org/orchard")):
            for kind, payload in (("get", ""), ("set", "<remove/>"), ("set", FIELDS), ("set", ""), ("get", FIELDS)):
                answers = set()
                for name in ("juliet", "mother", "nobody"):
                    answer = self.ask(romeo, kind, payload, f"to='{name}@example.org'")
                    self.assert_refused("service-unavailable", answer)
                    answers.add(answer.to_xml().replace(name, ""))
                # To the last byte: or it could be told from it that the account exists.
                self.assertEqual(len(answers), 1, answers)

    def test_who_the_stranger_claims_to_be_is_not_believed(self) -> None:
        self.world.register("juliet@example.org")
        answer = self.ask(self.stranger(), "get", attrs="from='juliet@example.org'")
        self.assertIsNone(answer.child(NS, "query").child(NS, "registered"))
        self.assertIsNone(answer.get("to"))

    def test_it_is_announced_before_the_login_only(self) -> None:
        # §8
        client = self.stranger()
        assert client.features is not None
        self.assertIsNotNone(client.features.child("http://jabber.org/features/iq-register", "register"))
        juliet = self.world.client("juliet@example.org/room")
        assert juliet.features is not None
        self.assertIsNone(juliet.features.child("http://jabber.org/features/iq-register", "register"))

    def test_a_request_without_id_or_with_two_children_is_refused(self) -> None:
        client = self.stranger()
        client.send(f"<iq type='get'><query xmlns='{NS}'/></iq>")
        self.assert_refused("bad-request", client.receive())
        client.send(f"<iq type='get' id='1'><query xmlns='{NS}'/><query xmlns='{NS}'/></iq>")
        self.assert_refused("bad-request", client.receive())

    def test_other_requests_of_strangers_still_end_the_stream(self) -> None:
        for xml in (
            "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
            f"<iq type='get' id='1'><other xmlns='{NS}'/></iq>",
            f"<iq type='result' id='1'><query xmlns='{NS}'/></iq>",
            "<iq type='get' id='1'/>",
        ):
            client = self.stranger()
            client.send(xml)
            self.assertIn(b"not-authorized", client.raw)
            self.assertTrue(client.ended)


class DiscoTest(SynchronousTestCase):
    def test_the_host_names_the_feature(self) -> None:
        # §10
        world = World(modules={"mod_register": {}, "mod_disco": {}})
        self.addCleanup(world.stop)
        juliet = world.client("juliet@example.org/room")
        query = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
        answer = juliet.request(f"<iq type='get' to='example.org' id='1'>{query}</iq>")
        self.assertIn(f"<feature var='{NS}'/>", answer.to_xml())


class RegisteringTest(Case):
    """§3.1."""

    def test_a_registered_account_can_log_in(self) -> None:
        client = self.stranger()
        self.assert_done(self.register(client=client))
        client.login(JID.parse("juliet@example.org/room"), "balcony")

    def test_a_form_registers_as_well(self) -> None:
        self.assert_done(self.register(payload=form(("username", "juliet"), ("password", "balcony"))))
        self.assertTrue(self.has_password("balcony"))

    def test_the_form_takes_precedence(self) -> None:
        # §4: "The x:data form shall take precedence over the iq:register fields"
        self.assert_done(self.register(payload=FIELDS + form(("username", "romeo"), ("password", "orchard"))))
        self.assertEqual((self.exists("romeo"), self.exists("juliet")), (True, False))

    def test_a_form_that_is_not_submitted_or_another_registers_nobody(self) -> None:
        answers = (("username", "juliet"), ("password", "balcony"))
        for wrong in (
            form(*answers, kind="form"),
            form(*answers, kind="cancel"),
            form(*answers, form_type="jabber:iq:register:cancel"),
            form(*answers, kind="nonsense"),
        ):
            self.assert_refused("bad-request", self.register(payload=wrong), 400)
        self.assertFalse(self.exists())

    def test_what_is_missing_is_not_acceptable(self) -> None:
        # "If the requesting entity does not provide all of the requested information … MUST return a <not-acceptable/>"
        # and note 1: "This includes providing an empty password element".
        for payload in (
            "",
            "<username>juliet</username>",
            "<username>juliet</username><password/>",
            "<username>juliet</username><password></password>",
            "<password>balcony</password>",
            "<username/><password>balcony</password>",
            form(("username", "juliet")),
        ):
            self.assert_refused("not-acceptable", self.register(payload=payload), 406)
        self.assertFalse(self.exists())

    def test_a_name_that_is_taken_is_a_conflict(self) -> None:
        self.world.register("juliet@example.org", "secret")
        self.assert_refused("conflict", self.register(), 409)
        self.assertTrue(self.has_password("secret"))

    def test_a_name_is_compared_as_it_is_prepared(self) -> None:
        self.world.register("juliet@example.org", "secret")
        self.assert_refused("conflict", self.register(payload=FIELDS.replace("juliet", "JULIET")))

    def test_a_name_that_cannot_be_is_refused(self) -> None:
        for name in ("a@b", "a/b", "a b", "x" * 1100):
            answer = self.register(payload=FIELDS.replace("juliet", name))
            self.assert_refused("jid-malformed", answer, 400)

    def test_a_password_that_cannot_be_is_refused(self) -> None:
        self.assert_refused("not-acceptable", self.register(payload=FIELDS.replace("balcony", "a\tb")))
        self.assertFalse(self.exists())

    def test_the_password_does_not_come_back_in_an_error(self) -> None:
        # §3.3: "SHOULD NOT return the original XML"
        self.world.register("juliet@example.org")
        self.assertNotIn("balcony", self.register().to_xml())
        self.assertNotIn("balcony", repr(Wish(False, "juliet", "balcony")))

    def test_a_session_does_not_register_another(self) -> None:
        romeo = self.world.client("romeo@example.org/orchard")
        self.assert_refused("forbidden", self.register(client=romeo), 403)
        self.assertFalse(self.exists())

    def test_another_server_does_not_register_anybody(self) -> None:
        romeo = self.world.client("romeo@example.net/orchard")
        self.assert_refused("forbidden", self.register(client=romeo), 403)


class TimeoutTest(Case):
    """`registration_timeout`."""

    def payload(self, name: str) -> str:
        return FIELDS.replace("juliet", name)

    def test_one_address_registers_once_in_ten_minutes(self) -> None:
        self.assert_done(self.register())
        self.assert_refused("resource-constraint", self.register(payload=self.payload("romeo")), 500)
        self.assertFalse(self.exists("romeo"))
        self.world.advance(599)
        self.assert_refused("resource-constraint", self.register(payload=self.payload("romeo")))
        self.world.advance(1)
        self.assert_done(self.register(payload=self.payload("romeo")))

    def test_another_address_does_not_wait(self) -> None:
        self.assert_done(self.register())
        self.assert_done(self.register("192.0.2.8", self.payload("romeo")))

    def test_a_failed_attempt_may_be_corrected(self) -> None:
        self.world.register("juliet@example.org")
        self.assert_refused("conflict", self.register())
        self.assert_done(self.register(payload=self.payload("romeo")))

    def test_names_cannot_be_probed_for_long(self) -> None:
        self.world.register("juliet@example.org")
        client = self.stranger()
        for _ in range(MAX_FAILURES):
            self.assert_refused("conflict", self.register(client=client))
        self.assert_refused("resource-constraint", self.register(client=client))


class NoTimeoutTest(Case):
    config: ClassVar[dict[str, Any]] = {"registration_timeout": "infinity"}

    def test_infinity_is_no_limit_as_in_ejabberd(self) -> None:
        for name in ("juliet", "romeo", "nurse"):
            self.assert_done(self.register(payload=FIELDS.replace("juliet", name)))


class AccessTest(Case):
    options: ClassVar[dict[str, Any]] = {
        "access": [{"deny": {"user": "admin"}}, "allow"],
        "ip_access": [{"allow": {"ip": "192.0.2.0/24"}}],
        "access_from": [{"allow": {"user": "gateway@example.net"}}],
    }

    def test_only_some_names_are_given_away(self) -> None:
        self.assert_refused("forbidden", self.register(payload=FIELDS.replace("juliet", "admin")), 403)
        self.assert_done(self.register())

    def test_only_some_addresses_may_register(self) -> None:
        client = self.stranger("198.51.100.1")
        assert client.features is not None
        self.assertIsNone(client.features.child("http://jabber.org/features/iq-register", "register"))
        self.assert_refused("forbidden", self.register(client=client), 403)

    def test_who_has_no_address_is_not_within_one(self) -> None:
        gateway = self.world.client("gateway@example.net/x")
        self.assert_refused("forbidden", self.register(client=gateway), 403)


class AccessFromTest(Case):
    options: ClassVar[dict[str, Any]] = {
        "access_from": [{"allow": {"user": "gateway@example.net"}}, {"allow": {"user": "nurse@example.org"}}]
    }

    def test_who_is_allowed_may_register_others(self) -> None:
        self.assert_done(self.register(client=self.world.client("gateway@example.net/x")))
        self.assertTrue(self.exists())
        nurse = self.world.client("nurse@example.org/x")
        self.assert_done(self.register(payload=FIELDS.replace("juliet", "romeo"), client=nurse))

    def test_even_they_wait(self) -> None:
        gateway = self.world.client("gateway@example.net/x")
        self.assert_done(self.register(client=gateway))
        answer = self.register(payload=FIELDS.replace("juliet", "romeo"), client=gateway)
        self.assert_refused("resource-constraint", answer)


class ClosedTest(Case):
    options: ClassVar[dict[str, Any]] = {"access": "none"}

    def test_strangers_are_told_that_there_is_no_registration(self) -> None:
        # §3.1: "If the host does not support In-Band Registration, it MUST return a <service-unavailable/> error."
        client = self.stranger()
        assert client.features is not None
        self.assertIsNone(client.features.child("http://jabber.org/features/iq-register", "register"))
        self.assert_refused("service-unavailable", self.ask(client, "get"), 503)
        self.assert_refused("not-allowed", self.register(client=client), 405)

    def test_passwords_can_be_changed_still(self) -> None:
        juliet = self.world.client("juliet@example.org/room")
        self.assert_done(self.register(client=juliet))


class RedirectTest(Case):
    options: ClassVar[dict[str, Any]] = {"redirect_url": "https://example.org/register"}

    def test_people_are_sent_to_the_page(self) -> None:
        # §5: "only the <instructions/> element … as well as a URL encoded using Out-of-Band Data"
        query = self.ask(self.stranger(), "get").child(NS, "query")
        self.assertEqual([child.name for child in query.elements()], ["instructions", "x"])
        self.assertEqual(
            query.child("jabber:x:oob", "x").text_of("jabber:x:oob", "url"), "https://example.org/register"
        )

    def test_nobody_registers_here(self) -> None:
        self.assert_refused("not-allowed", self.register(), 405)


class PasswordTest(Case):
    """§3.3."""

    def setUp(self) -> None:
        super().setUp()
        self.juliet = self.world.client("juliet@example.org/room", "old")

    def change(self, payload: str, attrs: str = "to='example.org'") -> Any:
        return self.ask(self.juliet, "set", payload, attrs)

    def test_a_password_is_changed(self) -> None:
        for attrs in ("to='example.org'", "", "to='juliet@example.org'"):
            self.assert_done(self.change(FIELDS, attrs))
            self.assertTrue(self.has_password("balcony"))
            self.assert_done(self.change(FIELDS.replace("balcony", "old"), attrs))
            self.assertTrue(self.has_password("old"))

    def test_a_form_changes_it_as_well(self) -> None:
        fields = (("username", "juliet@example.org"), ("old_password", "old"), ("password", "balcony"))
        self.assert_done(self.change(form(*fields, form_type=f"{NS}:changepassword")))
        self.assertTrue(self.has_password("balcony"))

    def test_an_empty_password_changes_nothing(self) -> None:
        # "MUST NOT change the password to a null value, but instead MUST maintain the existing password"
        for payload in ("<username>juliet</username><password/>", "<username>juliet</username>"):
            self.assert_refused("bad-request", self.change(payload), 400)
            self.assertTrue(self.has_password("old"))

    def test_incomplete_information_is_a_bad_request(self) -> None:
        # Table 2
        for payload in ("<password>balcony</password>", ""):
            self.assert_refused("bad-request", self.change(payload), 400)
        self.assertTrue(self.has_password("old"))

    def test_the_password_of_another_stays(self) -> None:
        self.world.register("romeo@example.org", "orchard")
        self.assert_refused("forbidden", self.change(FIELDS.replace("juliet", "romeo")), 403)
        self.assert_refused("service-unavailable", self.change(FIELDS, "to='romeo@example.org'"))
        self.assertTrue(self.has_password("orchard", "romeo"))

    def test_an_account_of_the_same_name_elsewhere_is_another(self) -> None:
        other = self.world.client("juliet@example.net/room")
        self.assert_refused("forbidden", self.ask(other, "set", FIELDS))
        self.assertTrue(self.has_password("old"))

    def test_it_costs_no_registration(self) -> None:
        self.assert_done(self.change(FIELDS))
        self.assert_done(self.change(FIELDS))


class StrengthTest(Case):
    options: ClassVar[dict[str, Any]] = {"password_strength": 32}

    def test_a_weak_password_is_not_acceptable(self) -> None:
        self.assert_refused("not-acceptable", self.register(payload=FIELDS.replace("balcony", "aaa")), 406)
        self.assert_done(self.register())
        juliet = self.world.client("juliet@example.org/room", "balcony")
        self.assert_refused("not-acceptable", self.register(payload=FIELDS.replace("balcony", "a"), client=juliet), 406)
        self.assertTrue(self.has_password("balcony"))


class EncryptionTest(Case):
    options: ClassVar[dict[str, Any]] = {"require_encryption": True}

    def test_without_tls_no_password_is_taken(self) -> None:
        # Table 2: not-authorized when the server "does not consider the channel safe enough".
        client = self.stranger()
        assert client.features is not None
        self.assertIsNone(client.features.child("http://jabber.org/features/iq-register", "register"))
        self.assert_refused("not-authorized", self.register(client=client), 401)
        juliet = self.world.client("juliet@example.org/room", "old")
        self.assert_refused("not-authorized", self.register(client=juliet), 401)
        self.assertTrue(self.has_password("old"))

    def test_with_tls_it_is(self) -> None:
        client = self.stranger(tls=True)
        assert client.features is not None
        self.assertIsNotNone(client.features.child("http://jabber.org/features/iq-register", "register"))
        self.assert_done(self.register(client=client))
        juliet = self.world.client("juliet@example.org/room", "balcony", tls=True)
        self.assert_done(self.register(payload=FIELDS.replace("balcony", "window"), client=juliet))

    def test_this_machine_is_exempt(self) -> None:
        self.assert_done(self.register("127.0.0.1"))


class RequiredTlsTest(SynchronousTestCase):
    def test_nobody_registers_ahead_of_tls_that_is_required(self) -> None:
        world = World(modules={"mod_register": {}}, listener={"starttls_required": True})
        self.addCleanup(world.stop)
        client = world.connect(ip="127.0.0.1")
        features = client.open("example.org")
        self.assertIsNone(features.child("http://jabber.org/features/iq-register", "register"))
        client.send(f"<iq type='get' id='1'><query xmlns='{NS}'/></iq>")
        self.assertTrue(client.ended)


class RemovingTest(Case):
    """§3.2."""

    def setUp(self) -> None:
        super().setUp()
        self.juliet = self.world.client("juliet@example.org/room")

    def test_the_answer_comes_first_and_then_all_streams_end(self) -> None:
        # "the server SHOULD then return a <not-authorized/> stream error and terminate all active sessions"
        other = self.world.client("juliet@example.org/garden")
        self.juliet.send(f"<iq type='set' id='u1'><query xmlns='{NS}'><remove/></query></iq>")
        self.assert_done(self.juliet.receive())
        for client in (self.juliet, other):
            error = client.receive()
            self.assertEqual((error.name, next(error.elements()).name), ("error", "not-authorized"))
            self.assertTrue(client.ended)
        self.assertFalse(self.exists())

    def test_it_may_be_asked_of_the_host(self) -> None:
        self.assert_done(self.ask(self.juliet, "set", "<remove/>"))
        self.assertFalse(self.exists())

    def test_remove_must_stand_alone(self) -> None:
        # Table 1: bad-request
        for payload in ("<remove/><username>juliet</username>", f"<remove/>{form()}"):
            self.assert_refused("bad-request", self.ask(self.juliet, "set", payload), 400)
        self.assertTrue(self.exists())

    def test_a_stranger_cannot_remove(self) -> None:
        # Table 1: unexpected-request, "the entity is not registered with the server"
        for attrs in ("", "from='juliet@example.org/room'"):
            self.assert_refused("unexpected-request", self.ask(self.stranger(), "set", "<remove/>", attrs), 400)
        self.assertTrue(self.exists())

    def test_who_is_not_registered_is_told_so(self) -> None:
        # Table 1: registration-required
        romeo = self.world.client("juliet@example.net/orchard")
        self.assert_refused("registration-required", self.ask(romeo, "set", "<remove/>"), 407)
        self.assertTrue(self.exists())

    def test_the_account_of_another_is_not_removed(self) -> None:
        romeo = self.world.client("romeo@example.org/orchard")
        answer = self.ask(romeo, "set", "<remove/>", "to='juliet@example.org'")
        self.assert_refused("service-unavailable", answer)
        self.assertTrue(self.exists())


class NotRemovingTest(Case):
    options: ClassVar[dict[str, Any]] = {"access_remove": "none"}

    def test_where_nobody_may_it_is_not_allowed(self) -> None:
        juliet = self.world.client("juliet@example.org/room")
        self.assert_refused("not-allowed", self.ask(juliet, "set", "<remove/>"), 405)
        self.assertTrue(self.exists())


class RemovingByRuleTest(Case):
    options: ClassVar[dict[str, Any]] = {"access_remove": [{"deny": {"user": "juliet"}}, "allow"]}

    def test_who_may_not_is_forbidden(self) -> None:
        juliet = self.world.client("juliet@example.org/room")
        self.assert_refused("forbidden", self.ask(juliet, "set", "<remove/>"), 403)
        self.assertTrue(self.exists())


class TellingTest(Case):
    options: ClassVar[dict[str, Any]] = {
        "welcome_message": {"subject": "Welcome", "body": "Hi.\nHow are you?"},
        "registration_watchers": ["nurse@example.net", "peter@example.net"],
    }

    def setUp(self) -> None:
        kept: list[Any] = []
        self.kept = kept

        class Keeping(Module):
            name = "mod_keeping"

            @hooks.offline_message
            def keep(self, account: JID, stanza: Any) -> Any:
                kept.append(stanza.element)
                return HANDLED

        world = self.world = World(
            modules={"mod_register": {**self.options, "require_encryption": False}, "mod_keeping": {}},
            hosts=("example.org", "example.net"),
            own_modules={"mod_keeping": Keeping},
        )
        self.addCleanup(world.stop)
        world.register("nurse@example.net")
        world.register("peter@example.net")
        self.register()

    def test_a_new_account_is_welcomed(self) -> None:
        self.assert_has(
            "<message from='example.org' to='juliet@example.org' type='normal'><subject>Welcome</subject>"
            "<body>Hi.\nHow are you?</body></message>",
            self.kept[0],
        )

    def test_watchers_hear_of_a_new_account(self) -> None:
        told = self.kept[1:]
        self.assertEqual([message.get("to") for message in told], ["nurse@example.net", "peter@example.net"])
        self.assertEqual({(message.get("type"), message.get("from")) for message in told}, {("chat", "example.org")})
        body = told[0].text_of("jabber:client", "body")
        self.assertIn("The account juliet@example.org was registered from IP address 192.0.2.7.", body)


class SourcesTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 0.0
        self.sources = Sources(lambda: self.now, max_sources=3)

    def test_the_table_has_a_bound(self) -> None:
        for source in "abcdefgh":
            self.sources.begin(source, 600)
        self.assertEqual(len(self.sources), 3)
        with self.assertRaises(StanzaError):
            self.sources.begin("h", 600)
        self.sources.begin("a", 600)

    def test_what_is_over_is_forgotten(self) -> None:
        for source in "abc":
            self.sources.begin(source, 600)
        self.now = 600
        self.sources.begin("d", 600)
        self.assertEqual(len(self.sources), 1)

    def test_the_wait_begins_with_the_last_attempt(self) -> None:
        self.sources.begin("a", 600)
        self.sources.failed("a")
        self.now = 500
        self.sources.begin("a", 600)
        self.now = 700
        with self.assertRaises(StanzaError):
            self.sources.begin("a", 600)

    def test_one_customer_is_one_source(self) -> None:
        self.assertEqual(network("2001:db8::1"), network("2001:db8::ffff"))
        self.assertNotEqual(network("2001:db8::1"), network("2001:db8:0:1::1"))
        self.assertEqual(network("::ffff:192.0.2.1"), "192.0.2.1")
        self.assertEqual(network("fe80::1%eth0"), network("fe80::2"))
        self.assertEqual(network("unix socket"), "unix socket")

    def test_this_machine_is_known(self) -> None:
        self.assertEqual(
            [is_loopback(ip) for ip in ("127.0.0.1", "::1", "unix socket", "192.0.2.1", "2001:db8::1")],
            [True, True, True, False, False],
        )


class EntropyTest(SynchronousTestCase):
    def test_it_counts_as_ejabberd_does(self) -> None:
        self.assertEqual(entropy(""), 0.0)
        self.assertAlmostEqual(entropy("abcd"), 4 * math.log2(26))
        self.assertAlmostEqual(entropy("aB3!"), 4 * math.log2(26 + 26 + 9 + 33))
        self.assertAlmostEqual(entropy("é"), 2 * math.log2(128))

    @given(st.text(), st.text(min_size=1))
    def test_a_longer_password_never_has_less(self, one: str, more: str) -> None:
        clean = one.encode("utf-8", "ignore").decode()
        longer = clean + more.encode("utf-8", "ignore").decode()
        self.assertGreaterEqual(entropy(longer), entropy(clean))
