"""SASL in a stream (RFC 6120 §6): the framing around an `Exchange`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from ..storage.storage import StoreError
from ..xmpp import ns
from ..xmpp.element import Element
from ..xmpp.errors import SaslCondition, SaslFailure, StreamCondition, StreamError
from ..xmpp.sasl import Challenge, Exchange, Success, decode_base64, encode_base64, is_plus

log = Logger()

#: RFC 6120 §6.4.5: "a configurable but reasonable number of retries (at least 2 and no more than 5)". Failed attempts,
#: the last of which closes the stream: four retries.
MAX_ATTEMPTS: Final = 5

#: What a client may send about it.
ELEMENTS: Final = frozenset(((ns.SASL, "auth"), (ns.SASL, "response"), (ns.SASL, "abort")))


def offer(mechanisms: Sequence[str], bindings: Sequence[str]) -> Sequence[Element]:
    """What is told of *mechanisms*, and of the types of channel *bindings*, in the stream features."""
    names = (Element("mechanism", ns.SASL, text=name) for name in mechanisms)
    told = [Element("mechanisms", ns.SASL, *names)]
    if any(map(is_plus, mechanisms)):
        # XEP-0440 §3: the channel-binding types that go with the -PLUS mechanisms.
        types = (Element("channel-binding", ns.CHANNEL_BINDING, attrs={"type": name}) for name in bindings)
        told.append(Element("sasl-channel-binding", ns.CHANNEL_BINDING, *types))
    return told


class Candidate(Protocol):
    """What the negotiation asks of the link that is to be authenticated."""

    @property
    def over(self) -> bool:
        """Whether its stream has ended: whatever was worked out meanwhile is of no use."""

    def begin_exchange(self, mechanism: str) -> Exchange:
        """Raises `SaslFailure` (invalid-mechanism) for one that is not offered on this stream."""

    async def authenticated(self, success: Success, mechanism: str) -> None:
        """The password is right. Raises `SaslFailure` where the account may not log in here."""

    def authentication_failed(self, failure: SaslFailure) -> None:
        """An attempt failed."""


class SaslNegotiation:
    """The attempts of one stream."""

    def __init__(self, candidate: Candidate, send: Callable[[Element], None]) -> None:
        self._candidate = candidate
        self._send = send
        self._exchange: Exchange | None = None
        self._failures = 0

    async def take(self, element: Element) -> bool:
        """Go one step on; true when that authenticated the stream.

        Raises `StreamError` (policy-violation) after too many attempts.
        """
        try:
            return await self._step(element)
        except SaslFailure as failure:
            self._fail(failure)
        except (StreamError, CancelledError):
            raise
        except StoreError as error:
            # That the database is away or too slow stands in the log already, and louder.
            log.info("login could not be checked: {reason}", reason=error.reason)
            self._fail(SaslFailure(SaslCondition.TEMPORARY_AUTH_FAILURE))
        except Exception:
            # RFC 6120 §6.5.11: "because of a temporary error condition within the receiving entity", and no word more.
            log.failure("login could not be checked")
            self._fail(SaslFailure(SaslCondition.TEMPORARY_AUTH_FAILURE))
        return False

    async def _step(self, element: Element) -> bool:
        exchange, self._exchange = self._exchange, None
        if element.name == "abort":
            raise SaslFailure(SaslCondition.ABORTED)
        if element.name == "auth":
            if exchange is not None:
                # A new attempt ends the one under way, which counts: or a client could begin for ever and never fail.
                self._count()
            exchange = self._candidate.begin_exchange(element.get("mechanism") or "")
        elif exchange is None:
            raise SaslFailure(SaslCondition.MALFORMED_REQUEST, "no exchange is under way")
        if any(True for _ in element.elements()):
            raise SaslFailure(SaslCondition.MALFORMED_REQUEST)
        data = decode_base64(element.text)
        if data is None and element.name == "response":
            data = b""
        answer = await exchange.step(data)
        if self._candidate.over:
            return False
        if isinstance(answer, Challenge):
            self._exchange = exchange
            # RFC 6120 §6.4.3: an empty challenge is an element without text.
            self._send(Element("challenge", ns.SASL, text=encode_base64(answer.data or None)))
            return False
        await self._candidate.authenticated(answer, exchange.mechanism)
        self._send(Element("success", ns.SASL, text=encode_base64(answer.data)))
        return True

    def _fail(self, failure: SaslFailure) -> None:
        self._send(
            Element(
                "failure",
                ns.SASL,
                Element(failure.condition.value, ns.SASL),
                Element("text", ns.SASL, text=failure.text, attrs={"xml:lang": "en"}) if failure.text else None,
            )
        )
        self._candidate.authentication_failed(failure)
        self._count()

    def _count(self) -> None:
        self._failures += 1
        if self._failures >= MAX_ATTEMPTS:
            raise StreamError(StreamCondition.POLICY_VIOLATION, "too many failed logins")
