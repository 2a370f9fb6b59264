"""A server whose archives are as slow as a test wants them, and what it has kept."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, succeed

from federix.api import HANDLED, JID, Condition, Message, Module, Outcome, Session, StanzaError, StoreError, hooks
from federix.storage.archive import ArchiveRow, Counted
from federix.storage.memory_archive import MemoryArchives
from federix.testing import Client, World
from federix.xmpp import ns

from .support import WorldTestCase

ROMEO, JULIET, NURSE = "romeo@example.org/orchard", "juliet@example.org/balcony", "nurse@example.org/chamber"


class SlowArchives(MemoryArchives):
    """Keeps what it is given when it is told to, in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[tuple[Deferred[None], Sequence[ArchiveRow], Counted | None]] = []
        self.kept: list[ArchiveRow] = []
        self.counts: list[Counted | None] = []
        self.sent_before: dict[str, int] = {}
        self.slow = False
        self.full = False
        #: Whether those who wait for what is done by now are not told yet.
        self.mute = False
        self._done: list[tuple[Deferred[None], bool]] = []

    def keep(self, rows: Sequence[ArchiveRow], counted: Counted | None = None) -> Awaitable[object]:
        if self.full:
            raise StoreError("too many wait")
        if not self.slow:
            self._take(rows, counted)
            return succeed(None)
        job: Deferred[None] = Deferred()
        self.jobs.append((job, rows, counted))
        return job

    def _take(self, rows: Sequence[ArchiveRow], counted: Counted | None) -> None:
        self.kept += rows
        self.counts.append(counted if counted is None or counted.link is None or counted.link.holds() else None)

    def commit(self, most: int | None = None) -> None:
        """Keep all that waits, or the first *most* of it."""
        jobs, self.jobs = self.jobs[:most], [] if most is None else self.jobs[most:]
        for job, rows, counted in jobs:
            self._take(rows, counted)
            self._done.append((job, True))
        self._answer()

    def fail(self, most: int | None = None) -> None:
        """Keep nothing of what waits, or of the first *most* of it."""
        jobs, self.jobs = self.jobs[:most], [] if most is None else self.jobs[most:]
        for job, _, counted in jobs:
            if counted is not None and counted.link is not None:
                counted.link.fail()
            self._done.append((job, False))
        self._answer()

    def speak(self) -> None:
        """Tell those who wait what was done, and no longer late."""
        self.mute = False
        self._answer()

    def _answer(self) -> None:
        while self._done and not self.mute:
            job, kept = self._done.pop(0)
            if kept:
                job.callback(None)
            else:
                job.errback(StoreError("the disk is full"))

    async def fingerprints(self, owner: str, since: int, limit: int) -> dict[str, int]:
        return dict([*self.sent_before.items()][-limit:])


class Keeper(Module):
    """Archives every message with a body; blocks a word; notes what the events say."""

    name = "mod_keeper"
    assumes_usage = False

    async def on_start(self) -> None:
        self.host.archive = self
        self.accepted: list[Message] = []
        self.delivered: list[tuple[JID, Message, int]] = []

    def wants(self, account: JID, peer: JID, message: Message, sent: bool) -> bool:
        return message.type in ("chat", "normal") and message.body is not None

    @hooks.sm_receive_packet.only(Message)
    def check(self, account: JID, stanza: Message) -> Outcome:
        if stanza.body == "blocked":
            raise StanzaError(Condition.SERVICE_UNAVAILABLE)
        return HANDLED if stanza.body == "taken" else None

    @hooks.user_accepted_message
    def accept(self, session: Session, message: Message) -> None:
        self.accepted.append(message)

    @hooks.sm_delivered_message
    def deliver(self, account: JID, message: Message, sessions: Sequence[Session]) -> None:
        self.delivered.append((account, message, len(sessions)))


def text(to: str, body: str, id: str = "", extra: str = "") -> str:
    given = f" id='{id}'" if id else ""
    return f"<message to='{to}' type='chat'{given}><body>{body}</body>{extra}</message>"


def stanza_ids(element: Any) -> list[tuple[str, str]]:
    return [(c.get("by"), c.get("id")) for c in element.elements() if (c.ns, c.name) == (ns.SID, "stanza-id")]


class Thinker(Module):
    """Thinks about what messages say before they go on, unless that is obvious."""

    name = "mod_thinker"

    async def on_start(self) -> None:
        self.thinking: list[Deferred[None]] = []

    @hooks.user_send_packet.only(Message)
    def meet(self, session: Session, stanza: Message) -> Outcome | Awaitable[Outcome]:
        said = stanza.body
        return None if said is None or said.startswith("obvious") else self._think()

    async def _think(self) -> Outcome:
        self.thinking.append(Deferred())
        await self.thinking[-1]
        return None


class Dawdler(Module):
    """Takes its time with what is for offline storage."""

    name = "mod_dawdler"

    async def on_start(self) -> None:
        #: What has come, and how each is finished.
        self.came: list[str | None] = []
        self.dawdling: list[Deferred[None]] = []

    @hooks.offline_message
    async def keep(self, account: JID, message: Message) -> Outcome:
        self.came.append(message.body)
        self.dawdling.append(Deferred())
        await self.dawdling[-1]
        return HANDLED


class PassageCase(WorldTestCase):
    #: Modules of the test that run beside the `Keeper`.
    own_modules: ClassVar[dict[str, type[Module]]] = {}

    def setUp(self) -> None:
        own = {"mod_keeper": Keeper, **self.own_modules}
        self.world: World = self.new_world(
            modules={**{name: {} for name in own}, "mod_ping": {}, "mod_stream_mgmt": {}}, own_modules=own
        )
        self.archives = SlowArchives()
        self.world.server.storage.archives = self.archives
        self.keeper = self.world.host("example.org").module(Keeper)
        self.romeo, self.juliet = self.world.client(ROMEO), self.world.client(JULIET)

    def told(self, id_: int) -> str:
        return self.world.server.archive_ids.encode(id_)

    def bodies(self, client: Client) -> list[str | None]:
        return [element.text_of(ns.CLIENT, "body") for element in client.drain()]
