"""An exchange as its caller sees it: steps in order, an end, and nothing unexpected for any input."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp.errors import SaslCondition, SaslFailure
from federix.xmpp.sasl import MECHANISMS, Challenge, Credentials, Success
from federix.xmpp.sasl.exchange import MAX_MESSAGE
from tests.xmpp.sasl.support import Client, Service, challenge, failure, run, success

SCRAM = "SCRAM-SHA-256"
BINDINGS = {"tls-exporter": b"e" * 32}
#: Bytes that get further than random ones.
PIECES = st.sampled_from(
    b"n,, y,, p=tls-exporter,, n,a= n=user n= r= c=biws p= AAAA m= , = \0 client-nonce r=client-nonceserver-nonce "
    b"user@example.org pencil \xff \xc3\xa4 \xed\xa0\x80".split(b" ")
)
MESSAGES = st.none() | st.binary(max_size=80) | st.lists(PIECES, max_size=12).map(b"".join)


class EndTests(SynchronousTestCase):
    def test_nothing_follows_success(self) -> None:
        for data in (None, b"", b"\0user\0pencil"):
            exchange = Service().exchange("PLAIN")
            success(exchange, b"\0user\0pencil")
            self.assertIs(failure(exchange, data).condition, SaslCondition.MALFORMED_REQUEST)
        exchange = Service().exchange(SCRAM)
        client = Client()
        message = client.final(challenge(exchange, client.first()))
        success(exchange, message)
        self.assertIs(failure(exchange, message).condition, SaslCondition.MALFORMED_REQUEST)

    def test_a_failed_exchange_cannot_be_mended(self) -> None:
        exchange = Service().exchange(SCRAM)
        client = Client()
        message = client.final(challenge(exchange, client.first()))
        failure(exchange, b"garbage")
        self.assertIs(failure(exchange, message).condition, SaslCondition.MALFORMED_REQUEST)

    def test_the_final_message_cannot_come_first(self) -> None:
        client = Client()
        message = client.final(challenge(Service().exchange(SCRAM), client.first()))
        self.assertIs(failure(Service().exchange(SCRAM), message).condition, SaslCondition.MALFORMED_REQUEST)

    def test_the_first_message_cannot_come_twice(self) -> None:
        exchange = Service().exchange(SCRAM)
        challenge(exchange, Client().first())
        self.assertIs(failure(exchange, Client().first()).condition, SaslCondition.MALFORMED_REQUEST)

    def test_silence_in_the_middle_is_refused(self) -> None:
        exchange = Service().exchange(SCRAM)
        challenge(exchange, Client().first())
        self.assertIs(failure(exchange, None).condition, SaslCondition.MALFORMED_REQUEST)

    def test_a_second_step_while_the_first_still_waits_is_refused(self) -> None:
        class Waiting:
            def __await__(self):  # type: ignore[no-untyped-def]
                yield

        class Slow(Service):
            async def lookup(self, username: str) -> Credentials | None:
                await Waiting()
                return await super().lookup(username)

        exchange = Slow().exchange("PLAIN")
        waiting = exchange.step(b"\0user\0pencil")
        waiting.send(None)
        self.assertIs(failure(exchange, b"\0user\0pencil").condition, SaslCondition.MALFORMED_REQUEST)
        with self.assertRaises(StopIteration) as caught:
            waiting.send(None)
        self.assertEqual(caught.exception.value, Success("user", None, None))

    def test_an_error_of_the_store_goes_through_and_ends_the_exchange(self) -> None:
        class Broken(Service):
            async def lookup(self, username: str) -> Credentials | None:
                raise LookupError

        exchange = Broken().exchange("PLAIN")
        self.assertRaises(LookupError, run, exchange.step(b"\0user\0pencil"))
        self.assertIs(failure(exchange, b"\0user\0pencil").condition, SaslCondition.MALFORMED_REQUEST)

    def test_an_unknown_mechanism_is_refused_at_once(self) -> None:
        for name in ("", "SCRAM-MD5", "plain", "EXTERNAL", "SCRAM-SHA-256-PLUS-PLUS"):
            error = self.assertRaises(SaslFailure, Service().exchange, name)
            self.assertIs(error.condition, SaslCondition.INVALID_MECHANISM)


class BoundTests(SynchronousTestCase):
    def test_the_longest_message_is_read(self) -> None:
        client = Client(extra=",x=")
        client.bare += "y" * (MAX_MESSAGE - len(client.first()))
        self.assertEqual(client.login(Service().exchange(SCRAM)).username, "user")

    def test_one_byte_more_is_refused(self) -> None:
        client = Client(extra=",x=")
        client.bare += "y" * (MAX_MESSAGE + 1 - len(client.first()))
        service = Service()
        self.assertIs(failure(service.exchange(SCRAM), client.first()).condition, SaslCondition.MALFORMED_REQUEST)
        self.assertEqual(service.asked, [])


class AnyInputTests(SynchronousTestCase):
    @given(st.sampled_from(MECHANISMS), st.lists(MESSAGES, max_size=4))
    @example("PLAIN", [b"\0nobody\0pencil"])
    def test_any_bytes_at_any_step_are_answered_or_refused_and_let_nobody_in(
        self, mechanism: str, messages: list[bytes | None]
    ) -> None:
        exchange = Service({"user": Credentials(plain="not in the pieces")}, bindings=BINDINGS).exchange(mechanism)
        for message in messages:
            try:
                answer = run(exchange.step(message))
            except SaslFailure:
                continue
            self.assertIsInstance(answer, Challenge)

    @given(MESSAGES)
    def test_any_bytes_after_a_good_beginning_are_refused(self, message: bytes | None) -> None:
        for mechanism, gs2 in ((SCRAM, "n,,"), (SCRAM + "-PLUS", "p=tls-exporter,,")):
            exchange = Service(bindings=BINDINGS).exchange(mechanism)
            challenge(exchange, Client(gs2=gs2).first())
            failure(exchange, message)

    @given(st.integers(0, 200), st.integers(1, 255))
    def test_a_login_with_any_byte_changed_is_refused(self, position: int, change: int) -> None:
        client = Client()
        exchange = Service().exchange(SCRAM)
        message = bytearray(client.final(challenge(exchange, client.first())))
        message[position % len(message)] ^= change
        failure(exchange, bytes(message))
