"""A virtual host: its sessions, its modules, and the way of a stanza through it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ..life.scope import Scope
from ..life.tree import Branch
from ..storage.storage import Storage
from ..xmpp.element import Element
from ..xmpp.errors import Condition, StanzaError
from ..xmpp.jid import JID
from ..xmpp.stanza import IQ, Message, Presence, Stanza
from . import hooks
from .absent import Absent
from .accounts import AccountPolicy, Accounts
from .chain import Chains, Handled, HandlerCrashed
from .conditions import Who
from .delivery import DELIVER, Fate, decide, nobody
from .forgeries import unforged
from .iq import IQ_TIMEOUT, IqTable, Kind, Requests, check_iq
from .keys import Notes
from .module import Module
from .passage import Archiver, Keeping, Passage, has_id, telling, unclaimed, with_id
from .resending import Resending
from .session import Session
from .sessions import Sessions
from .sessions_node import SessionsNode
from .unfinished import Unfinished

if TYPE_CHECKING:
    from ..life.executor import Executor
    from .access import Access
    from .archive_ids import ArchiveIds
    from .commands import Commands
    from .host_options import HostOptions
    from .router import Router
    from .rules import AccessRule, ShaperRule

log = Logger()

M = TypeVar("M", bound=Module)


class Surroundings(Protocol):
    """What a host needs from the server it lives in; a module has it as `self.host.server`.

    *router* knows every domain, *storage* keeps everything, *executor* runs what would block, *commands* are the
    operator's.
    """

    @property
    def router(self) -> Router: ...
    @property
    def storage(self) -> Storage: ...
    @property
    def executor(self) -> Executor: ...
    @property
    def commands(self) -> Commands: ...
    @property
    def registration_timeout(self) -> float:
        """Seconds between two registrations of accounts from one address."""

    @property
    def on_asking(self) -> Callable[[Host, JID, Deferred[IQ]], None] | None:
        """Told of each request a host sends, and of the answer to come, where somebody wants to know: a test."""

    @property
    def first_archive_id(self) -> int:
        """What archives kept before this server started has smaller ids."""

    @property
    def archive_ids(self) -> ArchiveIds:
        """How ids in archives are told to others."""

    def archive_id(self) -> int:
        """A new id for a message in archives: microseconds since 1970, or more where that is taken."""

    def now(self) -> float:
        """Seconds since 1970, UTC."""

    def token(self) -> str:
        """An unguessable identifier."""

    def random_bytes(self, count: int) -> bytes:
        """So many bytes that nobody can guess."""

    def host_options(self, domain: str) -> HostOptions:
        """The options that a host has beside its modules."""

    def access(self, domain: str) -> Access:
        """The access rules in force for a host; modules ask `Host.allows`."""


class Host(Branch):
    """One domain that has accounts. A module has it as `self.host`.

    *jid* is its address, `now()` the time in seconds since 1970 (UTC), `clock.seconds()` a monotonic one. *server* is
    the server it lives in, `modules` the branch of the service tree that holds its modules; `chains`, `iqs` and
    `requests` are how hooks, iq handlers and answers find their way.
    """

    def __init__(self, name: str, server: Surroundings, clock: IReactorTime, policy: AccountPolicy) -> None:
        super().__init__(name, clock)
        self.server = server
        #: The host's own address: its domain alone.
        self.jid = JID("", name)
        #: Seconds since 1970, UTC.
        self.now: Callable[[], float] = server.now
        #: What modules tell about the host to those who do not know them, by typed keys.
        self.notes = Notes()
        #: What decides which messages the accounts' archives keep, where some module does.
        self.archive: Archiver | None = None
        #: What is known of messages that clients may send again.
        self.resending = Resending()
        unfinished = Unfinished(self.clock, lambda seconds, look: self.scope.later(seconds, look))
        self.chains = Chains(Scope(self.clock, f"chains of {name}"), unfinished)
        self.iqs = IqTable(self)
        self.requests = Requests(self)
        self._absent = Absent(self)
        #: Who is connected.
        self.sessions = Sessions(self)
        #: Who may connect.
        self.accounts = Accounts(self, policy)
        self.modules = Branch("modules", self.clock)
        self.attach(SessionsNode(self))
        self.attach(self.modules)

    @property
    def storage(self) -> Storage:
        """What everything is kept in; modules declare shapes instead (`Document`, `Table`, `Log`)."""
        return self.server.storage

    # -- life -----------------------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Accounts, then the domain is served, then sessions and modules."""
        if self.chains.scope.closed:
            self.chains.scope = Scope(self.clock, f"chains of {self.name}")
        await self.accounts.start()
        self.server.router.register(self.name, self, keeper=self)
        try:
            await super().on_start()
        except BaseException:
            self.server.router.unregister(self.name)
            raise

    async def on_stop(self) -> None:
        """The domain is not served any more; modules and sessions end."""
        self.server.router.unregister(self.name)
        await super().on_stop()
        self.chains.scope.close()

    # -- for modules ----------------------------------------------------------------------------------------------

    def module(self, cls: type[M]) -> M:
        """The running module of that class; KeyError where there is none. List it in `requires`."""
        found = self.find(cls)
        if found is None:
            raise KeyError(f"{cls.name} does not run on {self.name}")
        return found

    def find(self, cls: type[M]) -> M | None:
        """The running module of that class, if there is one."""
        found = self.modules.children.get(cls.name)
        return found if isinstance(found, cls) else None

    def running_modules(self) -> list[Module]:
        """All modules of this host, as they were started."""
        return [node for node in self.modules.children.values() if isinstance(node, Module)]

    def route(self, stanza: Stanza) -> None:
        """Send a stanza of our own to where its `to` says: a session, an account, another host, another server.

        Nothing is raised. What cannot be delivered goes back to its `from` as an error; where delivering includes
        waiting, it is done beside the caller.
        """
        waiting = self.server.router.route(stanza)
        if waiting is not None:
            self.scope.spawn(waiting)

    async def request(
        self, kind: Kind, to: JID, payload: Element, *, sender: JID | None = None, timeout: float = IQ_TIMEOUT
    ) -> IQ:
        """Send *to* an iq of type *kind* ("get" or "set") with *payload*, and wait for the result.

        It is sent from the host, or from *sender*, which must be an address of this host. Raises `RequestError` when
        the answer is an error, `TimeoutError` when none came in *timeout* seconds, `StanzaError` (resource-constraint)
        when too many requests wait. A handler must not wait here for the very client whose stanza it handles: nothing
        is read from that one meanwhile (an iq handler may say `detached`, any other `self.scope.spawn`).
        """
        return await self.requests.ask(kind, to, payload, sender=sender, timeout=timeout)

    def allows(self, rule: AccessRule, jid: JID | None, ip: str | None = None) -> bool:
        """Whether an access rule among a module's options allows *jid*, or who comes from *ip* (as text)."""
        return self.server.access(self.name).allows(rule, Who(jid, ip, self.name))

    def number(self, rule: ShaperRule, jid: JID) -> int | None:
        """The number that a shaper rule among a module's options gives *jid*; ``None`` where there is no limit."""
        value = self.server.access(self.name).value(rule, Who(jid, None, self.name))
        return value if isinstance(value, int) else None

    async def may_see_presence(self, account: JID, who: JID) -> bool:
        """Whether *who* may know if that account is there, and with it that it exists (RFC 6120 §13.10.2, §13.11).

        The account itself may; of others the modules that keep rosters know.
        """
        if who.bare == account.bare:
            return True
        return any(await hooks.may_see_presence.gather(self.chains, account.bare, who.bare))

    # -- the way of a stanza --------------------------------------------------------------------------------------

    def deliver(self, stanza: Stanza) -> Awaitable[None] | None:
        """Take a stanza for this domain (RFC 6120 §10.5, RFC 6121 §8)."""
        if isinstance(stanza, IQ):
            check_iq(stanza)
            if stanza.type in ("result", "error") and self.requests.settle(stanza):
                return None
        return self._take(stanza, None)

    def carry(self, message: Message, passage: Passage) -> Awaitable[None] | None:
        """Take a message that its sender's archive keeps as well, or may; both are kept in one step."""
        return self._take(message, passage)

    def follow(
        self, message: Message, before: Keeping | None, delivered: Callable[[], object] | None
    ) -> Awaitable[None] | None:
        """Take a message of somebody who has no archive here, behind what he has on the way to the same account."""
        if before is None and delivered is not None and self.archive is None:
            return telling(self._take(message, None), delivered)
        passage = Passage(self.server, before)
        passage.delivered = delivered
        return self._take(message, passage)

    def deliver_again(self, message: Message) -> Awaitable[None] | None:
        """Deliver to an account what one of its sessions got and did not take: to others of it, or offline.

        The archive has it already, and no check is made again. What cannot be delivered is bounced, unless it is kept.
        Where clients are expected to ask the archive, what it keeps is not delivered again.
        """
        to = message.to
        assert to is not None
        if self.archive is not None and self.archive.assumes_usage and has_id(message, to.bare):
            return None
        try:
            acting = self._act_now(message.addressed(to.bare), to.bare, self.sessions.resources(to.local))
        except StanzaError as error:
            return self.server.router.bounce(message, error)
        return None if acting is None else self.server.router.guarded(message, acting)

    def _take(self, stanza: Stanza, passage: Passage | None) -> Awaitable[None] | None:
        to = stanza.to
        assert to is not None
        if not to.local:
            if passage is None or not isinstance(stanza, Message):
                return self._deliver_to_host(stanza, to)
            return passage.go(stanza, lambda _: self._deliver_to_host(stanza, to))
        if isinstance(stanza, Message):
            stanza = unforged(stanza, self.jid)
        try:
            outcome = hooks.sm_receive_packet.run(self.chains, to.bare, stanza)
        except HandlerCrashed:
            self._hushed(stanza)
            return None
        if isinstance(outcome, Stanza):
            return self._deliver_to_account(outcome, to, passage)
        if isinstance(outcome, Handled):
            return _nothing_more(stanza, passage)
        return self._deliver_later(stanza, outcome, to, passage)

    async def _deliver_later(
        self, stanza: Stanza, waiting: Awaitable[Stanza | Handled], to: JID, passage: Passage | None
    ) -> None:
        delivering: Awaitable[None] | None
        try:
            outcome = await waiting
        except HandlerCrashed:
            self._hushed(stanza)
            return
        if isinstance(outcome, Stanza):
            delivering = self._deliver_to_account(outcome, to, passage)
        else:
            delivering = _nothing_more(stanza, passage)
        if delivering is not None:
            await delivering

    def _hushed(self, stanza: Stanza) -> None:
        """A bug on the receiving side does not leave the account: an error would throw it out of a room."""
        if isinstance(stanza, IQ):
            raise StanzaError(Condition.INTERNAL_SERVER_ERROR)

    def _deliver_to_host(self, stanza: Stanza, to: JID) -> Awaitable[None] | None:
        if isinstance(stanza, IQ):
            if stanza.type in ("result", "error"):
                return self._offer(stanza, to)
            if to.resource:
                raise StanzaError(Condition.SERVICE_UNAVAILABLE)
            return self.iqs.answer("host", stanza)
        outcome = hooks.local_receive_packet.run(self.chains, to, stanza)
        if isinstance(outcome, Stanza):
            self._refuse(outcome)
        elif inspect.isawaitable(outcome):
            return self._refuse_later(outcome)
        return None

    def _offer(self, answer: IQ, to: JID) -> Awaitable[None] | None:
        """To whom a module has asked beside `request`; where nobody did, it is dropped."""
        outcome = hooks.local_iq.run(self.chains, to, answer)
        return None if isinstance(outcome, Stanza | Handled) else _ignoring(outcome)

    def _refuse(self, stanza: Stanza) -> None:
        if isinstance(stanza, Message) and stanza.type != "headline":
            raise StanzaError(Condition.SERVICE_UNAVAILABLE)

    async def _refuse_later(self, waiting: Awaitable[Stanza | Handled]) -> None:
        outcome = await waiting
        if isinstance(outcome, Stanza):
            self._refuse(outcome)

    def _deliver_to_account(self, stanza: Stanza, to: JID, passage: Passage | None) -> Awaitable[None] | None:
        sessions = self.sessions.resources(to.local)
        if isinstance(stanza, Message) and (passage is not None or self.archive is not None):
            if not sessions:
                return self._keep_for_absent(stanza, to, passage)
            return self._keep(stanza, to, passage, sessions)
        if not sessions:
            if _is_lost_on_absent(stanza, to.resource):
                return None  # as presence broadcast to those who are offline: storage is not asked whether they exist
            return self._deliver_to_absent(stanza, to)
        return self._act(stanza, to, sessions)

    async def _deliver_to_absent(self, stanza: Stanza, to: JID) -> None:
        if not await self.accounts.exists(to.local):
            if nobody(stanza, to.resource)[0] is Fate.BOUNCE:
                raise StanzaError(Condition.SERVICE_UNAVAILABLE)
            return
        # Someone may have logged in while we asked.
        acting = self._act(stanza, to, self.sessions.resources(to.local))
        if acting is not None:
            await acting

    # -- messages that are kept -----------------------------------------------------------------------------------

    async def _keep_for_absent(self, message: Message, to: JID, passage: Passage | None) -> None:
        if await self.accounts.exists(to.local):
            keeping = self._keep(message, to, passage, self.sessions.resources(to.local))
        elif nobody(message, to.resource)[0] is Fate.BOUNCE:
            raise StanzaError(Condition.SERVICE_UNAVAILABLE)
        else:
            keeping = _nothing_more(message, passage)
        if keeping is not None:
            await keeping

    def _keep(
        self, message: Message, to: JID, passage: Passage | None, sessions: Mapping[str, Session]
    ) -> Awaitable[None] | None:
        """Have the archive of the recipient note it; when it is kept it is delivered."""
        if decide(message, to.resource, sessions)[0] is Fate.BOUNCE:
            raise StanzaError(Condition.SERVICE_UNAVAILABLE)
        archive = self.archive
        # An error comes from where the message went, which need be no address.
        sender = None if archive is None or message.type == "error" else message.sender
        if archive is None or sender is None:
            return self._kept(message, to, passage, False)
        wanted = archive.wants(to.bare, sender.bare, message, False)
        if isinstance(wanted, bool):
            return self._kept(message, to, passage, wanted)
        return self._keep_later(message, to, passage, wanted)

    async def _keep_later(self, message: Message, to: JID, passage: Passage | None, wanted: Awaitable[bool]) -> None:
        keeping = self._kept(message, to, passage, await wanted)
        if keeping is not None:
            await keeping

    def _kept(self, message: Message, to: JID, passage: Passage | None, wanted: bool) -> Awaitable[None] | None:
        account = to.bare
        if self.archive is not None:
            message = unclaimed(message, account)
        if passage is None:
            passage = Passage(self.server)
        if wanted:
            assert message.sender is not None
            passage.note(account, message.sender, message, sent=False)

        def deliver(id_: str | None) -> Awaitable[None] | None:
            copy = with_id(message, account, id_ if wanted else None)
            return self._act(copy, to, self.sessions.resources(to.local))

        return passage.go(message, deliver)

    def _act(self, stanza: Stanza, to: JID, sessions: Mapping[str, Session]) -> Awaitable[None] | None:
        returns = self.sessions.returns
        # An error may come from one of those that go back, which would wait for itself.
        if returns.on_their_way and isinstance(stanza, Message) and stanza.type != "error":
            back = returns.after(to.local)
            if back is not None:
                return self._act_behind(stanza, to, back)
        return self._act_now(stanza, to, sessions)

    async def _act_behind(self, message: Message, to: JID, back: Deferred[None] | None) -> None:
        """Deliver *message* when what sessions of its recipient did not take is delivered anew."""
        while back is not None:
            await back
            back = self.sessions.returns.after(to.local)
        acting = self._act_now(message, to, self.sessions.resources(to.local))
        if acting is not None:
            await acting

    def _act_now(self, stanza: Stanza, to: JID, sessions: Mapping[str, Session]) -> Awaitable[None] | None:
        fate, chosen = decide(stanza, to.resource, sessions)
        if fate is DELIVER:
            for session in chosen:
                session.send(stanza)
            if isinstance(stanza, Message):
                hooks.sm_delivered_message.run(self.chains, to.bare, stanza, chosen)
            return None
        if fate is Fate.ANSWER:
            assert isinstance(stanza, IQ)
            return None if stanza.type in ("result", "error") else self.iqs.answer("account", stanza)
        if fate is Fate.SUBSCRIPTION:
            assert isinstance(stanza, Presence)
            return self._offer_subscription(stanza, to.bare)
        if fate is Fate.OFFLINE:
            assert isinstance(stanza, Message)
            return self._absent.take(stanza, to, chosen)
        if fate is Fate.BOUNCE:
            raise StanzaError(Condition.SERVICE_UNAVAILABLE)
        return None

    def _offer_subscription(self, stanza: Presence, account: JID) -> Awaitable[None] | None:
        try:
            outcome = hooks.roster_in_subscription.run(self.chains, account, stanza)
        except HandlerCrashed:
            return None  # what failed is no business of the sender's
        return _unless_crashed(outcome) if inspect.isawaitable(outcome) else None


def _nothing_more(stanza: Stanza, passage: Passage | None) -> Awaitable[None] | None:
    """It is delivered to nobody; what its sender's archive noted is kept all the same."""
    if passage is None or not isinstance(stanza, Message):
        return None
    return passage.go(stanza, lambda _: None)


async def _unless_crashed(waiting: Awaitable[object]) -> None:
    try:
        await waiting
    except HandlerCrashed:
        pass


async def _ignoring(waiting: Awaitable[object]) -> None:
    await waiting


def _is_lost_on_absent(stanza: Stanza, resource: str) -> bool:
    """Whether it is ignored where nobody is there, be there an account or none."""
    ignored = Fate.IGNORE
    return decide(stanza, resource, {})[0] is ignored and nobody(stanza, resource)[0] is ignored
