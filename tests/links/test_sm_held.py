"""What a session that sleeps keeps in memory, and what one that is over leaves behind: nothing."""

from __future__ import annotations

import gc
import tracemalloc
import weakref

from federix.core import stream_management
from federix.testing import Client

from .sm_case import SM, ManagedCase, a
from .support import NoCollector, deafen, stream_of

#: Bytes that a session which sleeps may take, with what a test notes of it, and without its queue; and what each
#: stanza in that takes beside its own bytes.
ASLEEP = 6 * 1024
EACH = 200


class LeakTests(ManagedCase):
    def setUp(self) -> None:
        self.begin()
        self.world.client("romeo@example.org/first").cut()
        self.calls = len(self.world.clock.getDelayedCalls())
        self.owned = len(self.world.server.scope), len(self.world.host("example.org").scope)

    def assert_nothing_is_left(self) -> None:
        self.world.pump()
        self.assertEqual(len(self.world.clock.getDelayedCalls()), self.calls)
        owned = len(self.world.server.scope), len(self.world.host("example.org").scope)
        self.assertEqual(owned, self.owned)

    def client(self) -> Client:
        client = self.world.client("romeo@example.org/other")
        self.enable(client)
        self.say("1", "2", to="romeo@example.org/other")
        return client

    def test_a_stream_that_was_lost_is_freed_while_its_session_sleeps(self) -> None:
        with NoCollector():
            client = self.client()
            stream = weakref.ref(stream_of(client))
            client.cut()
            self.assertTrue(self.session(resource="other").asleep)
            self.assertIsNone(stream())

    def test_a_session_that_was_not_resumed_is_freed(self) -> None:
        with NoCollector():
            client = self.client()
            session = self.session(resource="other")
            died: list[str] = []
            weakref.finalize(session.scope.later, died.append, "x")
            managed = session.managed
            assert managed is not None
            watched = _Canary(died)
            session.scope.add(watched.sing)
            del session, managed, watched
            client.cut()
            self.world.advance(310)
            self.assertIn("sung", died)
            self.assertIn("freed", died)
        self.assert_nothing_is_left()

    def test_nothing_is_left_however_it_ends(self) -> None:
        for end in (Client.cut, Client.close):
            with NoCollector():
                client = self.client()
                stream = weakref.ref(stream_of(client))
                end(client)
                self.world.advance(400)
                self.assertIsNone(stream())
            self.assert_nothing_is_left()

    def test_nothing_is_left_of_sessions_that_were_resumed_again_and_again(self) -> None:
        client = self.world.client("romeo@example.org/other")
        id = self.enable(client)
        for number in range(1000):
            self.say(str(number), to="romeo@example.org/other")
            client.cut()
            self.world.advance(1)
            client = self.logged_in()
            client.send(f"<resume {SM} previd='{id}' h='{number}'/>")
        client.drain()
        client.send(a(1000))
        client.close()
        self.world.advance(10)
        self.assert_nothing_is_left()


class _Canary:
    def __init__(self, died: list[str]) -> None:
        self._died = died
        weakref.finalize(self, died.append, "freed")

    def sing(self) -> None:
        self._died.append("sung")


class MemoryTests(ManagedCase):
    def test_a_session_that_sleeps_takes_little(self) -> None:
        unlimited = dict.fromkeys(("max_connections_per_second", "max_connections_per_address"), "infinity")
        self.begin(config={"shaper_rules": {"max_user_sessions": "infinity"}}, listener=unlimited)
        self.patch(stream_management, "MOST_ASLEEP", 1000)
        self.sleep_many("warm", 10)
        tracemalloc.start()
        try:
            # The lesser of two: a table of the process, such as that of known addresses, may grow by the way, once.
            self.assertLess(min(self.bytes_of_many("r"), self.bytes_of_many("s")) / 100, ASLEEP)
            session = self.session(resource="s3")
            before = held()
            for number in range(1000):
                self.say(f"{number:04}", to=str(session.jid))
            assert session.managed is not None
            self.assertLess((held() - before - session.managed.size) / 1000, EACH)
        finally:
            tracemalloc.stop()

    def bytes_of_many(self, name: str) -> int:
        """What a hundred more take."""
        before = held()
        self.sleep_many(name, 100)
        return held() - before

    def sleep_many(self, name: str, count: int) -> None:
        for number in range(count):
            client = self.world.client(f"romeo@example.org/{name}{number}")
            self.enable(client)
            deafen(client)
            client.cut()
            self.world.network.wires[2:] = []


def held() -> int:
    """Bytes of memory in use."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
