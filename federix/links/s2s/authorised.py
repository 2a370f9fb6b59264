"""What a link is authorised for: for which pairs of domains, in which direction, and by what proof."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from ...core import hooks
from ...core.conditions import NO_ADDRESS
from ...core.remote import Proof
from ...core.rules import ShaperRule
from ...core.s2s_rules import dialback_suffices, uses_dialback
from ...streams.shaper import Shaper
from ...streams.stream import XmppStream
from ...xmpp.errors import Condition, StreamCondition, StreamError
from .dialback import DialbackFailed, DialbackSide
from .failed import LinkFailed, bounced_with
from .pair import Domains, Pair, Remote

if TYPE_CHECKING:
    from .federation import Federation
    from .trust import Verdict

log = Logger()

#: Pairs that one stream may be authorised for, in each direction; a server that has more opens another.
MOST_PAIRS: Final = 1000
#: Domains for which one certificate is judged.
MOST_VERDICTS: Final = 100


class AuthorisedLink(ABC):
    """A link as far as it is authorised; what goes over it is `Link`'s."""

    __slots__ = (
        "__weakref__",
        "_verdicts",
        "accepts",
        "bidi",
        "federation",
        "ip",
        "over",
        "pairs",
        "secure",
        "sends",
        "stream",
        "why",
    )

    incoming = False
    dialback: DialbackSide

    def __init__(self, federation: Federation, stream: XmppStream) -> None:
        self.federation = federation
        self.stream = stream
        self.ip: str | None = None
        self.secure = False
        self.over = False
        #: Why it ended, in words.
        self.why = ""
        #: Stanzas may go both ways (XEP-0288).
        self.bidi = False
        #: For whom stanzas are taken, and for whom they may be sent.
        self.accepts: dict[Domains, Remote] = {}
        self.sends: dict[Domains, Remote] = {}
        #: The pairs that go over this link at present.
        self.pairs: dict[Domains, Pair] = {}
        self._verdicts: dict[str, Verdict] = {}

    @property
    @abstractmethod
    def local(self) -> str:
        """Our domain that the stream was opened for or by; empty while it is not known."""

    @property
    def full(self) -> bool:
        """Whether it is to be authorised for nothing more."""
        return len(self.accepts) >= MOST_PAIRS or len(self.sends) >= MOST_PAIRS

    @property
    @abstractmethod
    def hears_keys(self) -> bool:
        """Whether the peer may ask here to be authorised (XEP-0220 §2.2, XEP-0288 §2.2)."""

    def verdict(self, domain: str) -> Verdict | None:
        """What the peer's certificate says about *domain*; None without TLS."""
        connection = self.stream.tls
        if connection is None or not domain:
            return None
        known = self._verdicts.get(domain)
        if known is None and len(self._verdicts) < MOST_VERDICTS:
            trust = self.federation.trust(self.local)
            known = self._verdicts[domain] = trust.judge(connection, domain, they_connected=self.incoming)
        return known

    def judge(self, domain: str) -> bool:
        """Whether the peer's certificate proves *domain*."""
        verdict = self.verdict(domain)
        return verdict is not None and verdict.valid

    @abstractmethod
    def granted(self, domains: Domains, by: Proof) -> None:
        """The peer has proved that it serves ``domains.remote``, and may send to ``domains.local``."""

    @property
    def authorised(self) -> bool:
        """Whether it is authorised for anything."""
        return bool(self.accepts or self.sends)

    # -- what it may carry ----------------------------------------------------------------------------------------

    def authorise(self, domains: Domains, by: Proof, *, sends: bool, accepts: bool) -> None:
        """From now on stanzas for *domains* may be sent, or taken, or both."""
        remote = Remote(domains.local, domains.remote, by, self.ip, self.secure, self.incoming)
        first = not self.authorised
        if accepts and domains not in self.accepts:
            self.accepts[domains] = remote
        if sends and domains not in self.sends:
            self.sends[domains] = remote
            self._may_send(domains)
        if first:
            self._come_into_use()
        log.info(
            "server authorised",
            local=domains.local,
            remote=domains.remote,
            by=by,
            peer=self.ip or NO_ADDRESS,
            direction="incoming" if self.incoming else "outgoing",
            bidi=self.bidi,
        )
        host = self.federation.host_of(domains.local)
        if host is not None:
            hooks.s2s_connected.run(host.chains, remote)

    @abstractmethod
    def can_add(self, domains: Domains) -> bool:
        """Whether one may try to have this stream authorised for *domains*, too (XEP-0220 §2.6)."""

    def _suits(self, domains: Domains) -> bool:
        """Whether *domains* may use such a stream: another one of ours may demand more than who it was opened for."""
        federation = self.federation
        host = federation.host_of(domains.local)
        return (
            host is not None
            and uses_dialback(host)
            and not self.dialback.is_busy
            and (self.secure or not federation.options(domains.local).tls_required)
            and federation.speaks_with(domains, self.ip)
        )

    async def add(self, domains: Domains) -> None:
        """Have it authorised for *domains*; raises `LinkFailed`."""
        try:
            await self.dialback.ask(domains)
        except DialbackFailed as failed:
            # Where the stream ended meanwhile, that may have had other reasons: one of its own is tried.
            final = not (self.over or failed.passes)
            raise LinkFailed(failed.text, bounced_with(failed), final=final, alone=True) from None
        if not self.federation.speaks_with(domains, self.ip):
            text = f"s2s_access does not allow {domains.remote} at {self.ip} any more"
            raise LinkFailed(text, Condition.FORBIDDEN, final=True, alone=True)
        by: Proof = "certificate" if self.judge(domains.remote) else "dialback"
        self.authorise(domains, by, sends=True, accepts=self.bidi)

    def withdraw(self, local: str) -> None:
        """A domain of ours is served no more: end what there is for it, and the stream if nothing else is left."""
        withdrawn = [each for each in self.accepts | self.sends if each.local == local]
        self._revoke(withdrawn)
        if self.local == local or (withdrawn and not self.authorised):
            self.stream.fail(StreamError(self.federation.good_bye))

    def reconsider(self) -> None:
        """Who may be spoken with, and how, has changed, perhaps."""
        both = self.accepts | self.sends
        refused = [domains for domains, remote in both.items() if not self._is_still_good(domains, remote)]
        self._revoke(refused)
        if refused and not self.authorised:
            self.why = "it is not allowed any more"
            self.stream.fail(StreamError(StreamCondition.POLICY_VIOLATION, "this is not allowed any more"))

    def _is_still_good(self, domains: Domains, remote: Remote) -> bool:
        """Whether *remote* would be authorised for *domains* now, in the way in which it was."""
        federation = self.federation
        host = federation.host_of(domains.local)
        return (
            host is not None
            and (self.secure or not federation.options(domains.local).tls_required)
            and (remote.authenticated_by == "certificate" or dialback_suffices(host, domains.remote, self.ip))
            and federation.speaks_with(domains, self.ip)
        )

    def _revoke(self, all_domains: list[Domains]) -> None:
        for domains in all_domains:
            self.accepts.pop(domains, None)
            if self.sends.pop(domains, None) is not None:
                self._may_not_send(domains)
            pair = self.pairs.pop(domains, None)
            if pair is not None:
                pair.link = None

    def shape(self, rule: ShaperRule, domains: Domains) -> None:
        """Read no faster than *rule* lets a server send that is authorised for *domains*; once."""
        rate = self.federation.rate(rule, domains, self.ip)
        if self.stream.shaper is None and rate is not None:
            self.stream.shaper = Shaper(rate.rate, rate.burst_size, self.federation.clock.seconds)

    def may_reverse(self, domains: Domains) -> bool:
        """Whether we may use the other direction of a stream that a server has opened to us (XEP-0288)."""
        return self.bidi and self.federation.speaks_with(domains, self.ip)

    # -- what comes of it -----------------------------------------------------------------------------------------

    @abstractmethod
    def _come_into_use(self) -> None:
        """It is authorised for something from now on."""

    @abstractmethod
    def _may_send(self, domains: Domains) -> None:
        """It may carry what goes from one of *domains* to the other."""

    @abstractmethod
    def _may_not_send(self, domains: Domains) -> None:
        """It may not any more."""
