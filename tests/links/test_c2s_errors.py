"""Every stream error of RFC 6120 §4.9.3, where it belongs, and what no stream error may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import ensureDeferred

from federix.testing import Client, World
from federix.xmpp import ns
from federix.xmpp.errors import StreamCondition, StreamError
from tests.links.support import WorldTestCase, plain, secured

HEADER: Final = f"<stream:stream xmlns='jabber:client' xmlns:stream='{ns.STREAMS}'"
OPEN: Final = f"{HEADER} to='example.org' version='1.0'>"

Provoke = Callable[[World], Client]


def saying(*pieces: str | bytes) -> Provoke:
    """A connection that says this."""

    def provoke(world: World) -> Client:
        client = world.connect()
        for piece in pieces:
            client.send(piece)
        return client

    return provoke


def session_saying(said: str | bytes) -> Provoke:
    """A session that says this."""

    def provoke(world: World) -> Client:
        client = world.client("romeo@example.org/orchard")
        client.send(said)
        return client

    return provoke


def replaced(world: World) -> Client:
    client = world.client("romeo@example.org/orchard")
    world.client("romeo@example.org/orchard")
    return client


def taken_away(world: World) -> Client:
    client = world.connect()
    client.open("example.net")
    world.run(world.server.reload(world.configure({**world.settings, "hosts": ["example.org"]})))
    client.send(plain("romeo"))
    return client


def silent(world: World) -> Client:
    client = world.connect()
    world.advance(121)
    return client


def removed(world: World) -> Client:
    client = world.client("romeo@example.org/orchard")
    world.run(world.host("example.org").accounts.remove("romeo"))
    return client


def guessing(world: World) -> Client:
    client = secured(world)
    for _ in range(5):
        client.send(plain("romeo", "wrong"))
    return client


def kicked(condition: StreamCondition) -> Provoke:
    def provoke(world: World) -> Client:
        client = world.client("romeo@example.org/orchard")
        world.host("example.org").sessions.of("romeo")[0].end(StreamError(condition))
        world.pump()
        return client

    return provoke


#: What provokes it, by the order of the RFC. Those it names for servers or for what Federix does not do are at the end.
TABLE: Final[tuple[tuple[str, StreamCondition, Provoke], ...]] = (
    ("4.9.3.1", StreamCondition.BAD_FORMAT, saying(OPEN, "text")),
    ("4.9.3.1", StreamCondition.BAD_FORMAT, session_saying("text between stanzas<presence/>")),
    (
        "4.9.3.2",
        StreamCondition.BAD_NAMESPACE_PREFIX,
        saying(OPEN.replace("stream:stream", "s:stream").replace(":stream=", ":s=")),
    ),
    ("4.9.3.3", StreamCondition.CONFLICT, replaced),
    ("4.9.3.4", StreamCondition.CONNECTION_TIMEOUT, silent),
    ("4.9.3.5", StreamCondition.HOST_GONE, taken_away),
    ("4.9.3.6", StreamCondition.HOST_UNKNOWN, saying(f"{HEADER} to='example.com' version='1.0'>")),
    ("4.9.3.7", StreamCondition.IMPROPER_ADDRESSING, saying(f"{HEADER} version='1.0'>")),
    ("4.9.3.9", StreamCondition.INVALID_FROM, session_saying("<presence from='juliet@example.org/x'/>")),
    ("4.9.3.10", StreamCondition.INVALID_NAMESPACE, saying(OPEN.replace("jabber:client", "jabber:server"))),
    ("4.9.3.12", StreamCondition.NOT_AUTHORIZED, saying(OPEN, "<presence/>")),
    ("4.9.3.12", StreamCondition.NOT_AUTHORIZED, removed),
    ("4.9.3.13", StreamCondition.NOT_WELL_FORMED, saying(OPEN, "<a></b>")),
    ("4.9.3.13", StreamCondition.NOT_WELL_FORMED, session_saying("<message><body></message>")),
    ("4.9.3.14", StreamCondition.POLICY_VIOLATION, saying(OPEN, f"<a>{'x' * 9000}</a>")),
    ("4.9.3.14", StreamCondition.POLICY_VIOLATION, session_saying(f"<message>{'x' * 300_000}</message>")),
    ("4.9.3.17", StreamCondition.RESOURCE_CONSTRAINT, kicked(StreamCondition.RESOURCE_CONSTRAINT)),
    ("4.9.3.18", StreamCondition.RESTRICTED_XML, saying(OPEN, "<!-- x -->")),
    ("4.9.3.18", StreamCondition.RESTRICTED_XML, session_saying("<?php ?>")),
    ("4.9.3.20", StreamCondition.SYSTEM_SHUTDOWN, kicked(StreamCondition.SYSTEM_SHUTDOWN)),
    ("4.9.3.22", StreamCondition.UNSUPPORTED_ENCODING, saying("<?xml version='1.0' encoding='latin-1'?>" + OPEN)),
    ("4.9.3.22", StreamCondition.UNSUPPORTED_ENCODING, session_saying(b"<message><body>\xff</body></message>")),
    ("4.9.3.24", StreamCondition.UNSUPPORTED_STANZA_TYPE, saying(OPEN, "<pubsub/>")),
    ("4.9.3.24", StreamCondition.UNSUPPORTED_STANZA_TYPE, session_saying("<pubsub/>")),
    ("4.9.3.24", StreamCondition.UNSUPPORTED_STANZA_TYPE, session_saying("<message xmlns='urn:else'/>")),
    ("4.9.3.25", StreamCondition.UNSUPPORTED_VERSION, saying(f"{HEADER} to='example.org'>")),
)

ELSEWHERE: Final = {
    StreamCondition.INTERNAL_SERVER_ERROR: "a bug of ours: `test_a_fault_of_ours`",
    StreamCondition.INVALID_XML: "nothing here validates by a schema",
    StreamCondition.REMOTE_CONNECTION_FAILED: "for servers",
    StreamCondition.RESET: "for those who must change their keys",
    StreamCondition.SEE_OTHER_HOST: "Federix sends nobody elsewhere",
    StreamCondition.UNDEFINED_CONDITION: "every condition here is defined",
    StreamCondition.UNSUPPORTED_FEATURE: "for whoever is offered features",
}


class StreamErrorTests(WorldTestCase):
    def test_each_comes_where_it_belongs_and_ends_the_stream(self) -> None:
        for section, condition, provoke in TABLE:
            world = self.make(hosts=("example.org", "example.net"))
            client = provoke(world)
            while client._inbox[0].name != "error":
                client.receive()
            error = self.assert_stream_error(client, str(condition))
            self.assertEqual(next(error.elements()).ns, ns.STREAM_ERROR, section)
            world.advance(10)
            self.assertIsNotNone(client.lost, section)
            self.assert_no_traceback()

    def test_none_is_forgotten(self) -> None:
        self.assertEqual({condition for _, condition, _ in TABLE} | set(ELSEWHERE), set(StreamCondition))

    def test_a_fault_of_ours(self) -> None:
        world = self.make()
        client = world.client("romeo@example.org/orchard")

        def fail(*_: object) -> None:
            raise ZeroDivisionError("a secret")

        self.patch(world.server.router, "route", fail)
        client.send("<presence to='juliet@example.org'/>")
        error = self.assert_stream_error(client, "internal-server-error")
        self.assertNotIn("secret", error.to_xml())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_server_that_stops_says_so_to_everybody(self) -> None:
        world = World()
        clients = [world.connect(), world.connect(), world.client("romeo@example.org/orchard")]
        clients[1].open("example.org")
        world.stop()
        for client in clients:
            self.assert_stream_error(client, "system-shutdown")
            self.assertIsNotNone(client.lost)
        self.assertEqual(world.clock.getDelayedCalls(), [])

    def test_it_does_not_wait_for_ever(self) -> None:
        world = World()
        clients = [world.connect(5223), world.client("romeo@example.org/orchard", tls=True)]
        for client in clients:
            client.wire.broken = True
        begun = world.clock.seconds()
        ended: list[float] = []
        stopping = ensureDeferred(world.server.stop())
        stopping.addCallback(lambda _: ended.append(world.clock.seconds() - begun))
        world.advance(10)
        self.assertLessEqual(ended[0], 4.0)
        self.assertTrue(all(client.lost for client in clients))
        world.stop()

    def test_an_error_ends_one_stream_alone(self) -> None:
        world = self.make(hosts=("example.org", "example.net"))
        juliet = world.client("juliet@example.org/balcony")
        for _, _, provoke in TABLE:
            if provoke is taken_away:
                continue  # it would be gone for the others as well
            provoke(world)
            juliet.send("<message to='juliet@example.org/balcony' type='chat'><body>x</body></message>")
            juliet.expect("<message from='juliet@example.org/balcony'><body>x</body></message>")
        self.assert_no_traceback()


class UnknownElementTests(WorldTestCase):
    """§4.9.3.24: what is first-level and nobody understands."""

    def test_before_the_login(self) -> None:
        world = self.make()
        for said in (
            "<compress xmlns='http://jabber.org/protocol/compress'/>",
            "<enable xmlns='urn:xmpp:sm:3'/>",
            "<a/>",
            "<stream:features/>",
        ):
            client = world.connect()
            client.open("example.org")
            client.send(said)
            self.assert_stream_error(client, "unsupported-stanza-type")

    def test_out_of_turn(self) -> None:
        world = self.make()
        for said in (f"<success xmlns='{ns.SASL}'/>", f"<proceed xmlns='{ns.TLS}'/>", f"<bind xmlns='{ns.BIND}'/>"):
            client = world.connect()
            client.open("example.org")
            client.send(said)
            self.assert_stream_error(client, "policy-violation")
