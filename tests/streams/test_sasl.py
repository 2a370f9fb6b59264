"""The framing of logins (RFC 6120 §6.4): elements in, elements out, whatever the mechanism."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from federix.streams.sasl import MAX_ATTEMPTS, SaslNegotiation
from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.errors import SaslCondition, SaslFailure, StreamCondition, StreamError
from federix.xmpp.sasl import Challenge, Exchange, Success

Answer = Challenge | Success | Exception | Deferred[Any]


class Script:
    """An exchange that answers as it is told."""

    mechanism = "X-SCRIPT"

    def __init__(self, answers: list[Answer]) -> None:
        self.answers = answers
        self.heard: list[bytes | None] = []

    async def step(self, data: bytes | None) -> Challenge | Success:
        self.heard.append(data)
        answer = self.answers.pop(0)
        if isinstance(answer, Deferred):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        assert not isinstance(answer, Deferred)
        return answer


class Candidate:
    def __init__(self) -> None:
        self.exchanges: list[Script] = []
        self.failures: list[SaslCondition] = []
        self.successes: list[str] = []
        self.begun: list[str] = []
        self.over = False
        self.on_success: Callable[[], None] = lambda: None

    def begin_exchange(self, mechanism: str) -> Exchange:
        self.begun.append(mechanism)
        if not self.exchanges:
            raise SaslFailure(SaslCondition.INVALID_MECHANISM)
        return self.exchanges.pop(0)  # type: ignore[return-value]

    async def authenticated(self, success: Success, mechanism: str) -> None:
        self.on_success()
        self.successes.append(f"{success.username} by {mechanism}")

    def authentication_failed(self, failure: SaslFailure) -> None:
        self.failures.append(failure.condition)


SUCCESS = Success("romeo", None, b"proof")


class NegotiationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.candidate = Candidate()
        self.sent: list[str] = []
        self.sasl = SaslNegotiation(self.candidate, lambda element: self.sent.append(element.to_xml()))

    def script(self, *answers: Answer) -> Script:
        script = Script(list(answers))
        self.candidate.exchanges.append(script)
        return script

    def take(self, name: str, text: str = "", *children: Element, mechanism: str = "X-SCRIPT") -> bool:
        return self.successResultOf(self.begin(self.element(name, text, *children, mechanism=mechanism)))

    def begin(self, element: Element) -> Deferred[bool]:
        taking: Awaitable[bool] = self.sasl.take(element)
        return ensureDeferred(taking)  # type: ignore[arg-type]

    def element(self, name: str, text: str = "", *children: Element, mechanism: str = "X-SCRIPT") -> Element:
        attrs = {"mechanism": mechanism} if name == "auth" else {}
        return Element(name, ns.SASL, *children, text=text, attrs=attrs)

    def sent_last(self, inside: str) -> None:
        self.assertIn(inside, self.sent[-1])

    def test_success_at_once(self) -> None:
        self.script(SUCCESS)
        self.assertTrue(self.take("auth", "cm9tZW8="))
        self.assertEqual(self.sent, [f"<success xmlns='{ns.SASL}'>{b64encode(b'proof').decode()}</success>"])
        self.assertEqual(self.candidate.successes, ["romeo by X-SCRIPT"])

    def test_challenge_and_response(self) -> None:
        script = self.script(Challenge(b"who?"), SUCCESS)
        self.assertFalse(self.take("auth", "aGk="))
        self.sent_last(b64encode(b"who?").decode())
        self.assertTrue(self.take("response", "bWU="))
        self.assertEqual(script.heard, [b"hi", b"me"])

    def test_no_data_and_empty_data_are_two_things_in_an_auth(self) -> None:
        """§6.4.2: ``=`` stands for an initial response of no bytes."""
        for text, data in (("", None), ("=", b"")):
            script = self.script(Challenge(b""))
            self.take("auth", text)
            self.assertEqual(script.heard, [data])
            self.assertEqual(self.sent[-1], f"<challenge xmlns='{ns.SASL}'/>")

    def test_they_are_one_thing_in_a_response(self) -> None:
        for text in ("", "="):
            script = self.script(Challenge(b"x"), Challenge(b"x"))
            self.take("auth", "aGk=")
            self.take("response", text)
            self.assertEqual(script.heard[-1], b"")

    def test_a_success_without_data(self) -> None:
        self.script(Success("romeo", None, None))
        self.take("auth", "aGk=")
        self.assertEqual(self.sent, [f"<success xmlns='{ns.SASL}'/>"])

    def test_what_the_exchange_refuses(self) -> None:
        self.script(SaslFailure(SaslCondition.NOT_AUTHORIZED, "because"))
        self.assertFalse(self.take("auth", "aGk="))
        self.assertEqual(
            self.sent,
            [f"<failure xmlns='{ns.SASL}'><not-authorized/><text xml:lang='en'>because</text></failure>"],
        )
        self.assertEqual(self.candidate.failures, [SaslCondition.NOT_AUTHORIZED])

    def test_after_a_failure_the_exchange_is_over(self) -> None:
        self.script(Challenge(b"x"), SaslFailure(SaslCondition.NOT_AUTHORIZED), SUCCESS)
        self.take("auth", "aGk=")
        self.take("response", "aGk=")
        self.take("response", "aGk=")
        self.sent_last("<malformed-request/>")
        self.assertEqual(self.candidate.successes, [])

    def test_an_abort_ends_it(self) -> None:
        self.script(Challenge(b"x"), SUCCESS)
        self.take("auth", "aGk=")
        self.take("abort")
        self.sent_last("<aborted/>")
        self.take("response", "aGk=")
        self.sent_last("<malformed-request/>")

    def test_what_is_not_base_64_ends_it(self) -> None:
        self.script(Challenge(b"x"), SUCCESS)
        self.take("auth", "aGk=")
        self.take("response", "a")
        self.sent_last("<incorrect-encoding/>")
        self.take("response", "aGk=")
        self.sent_last("<malformed-request/>")

    def test_children_are_none_of_ours(self) -> None:
        script = self.script(SUCCESS)
        self.take("auth", "", Element("x", "urn:x"))
        self.sent_last("<malformed-request/>")
        self.assertEqual(script.heard, [])

    def test_a_link_that_refuses_a_user_refuses_the_login(self) -> None:
        def refuse() -> None:
            raise SaslFailure(SaslCondition.ACCOUNT_DISABLED)

        self.script(SUCCESS)
        self.candidate.on_success = refuse
        self.assertFalse(self.take("auth", "aGk="))
        self.assertEqual(len(self.sent), 1)
        self.sent_last("<account-disabled/>")

    def test_a_fault_of_ours_is_temporary_and_says_no_more(self) -> None:
        self.script(ZeroDivisionError("detail"))
        self.assertFalse(self.take("auth", "aGk="))
        self.assertEqual(self.sent, [f"<failure xmlns='{ns.SASL}'><temporary-auth-failure/></failure>"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_what_is_cancelled_is_no_fault(self) -> None:
        self.script(CancelledError())
        self.failureResultOf(self.begin(self.element("auth", "aGk=")), CancelledError)
        self.assertEqual(self.sent, [])

    def test_so_many_failures_and_no_more(self) -> None:
        for _ in range(MAX_ATTEMPTS - 1):
            self.script(SaslFailure(SaslCondition.NOT_AUTHORIZED))
            self.take("auth", "aGk=")
        self.script(SaslFailure(SaslCondition.NOT_AUTHORIZED))
        failure = self.failureResultOf(self.begin(self.element("auth", "aGk=")), StreamError)
        self.assertIs(failure.value.condition, StreamCondition.POLICY_VIOLATION)
        self.assertEqual(len(self.sent), MAX_ATTEMPTS)

    def test_every_way_to_fail_counts(self) -> None:
        self.take("auth", mechanism="UNKNOWN")
        self.take("response", "aGk=")
        self.take("abort")
        self.script(ZeroDivisionError())
        self.take("auth", "aGk=")
        self.flushLoggedErrors(ZeroDivisionError)
        self.script(Challenge(b"x"))
        self.take("auth", "aGk=")
        self.script(Challenge(b"x"))
        self.failureResultOf(self.begin(self.element("auth", "aGk=")), StreamError)

    def test_what_comes_out_after_the_stream_has_ended_is_of_no_use(self) -> None:
        looking: Deferred[Any] = Deferred()
        self.script(looking)
        taking = self.begin(self.element("auth", "aGk="))
        self.candidate.over = True
        looking.callback(SUCCESS)
        self.assertFalse(self.successResultOf(taking))
        self.assertEqual(self.sent, [])
        self.assertEqual(self.candidate.successes, [])
