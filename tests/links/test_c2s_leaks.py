"""What is left of a connection when it has ended: no timer, no registration, and no cycle for the collector to find."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from federix.streams.stream import XmppStream
from federix.testing import Client, World
from federix.xmpp import ns
from tests.links.support import NoCollector, WorldTestCase, auth, deafen, plain, secured, stream_of
from tests.xmpp.sasl.support import Client as Scram


def bound(world: World) -> Client:
    return world.client("romeo@example.org/orchard")


def bound_in_tls(world: World) -> Client:
    return world.client("romeo@example.org/orchard", tls=True)


def opened(world: World) -> Client:
    client = world.connect()
    client.open("example.org")
    return client


def half_logged_in(world: World) -> Client:
    client = opened(world)
    client.send(auth("SCRAM-SHA-1", Scram("SHA-1", name="romeo").first()))
    return client


def failed_login(world: World) -> Client:
    client = secured(world)
    client.send(plain("romeo", "wrong"))
    return client


def mid_stanza(world: World) -> Client:
    client = bound(world)
    client.send("<message><body>half")
    return client


def chatted(world: World) -> Client:
    client = bound(world)
    for said in (
        "<message to='romeo@example.org/orchard' type='chat'><body>x</body></message>",
        "<message to='@'/>",
        "<iq type='get' id='1'><query xmlns='urn:unknown'/></iq>",
        "<presence/>",
    ):
        client.send(said * 100)
    return client


def handshaking(world: World) -> Client:
    client = opened(world)
    client.send(f"<starttls xmlns='{ns.TLS}'/>")
    return client


def silent(world: World) -> Client:
    return world.connect()


def silent_where_tls_is_spoken(world: World) -> Client:
    return world.connect(5223)


STAGES: tuple[Callable[[World], Client], ...] = (
    silent,
    silent_where_tls_is_spoken,
    opened,
    handshaking,
    secured,
    half_logged_in,
    failed_login,
    bound,
    bound_in_tls,
    mid_stanza,
    chatted,
)


def cut(world: World, client: Client) -> None:
    client.cut()


def close(world: World, client: Client) -> None:
    client.close()
    world.advance(10)


def misbehave(world: World, client: Client) -> None:
    client.send("<a></b>")
    world.advance(10)


def flood(world: World, client: Client) -> None:
    client.send("<" + "x" * 300_000)
    world.advance(10)


def claim(world: World, client: Client) -> None:
    client.send("<presence from='somebody@else.example'/>")
    world.advance(10)


def stall(world: World, client: Client) -> None:
    """It neither reads nor leaves, until it is cut."""
    client.wire.broken = True
    stream_of(client).close()
    world.advance(10)


ENDS = (cut, close, misbehave, flood, claim, stall)


class LeakTests(WorldTestCase):
    def test_nothing_is_left(self) -> None:
        for stage in STAGES:
            world = World(listener={"max_failed_logins_per_address": "infinity"})
            try:
                stage(world).cut()
                with NoCollector():
                    for end in ENDS:
                        if (stage, end) != (mid_stanza, claim):
                            self.check(world, stage, end)
            finally:
                world.stop()
        self.assert_no_traceback()

    def check(self, world: World, stage: Callable[[World], Client], end: Callable[[World, Client], None]) -> None:
        calls, owned = len(world.clock.getDelayedCalls()), len(world.server.scope)
        client = stage(world)
        deafen(client)
        stream = stream_of(client)
        kept = {"stream": stream, "link": stream.owner, "transport": client.wire.far.protocol}
        watched = {name: weakref.ref(thing) for name, thing in kept.items()}
        del stream, kept
        end(world, client)
        world.pump()
        what = f"{stage.__name__} and {end.__name__}"
        self.assertIsNotNone(client.lost, what)
        self.assertEqual(len(world.clock.getDelayedCalls()), calls, what)
        self.assertEqual(len(world.server.scope), owned, what)
        self.assertEqual([name for name, reference in watched.items() if reference() is not None], [], what)

    def test_a_session_is_freed_with_its_stream(self) -> None:
        world = self.make()
        with NoCollector():
            client = bound(world)
            session = world.host("example.org").sessions.of("romeo")[0]
            died: list[str] = []
            weakref.finalize(session.attachment, died.append, "stream")
            session.scope.add(lambda: died.append("scope"))
            canary = Canary(died)
            session.scope.add(canary.sing)
            del session, canary
            client.cut()
        self.assertEqual(sorted(died), ["canary", "scope", "stream", "sung"])

    def test_a_stream_that_waited_is_freed_when_the_wait_is_over(self) -> None:
        world = self.make()
        world.register("romeo@example.org")
        accounts: Any = world.host("example.org").accounts
        looking: Deferred[None] = Deferred()
        credentials = accounts.credentials

        async def later(local: str) -> Any:
            await looking
            return await credentials(local)

        self.patch(accounts, "credentials", later)
        with NoCollector():
            client = secured(world)
            client.send(plain("romeo"))
            reference = weakref.ref(stream_of(client))
            client.cut()
            self.assertIsInstance(reference(), XmppStream)
            looking.callback(None)
            world.pump()
            self.assertIsNone(reference())

    def test_many_connections_leave_nothing(self) -> None:
        world = self.make(listener={"max_connections_per_second": "infinity"})
        bound(world).cut()
        calls, owned = len(world.clock.getDelayedCalls()), len(world.server.scope)
        for _ in range(300):
            bound(world).cut()
        self.assertEqual(len(world.clock.getDelayedCalls()), calls)
        self.assertEqual(len(world.server.scope), owned)
        self.assertEqual(len(world.host("example.org").sessions), 0)


class Canary:
    """Tells when it is called, and when it dies."""

    def __init__(self, died: list[str]) -> None:
        self.died = died

    def sing(self) -> None:
        self.died.append("sung")

    def __del__(self) -> None:
        self.died.append("canary")
