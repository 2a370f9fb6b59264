"""The place that a wokkel handler believes to be its stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.words.protocols.jabber import xmlstream
from twisted.words.xish.utility import EventDispatcher

from .._wokkel import domish, error, jid
from ..api import IQ, IQ_TIMEOUT, JID, Condition, Message, Presence, Scope, Stanza, StanzaError, Timer
from .wokkel_elements import stanza_from_domish, to_domish

log = Logger()

#: How many requests the handlers of one module may wait for at a time.
MAX_REQUESTS: Final = 10_000

_KINDS: Final[dict[str, type[Stanza]]] = {"message": Message, "presence": Presence, "iq": IQ}


@dataclass(slots=True)
class _Asked:
    """A request on its way: who is to answer, when it is given up, and who waits for the answer."""

    to: JID | None
    timer: Timer
    answered: Deferred[Any] | None


class Slot(xmlstream.XMPPHandlerCollection):
    """Holds handlers; stanzas go in by `deliver`, and out by *route*.

    *speaks* says whether an address may be the sender of what the handlers send.
    """

    def __init__(
        self, address: JID, scope: Scope, route: Callable[[Stanza], None], speaks: Callable[[JID], bool]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._address = address
        self._scope = scope
        self._route = route
        self._speaks = speaks
        self._asked: dict[str, _Asked] = {}
        self._open = True
        #: The id of the request that is being delivered, until it is answered.
        self._unanswered: str | None = None
        stream: Any = EventDispatcher()  # type: ignore[no-untyped-call]
        stream.send = self.send
        stream.thisEntity = jid.JID(str(address))
        self.stream = stream

    # -- what handlers ask of their parent ------------------------------------------------------------------------

    def addHandler(self, handler: Any) -> None:
        """A handler begins; its `setHandlerParent` calls this."""
        super().addHandler(handler)  # type: ignore[no-untyped-call]
        handler.makeConnection(self.stream)
        handler.connectionInitialized()

    def send(self, element: Any) -> None:
        """Send a stanza. Raises ValueError for what is none, and for one in somebody else's name."""
        if not self._open:
            return
        stanza = self._stanza(element)
        if stanza.type in ("get", "set") and isinstance(stanza, IQ):
            self._expect(stanza, None, IQ_TIMEOUT)
        elif isinstance(stanza, IQ) and stanza.id == self._unanswered:
            self._unanswered = None
        self._route(stanza)

    def request(self, request: Any) -> Deferred[Any]:
        """Send a request, and give its result (or an error, or a timeout) to whoever waits for the Deferred."""
        answered: Deferred[Any] = Deferred()
        if not self._open:
            answered.errback(ConnectionDone())
            return answered
        element = request.toElement()
        if request.stanzaKind != "iq" or request.stanzaType not in ("get", "set"):
            answered.errback(ValueError("not a request"))
            return answered
        if not element.getAttribute("id"):
            element.addUniqueId()
        stanza = self._stanza(element)
        assert isinstance(stanza, IQ)
        self._expect(stanza, answered, request.timeout or IQ_TIMEOUT)
        self._route(stanza)
        return answered

    def _stanza(self, element: Any) -> Stanza:
        if not domish.IElement.providedBy(element):
            raise ValueError("only stanzas can be sent here, and those as elements")
        ours = stanza_from_domish(element)
        kind = _KINDS.get(ours.name)
        if kind is None:
            raise ValueError(f"<{ours.name}/> is not a stanza")
        ours.attrs.setdefault("from", str(self._address))
        stanza = kind(ours)
        try:
            sender = stanza.sender
        except StanzaError as problem:
            raise ValueError(problem.text) from None
        if sender is None or not self._speaks(sender):
            raise ValueError(f"a handler at {self._address} cannot speak for {sender}")
        return stanza

    # -- requests and answers -------------------------------------------------------------------------------------

    def _expect(self, iq: IQ, answered: Deferred[Any] | None, timeout: float) -> None:
        if not iq.id:
            raise ValueError("a request needs an id")
        if iq.id in self._asked:
            raise ValueError("a request of that id waits for its answer")
        if len(self._asked) >= MAX_REQUESTS:
            raise StanzaError(Condition.RESOURCE_CONSTRAINT)
        to = iq.to
        self._asked[iq.id] = _Asked(to, self._scope.later(timeout, self._give_up, iq.id), answered)

    def _give_up(self, id: str) -> None:
        asked = self._asked.pop(id)
        if asked.answered is not None:
            asked.answered.errback(xmlstream.TimeoutError("IQ timed out"))

    def _settle(self, answer: IQ) -> _Asked | None:
        """The request that this answers. What nobody asked for, or somebody else answers, is nobody's."""
        asked = self._asked.get(answer.id or "")
        if asked is None or asked.to != answer.sender:
            return None
        asked.timer.cancel()
        return self._asked.pop(answer.id or "")

    # -- stanzas in -----------------------------------------------------------------------------------------------

    def deliver(self, stanza: Stanza) -> bool:
        """Give a stanza to the handlers; whether one took it."""
        element = to_domish(stanza.element)
        if isinstance(stanza, IQ):
            return self._deliver_iq(stanza, element)
        found: bool = self.stream.dispatch(element)
        return found or element.handled

    def _deliver_iq(self, iq: IQ, element: Any) -> bool:
        if iq.type in ("result", "error"):
            asked = self._settle(iq)
            if asked is None:
                return False
            if asked.answered is None:
                self.stream.dispatch(element)
            elif iq.type == "result":
                asked.answered.callback(element)
            else:
                asked.answered.errback(error.exceptionFromStanza(element))
            return True
        self._unanswered = iq.id
        self.stream.dispatch(element)
        answered, self._unanswered = self._unanswered is None, None
        return answered or element.handled

    def close(self) -> None:
        """The handlers' stream is gone; what they send from now on goes nowhere."""
        if not self._open:
            return
        self._open = False
        why = Failure(ConnectionDone())  # type: ignore[no-untyped-call]
        for handler in list(self):
            try:
                handler.connectionLost(why)
            except Exception:
                log.failure("handler failed", hook="connectionLost")
        waiting, self._asked = self._asked, {}
        for asked in waiting.values():
            asked.timer.cancel()
            if asked.answered is not None:
                asked.answered.errback(why)
