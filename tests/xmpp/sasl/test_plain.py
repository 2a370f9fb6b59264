"""PLAIN, message by message."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp.errors import SaslCondition
from federix.xmpp.sasl import Credentials, Success, derive
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
    FittingDecoys,
    Service,
    challenge,
    failure,
    success,
)


class PlainTests(SynchronousTestCase):
    def test_the_right_password_is_let_in(self) -> None:
        self.assertEqual(success(Service().exchange("PLAIN"), b"\0user\0pencil"), Success("user", None, None))

    def test_a_password_kept_in_the_clear_is_let_in(self) -> None:
        service = Service({"user": PLAIN_KEPT}, decoys=DERIVING_DECOYS)
        self.assertEqual(success(service.exchange("PLAIN"), b"\0user\0pencil").username, "user")

    def test_password_and_name_are_prepared(self) -> None:
        service = Service({"\u00fcser": Credentials(plain="IX\u00e9")})
        message = "\0\u00dcSER\0\u2168e\u0301".encode()
        self.assertEqual(success(service.exchange("PLAIN"), message).username, "\u00fcser")
        self.assertEqual(service.asked, ["\u00fcser"])

    def test_without_an_initial_response_the_client_is_asked_for_it(self) -> None:
        exchange = Service().exchange("PLAIN")
        self.assertEqual(challenge(exchange, None), b"")
        self.assertEqual(success(exchange, b"\0user\0pencil").username, "user")

    def test_a_client_that_is_silent_twice_is_refused(self) -> None:
        exchange = Service().exchange("PLAIN")
        challenge(exchange, None)
        self.assertIs(failure(exchange, None).condition, SaslCondition.MALFORMED_REQUEST)

    def test_wrong_password_and_unknown_user_fail_alike(self) -> None:
        empty = Credentials()
        hopeless = Credentials(plain="\0")
        for kept, decoys in ((KEPT, DECOYS), (PLAIN_KEPT, DERIVING_DECOYS), (empty, DECOYS), (hopeless, DECOYS)):
            for message in (b"\0user\0Pencil", b"\0nobody\0pencil", b"\0user\0\t", b"\0nobody\0\t", b"\0a b\0pencil"):
                service = Service({"user": kept}, decoys=decoys)
                error = failure(service.exchange("PLAIN"), message)
                self.assertEqual((error.condition, error.text), (SaslCondition.NOT_AUTHORIZED, ""))
                self.assertEqual(service.executions, 0 if b"a b" in message else 1)
                self.assertEqual(service.derivations, 1 if message.endswith(b"encil") and service.asked else 0)

    def test_success_costs_what_failure_costs(self) -> None:
        for kept, decoys in ((KEPT, DECOYS), (PLAIN_KEPT, DERIVING_DECOYS)):
            service = Service({"user": kept}, decoys=decoys)
            success(service.exchange("PLAIN"), b"\0user\0pencil")
            self.assertEqual((service.executions, service.derivations), (1, 1))

    def test_any_hash_an_account_has_will_do(self) -> None:
        service = Service({"user": Credentials({"SHA-1": derive(PASSWORD, "SHA-1", SALT, ITERATIONS)})})
        self.assertEqual(success(service.exchange("PLAIN"), b"\0user\0pencil").username, "user")
        self.assertIs(
            failure(service.exchange("PLAIN"), b"\0user\0x").condition,
            SaslCondition.NOT_AUTHORIZED,
        )

    def test_no_password_fits_a_decoy(self) -> None:
        for message in (b"\0user\0pencil", b"\0nobody\0pencil"):
            service = Service({"user": Credentials()}, decoys=FittingDecoys(SECRET, ITERATIONS, HASHES))
            self.assertIs(failure(service.exchange("PLAIN"), message).condition, SaslCondition.NOT_AUTHORIZED)

    def test_an_authzid_may_repeat_who_the_user_is(self) -> None:
        for authzid in (b"user@example.org", b"USER@Example.ORG", b"user@example.org."):
            result = success(Service().exchange("PLAIN"), authzid + b"\0user\0pencil")
            self.assertEqual(result.authzid, "user@example.org")

    def test_nobody_may_act_for_somebody_else(self) -> None:
        for authzid in (
            b"other@example.org",
            b"user@example.net",
            b"user",
            b"example.org",
            b"user@example.org/x",
            b"@",
        ):
            service = Service()
            error = failure(service.exchange("PLAIN"), authzid + b"\0user\0pencil")
            self.assertIs(error.condition, SaslCondition.INVALID_AUTHZID)
            self.assertEqual(service.asked, [])

    def test_names_and_passwords_of_255_octets_are_accepted(self) -> None:
        name, password = "n" * 255, "p" * 255
        service = Service({name: Credentials(plain=password)})
        message = f"{name}@example.org\0{name}\0{password}".encode()
        self.assertEqual(success(service.exchange("PLAIN"), message).username, name)

    def test_garbage_is_malformed_and_nobody_is_looked_up(self) -> None:
        for message in (b"", b"\0", b"\0\0", b"\0user\0", b"\0\0pencil", b"user\0pencil", b"\0u\0p\0", b"\0\xff\0p"):
            service = Service()
            self.assertIs(failure(service.exchange("PLAIN"), message).condition, SaslCondition.MALFORMED_REQUEST)
            self.assertEqual((service.asked, service.derivations), ([], 0))
