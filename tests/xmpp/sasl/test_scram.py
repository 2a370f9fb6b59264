"""SCRAM against the examples of the RFCs, another implementation, and clients that lie."""

from __future__ import annotations

from base64 import b64decode, b64encode
from unittest import mock

from scramp import ScramClient
from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp.errors import SaslCondition
from federix.xmpp.sasl import Credentials, Decoys, EncodedKeys, HashName, Success, derive
from federix.xmpp.sasl import credentials as keys_file
from federix.xmpp.sasl.scram import STAND_IN
from tests.xmpp.sasl.support import (
    DECOYS,
    DERIVING_DECOYS,
    HASHES,
    ITERATIONS,
    KEPT,
    PASSWORD,
    PLAIN_KEPT,
    SALT,
    SECRET,
    Client,
    FittingDecoys,
    Service,
    challenge,
    failure,
    success,
)

BINDINGS = {"tls-exporter": b"e" * 32, "tls-unique": b"u" * 12, "tls-server-end-point": b"s" * 32}
PLUS = "SCRAM-SHA-256-PLUS"
SCRAM = "SCRAM-SHA-256"


def kept(hash_name: HashName, salt: str) -> Credentials:
    return Credentials({hash_name: derive("pencil", hash_name, b64decode(salt), 4096)})


class ExampleTests(SynchronousTestCase):
    def dialogue(self, mechanism: str, credentials: Credentials, nonce: str, lines: tuple[bytes, ...]) -> None:
        for service in (
            Service({"user": credentials}, nonce=lambda: nonce),
            Service({"user": credentials}, nonce=lambda: nonce, decoys=DERIVING_DECOYS),
        ):
            exchange = service.exchange(mechanism)
            self.assertEqual(challenge(exchange, lines[0]), lines[1])
            self.assertEqual(success(exchange, lines[2]), Success("user", None, lines[3]))

    def test_the_example_of_rfc_5802(self) -> None:
        self.dialogue(
            "SCRAM-SHA-1",
            kept("SHA-1", "QSXCR+Q6sek8bf92"),
            "3rfcNHYJY1ZVvWVs7j",
            (
                b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
                b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
                b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
                b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
            ),
        )

    def test_the_example_of_rfc_7677(self) -> None:
        self.dialogue(
            "SCRAM-SHA-256",
            kept("SHA-256", "W22ZaJ0SNY7soEsUEjb6gQ=="),
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            (
                b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
                b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ),
        )


class OtherImplementationTests(SynchronousTestCase):
    """scramp plays the client and checks our proof."""

    def login(self, service: Service, mechanism: str, name: str, password: str, binding: str | None = None) -> Success:
        bound = None if binding is None else (binding, BINDINGS[binding])
        client = ScramClient([mechanism], name, password, channel_binding=bound)
        exchange = service.exchange(mechanism)
        client.set_server_first(challenge(exchange, client.get_client_first().encode()).decode())
        result = success(exchange, client.get_client_final().encode())
        assert result.data is not None
        client.set_server_final(result.data.decode())
        return result

    def test_it_logs_in_with_every_hash(self) -> None:
        for name in HASHES:
            self.assertEqual(self.login(Service(), f"SCRAM-{name}", "user", PASSWORD).username, "user")

    def test_it_logs_in_where_only_the_password_is_kept(self) -> None:
        for name in HASHES:
            service = Service({"user": PLAIN_KEPT}, decoys=DERIVING_DECOYS)
            self.login(service, f"SCRAM-{name}", "user", PASSWORD)
            self.assertEqual(service.derivations, 1)

    def test_it_logs_in_with_a_password_that_needs_preparation(self) -> None:
        self.login(Service({"user": Credentials(plain="e\u0301\u2168")}), SCRAM, "user", "\u00e9IX")

    def test_it_logs_in_bound_to_the_connection(self) -> None:
        for name in HASHES:
            for binding in ("tls-unique", "tls-server-end-point"):
                service = Service(bindings=BINDINGS)
                self.assertEqual(self.login(service, f"SCRAM-{name}-PLUS", "user", PASSWORD, binding).username, "user")

    def test_it_logs_in_with_a_name_that_needs_escapes(self) -> None:
        self.assertEqual(self.login(Service({"a=b,c": KEPT}), SCRAM, "A=b,c", PASSWORD).username, "a=b,c")


class LoginTests(SynchronousTestCase):
    def test_every_binding_and_hash_works(self) -> None:
        for hash_name in HASHES:
            for name, value in BINDINGS.items():
                client = Client(hash_name, gs2=f"p={name},,", binding=value)
                exchange = Service(bindings=BINDINGS).exchange(f"SCRAM-{hash_name}-PLUS")
                self.assertEqual(client.login(exchange).username, "user")

    def test_without_an_initial_response_the_client_is_asked_for_it(self) -> None:
        exchange = Service().exchange(SCRAM)
        self.assertEqual(challenge(exchange, None), b"")
        self.assertEqual(Client().login(exchange).username, "user")

    def test_the_name_is_prepared_for_the_store_and_hashed_as_it_came(self) -> None:
        service = Service({"\u00fcser": KEPT})
        self.assertEqual(Client(name="\u00dcSER").login(service.exchange(SCRAM)).username, "\u00fcser")

    def test_commas_and_equals_signs_in_names_are_escaped(self) -> None:
        service = Service({"a=2c,b": KEPT})
        self.assertEqual(Client(name="a=3D2C=2Cb").login(service.exchange(SCRAM)).username, "a=2c,b")

    def test_an_authzid_may_repeat_who_the_user_is(self) -> None:
        self.assertEqual(
            Client(gs2="n,a=User@example.org,").login(Service().exchange(SCRAM)).authzid, "user@example.org"
        )

    def test_nobody_may_act_for_somebody_else(self) -> None:
        for authzid in ("other@example.org", "user@example.net", "user", "user@example.org/x", "=2C@example.org"):
            service = Service()
            error = failure(service.exchange(SCRAM), Client(gs2=f"n,a={authzid},").first())
            self.assertIs(error.condition, SaslCondition.INVALID_AUTHZID)
            self.assertEqual(service.asked, [])

    def test_unknown_optional_extensions_are_ignored_but_signed(self) -> None:
        client = Client(extra=",h=abc,x=1=2")
        exchange = Service().exchange(SCRAM)
        message = client.final(challenge(exchange, client.first()), extra=",t=later")
        self.assertEqual(success(exchange, message).username, "user")


class BindingTests(SynchronousTestCase):
    def test_a_client_that_did_not_see_our_offer_is_told_of_the_attack(self) -> None:
        """RFC 5802 §6: flag "y" though we offered -PLUS."""
        error = failure(Service(bindings=BINDINGS).exchange(SCRAM), Client(gs2="y,,").first())
        self.assertIs(error.condition, SaslCondition.NOT_AUTHORIZED)

    def test_a_client_that_rightly_saw_no_offer_is_let_in(self) -> None:
        self.assertEqual(Client(gs2="y,,").login(Service().exchange(SCRAM)).username, "user")

    def test_a_client_that_cannot_bind_is_let_in_without(self) -> None:
        self.assertEqual(Client(gs2="n,,").login(Service(bindings=BINDINGS).exchange(SCRAM)).username, "user")

    def test_a_binding_without_value_or_name_is_refused(self) -> None:
        for name in ("tls-exporter", "tls-telepathy", "tls-unique"):
            service = Service(bindings={"tls-exporter": b"", "tls-telepathy": b"x"}, plus_offered=True)
            error = failure(service.exchange(PLUS), Client(gs2=f"p={name},,").first())
            self.assertIs(error.condition, SaslCondition.NOT_AUTHORIZED)
            self.assertEqual(service.asked, [])

    def test_flag_and_mechanism_have_to_agree(self) -> None:
        for mechanism, gs2 in ((SCRAM, "p=tls-exporter,,"), (PLUS, "n,,"), (PLUS, "y,,")):
            error = failure(Service(bindings=BINDINGS).exchange(mechanism), Client(gs2=gs2).first())
            self.assertIs(error.condition, SaslCondition.MALFORMED_REQUEST)

    def test_a_relayed_login_is_refused(self) -> None:
        """The client is bound to its connection with the attacker, not to ours."""
        for value in (b"x" * 32, b"", BINDINGS["tls-unique"]):
            client = Client(gs2="p=tls-exporter,,", binding=value)
            exchange = Service(bindings=BINDINGS).exchange(PLUS)
            error = failure(exchange, client.final(challenge(exchange, client.first())))
            self.assertIs(error.condition, SaslCondition.NOT_AUTHORIZED)

    def test_another_header_at_the_end_than_at_the_beginning_is_refused(self) -> None:
        for gs2, later in (("n,,", "y,,"), ("n,,", "n,a=user@example.org,"), ("n,a=user@example.org,", "n,,")):
            client = Client(gs2=gs2)
            exchange = Service().exchange(SCRAM)
            reply = challenge(exchange, client.first())
            client.gs2 = later
            self.assertIs(failure(exchange, client.final(reply)).condition, SaslCondition.NOT_AUTHORIZED)


class RefusalTests(SynchronousTestCase):
    def final(self, service: Service, client: Client, mechanism: str = SCRAM) -> tuple[bytes, SaslCondition, str]:
        exchange = service.exchange(mechanism)
        reply = challenge(exchange, client.first())
        error = failure(exchange, client.final(reply))
        return reply, error.condition, error.text

    def test_wrong_password_unknown_user_and_missing_keys_fail_alike(self) -> None:
        """Same shapes, same salt at every try, same number of derivations: nobody learns which accounts there are."""
        only_sha1 = Credentials({"SHA-1": KEPT.scram["SHA-1"]})
        stores: tuple[tuple[Credentials, Decoys], ...] = (
            (KEPT, DECOYS),
            (KEPT, DERIVING_DECOYS),
            (PLAIN_KEPT, DERIVING_DECOYS),
            (Credentials(), DECOYS),
            (only_sha1, DECOYS),
            (only_sha1, Decoys(SECRET, ITERATIONS, HASHES[:1])),
            (Credentials(plain="\0"), DERIVING_DECOYS),
        )
        for credentials, decoys in stores:
            for client in (Client(password="wrong"), Client(name="nobody"), Client(name="nobody", password="")):
                service = Service({"user": credentials}, decoys=decoys)
                reply, condition, text = self.final(service, client)
                self.assertEqual((condition, text), (SaslCondition.NOT_AUTHORIZED, ""))
                expected = 1 if decoys.derives("SHA-256") else 0
                self.assertEqual((service.executions, service.derivations), (expected, expected))
                self.assertEqual(self.final(service, client)[0], reply)
                nonce, salt, iterations = reply.split(b",")
                self.assertEqual((nonce, iterations), (b"r=client-nonceserver-nonce", b"i=4096"))
                self.assertEqual(len(b64decode(salt[2:])), len(SALT))

    def test_known_and_unknown_users_cost_one_decoded_set_of_keys(self) -> None:
        """What is read on the way to the first answer takes time, which anybody can measure."""
        encoded = Credentials(EncodedKeys({name: keys.encode() for name, keys in KEPT.scram.items()}))
        for kept, decoys in ((encoded, DECOYS), (PLAIN_KEPT, DERIVING_DECOYS)):
            for name in ("user", "nobody"):
                service = Service({"user": kept}, decoys=decoys)
                with mock.patch.object(keys_file, "b64decode", wraps=b64decode) as counted:
                    challenge(service.exchange(SCRAM), Client(name=name).first())
                self.assertEqual(counted.call_count, 3, name)

    def test_success_costs_what_failure_costs(self) -> None:
        for credentials, decoys in ((KEPT, DECOYS), (KEPT, DERIVING_DECOYS), (PLAIN_KEPT, DERIVING_DECOYS)):
            service = Service({"user": credentials}, decoys=decoys)
            Client().login(service.exchange(SCRAM))
            self.assertEqual(service.derivations, 1 if decoys.derives("SHA-256") else 0)

    def test_the_right_password_does_not_help_without_keys_for_the_hash(self) -> None:
        service = Service({"user": Credentials({"SHA-1": KEPT.scram["SHA-1"]})})
        self.assertIs(self.final(service, Client())[1], SaslCondition.NOT_AUTHORIZED)

    def test_nobody_gets_in_as_a_decoy_even_with_its_keys(self) -> None:
        for kept_hashes in (HASHES, ()):
            for name in ("nobody", "user"):
                decoys = FittingDecoys(SECRET, ITERATIONS, kept_hashes)
                service = Service({"user": Credentials()}, decoys=decoys)
                self.assertIs(self.final(service, Client(name=name))[1], SaslCondition.NOT_AUTHORIZED)

    def test_the_stand_in_that_is_hashed_for_others_is_nobodys_password(self) -> None:
        for name in ("nobody", "user", "hopeless"):
            service = Service({"user": KEPT, "hopeless": Credentials(plain="\0")}, decoys=DERIVING_DECOYS)
            client = Client(name=name, password=STAND_IN)
            self.assertIs(self.final(service, client)[1], SaslCondition.NOT_AUTHORIZED)

    def test_an_impossible_name_is_a_wrong_password(self) -> None:
        for name in ("a b", "user@example.org", "\u2163"):
            service = Service()
            error = failure(service.exchange(SCRAM), Client(name=name).first())
            self.assertEqual((error.condition, service.asked), (SaslCondition.NOT_AUTHORIZED, []))

    def test_another_nonce_is_refused(self) -> None:
        for nonce in ("client-nonce", "client-nonceserver-nonceX", "client-nonceserver-nonc", "server-nonce"):
            client = Client()
            exchange = Service().exchange(SCRAM)
            message = client.final(challenge(exchange, client.first()), nonce=nonce)
            self.assertIs(failure(exchange, message).condition, SaslCondition.NOT_AUTHORIZED)

    def test_a_login_cannot_be_replayed(self) -> None:
        nonces = iter(("one", "two"))
        service = Service(nonce=lambda: next(nonces))
        client = Client()
        exchange = service.exchange(SCRAM)
        message = client.final(challenge(exchange, client.first()))
        success(exchange, message)
        again = service.exchange(SCRAM)
        challenge(again, client.first())
        self.assertIs(failure(again, message).condition, SaslCondition.NOT_AUTHORIZED)

    def test_a_proof_for_another_transcript_is_refused(self) -> None:
        """Same nonce, but the client asked differently: only the signature can show it."""
        client = Client()
        exchange = Service().exchange(SCRAM)
        reply = challenge(exchange, client.first())
        client.bare += ",x=1"
        self.assertIs(failure(exchange, client.final(reply)).condition, SaslCondition.NOT_AUTHORIZED)

    def test_a_proof_with_any_bit_changed_is_refused(self) -> None:
        for position in (0, 13, 31):
            client = Client()
            exchange = Service().exchange(SCRAM)
            head, _, proof = client.final(challenge(exchange, client.first())).rpartition(b",p=")
            changed = bytearray(b64decode(proof))
            changed[position] ^= 1
            message = head + b",p=" + b64encode(changed)
            self.assertIs(failure(exchange, message).condition, SaslCondition.NOT_AUTHORIZED)

    def test_a_proof_of_another_length_is_refused(self) -> None:
        for proof in (b"", b"AAAA", b64encode(bytes(64))):
            client = Client()
            exchange = Service().exchange(SCRAM)
            head, _, _ = client.final(challenge(exchange, client.first())).rpartition(b",p=")
            self.assertIs(failure(exchange, head + b",p=" + proof).condition, SaslCondition.NOT_AUTHORIZED)


class GrammarTests(SynchronousTestCase):
    """RFC 5802 §7: everything else is malformed, and nobody is looked up for it."""

    def test_a_first_message_that_breaks_the_grammar(self) -> None:
        for message in (
            b"",
            b"n",
            b"n,,",
            b"n,n=user,r=x",
            b"z,,n=user,r=x",
            b"N,,n=user,r=x",
            b"F,n,,n=user,r=x",
            b"p,,n=user,r=x",
            b"p=,,n=user,r=x",
            b"p=tls unique,,n=user,r=x",
            b"n,a=,n=user,r=x",
            b"n,user@example.org,n=user,r=x",
            b"n,a=us=er,n=user,r=x",
            b"n,,r=x,n=user",
            b"n,,n=user",
            b"n,,n=,r=x",
            b"n,,n=us=er,r=x",
            b"n,,n=us=2cer,r=x",
            b"n,,n=us=3,r=x",
            b"n,,n=us\0er,r=x",
            b"n,,n=us\xffer,r=x",
            b"n,,n=user,r=",
            b"n,,n=user,r=a b",
            b"n,,n=user,r=\xc3\xa9",
            b"n,,n=user,r=x\n",
            b"n,,n=user,r=x,",
            b"n,,n=user,r=x,y",
            b"n,,n=user,r=x,y=",
            b"n,,n=user,r=x,1=2",
            b"n,,n=user,r=x,n=other",
            b"n,,n=user,r=x,y=\0",
            b"n,,m=x,n=user,r=x",
            b"n,,n=user,m=x,r=x",
            b"n,,n=user,r=x,m=x",
        ):
            service = Service()
            error = failure(service.exchange(SCRAM), message)
            self.assertEqual((error.condition, service.asked), (SaslCondition.MALFORMED_REQUEST, []), message)

    def test_a_mandatory_extension_is_named_as_the_reason(self) -> None:
        for data in (b"n,,m=x,n=user,r=x", b"n,,n=user,r=x,m=x"):
            self.assertIn("extensions", failure(Service().exchange(SCRAM), data).text)

    def test_a_final_message_that_breaks_the_grammar(self) -> None:
        for message in (
            b"",
            b"c=biws",
            b"c=biws,r=client-nonceserver-nonce",
            b"r=client-nonceserver-nonce,c=biws,p=AAAA",
            b"c=biws,r=client-nonceserver-nonce,p=AAAA,x=1",
            b"c=biws,r=client-nonceserver-nonce,p=AAA",
            b"c=biws,r=client-nonceserver-nonce,p=AB==",
            b"c=biws,r=client-nonceserver-nonce,p=A A=",
            b"c=biws,r=client-nonceserver-nonce,p=\xff",
            b"c=biws,r=client-nonceserver-nonce,x,p=AAAA",
            b"c=biws,r=client-nonceserver-nonce,p=AAAA,p=AAAA",
            b"c=biws,r=client-nonceserver-nonce,m=x,p=AAAA",
            b"m=x,c=biws,r=client-nonceserver-nonce,p=AAAA",
            b"c=biws,r=,p=AAAA",
            b"n,,n=user,r=client-nonce",
        ):
            exchange = Service().exchange(SCRAM)
            challenge(exchange, Client().first())
            self.assertIs(failure(exchange, message).condition, SaslCondition.MALFORMED_REQUEST, message)

    def test_a_channel_binding_that_is_not_base64_fits_nothing(self) -> None:
        for binding in (b"", b"biw", b"biws=", b"\xc3\xa9", b"biwt"):
            exchange = Service().exchange(SCRAM)
            challenge(exchange, Client().first())
            message = b"c=" + binding + b",r=client-nonceserver-nonce,p=AAAA"
            self.assertIs(failure(exchange, message).condition, SaslCondition.NOT_AUTHORIZED)
