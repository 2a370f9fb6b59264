"""A server in a process of its own: it comes, it is asked, and it goes in every case."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from federix.testing import ServerFailed, ServerProcess
from federix.testing.serve import Ports

SOURCE = Path(__file__).resolve().parents[2]
PATIENCE = 10.0


def soon(happened: Callable[[], bool]) -> bool:
    """Whether it happens in other processes before patience ends."""
    end = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def connected(server: ServerProcess, port: int) -> socket.socket:
    return socket.create_connection((server.host, port), timeout=PATIENCE)


class Asked(SynchronousTestCase):
    """One server for all that do no harm to it."""

    server: ServerProcess

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = ServerProcess(hosts=("localhost", "example.org"), listener={"max_stanza_size": 20000})
        cls.server.start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.stop()

    def test_an_account_is_made_and_its_address_prepared(self) -> None:
        self.assertEqual(self.server.register("Romeo", "secret"), "romeo@localhost")
        self.assertEqual(self.server.command("registered_users", host="localhost"), ["romeo"])

    def test_an_account_is_made_on_another_of_its_hosts(self) -> None:
        self.assertEqual(self.server.register("juliet", "secret", domain="example.org"), "juliet@example.org")

    def test_what_it_refuses_is_told(self) -> None:
        self.server.register("tybalt", "secret")
        with self.assertRaisesRegex(ServerFailed, "register: "):
            self.server.register("tybalt", "secret")
        with self.assertRaisesRegex(ServerFailed, "nowhere.example is not served here"):
            self.server.register("romeo", "secret", domain="nowhere.example")
        with self.assertRaisesRegex(ServerFailed, "there is no command 'konnect'"):
            self.server.command("konnect")

    def test_an_answer_that_nobody_waited_for_is_not_taken_for_another(self) -> None:
        self.server._say({"number": 0, "do": "registered_vhosts", "with": {}})
        self.assertEqual(self.server.command("connected_users"), [])

    def test_its_authority_vouches_for_it(self) -> None:
        context = ssl.create_default_context(cafile=self.server.ca_file)
        for name in ("localhost", "example.org", "127.0.0.1"):
            with connected(self.server, self.server.tls_port) as plain:
                context.wrap_socket(plain, server_hostname=name).close()

    def test_nobody_else_vouches_for_it(self) -> None:
        with connected(self.server, self.server.tls_port) as plain, self.assertRaises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")

    def test_it_asks_for_tls_on_the_other_port(self) -> None:
        with connected(self.server, self.server.port) as plain:
            plain.sendall(
                b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
                b" to='localhost' version='1.0'>"
            )
            said = b""
            while b"</stream:features>" not in said:
                said += plain.recv(65536)
        self.assertIn(b"<required/>", said)

    def test_it_logs(self) -> None:
        self.assertTrue(soon(lambda: 'server started (hosts: "localhost, example.org")' in self.server.log()))

    def test_it_runs_once(self) -> None:
        with self.assertRaises(ServerFailed):
            self.server.start()


class Ending(SynchronousTestCase):
    def test_its_log_outlives_it_and_its_folder_does_not(self) -> None:
        with ServerProcess() as server:
            folder = Path(server.ca_file).parent
            self.assertTrue(server.running)
        self.assertFalse(server.running)
        self.assertIn("server stopped", server.log())
        self.assertFalse(folder.exists())
        server.stop()  # again does no harm

    def test_one_that_crashed_says_so_when_asked(self) -> None:
        with ServerProcess() as server:
            assert server._process is not None
            server._process.kill()
            with self.assertRaisesRegex(ServerFailed, "it has ended"):
                server.command("connected_users")

    def test_one_that_crashed_can_be_started_again(self) -> None:
        with ServerProcess() as server:
            folder = Path(server.ca_file).parent
            assert server._process is not None
            server._process.kill()
            server._process.wait()
            server.start()
            self.assertEqual(server.register("romeo", "secret"), "romeo@localhost")
            self.assertFalse(folder.exists())

    def test_one_that_does_not_run_says_so_when_asked(self) -> None:
        with self.assertRaisesRegex(ServerFailed, "it does not run"):
            ServerProcess().register("romeo", "secret")

    def test_settings_that_are_wrong_are_told(self) -> None:
        with (
            self.assertRaisesRegex(ServerFailed, "mod_pnig.*did you mean 'mod_ping'"),
            ServerProcess(modules={"mod_pnig": {}}),
        ):
            self.fail("it started")

    def test_it_ends_when_whoever_started_it_is_killed(self) -> None:
        program = (
            "import sys\n"
            "from federix.testing import ServerProcess\n"
            "server = ServerProcess()\n"
            "server.start()\n"
            "print(server._process.pid, server.ca_file, flush=True)\n"
            "sys.stdin.read()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
        ) as starter:
            assert starter.stdout is not None
            pid, ca_file = starter.stdout.readline().decode().split()
            starter.kill()
        self.assertTrue(soon(lambda: not Path(ca_file).parent.exists()), "its folder is still there")
        self.assertTrue(soon(lambda: not _lives(int(pid))), "it still runs")


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


class Reserved(SynchronousTestCase):
    def test_a_port_that_is_kept_is_free_for_the_one_who_listens_there(self) -> None:
        ports = Ports()
        self.addCleanup(ports.release)
        with socket.socket() as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(("127.0.0.1", ports[0]))
            listening.listen()
        self.assertNotEqual(ports[0], ports[1])
