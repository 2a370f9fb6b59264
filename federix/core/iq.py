"""IQ: requests to the server find their handler, requests of the server their answer."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from ..xmpp.element import Element
from ..xmpp.errors import Condition, ErrorType, StanzaError
from ..xmpp.jid import JID
from ..xmpp.stanza import IQ, Stanza
from ..xmpp.stanza import iq as new_iq
from . import hooks
from .chain import Handled
from .unfinished import module_of

if TYPE_CHECKING:
    from .host import Host

log = Logger()

#: Who answers: the host itself, or the server for one of its accounts (RFC 6121 §8.5.2.1.3).
Target = Literal["host", "account"]
Kind = Literal["get", "set"]

#: The answer: a payload, a whole iq, or nothing for an empty result. `StanzaError` is the other answer.
#: `HANDLED` where the handler has sent the answer itself, because something had to follow it at once.
Answer = Element | IQ | Handled | None
Handler = Callable[[Any, IQ], Answer | Awaitable[Answer]]
HandlerT = TypeVar("HandlerT", bound=Handler)

#: How long `Host.request` waits for an answer unless told otherwise: 32 seconds, as in ejabberd.
IQ_TIMEOUT: Final = 32.0
#: How many of its own requests one host waits for at a time.
MAX_REQUESTS: Final = 100_000
#: How many answers one host works out while the streams that asked go on.
MAX_DETACHED: Final = 10_000

_REQUESTS: Final = "__federix_requests__"


@dataclass(frozen=True, slots=True)
class Request:
    """What a decorated method answers. *detached*: its stream goes on reading while the answer is worked out."""

    kind: Kind
    ns: str
    name: str
    targets: tuple[Target, ...]
    detached: bool


def _decorator(kind: Kind, ns: str, name: str, on: tuple[Target, ...], detached: bool) -> Callable[[Handler], Handler]:
    def mark(handler: Handler) -> Handler:
        known: list[Request] = getattr(handler, _REQUESTS, [])
        setattr(handler, _REQUESTS, [*known, Request(kind, ns, name, on, detached)])
        return handler

    return mark


def iq_get(
    ns: str, name: str, *, on: tuple[Target, ...] = ("host", "account"), detached: bool = False
) -> Callable[[Handler], Handler]:
    """Have a method answer each ``<iq type='get'>`` whose payload is *name* in the namespace *ns* (RFC 6120 §8.2.3).

    It is called with the `IQ` (``iq.sender`` asks, ``iq.payload`` is what), and returns the payload of the result,
    ``None`` for an empty one, or a whole `IQ`; `StanzaError` is the other answer, and any other exception is logged
    and answered with internal-server-error. `HANDLED` says that it has sent the answer itself.

    *on* says for whom it answers: the ``"host"`` itself, or the server on behalf of each ``"account"`` (iq to a bare
    JID, whoever it comes from: compare ``iq.sender.bare`` with ``iq.to.bare``). *detached*: the client's stream is
    read on while an `async def` handler works, so its later stanzas overtake this one. The namespace becomes a feature
    in disco by itself. Two handlers for one request are an error at start.
    """
    return _decorator("get", ns, name, on, detached)


def iq_set(
    ns: str, name: str, *, on: tuple[Target, ...] = ("host", "account"), detached: bool = False
) -> Callable[[Handler], Handler]:
    """Have a method answer each ``<iq type='set'>`` with that payload; in all else as `iq_get`."""
    return _decorator("set", ns, name, on, detached)


def requests_of(function: object) -> list[Request]:
    """What a decorated method answers."""
    known: list[Request] = getattr(function, _REQUESTS, [])
    return known


def check_iq(iq: IQ) -> None:
    """See whether *iq* is one, by RFC 6120 §8.2.3: a known type, an id, one payload in a request.

    Raises `StanzaError` (bad-request). What a handler is given has been checked already.
    """
    if iq.type not in ("get", "set", "result", "error"):
        raise StanzaError(Condition.BAD_REQUEST, "the type of an iq is get, set, result or error")
    # The answer to a request without an id cannot have one either, and must reach whoever sent it.
    if not iq.id and iq.type != "error":
        raise StanzaError(Condition.BAD_REQUEST, "an iq needs an id")
    if iq.type in ("get", "set") and sum(1 for _ in iq.element.elements()) != 1:
        raise StanzaError(Condition.BAD_REQUEST, "a request holds exactly one child element")


class IqTable:
    """Which handler answers what, for one host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._handlers: dict[tuple[Target, str, str, str], tuple[Handler | Callable[[IQ], Any], bool]] = {}
        self._namespaces: dict[tuple[Target, str], int] = {}
        self._detached = 0

    def add(self, request: Request, handler: Callable[[IQ], Any]) -> Callable[[], None]:
        """Have *handler* answer; the call that comes back undoes it. One handler per request."""
        keys = [(target, request.kind, request.ns, request.name) for target in request.targets]
        for key in keys:
            if key in self._handlers:
                raise ValueError(f"<{request.name} xmlns='{request.ns}'/> ({request.kind}) already has a handler")
        for key in keys:
            self._handlers[key] = (handler, request.detached)
            self._namespaces[key[0], key[2]] = self._namespaces.get((key[0], key[2]), 0) + 1

        def undo() -> None:
            for key in keys:
                del self._handlers[key]
                left = self._namespaces[key[0], key[2]] - 1
                if left:
                    self._namespaces[key[0], key[2]] = left
                else:
                    del self._namespaces[key[0], key[2]]

        return undo

    def namespaces(self, target: Target) -> set[str]:
        """Of everything that is answered there: the features disco names."""
        return {ns for where, ns in self._namespaces if where == target}

    def answer(self, target: Target, iq: IQ) -> Awaitable[None] | None:
        """Answer a request; the answer is on its way when this, or what it returns, is done."""
        payload = iq.payload
        if payload is None:
            raise StanzaError(Condition.BAD_REQUEST)
        handler, detached = self._handlers.get((target, iq.type or "", payload.ns, payload.name), (None, False))
        if handler is None:
            refusal = StanzaError(Condition.SERVICE_UNAVAILABLE)
            if (target, payload.ns) in self._namespaces and not _from_stranger(target, iq):
                refusal = self._misuse(target, iq, payload)
            if target == "host":
                return self._unless_taken(iq, refusal)
            raise refusal
        if detached and self._detached >= MAX_DETACHED:
            raise StanzaError(Condition.RESOURCE_CONSTRAINT)
        try:
            answer = handler(iq)  # type: ignore[call-arg]
        except StanzaError:
            raise
        except Exception:
            _failed(payload, handler)
            raise StanzaError(Condition.INTERNAL_SERVER_ERROR) from None
        if inspect.isawaitable(answer):
            waiting = self._later(iq, payload, answer, handler)
            if not detached:
                return waiting
            self._detached += 1
            self._host.scope.spawn(waiting).addBoth(self._attached)
            return None
        return self._send(iq, answer)

    def _attached(self, _: object) -> None:
        self._detached -= 1

    def _unless_taken(self, iq: IQ, refusal: StanzaError) -> Awaitable[None] | None:
        assert iq.to is not None
        outcome = hooks.local_iq.run(self._host.chains, iq.to, iq)
        if isinstance(outcome, Stanza):
            raise refusal
        return None if isinstance(outcome, Handled) else self._unless_taken_later(outcome, refusal)

    async def _unless_taken_later(self, waiting: Awaitable[Stanza | Handled], refusal: StanzaError) -> None:
        if isinstance(await waiting, Stanza):
            raise refusal

    def _misuse(self, target: Target, iq: IQ, payload: Element) -> StanzaError:
        """The namespace is served, this request is not."""
        other = "set" if iq.type == "get" else "get"
        if (target, other, payload.ns, payload.name) in self._handlers:
            return StanzaError(Condition.BAD_REQUEST, f"this is asked with type {other}")
        return StanzaError(Condition.BAD_REQUEST, "the namespace has no such request")

    async def _later(self, iq: IQ, payload: Element, waiting: Awaitable[Answer], handler: Callable[..., Any]) -> None:
        sending: Awaitable[None] | None
        try:
            where = {"ns": payload.ns, "name": payload.name}
            answer = await self._host.chains.unfinished.wait_for(waiting, handler, where)
        except StanzaError as error:
            sending = self._host.server.router.bounce(iq, error)
        except CancelledError:
            if not self._host.running:
                raise
            # Its module was taken out while it worked.
            sending = self._host.server.router.bounce(iq, StanzaError(Condition.SERVICE_UNAVAILABLE))
        except Exception:
            _failed(payload, handler)
            sending = self._host.server.router.bounce(iq, StanzaError(Condition.INTERNAL_SERVER_ERROR))
        else:
            sending = self._send(iq, answer)
        if sending is not None:
            await sending

    def _send(self, iq: IQ, answer: Answer) -> Awaitable[None] | None:
        if isinstance(answer, Handled):
            return None
        result = answer if isinstance(answer, IQ) else iq.result(answer)
        return self._host.server.router.route(result)


def _failed(payload: Element, handler: Callable[..., Any]) -> None:
    log.failure("iq handler failed", ns=payload.ns, name=payload.name, module=module_of(handler))


def _from_stranger(target: Target, iq: IQ) -> bool:
    """Whether it is for another's account: any answer but that of no account at all would tell that it exists.

    RFC 6120 §13.11: <service-unavailable/> "can help protect against directory harvesting attacks, since this is the
    same error condition that is returned if … the namespace of an IQ child element is not understood".
    """
    to, sender = iq.to, iq.sender
    return target == "account" and (to is None or sender is None or to.bare != sender.bare)


class RequestError(StanzaError):
    """The other side answered our request with an error: its *condition* and *text*, as they came.

    A handler that lets it pass answers its own client with the same error.
    """


class Requests:
    """What one host has asked and not heard of yet."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._waiting: dict[str, tuple[JID, JID, Deferred[IQ]]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    async def ask(
        self, kind: Kind, to: JID, payload: Element, *, sender: JID | None = None, timeout: float = IQ_TIMEOUT
    ) -> IQ:
        """Send a request from the host (or *sender*) and wait for its result.

        Raises `RequestError` when the answer is an error, `TimeoutError` when none came in *timeout* seconds,
        `StanzaError` (resource-constraint) when too many requests wait, and `CancelledError` when the host stops.
        """
        if len(self._waiting) >= MAX_REQUESTS:
            raise StanzaError(Condition.RESOURCE_CONSTRAINT)
        host = self._host
        sender = sender or host.jid
        id = host.server.token()
        answered: Deferred[IQ] = Deferred(lambda _: self._forget(id))
        self._waiting[id] = (sender, to, answered)
        if host.server.on_asking is not None:
            host.server.on_asking(host, to, answered)

        def expire() -> None:
            if self._waiting.pop(id, None) is not None:
                answered.errback(TimeoutError(f"no answer from {to}"))

        timer = host.scope.later(timeout, expire)
        forget = host.scope.add(answered.cancel)
        try:
            host.route(new_iq(kind, payload, id=id, to=to, sender=sender))
            answer = await answered
        finally:
            timer.cancel()
            forget()
            self._forget(id)
        if answer.type == "error":
            raise _error_in(answer)
        return answer

    def _forget(self, id: str) -> None:
        self._waiting.pop(id, None)

    def settle(self, iq: IQ) -> bool:
        """Take *iq* as the answer to a request of ours, if it is one and comes from the one we asked."""
        waiting = self._waiting.get(iq.id or "")
        if waiting is None:
            return False
        sender, asked, answered = waiting
        if iq.to != sender or iq.sender != asked:
            return False
        del self._waiting[iq.id or ""]
        answered.callback(iq)
        return True


def _error_in(iq: IQ) -> RequestError:
    found = next((child for child in iq.element.elements() if child.name == "error"), None)
    condition = Condition.UNDEFINED_CONDITION
    kind: ErrorType | None = None
    text = ""
    if found is not None:
        names = {child.name for child in found.elements()}
        condition = next((c for c in Condition if c.tag in names), condition)
        kind = next((k for k in ErrorType if k == found.get("type")), None)
        text = next((child.text for child in found.elements() if child.name == "text"), "")
    return RequestError(condition, text, kind)
