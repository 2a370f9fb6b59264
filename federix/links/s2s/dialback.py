"""Dialback on one stream (XEP-0220): the keys we send, those we are sent, and those we are asked about.

All of it may be said on either end of a stream once that goes both ways (XEP-0288 §2.2), so it belongs to no direction.
§3.1: an answer counts only where the very question was asked on the same stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from weakref import ref

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger

from ...core.s2s_rules import dialback_suffices, uses_dialback
from ...xmpp.dialback import Dialback, read
from ...xmpp.element import Element
from ...xmpp.errors import Condition
from .pair import Domains

if TYPE_CHECKING:
    from .link import Link

log = Logger()

#: Seconds to wait for an answer: the other side has to look us up and to connect meanwhile.
ANSWER_TIMEOUT: Final = 60.0
#: Keys of one stream that are verified at a time, and questions of ours on one stream.
MOST_AT_ONCE: Final = 20


class DialbackFailed(Exception):
    """The other side did not answer "valid": *condition* says why, where it did; None: "invalid"."""

    def __init__(self, condition: Condition | None, text: str) -> None:
        super().__init__(text)
        self.condition = condition
        self.text = text

    @property
    def passes(self) -> bool:
        """Whether it may go well in a while: the other side has too much to do (RFC 6120 §8.3.3.18)."""
        return self.condition is Condition.RESOURCE_CONSTRAINT


class DialbackSide:
    """Asks and answers on the stream of one link."""

    __slots__ = ("_asked", "_owner", "_under_way", "_verifying", "stream_id")

    def __init__(self, link: Link) -> None:
        self._owner = ref(link)
        #: The identifier of the stream, from the header of whoever accepted the connection.
        self.stream_id = ""
        self._asked: dict[Domains, Deferred[None]] = {}
        self._verifying: dict[tuple[Domains, str], Deferred[None]] = {}
        self._under_way: list[Domains] = []

    @property
    def _link(self) -> Link:
        link = self._owner()
        assert link is not None
        return link

    @property
    def is_busy(self) -> bool:
        """Whether no more can be asked for now."""
        return len(self._asked) >= MOST_AT_ONCE

    def close(self) -> None:
        """The stream has ended; §2.1.1: that is as if an error had been answered."""
        asked = [*self._asked.values(), *self._verifying.values()]
        self._asked.clear()
        self._verifying.clear()
        for deferred in asked:
            deferred.errback(DialbackFailed(Condition.REMOTE_SERVER_TIMEOUT, "the stream ended meanwhile"))

    def begin_anew(self) -> None:
        """The stream begins anew: what was asked on the old one is not answered on the new one."""
        self.stream_id = ""

    # -- what we ask ----------------------------------------------------------------------------------------------

    async def ask(self, domains: Domains) -> None:
        """Have the other side authorise us for *domains*; raises `DialbackFailed`. One question at a time for each."""
        if domains in self._asked or self.is_busy or self._link.over:
            raise DialbackFailed(Condition.RESOURCE_CONSTRAINT, "too many keys are on their way")
        key = self._link.federation.keys.key(domains.remote, domains.local, self.stream_id)
        answer: Deferred[None] = Deferred()
        self._asked[domains] = answer
        self._link.write(Dialback("result", domains.local, domains.remote, key=key).to_bytes())
        try:
            await self._in_time(answer)
        finally:
            self._asked.pop(domains, None)

    async def verify(self, domains: Domains, stream_id: str, key: str, timeout: float = ANSWER_TIMEOUT) -> None:
        """Ask whether *key* is the one the other side made for *stream_id*; raises `DialbackFailed` where it is not,
        or where there is no answer within *timeout* (seconds)."""
        question = (domains, stream_id)
        if question in self._verifying or len(self._verifying) >= MOST_AT_ONCE or self._link.over:
            raise DialbackFailed(Condition.RESOURCE_CONSTRAINT, "too many keys are verified")
        answer: Deferred[None] = Deferred()
        self._verifying[question] = answer
        self._link.write(Dialback("verify", domains.local, domains.remote, key=key, id=stream_id).to_bytes())
        try:
            await self._in_time(answer, timeout)
        finally:
            self._verifying.pop(question, None)

    async def _in_time(self, answer: Deferred[None], timeout: float = ANSWER_TIMEOUT) -> None:
        late = self._link.federation.scope.later(timeout, answer.cancel)
        try:
            await answer
        except CancelledError:
            if late.pending:
                raise
            raise DialbackFailed(Condition.REMOTE_SERVER_TIMEOUT, "it did not answer to dialback") from None
        finally:
            late.cancel()

    # -- what is said to us ---------------------------------------------------------------------------------------

    def take(self, element: Element) -> None:
        """An element of dialback came; raises `StreamError`."""
        said = read(element)
        if said.type is not None:
            self._answered(said)
        elif said.name == "verify":
            self._verify_asked(said)
        else:
            self._result_asked(said)

    def _answered(self, said: Dialback) -> None:
        domains = Domains(said.to, said.sender)
        if said.name == "result":
            answer = self._asked.pop(domains, None)
        else:
            answer = self._verifying.pop((domains, said.id or ""), None)
        if answer is None:
            return  # §3.1: nobody asked
        if said.type == "valid":
            answer.callback(None)
        elif said.type == "invalid":
            answer.errback(DialbackFailed(None, "it says that our key is invalid"))
        else:
            condition = said.error or Condition.UNDEFINED_CONDITION
            answer.errback(DialbackFailed(condition, f"it answered to dialback: {condition.tag}"))

    def _verify_asked(self, said: Dialback) -> None:
        """We are the authoritative server: is this key of ours? (§2.2.2)"""
        federation = self._link.federation
        host = federation.host_of(said.to)
        if not federation.serves(said.to) or host is None:
            answer = said.answer("error", Condition.ITEM_NOT_FOUND)
        elif uses_dialback(host) and federation.keys.matches(said.key, said.sender, said.to, said.id or ""):
            answer = said.answer("valid")
        else:
            answer = said.answer("invalid")
        self._link.write(answer.to_bytes())

    def _result_asked(self, said: Dialback) -> None:
        """A server wants to be authorised (§2.2.1). What is wrong with that is told, and ends no stream (§2.5)."""
        problem = self._problem(said)
        domains = Domains(said.to, said.sender)
        if problem is not None:
            self._link.write(said.answer("error", problem).to_bytes())
        elif domains in self._link.accepts:
            self._link.write(said.answer("valid").to_bytes())
        elif self._link.judge(said.sender):
            # §2.2.1: "MAY use any method to determine […] the identity of the Initiating Server".
            self._authorise(said, domains, certified=True)
        else:
            self._under_way.append(domains)
            self._link.scope.spawn(self._verified(said, domains))

    def _problem(self, said: Dialback) -> Condition | None:
        link, federation = self._link, self._link.federation
        host = federation.host_of(said.to)
        domains = Domains(said.to, said.sender)
        if not federation.serves(said.to) or host is None:
            return Condition.ITEM_NOT_FOUND
        if not link.hears_keys or federation.serves(said.sender):
            return Condition.NOT_ALLOWED
        if federation.options(said.to).tls_required and not link.secure:
            return Condition.POLICY_VIOLATION
        if not federation.speaks_with(domains, link.ip):
            return Condition.POLICY_VIOLATION
        if link.full or len(self._under_way) >= MOST_AT_ONCE or domains in self._under_way:
            return Condition.RESOURCE_CONSTRAINT
        if not link.judge(said.sender) and not dialback_suffices(host, said.sender, link.ip):
            return Condition.NOT_AUTHORIZED
        return None

    async def _verified(self, said: Dialback, domains: Domains) -> None:
        link, stream_id = self._link, self.stream_id
        try:
            verifying = link.federation.verifications.verify(link, domains, stream_id, said.key)
            await self._in_time(ensureDeferred(verifying))
        except DialbackFailed as failed:
            if link.over or stream_id != self.stream_id:
                return
            if failed.condition is not None:
                link.write(said.answer("error", failed.condition).to_bytes())
                return
            # "the incident ought to be logged": a key that the domain's own server does not know.
            log.info("dialback: {remote} does not know the key", remote=domains.remote, peer=link.ip)
            if link.authorised:
                # §2.1.2: "this behavior will not result in the loss of the whole stream".
                link.write(said.answer("error", Condition.FORBIDDEN).to_bytes())
            else:
                # §2.2.1: it "SHOULD send a result with type 'invalid' and MUST close the XML stream".
                link.write(said.answer("invalid").to_bytes())
                link.why = "its key is invalid"
                link.stream.close()
        else:
            if link.over or stream_id != self.stream_id:
                return
            if not link.federation.serves(domains.local):
                link.write(said.answer("error", Condition.ITEM_NOT_FOUND).to_bytes())
            elif link.federation.speaks_with(domains, link.ip):
                self._authorise(said, domains, certified=False)
            else:
                link.write(said.answer("error", Condition.POLICY_VIOLATION).to_bytes())
        finally:
            self._under_way.remove(domains)

    def _authorise(self, said: Dialback, domains: Domains, *, certified: bool) -> None:
        link = self._link
        # It has to know before it gets stanzas in the other direction.
        link.write(said.answer("valid").to_bytes())
        link.granted(domains, "certificate" if certified else "dialback")
