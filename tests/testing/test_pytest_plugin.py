"""The fixtures, as somebody's tests use them: each run of pytest here is one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

SOURCE = Path(__file__).resolve().parents[2]
TIMEOUT = 120.0


def run(tests: str, *options: str, ini: str = "") -> tuple[str, dict[str, int]]:
    """What pytest says of a file of *tests*, and how many passed, failed and so on."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_somebody.py").write_text(textwrap.dedent(tests))
        (Path(folder) / "pytest.ini").write_text(f"[pytest]\nfilterwarnings = error\n{textwrap.dedent(ini)}")
        # Nothing is loaded by itself, so that it makes no difference whether Federix is installed.
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "federix.testing.pytest", "-p", "no:cacheprovider", *options],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
    said = done.stdout + done.stderr
    last = next((line for line in reversed(said.splitlines()) if " in " in line), "")
    words = last.strip("= ").partition(" in ")[0].replace(",", "").split()
    return said, {word: int(number) for number, word in zip(words[::2], words[1::2], strict=False) if number.isdigit()}


class Servers(SynchronousTestCase):
    def test_each_test_has_a_server_of_its_own(self) -> None:
        said, counts = run(
            """
            import socket

            def test_one(federix_server):
                assert federix_server.register("romeo", "secret") == "romeo@localhost"
                socket.create_connection((federix_server.host, federix_server.tls_port)).close()

            def test_two(federix_server):
                assert federix_server.command("registered_users", host="localhost") == []
            """
        )
        self.assertEqual(counts, {"passed": 2}, said)

    def test_one_server_serves_all_tests_where_it_is_asked_to(self) -> None:
        said, counts = run(
            """
            seen = []

            def test_one(federix_server):
                seen.append(federix_server)
                federix_server.register("romeo", "secret")

            class TestTwo:
                def test_two(self, federix_server):
                    assert federix_server is seen[0]
                    assert federix_server.command("registered_users", host="localhost") == ["romeo"]
            """,
            ini="federix_scope = session",
        )
        self.assertEqual(counts, {"passed": 2}, said)

    def test_a_scope_that_is_none_is_refused(self) -> None:
        said, _ = run("def test_one(federix_server): pass", ini="federix_scope = forever")
        self.assertIn("federix_scope must be one of session, package, module, class, function, not 'forever'", said)

    def test_a_factory_makes_servers_with_modules_of_ones_own_and_stops_them(self) -> None:
        said, counts = run(
            """
            import pytest
            from federix.api import Module, iq_get
            from federix.testing import ServerFailed

            class Mine(Module):
                name = "mod_mine"

            servers = []

            def test_one(federix_server_factory):
                servers.append(federix_server_factory(modules={"test_somebody.Mine": {}}, hosts=("a.example",)))
                servers.append(federix_server_factory({"loglevel": "debug"}))
                assert all(server.running for server in servers)
                assert servers[0].domain == "a.example"
                assert servers[0].port != servers[1].port

            def test_two():
                assert not any(server.running for server in servers)
            """
        )
        self.assertEqual(counts, {"passed": 2}, said)

    def test_a_failed_test_shows_what_the_server_logged(self) -> None:
        said, counts = run(
            """
            def test_good(federix_server): pass
            def test_bad(federix_server): assert not federix_server.running
            """
        )
        self.assertEqual(counts, {"failed": 1, "passed": 1}, said)
        self.assertEqual(said.count("- Federix log -"), 1, said)
        self.assertIn("server started (hosts: localhost)", said)

    def test_workers_side_by_side_do_not_meet(self) -> None:
        said, counts = run(
            """
            import pytest

            @pytest.mark.parametrize("number", range(2))
            def test_it(federix_server, number):
                federix_server.register("romeo", "secret")
            """,
            "-p",
            "xdist.plugin",
            "-n",
            "2",
        )
        self.assertEqual(counts, {"passed": 2}, said)


class Worlds(SynchronousTestCase):
    def test_a_world_is_there_with_the_usual_modules(self) -> None:
        said, counts = run(
            """
            def test_one(federix_world):
                romeo = federix_world.client("romeo@example.org/orchard")
                romeo.request("<iq type='get' id='1' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>")
                federix_world.advance(60)

            def test_two_servers_speak_with_each_other(federix_federation):
                federation = federix_federation("a.test", "b.test")
                romeo = federation.client("romeo@a.test/orchard")
                juliet = federation.client("juliet@b.test/balcony")
                romeo.send("<message to='juliet@b.test/balcony'/>")
                juliet.expect("<message from='romeo@a.test/orchard'/>")

            def test_two(federix_world_factory):
                world = federix_world_factory(hosts=("a.example", "b.example"))
                assert [host.name for host in world.host("a.example").running_modules()] == []
            """
        )
        self.assertEqual(counts, {"passed": 3}, said)

    def test_all_are_stopped_though_one_fails_at_that(self) -> None:
        said, counts = run(
            """
            made = []

            def test_one(federix_world_factory, federix_federation, federix_server_factory):
                for make in (federix_world_factory, lambda: federix_federation("a.test"), federix_server_factory):
                    for _ in range(2):
                        each = make()
                        made.append(each)
                        each.stop = failing(each.stop)

            def failing(stop):
                def fails():
                    stop()
                    stopped.append(stop)
                    raise ZeroDivisionError
                return fails

            stopped = []

            def test_two():
                assert len(stopped) == len(made) == 6
            """
        )
        self.assertEqual(counts.get("passed"), 2, said)


class Light(SynchronousTestCase):
    def test_a_run_that_asks_for_nothing_loads_no_twisted(self) -> None:
        said, counts = run(
            """
            import sys

            def test_one():
                assert "federix.testing.process" in sys.modules
                assert not [name for name in sys.modules if name.startswith(("twisted", "federix.server"))]
            """
        )
        self.assertEqual(counts, {"passed": 1}, said)
