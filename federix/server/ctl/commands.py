"""The commands that every server has, in ejabberdctl's words. Modules add theirs (`federix.api.command`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import ensureDeferred

from ... import __version__
from ...core import hooks as all_hooks
from ...core.commands import Answer, CommandError, command
from ...core.host import Host
from ...core.options import Secret
from ...core.session import Session
from ...storage.storage import StoreError
from ...xmpp.errors import Condition, StanzaError, StreamCondition, StreamError
from ...xmpp.jid import InvalidJID, prepare_local, prepare_resource
from ..config import Config
from ..config.options import LogLevel
from ..reloading import reread
from .hosts import HostCommands

if TYPE_CHECKING:
    from ..server import Server

#: Accounts asked of the database at a time.
PAGE: Final = 1000
#: Seconds between the answer to `stop` and the stop: the answer must get out.
STOP_AFTER: Final = 0.1


#: Commands that change nothing: in the log they are details.
READING: Final = frozenset(
    (
        *("check_account", "check_password", "registered_users", "registered_vhosts", "connected_users"),
        *(
            "connected_users_number",
            "connected_users_vhost",
            "user_resources",
            "stats",
            "status",
            "tree",
            "hooks",
            "modules",
        ),
        *("s2s", "why_s2s", "incoming_s2s_number", "outgoing_s2s_number"),
        "dump_config",
    )
)


@dataclass(frozen=True, slots=True)
class Process:
    """What the process around a server can do for its operator."""

    reread: Callable[[], Config]
    """The configuration, read again. Raises `ConfigErrors`."""
    stop: Callable[[], object]
    """End the whole process, the server with it."""
    set_log_level: Callable[[str], object]
    """Log from this level up; one of ejabberd's names."""
    adopt: Callable[[Config], object] = lambda _: None
    """Take from a new configuration what concerns the process: its log."""


class ServerCommands(HostCommands):
    """Each method is a command; see `federix.core.commands`."""

    def __init__(self, server: Server, process: Process | None) -> None:
        super().__init__(server)
        self._process = process

    # -- accounts -------------------------------------------------------------------------------------------------

    @command()
    async def register(self, user: str, host: str, password: Secret) -> Answer:
        """Make an account."""
        jid = await self._host(host).accounts.register(user, password.reveal())
        return f"{jid} is registered"

    @command()
    async def unregister(self, user: str, host: str) -> Answer:
        """Remove an account and all that is kept of it; its sessions end."""
        if not await self._host(host).accounts.remove(user):
            raise _no_account(user, host)
        return f"{user}@{host} is removed"

    @command()
    async def change_password(self, user: str, host: str, newpass: Secret) -> Answer:
        """Give an account another password; its sessions live on."""
        await self._host(host).accounts.set_password(user, newpass.reveal())
        return None

    @command()
    async def check_password(self, user: str, host: str, password: Secret) -> Answer:
        """Whether this is the password of that account; the exit code says it."""
        if not await self._host(host).accounts.check_password(user, password.reveal()):
            raise CommandError("this is not the password, or there is no such account")
        return None

    @command()
    async def check_account(self, user: str, host: str) -> Answer:
        """Whether there is such an account; the exit code says it."""
        if not await self._host(host).accounts.exists(_local(user)):
            raise _no_account(user, host)
        return None

    @command()
    async def registered_users(self, host: str) -> Answer:
        """The accounts of a host."""
        return [name async for name in _names(self._host(host))]

    @command()
    def registered_vhosts(self) -> Answer:
        """The hosts that are served."""
        return [host.name for host in self._hosts()]

    # -- sessions -------------------------------------------------------------------------------------------------

    @command()
    def connected_users(self) -> Answer:
        """The full addresses of all sessions."""
        return [str(session.jid) for host in self._hosts() for session in host.sessions]

    @command()
    def connected_users_number(self) -> Answer:
        """How many sessions there are."""
        return sum(len(host.sessions) for host in self._hosts())

    @command()
    def connected_users_vhost(self, host: str) -> Answer:
        """The full addresses of a host's sessions."""
        return [str(session.jid) for session in self._host(host).sessions]

    @command()
    def user_resources(self, user: str, host: str) -> Answer:
        """The resources an account is connected with."""
        return [session.jid.resource for session in self._host(host).sessions.of(_local(user))]

    @command()
    def kick_session(self, user: str, host: str, resource: str, reason: str = "") -> Answer:
        """End one session; its client is told the reason."""
        try:
            wanted = prepare_resource(resource)
        except InvalidJID as error:
            raise CommandError(f"resource: {error}") from None
        session = self._host(host).sessions.find(_local(user), wanted)
        if session is None:
            raise CommandError(f"{user}@{host}/{resource} is not connected")
        _kick(session, reason)
        return None

    @command()
    def kick_user(self, user: str, host: str, reason: str = "") -> Answer:
        """End all sessions of an account, and say how many there were."""
        sessions = self._host(host).sessions.of(_local(user))
        for session in sessions:
            _kick(session, reason)
        return len(sessions)

    # -- the server -----------------------------------------------------------------------------------------------

    @command()
    def status(self) -> Answer:
        """What runs, and for how long."""
        server = self._server
        return {
            "version": __version__,
            "state": str(server.state),
            "uptime": duration(server.uptime),
            "hosts": ", ".join(server.config.hosts),
            "sessions": sum(len(host.sessions) for host in self._hosts()),
            "data": str(server.config.directory),
        }

    @command()
    def stats(self) -> Answer:
        """What the server counts: connections, sessions, stanzas since it was made."""
        return dict(self._server.metrics.figures())

    @command()
    async def update_sql_schema(self) -> Answer:
        """Make the tables of the database, or bring them up to date; needed where the option of that name is false."""
        try:
            done = await self._server.storage.update_schema()
        except StoreError as error:
            raise CommandError(str(error)) from None
        return "The schema is up to date now." if done else "The schema was up to date."

    @command()
    def tree(self) -> Answer:
        """Every part of the running server, its state, and for how long it has been so."""
        return [
            {"part": f"{'  ' * depth}{node.name}", "state": str(node.state), "for": duration(node.uptime)}
            for depth, node in self._server.walk()
        ]

    @command()
    def hooks(self, host: str = "") -> Answer:
        """Who stands in which chain, in the order a stanza meets them."""
        return [
            {"host": each.name, "hook": hook.name, "slot": entry.place.slot.name, "module": entry.owner}
            for each in ([self._host(host)] if host else self._hosts())
            for hook in all_hooks.ALL
            for entry in each.chains.entries(hook)
        ]

    @command()
    def modules(self, host: str) -> Answer:
        """The modules that run on a host, and what they implement."""
        return [
            {"module": module.name, "state": str(module.state), "implements": ", ".join(map(_spec, module.implements))}
            for module in self._host(host).running_modules()
        ]

    @command()
    def dump_config(self) -> Answer:
        """Every option in force, and its value; secrets are hidden."""
        return self._server.config.in_force()

    @command()
    async def reload_config(self) -> Answer:
        """Read the configuration again and run with it; if it is wrong, nothing changes."""
        return [f"warning: {each}" for each in await reread(self._server, self._of_its_own("reload"))]

    @command()
    def set_loglevel(self, loglevel: LogLevel) -> Answer:
        """Log from this level up: debug, info, notice, warning, error, critical, none, … until the next reload."""
        self._of_its_own("change the log of").set_log_level(loglevel)
        return None

    @command()
    def stop(self) -> Answer:
        """Stop the server. The connection of whoever asked is closed when it has stopped."""
        process = self._process
        server = self._server
        if process is not None:
            server.reactor.callLater(STOP_AFTER, process.stop)
        else:
            server.reactor.callLater(STOP_AFTER, lambda: ensureDeferred(server.stop()))
        return None

    def _of_its_own(self, what: str) -> Process:
        if self._process is None:
            raise CommandError(f"this server is part of another program: that alone can {what} it")
        return self._process


async def _names(host: Host) -> AsyncIterator[str]:
    after = ""
    while page := await host.accounts.names(limit=PAGE, after=after):
        for name in page:
            yield name
        after = page[-1]


def _local(user: str) -> str:
    try:
        return prepare_local(user)
    except InvalidJID as error:
        raise StanzaError(Condition.JID_MALFORMED, f"user: {error}") from None


def _no_account(user: str, host: str) -> CommandError:
    return CommandError(f"there is no account {user}@{host}")


def _kick(session: Session, reason: str) -> None:
    session.end(StreamError(StreamCondition.POLICY_VIOLATION, reason or "ended by the administrator"))


def _spec(spec: object) -> str:
    number = getattr(spec, "number", "")
    return f"XEP-{number:04}" if hasattr(spec, "version") else f"RFC {number}"


def duration(seconds: float) -> str:
    """Seconds for people: the two largest units."""
    left = int(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
