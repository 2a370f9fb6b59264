"""Whatever happens to a client that manages its stream: what it is told is true, and each message arrives once.

It sends messages that are kept, refused, looked up late or thought about, loses its connection, resumes, comes back to
a session that is over, acknowledges late; the store is slow, full, fails, or answers late.
"""

from __future__ import annotations

from collections.abc import Awaitable
from itertools import count
from typing import Any, ClassVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from federix.api import JID, Module
from federix.core.catching_up import AGAIN_IN
from federix.links.management import SETTLED_IN
from federix.testing import Client
from federix.testing.login import scram_sha_1
from federix.testing.world import PASSWORD
from tests.core.passage_case import JULIET, PassageCase, SlowArchives, Thinker, text

from .sm_case import SM, R, a

#: What is sent: archived, nobody is there, that is known late, not archived, thought about, no message.
KINDS = ("kept", "refused", "late", "state", "thought", "iq")
#: What the store does, what others come to an end with, what the client does; and time that passes.
STEPS = (
    *KINDS,
    *("commit", "commit_one", "fail", "full", "mute", "speak", "look", "think", "slow_reads", "read"),
    *("ask", "acknowledge", "acknowledge_nothing_new", "cut", "resume", "end", "end_first"),
    *("a_moment", "seconds"),
)
#: Sessions that may end in one course: what is sent again each time makes it long.
MOST_ENDS = 2
#: By number, each client has a resource of its own.
NAMES = count()


class Archives(SlowArchives):
    """They know what they have kept, and may be slow to say so."""

    def __init__(self) -> None:
        super().__init__()
        self.slow = True
        self.slow_reads = False
        self.reads: list[Deferred[None]] = []

    async def fingerprints(self, owner: str, since: int, limit: int) -> dict[str, int]:
        found = {row.fingerprint: row.id for row in self.kept if row.owner == owner and row.sent and row.fingerprint}
        if self.slow_reads:
            self.reads.append(Deferred())
            await self.reads[-1]
        return found


class Course:
    """One client's way, and what it knows."""

    def __init__(self, test: CoursesTests) -> None:
        self.test = test
        self.world = test.world
        self.archives = Archives()
        self.world.server.storage.archives = self.archives  # type: ignore[assignment]
        self.thinker = self.world.host("example.org").module(Thinker)
        self.numbers = count()
        self.resource = f"r{next(NAMES)}"
        self.client = self.world.client(f"romeo@example.org/{self.resource}")
        self.ends = 0
        self.is_there, self.resuming = True, False
        #: What it sent over its session, and what of that it knows to have arrived; and ever.
        self.sent: list[tuple[str, str]] = []
        self.ever: dict[str, str] = {}
        self.acknowledged = 0
        #: Stanzas that it got, and of how many it has said so; those of its own that came back, and those that it said.
        self.got = self.said = 0
        self.errors: set[str] = set()
        self.known_errors: set[str] = set()
        #: What its friend got.
        self.arrived: list[str] = []
        self.key = ""
        self.enable()

    def enable(self) -> None:
        self.client.send(f"<enable {SM} resume='true'/>")
        while (element := self.client.receive()).name != "enabled":
            if element.get("type") == "error":
                self.errors.add(element.get("id") or "")
        self.key = element.get("id") or ""
        self.session = self.test.session(self.client)

    def log_in(self) -> Client:
        client = self.world.connect()
        client.open("example.org")
        scram_sha_1(client, "romeo", PASSWORD)
        client.open("example.org")
        return client

    # -- steps --------------------------------------------------------------------------------------------------------

    def step(self, name: str) -> None:
        if name in KINDS:
            if self.is_there and not self.resuming:
                self.sent.append((name, f"{self.resource}-{next(self.numbers)}"))
                self.client.send(self.xml(*self.sent[-1]))
        else:
            getattr(self, name)()
        self.world.pump()
        self.listen()
        counts = [counted for counted in self.archives.counts if counted is not None and counted.key == self.key]
        if counts:
            self.is_true(counts[-1].h)

    def xml(self, kind: str, id: str) -> str:
        self.ever[id] = kind
        if kind in ("refused", "late"):
            return text(f"{kind}@example.org", f"obvious {kind}", id)
        if kind == "state":
            return f"<message to='{JULIET}' id='{id}'><active xmlns='http://jabber.org/protocol/chatstates'/></message>"
        if kind == "iq":
            return f"<iq type='result' id='{id}'/>"
        return text(JULIET, f"{'obvious' if kind == 'kept' else kind} {id}", id)

    def commit(self) -> None:
        self.archives.commit()

    def commit_one(self) -> None:
        self.archives.commit(1)

    def fail(self) -> None:
        self.archives.fail(1)

    def full(self) -> None:
        self.archives.full = not self.archives.full

    def mute(self) -> None:
        self.archives.mute = True

    def speak(self) -> None:
        self.archives.speak()

    def slow_reads(self) -> None:
        self.archives.slow_reads = not self.archives.slow_reads

    def read(self) -> None:
        _fire(self.archives.reads, None)

    def look(self) -> None:
        _fire(self.test.looking, False)

    def think(self) -> None:
        if self.thinker.thinking:
            self.thinker.thinking.pop(0).callback(None)

    def ask(self) -> None:
        if self.is_there and not self.resuming:
            self.client.send(R)

    def acknowledge(self) -> None:
        self.listen()
        if self.is_there and not self.resuming:
            self.known_errors |= self.errors
            self.said = self.got
            self.client.send(a(self.said))

    def acknowledge_nothing_new(self) -> None:
        if self.is_there and not self.resuming:
            self.client.send(a(self.said))

    def cut(self) -> None:
        self.listen()
        if self.is_there:
            self.client.cut()
        self.is_there = self.resuming = False

    def resume(self) -> None:
        self.listen()
        self.known_errors |= self.errors
        self.said = self.got
        self.client = self.log_in()
        self.is_there = self.resuming = True
        self.client.send(f"<resume {SM} previd='{self.key}' h='{self.got}'/>")

    def end_first(self) -> None:
        """As `end`, and only then is it known that nobody is there."""
        self.end(looked=True)

    def end(self, *, looked: bool = False) -> None:
        """The session is over, and its client comes back to none."""
        if self.ends == MOST_ENDS:
            return
        self.ends += 1
        self.listen()
        self.session.end()
        if looked:
            self.look()
        self.world.advance(1)
        self.client = self.log_in()
        self.client.send(f"<resume {SM} previd='{self.key}' h='{self.got}'/>")
        self.world.pump()
        failed = self.client.receive()
        self.test.assertEqual(failed.name, "failed")
        told = int(failed.get("h") or 0)
        self.is_true(told)
        self.client.bind(JID.parse(f"romeo@example.org/{self.resource}"))
        self.enable()
        self.is_there, self.resuming = True, False
        self.sent = self.sent[max(told, self.acknowledged) :]
        self.acknowledged = self.got = self.said = 0
        self.archives.counts.clear()
        self.client.send("".join(self.xml(*each) for each in self.sent))

    def a_moment(self) -> None:
        self.world.advance(0.05)

    def seconds(self) -> None:
        self.world.advance(max(AGAIN_IN, SETTLED_IN))

    # -- what is heard, and whether it is true ------------------------------------------------------------------------

    def listen(self) -> None:
        for element in self.client.drain():
            if element.name in ("message", "iq"):
                self.got += 1
                if element.get("type") == "error":
                    self.errors.add(element.get("id") or "")
            elif element.name in ("a", "resumed"):
                h = int(element.get("h") or 0)
                self.test.assertGreaterEqual(h, self.acknowledged)
                self.acknowledged = h
                self.is_true(h)
                if element.name == "resumed":
                    self.resuming = False
                    self.client.send("".join(self.xml(*each) for each in self.sent[h:]))
            elif element.name != "r":
                self.test.fail(element.to_xml())
        ids = [element.get("id") or "" for element in self.test.juliet.drain() if element.name == "message"]
        self.arrived += [id for id in ids if id in self.ever]

    def is_true(self, h: int) -> None:
        """Whether so many of those sent are kept, or known to have come back."""
        self.test.assertLessEqual(h, len(self.sent))
        for kind, id in self.sent[:h]:
            if kind not in ("iq", "state") and id not in self.known_errors:
                self.test.assertIn(f"id='{id}'", " ".join(row.stanza.decode() for row in self.archives.kept))

    def come_to_rest(self) -> None:
        archives, intake = self.archives, self.session.intake
        archives.slow_reads = archives.full = False
        for _ in range(60):
            for name in (
                "speak",
                "read",
                "think",
                "look",
                "commit",
                "seconds",
                *(() if self.is_there else ("resume",)),
            ):
                self.step(name)
            self.step("acknowledge")
            busy = intake.behind or intake._flying or archives.jobs or self.thinker.thinking or self.test.looking
            if not busy and not self.resuming:
                break
        self.step("ask")
        self.step("seconds")

    def judge(self) -> None:
        test, intake = self.test, self.session.intake
        test.assertEqual((intake.behind, intake._flying, intake._latest), (0, 0, None))
        test.assertEqual((intake.handled, self.acknowledged), (len(self.sent), len(self.sent)))
        test.assertEqual(self.world.host("example.org").resending._on_their_way, {})
        archived = [row.stanza.decode().split("id='")[1].split("'")[0] for row in self.archives.kept if row.sent]
        test.assertEqual(len(set(archived)), len(archived))
        arrived = [id for id in self.arrived if self.ever[id] != "state"]
        test.assertEqual(len(set(arrived)), len(arrived))
        if not self.errors and not self.ends:
            test.assertEqual(arrived, sorted(arrived, key=lambda id: int(id.partition("-")[2])))
        test.assertLessEqual({id for kind, id in self.sent if kind in ("kept", "thought")} - self.errors, set(arrived))
        told = [each.h for each in self.archives.counts if each is not None and each.key == self.key]
        kept = [h for h, (_, id) in enumerate(self.sent, 1) if id in archived and id not in self.errors]
        if kept:
            test.assertGreaterEqual(told[-1], kept[-1])

    def leave(self) -> None:
        _fire(self.thinker.thinking, None)
        _fire(self.archives.reads, None)
        _fire(self.test.looking, False)
        self.archives.slow = self.archives.full = False
        self.archives.speak()
        self.archives.commit()
        self.session.end()
        self.world.advance(10)


class CoursesTests(PassageCase):
    own_modules: ClassVar[dict[str, type[Module]]] = {"mod_thinker": Thinker}

    def setUp(self) -> None:
        super().setUp()
        accounts = self.world.host("example.org").accounts
        exists = accounts.exists
        #: Who is looked up at the moment.
        self.looking: list[Deferred[Any]] = []

        def look(local: str) -> Awaitable[bool]:
            if local != "late":
                return exists(local)
            self.looking.append(Deferred())
            return self.looking[-1]

        self.patch(accounts, "exists", look)

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.sampled_from(STEPS), min_size=4, max_size=30))
    def test_what_is_told_is_true_and_each_message_arrives_once(self, steps: list[str]) -> None:
        course = Course(self)
        try:
            for name in steps:
                course.step(name)
            course.come_to_rest()
            course.judge()
        finally:
            course.leave()


def _fire(waiting: list[Deferred[Any]], answer: object) -> None:
    fired, waiting[:] = list(waiting), []
    for each in fired:
        each.callback(answer)
