"""The server as a whole: its certificates, what a reload swaps, how it stops."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from federix.core.commands import CommandError
from federix.life.executor import InlineExecutor
from federix.life.tree import State
from federix.server.config import Config
from federix.server.server import DAY, Server
from federix.testing import Client, World
from federix.testing.world import BEGINNING
from tests.streams.handshakes import Identity

NOW = datetime.fromtimestamp(BEGINNING, UTC)


def shown(client: Client) -> x509.Certificate:
    """The certificate the server has shown to *client*."""
    handle: Any = client.tls
    certificate: x509.Certificate = handle.get_peer_certificate(as_cryptography=True)
    return certificate


class ServerCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.warnings: list[str] = []

        def hear(event: Any) -> None:
            if event["log_level"] >= LogLevel.warn:
                self.warnings.append(event["log_format"].format(**event))

        globalLogPublisher.addObserver(hear)
        self.addCleanup(globalLogPublisher.removeObserver, hear)

    def write(self, name: str, *names: str, days: tuple[float, float] = (-30, 60)) -> Identity:
        identity = Identity(*names, days=days, now=NOW)
        (self.folder / name).write_bytes(identity.both)
        return identity

    def world(self, **settings: Any) -> World:
        hosts = settings.pop("hosts", ["a.test", "b.test"])
        world = World({"certfiles": [str(self.folder.absolute() / "*.pem")], **settings}, hosts=hosts)
        self.addCleanup(world.stop)
        return world

    def over_tls(self, world: World, host: str, server_name: str | None) -> Client:
        client = world.connect()
        client.open(host)
        client.start_tls(server_name)
        client.open(host)
        return client


class CertificateTests(ServerCase):
    def test_each_host_shows_its_own(self) -> None:
        one, two = self.write("a.pem", "a", "a.test"), self.write("b.pem", "b", "b.test")
        world = self.world()
        for host, server_name, expected in [
            ("a.test", "a.test", one),
            ("b.test", "b.test", two),
            ("b.test", None, two),  # without SNI the stream's `to` says who is meant
        ]:
            self.assertEqual(shown(self.over_tls(world, host, server_name)), expected.certificate)
        direct = world.connect(5223)
        direct.begin_tls("b.test")
        self.assertEqual(shown(direct), two.certificate)
        self.assertEqual(self.warnings, [])

    def test_a_reload_shows_the_new_one_and_drops_nobody(self) -> None:
        old = self.write("a.pem", "a", "a.test")
        world = self.world(hosts=["a.test"])
        world.register("romeo@a.test")
        romeo = world.client("romeo@a.test/r", tls=True)
        self.assertEqual(shown(romeo), old.certificate)
        new = self.write("a.pem", "a", "a.test")
        world.run(world.server.reload(world.configure(world.settings)))
        self.assertEqual(shown(self.over_tls(world, "a.test", "a.test")), new.certificate)
        self.assertEqual(romeo.request("<iq type='get' id='1'><x xmlns='y'/></iq>").get("type"), "error")
        self.assertIsNone(romeo.lost)

    def test_a_server_that_starts_again_reads_them_again(self) -> None:
        self.write("a.pem", "a", "a.test")
        world = self.world(hosts=["a.test"])
        world.run(world.server.start())
        world.stop()
        new = self.write("a.pem", "a", "a.test")
        world.run(world.server.start())
        self.assertEqual(shown(self.over_tls(world, "a.test", "a.test")), new.certificate)

    def test_without_certfiles_one_is_made_and_kept(self) -> None:
        world = World(hosts=["a.test"])
        self.addCleanup(world.stop)
        first = shown(self.over_tls(world, "a.test", "a.test"))
        names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertIn("a.test", names.get_values_for_type(x509.DNSName))
        world.run(world.server.reload(world.configure(world.settings)))
        self.assertEqual(shown(self.over_tls(world, "a.test", "a.test")), first)

    def test_a_host_without_certificate_is_told_at_start(self) -> None:
        self.write("a.pem", "a", "a.test")
        self.world()
        self.assertEqual(len(self.warnings), 1)
        self.assertIn("b.test", self.warnings[0])

    def test_a_certificate_that_comes_to_its_end_is_told_day_by_day(self) -> None:
        self.write("a.pem", "a", "a.test", days=(-1, 16))
        world = self.world(hosts=["a.test"])
        self.assertEqual(self.warnings, [])
        world.advance(3 * DAY)
        self.assertTrue(self.warnings and "expires on" in self.warnings[-1])
        world.advance(15 * DAY)
        self.assertIn(f"expired on {NOW + timedelta(days=16):%Y-%m-%d}", self.warnings[-1])


class ReloadTests(ServerCase):
    def test_what_a_listener_allows_is_swapped_in_place(self) -> None:
        world = World(hosts=["a.test"])
        self.addCleanup(world.stop)
        romeo = world.client("romeo@a.test/r")
        listen = [{**entry, "starttls_required": True} for entry in world.settings["listen"]]
        ports = len(world.clock.tcpServers)
        world.run(world.server.reload(world.configure({**world.settings, "listen": listen})))
        features = world.connect().open("a.test")
        self.assertEqual([e.name for e in features.elements()], ["starttls", "limits"])
        self.assertEqual(len(world.clock.tcpServers), ports)  # the port was not bound again
        romeo.send("<presence/>")
        self.assertIsNone(romeo.lost)

    def test_what_is_kept_of_new_passwords_follows(self) -> None:
        world = World(hosts=["a.test"])
        self.addCleanup(world.stop)
        world.run(
            world.server.reload(world.configure({**world.settings, "auth_stored_password_types": ["scram_sha512"]}))
        )
        world.register("romeo@a.test")
        account = world.run(world.server.storage.accounts.get("romeo", "a.test"))
        assert account is not None
        self.assertEqual(set(account.credentials), {"SCRAM-SHA-512"})


class NotRunningTests(ServerCase):
    """A reload is for a server that runs: what it bound for another one would be left behind."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor = MemoryReactorClock()  # type: ignore[no-untyped-call]
        self.server = Server(self.config(), self.reactor, executor=InlineExecutor(), ctl=False)

    def config(self, *more: int) -> Config:
        listen = [{"module": "ejabberd_c2s", "ip": "127.0.0.1", "port": port} for port in (5222, *more)]
        return Config.load(
            {"hosts": ["a.test"], "default_db": "memory", "listen": listen}, directory=self.folder.absolute()
        )

    def refused(self) -> str:
        before, bound = self.server.config, len(self.reactor.tcpServers)
        failure = self.failureResultOf(ensureDeferred(self.server.reload(self.config(5299))), CommandError)
        self.assertIs(self.server.config, before)
        self.assertEqual(len(self.reactor.tcpServers), bound)
        return str(failure.value)

    def test_one_that_is_stopped_is_not_reloaded(self) -> None:
        self.successResultOf(ensureDeferred(self.server.start()))
        self.successResultOf(ensureDeferred(self.server.stop()))
        self.assertIn("stopped", self.refused())

    def test_one_that_starts_is_not_reloaded(self) -> None:
        waiting: Deferred[None] = Deferred()
        self.patch(self.server.storage, "start", lambda: waiting)
        starting = ensureDeferred(self.server.start())
        self.assertIn("starting", self.refused())
        waiting.callback(None)
        self.successResultOf(starting)
        self.successResultOf(ensureDeferred(self.server.reload(self.config(5299))))
        self.successResultOf(ensureDeferred(self.server.stop()))

    def test_one_that_stops_is_not_reloaded(self) -> None:
        self.successResultOf(ensureDeferred(self.server.start()))
        waiting: Deferred[None] = Deferred()
        self.patch(self.server.storage, "stop", lambda: waiting)
        stopping = ensureDeferred(self.server.stop())
        self.refused()
        waiting.callback(None)
        self.successResultOf(stopping)


class StoppingTests(ServerCase):
    def test_clients_hear_of_the_shutdown(self) -> None:
        world = World(hosts=["a.test"])
        romeo = world.client("romeo@a.test/r")
        world.stop()
        self.assertIn(b"<system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>", bytes(romeo.raw))
        self.assertTrue(romeo.ended)
        self.assertIsNotNone(romeo.lost)

    def test_nothing_stays_behind(self) -> None:
        world = World(hosts=["a.test", "b.test"])
        for name in ("romeo@a.test/r", "juliet@b.test/j"):
            world.client(name, tls=True)
        world.stop()
        self.assertEqual(world.clock.getDelayedCalls(), [])
        self.assertTrue(all(node.state is State.STOPPED for _, node in world.server.walk()))
        self.assertTrue(all(len(node.scope) == 0 for _, node in world.server.walk()))

    def test_a_server_starts_again_after_a_stop(self) -> None:
        world = World({"sql_database": "kept.sqlite"}, hosts=["a.test"])
        self.addCleanup(world.stop)
        world.register("romeo@a.test")
        world.run(world.server.start())
        done: list[object] = []
        ensureDeferred(world.server.stop()).addBoth(done.append)
        world.advance(10)
        self.assertEqual(done, [None])
        world.run(world.server.start())
        self.assertTrue(world.run(world.host("a.test").accounts.exists("romeo")))

    def test_a_start_that_fails_leaves_nothing_running(self) -> None:
        config = Config.load(
            {"hosts": ["a.test"], "sql_database": "/proc/nowhere/federix.sqlite", "listen": []},
            directory=self.folder.absolute(),
        )
        clock = MemoryReactorClock()  # type: ignore[no-untyped-call]
        server = Server(config, clock, executor=InlineExecutor())
        failure = self.failureResultOf(server.startService())
        self.assertIn("/proc/nowhere", str(failure.value))
        self.assertEqual(clock.getDelayedCalls(), [])
        states = {node.name: node.state for _, node in server.walk()}
        self.assertEqual(states["federix"], State.FAILED)
        self.assertEqual(states["router"], State.STOPPED)
