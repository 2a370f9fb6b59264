"""Logins over a whole server: every mechanism, every way to fail (RFC 6120 §6, RFC 5802, RFC 9266, XEP-0440)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import scramp
from OpenSSL import SSL
from twisted.internet.defer import Deferred

from federix.storage.storage import StoreError
from federix.testing import Client, World
from federix.testing.world import PASSWORD
from federix.xmpp import ns
from federix.xmpp.sasl import HashName
from tests.links.support import (
    ALL_HASHES,
    HASHES,
    Tls,
    WorldTestCase,
    auth,
    bindings_of,
    decoded,
    mechanisms,
    plain,
    response,
    scram,
    secured,
)
from tests.xmpp.sasl.support import Client as Scram

SCRAM = [f"SCRAM-{name}" for name in reversed(HASHES)]
PLUS = [f"{name}-PLUS" for name in SCRAM]
TLS_1_2 = SSL.TLS1_2_VERSION


def announced(client: Client) -> list[str] | None:
    assert client.features is not None
    found = client.features.child(ns.CHANNEL_BINDING, "sasl-channel-binding")
    return None if found is None else [element.get("type") or "" for element in found.elements()]


class OfferTests(WorldTestCase):
    def open(self, config: Mapping[str, Any] | None = None, *, tls: Tls | None = None, secure: bool = True) -> Client:
        world = self.make({**ALL_HASHES, **(config or {})})
        if secure:
            return secured(world, tls)
        client = world.connect()
        client.open("example.org")
        return client

    def test_inside_tls_everything_is_offered_the_strongest_first(self) -> None:
        self.assertEqual(mechanisms(self.open().features), [*PLUS, *SCRAM, "PLAIN"])

    def test_outside_tls_neither_plain_nor_channel_binding(self) -> None:
        client = self.open(secure=False)
        self.assertEqual(mechanisms(client.features), SCRAM)
        self.assertIsNone(announced(client))

    def test_channel_binding_types_are_announced_with_the_mechanisms_that_use_them(self) -> None:
        self.assertEqual(announced(self.open()), ["tls-exporter", "tls-server-end-point"])

    def test_tls_1_2_has_other_channel_bindings(self) -> None:
        client = self.open(tls=Tls("example.org", version=TLS_1_2))
        self.assertEqual(announced(client), ["tls-unique", "tls-server-end-point"])

    def test_no_channel_binding_type_is_announced_where_no_mechanism_uses_one(self) -> None:
        client = self.open({"disable_sasl_mechanisms": PLUS})
        self.assertEqual(mechanisms(client.features), [*SCRAM, "PLAIN"])
        self.assertIsNone(announced(client))

    def test_a_mechanism_that_is_switched_off_is_not_offered_and_not_taken(self) -> None:
        client = self.open({"disable_sasl_mechanisms": ["plain", "SCRAM-SHA-1"]})
        self.assertNotIn("PLAIN", mechanisms(client.features))
        self.assertNotIn("SCRAM-SHA-1", mechanisms(client.features))
        for mechanism in ("PLAIN", "SCRAM-SHA-1"):
            client.send(auth(mechanism, b"\0romeo\0secret"))
            self.assert_sasl_failure(client, "invalid-mechanism")

    def test_with_everything_switched_off_nothing_is_offered(self) -> None:
        client = self.open({"disable_sasl_mechanisms": [*PLUS, *SCRAM, "PLAIN"]})
        self.assertEqual(mechanisms(client.features), [])
        client.send(plain("romeo"))
        self.assert_sasl_failure(client, "invalid-mechanism")

    def test_only_what_the_kept_keys_allow_is_offered(self) -> None:
        client = self.open({"auth_stored_password_types": ["scram_sha256"]})
        self.assertEqual(mechanisms(client.features), ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"])


class LoginTests(WorldTestCase):
    def setUp(self) -> None:
        self.world = self.make(ALL_HASHES)
        self.world.register("romeo@example.org")

    def assert_logged_in(self, client: Client) -> None:
        client.open("example.org")
        answer = client.request(f"<iq type='set' id='b'><bind xmlns='{ns.BIND}'/></iq>")
        bound = answer.child(ns.BIND, "bind")
        assert bound is not None
        self.assertTrue((bound.text_of(ns.BIND, "jid") or "").startswith("romeo@example.org/"))

    def test_every_scram_without_channel_binding(self) -> None:
        for name in HASHES:
            client = self.world.connect()
            client.open("example.org")
            half = Scram(name, name="romeo", password=PASSWORD)
            self.assertEqual(scram(client, half, f"SCRAM-{name}").name, "success")
            self.assert_logged_in(client)

    def bound(self, name: HashName, binding: str, tls: Tls | None = None) -> Client:
        client = secured(self.world, tls)
        half = Scram(name, name="romeo", password=PASSWORD, gs2=f"p={binding},,", binding=bindings_of(client)[binding])
        self.assertEqual(scram(client, half, f"SCRAM-{name}-PLUS").name, "success")
        return client

    def test_every_scram_bound_to_the_exporter_of_tls_1_3(self) -> None:
        for name in HASHES:
            self.assert_logged_in(self.bound(name, "tls-exporter"))

    def test_every_scram_bound_to_the_certificate(self) -> None:
        for name in HASHES:
            self.assert_logged_in(self.bound(name, "tls-server-end-point"))

    def test_every_scram_bound_to_the_handshake_of_tls_1_2(self) -> None:
        for name in HASHES:
            self.assert_logged_in(self.bound(name, "tls-unique", Tls("example.org", version=TLS_1_2)))

    def test_another_implementation_logs_in_with_all_of_them(self) -> None:
        for version, binding in (
            (None, "tls-server-end-point"),
            (TLS_1_2, "tls-unique"),
            (TLS_1_2, "tls-server-end-point"),
        ):
            for mechanism in ("SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512-PLUS"):
                client = secured(self.world, Tls("example.org", version=version))
                theirs = scramp.ScramClient([mechanism], "romeo", PASSWORD, (binding, bindings_of(client)[binding]))
                client.send(auth(mechanism, theirs.get_client_first().encode()))
                theirs.set_server_first(decoded(client.expect(f"<challenge xmlns='{ns.SASL}'/>")).decode())
                client.send(response(theirs.get_client_final().encode()))
                theirs.set_server_final(decoded(client.expect(f"<success xmlns='{ns.SASL}'/>")).decode())

    def test_another_connections_channel_binding_does_not_do(self) -> None:
        """This is what a relay in the middle would have to offer."""
        other = bindings_of(secured(self.world))["tls-exporter"]
        client = secured(self.world)
        half = Scram("SHA-256", name="romeo", password=PASSWORD, gs2="p=tls-exporter,,", binding=other)
        client.send(auth("SCRAM-SHA-256-PLUS", half.first()))
        client.send(response(half.final(decoded(client.receive()))))
        self.assert_sasl_failure(client, "not-authorized")

    def test_a_client_that_was_not_shown_the_plus_mechanisms_is_told_so(self) -> None:
        client = secured(self.world)
        client.send(auth("SCRAM-SHA-256", Scram("SHA-256", name="romeo", gs2="y,,").first()))
        self.assert_sasl_failure(client, "not-authorized")

    def test_plain_inside_tls(self) -> None:
        client = secured(self.world)
        client.send(plain("romeo"))
        client.expect(f"<success xmlns='{ns.SASL}'/>")
        self.assert_logged_in(client)

    def test_a_client_without_initial_response_gets_an_empty_challenge(self) -> None:
        client = secured(self.world)
        client.send(auth("PLAIN"))
        self.assertEqual(client.expect(f"<challenge xmlns='{ns.SASL}'/>").text, "")
        client.send(response(f"\0romeo\0{PASSWORD}".encode()))
        client.expect(f"<success xmlns='{ns.SASL}'/>")
        self.assert_logged_in(client)

    def test_whoever_repeats_who_he_is_may(self) -> None:
        client = secured(self.world)
        client.send(plain("romeo", authzid="romeo@example.org"))
        client.expect(f"<success xmlns='{ns.SASL}'/>")

    def test_names_are_prepared(self) -> None:
        client = secured(self.world)
        client.send(plain("RoMeo"))
        client.expect(f"<success xmlns='{ns.SASL}'/>")
        self.assert_logged_in(client)

    def test_a_second_login_on_the_stream_is_refused(self) -> None:
        client = secured(self.world)
        client.send(plain("romeo"))
        client.receive()
        client.open("example.org")
        client.send(plain("romeo"))
        self.assert_stream_error(client, "policy-violation")

    def test_a_failure_leaves_room_for_another_attempt(self) -> None:
        client = secured(self.world)
        client.send(plain("romeo", "wrong"))
        self.assert_sasl_failure(client, "not-authorized")
        client.send(plain("romeo"))
        client.expect(f"<success xmlns='{ns.SASL}'/>")
        self.assert_logged_in(client)


class FailureTests(WorldTestCase):
    def setUp(self) -> None:
        self.world = self.make(ALL_HASHES)
        self.world.register("romeo@example.org")
        self.client = secured(self.world)

    def tearDown(self) -> None:
        self.assert_no_traceback()

    def assert_fails(self, said: str, condition: str) -> None:
        self.client.send(said)
        self.assert_sasl_failure(self.client, condition)
        self.client.nothing()

    def test_an_unknown_user_and_a_wrong_password_get_the_same_answer(self) -> None:
        answers = []
        for user in ("romeo", "nobody", "not a name@"):
            self.client.send(plain(user, "wrong"))
            answers.append(self.client.receive().to_xml())
        self.assertEqual(len(set(answers)), 1, answers)

    def test_an_unknown_user_goes_as_far_in_scram_as_a_known_one(self) -> None:
        for user in ("romeo", "nobody"):
            for name in HASHES:
                client = secured(self.world)
                half = Scram(name, name=user, password="wrong")
                client.send(auth(f"SCRAM-{name}", half.first()))
                challenge = decoded(client.expect(f"<challenge xmlns='{ns.SASL}'/>")).decode()
                self.assertRegex(challenge, r"^r=client-nonce[0-9a-f]{30},s=[A-Za-z0-9+/]{22}==,i=4096$")
                client.send(response(half.final(challenge.encode())))
                self.assertEqual(
                    client.receive().to_xml(),
                    f"<failure xmlns='{ns.SASL}'><not-authorized/></failure>",
                )

    def test_what_is_not_base_64(self) -> None:
        for text in ("!!!", "AAA", "AB==", "A A=", "ä"):
            client = secured(self.world)
            client.send(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>{text}</auth>")
            self.assert_sasl_failure(client, "incorrect-encoding")

    def test_what_is_no_message_of_the_mechanism(self) -> None:
        for data in (b"", b"romeo", b"\0\0", b"\xff\0\xff\0\xff", b"\0" * 4):
            client = secured(self.world)
            client.send(auth("PLAIN", data))
            self.assert_sasl_failure(client, "malformed-request")

    def test_a_message_far_too_long(self) -> None:
        self.assert_fails(auth("PLAIN", b"\0romeo\0" + b"x" * 4200), "malformed-request")

    def test_elements_where_text_should_be(self) -> None:
        self.assert_fails(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'><x/></auth>", "malformed-request")

    def test_a_response_to_nothing(self) -> None:
        self.assert_fails(response(b"n,,n=romeo,r=x"), "malformed-request")

    def test_a_response_after_the_end(self) -> None:
        self.assert_fails(plain("romeo", "wrong"), "not-authorized")
        self.assert_fails(response(b"x"), "malformed-request")

    def test_a_response_repeated(self) -> None:
        half = Scram("SHA-1", name="romeo", password="wrong")
        self.client.send(auth("SCRAM-SHA-1", half.first()))
        final = half.final(decoded(self.client.receive()))
        self.assert_fails(response(final), "not-authorized")
        self.assert_fails(response(final), "malformed-request")

    def test_an_abort(self) -> None:
        self.client.send(auth("SCRAM-SHA-1", Scram("SHA-1", name="romeo").first()))
        self.client.expect(f"<challenge xmlns='{ns.SASL}'/>")
        self.assert_fails(f"<abort xmlns='{ns.SASL}'/>", "aborted")
        self.client.send(plain("romeo"))
        self.client.expect(f"<success xmlns='{ns.SASL}'/>")

    def test_a_new_attempt_ends_the_one_under_way(self) -> None:
        one, two = (Scram("SHA-1", name="romeo", password=PASSWORD, extra=str(n)) for n in range(2))
        self.client.send(auth("SCRAM-SHA-1", one.first()))
        first = decoded(self.client.receive())
        self.client.send(auth("SCRAM-SHA-1", two.first()))
        second = decoded(self.client.receive())
        self.client.send(response(one.final(first)))
        self.assert_sasl_failure(self.client, "not-authorized")
        self.client.send(auth("SCRAM-SHA-1", two.first()))
        self.assertNotEqual(second, decoded(self.client.receive()))

    def test_attempts_that_are_only_begun_are_counted_too(self) -> None:
        for _ in range(5):
            self.client.send(auth("SCRAM-SHA-1", Scram("SHA-1", name="romeo").first()))
            self.client.expect(f"<challenge xmlns='{ns.SASL}'/>")
        self.client.send(auth("SCRAM-SHA-1", Scram("SHA-1", name="romeo").first()))
        self.assert_stream_error(self.client, "policy-violation")

    def test_somebody_elses_name(self) -> None:
        self.world.register("juliet@example.org")
        self.assert_fails(plain("romeo", authzid="juliet@example.org"), "invalid-authzid")
        self.assert_fails(plain("romeo", authzid="@@"), "invalid-authzid")

    def test_a_mechanism_nobody_knows_or_none_at_all(self) -> None:
        self.assert_fails(auth("X-OAUTH2", b"token"), "invalid-mechanism")
        self.assert_fails(f"<auth xmlns='{ns.SASL}'/>", "invalid-mechanism")

    def test_too_many_failures_end_the_stream(self) -> None:
        for _ in range(4):
            self.assert_fails(plain("romeo", "wrong"), "not-authorized")
        self.client.send(plain("romeo", "wrong"))
        self.client.expect(f"<failure xmlns='{ns.SASL}'><not-authorized/></failure>")
        self.assert_stream_error(self.client, "policy-violation")

    def test_plain_outside_tls(self) -> None:
        client = self.world.connect()
        client.open("example.org")
        client.send(plain("romeo"))
        self.assert_sasl_failure(client, "encryption-required")

    def test_anything_outside_tls_where_that_is_required(self) -> None:
        client = self.make(listener={"starttls_required": True}).connect()
        client.open("example.org")
        for mechanism in ("SCRAM-SHA-1", "PLAIN", "NONSENSE"):
            client.send(auth(mechanism, b"x"))
            self.assert_sasl_failure(client, "encryption-required")

    def test_bytes_behind_the_last_message_end_the_stream(self) -> None:
        """They were sent before the answer was read: what they mean depends on it."""
        self.client.send(plain("romeo") + "<presence/>")
        self.client.expect(f"<success xmlns='{ns.SASL}'/>")
        self.assert_stream_error(self.client, "policy-violation")


class AccessTests(WorldTestCase):
    def world_with(self, rule: list[Any], **acl: Any) -> World:
        world = self.make({"acl": acl, "access_rules": {"c2s": rule}})
        for name in ("romeo", "tybalt"):
            world.register(f"{name}@example.org")
        return world

    def login(self, world: World, user: str, ip: str = "192.0.2.1") -> Client:
        client = world.connect(ip=ip)
        client.open("example.org")
        client.start_tls("example.org")
        client.open("example.org")
        client.send(plain(user))
        return client

    def test_a_user_may_be_denied(self) -> None:
        world = self.world_with([{"deny": "blocked"}, {"allow": "all"}], blocked={"user": "tybalt@example.org"})
        self.assert_sasl_failure(self.login(world, "tybalt"), "not-authorized")
        self.login(world, "romeo").expect(f"<success xmlns='{ns.SASL}'/>")

    def test_an_address_may_be_denied(self) -> None:
        world = self.world_with([{"deny": "blocked"}, {"allow": "all"}], blocked={"ip": "198.51.100.0/24"})
        self.assert_sasl_failure(self.login(world, "romeo", "198.51.100.7"), "not-authorized")
        self.login(world, "romeo").expect(f"<success xmlns='{ns.SASL}'/>")

    def test_denied_or_wrong_nobody_sees_the_difference(self) -> None:
        """Else a denied account would be a place to try passwords in."""
        world = self.world_with([{"deny": "all"}])
        denied = self.login(world, "romeo").receive()
        client = self.login(world, "romeo")
        client.receive()
        client.send(plain("romeo", "wrong"))
        self.assertEqual(denied.to_xml(), client.receive().to_xml())


class FaultTests(WorldTestCase):
    """The storage fails, or takes its time."""

    def setUp(self) -> None:
        self.world = self.make()
        self.world.register("romeo@example.org")
        self.client = secured(self.world)
        self.accounts: Any = self.world.host("example.org").accounts

    def test_a_fault_of_ours_is_a_temporary_failure(self) -> None:
        async def fail(local: str) -> None:
            raise StoreError("the disk is on fire at /secret/path")

        self.patch(self.accounts, "credentials", fail)
        self.client.send(plain("romeo"))
        failure = self.assert_sasl_failure(self.client, "temporary-auth-failure")
        self.assertNotIn("path", failure.to_xml())
        # The storage tells the log itself, and not once for everybody who logs in.
        self.assertEqual(self.flushLoggedErrors(), [])
        self.client.nothing()

    def test_after_it_another_attempt_is_welcome(self) -> None:
        async def fail(local: str) -> None:
            raise ValueError

        broken = self.patch(self.accounts, "credentials", fail)
        self.client.send(plain("romeo"))
        self.assert_sasl_failure(self.client, "temporary-auth-failure")
        self.flushLoggedErrors(ValueError)
        broken.restore()
        self.client.send(plain("romeo"))
        self.client.expect(f"<success xmlns='{ns.SASL}'/>")

    def test_a_client_that_leaves_during_the_look_up_is_not_logged_in(self) -> None:
        looking: Deferred[None] = Deferred()
        credentials = self.accounts.credentials

        async def later(local: str) -> Any:
            await looking
            return await credentials(local)

        self.patch(self.accounts, "credentials", later)
        self.client.send(plain("romeo"))
        self.client.nothing()
        self.client.cut()
        looking.callback(None)
        self.world.pump()
        self.assertEqual(len(self.world.host("example.org").sessions), 0)
        self.assert_no_traceback()

    def test_what_comes_during_the_look_up_waits_for_it(self) -> None:
        looking: Deferred[None] = Deferred()
        credentials = self.accounts.credentials

        async def later(local: str) -> Any:
            await looking
            return await credentials(local)

        self.patch(self.accounts, "credentials", later)
        self.client.send(plain("romeo", "wrong"))
        self.client.send(plain("romeo"))
        self.client.nothing()
        looking.callback(None)
        self.assert_sasl_failure(self.client, "not-authorized")
        self.client.expect(f"<success xmlns='{ns.SASL}'/>")
