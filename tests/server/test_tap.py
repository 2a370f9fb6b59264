"""`twistd federix`: as an operator starts it."""

from __future__ import annotations

import os
import pwd
import resource
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import skipUnless

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from federix.modules import MODULES
from federix.server.config import Config
from federix.server.server import Server
from federix.server.tap import Options, introduction, makeService, raise_open_files

ROOT = Path(__file__).resolve().parents[2]
#: Seconds a start or a stop may take on a machine that is busy with other tests.
PATIENCE = 40.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Starting(SynchronousTestCase):
    """What happens before anything runs."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def options(self, text: str, *arguments: str) -> Options:
        path = self.folder / "federix.yml"
        path.write_text(text)
        options = Options()
        options.parseOptions(["-c", str(path), "-d", str(self.folder / "data"), *arguments])  # type: ignore[no-untyped-call]
        return options

    def test_a_wrong_configuration_is_told_with_file_and_line(self) -> None:
        options = self.options("hosts: [a.test]\nlistn: []\n")
        told = str(self.assertRaises(SystemExit, makeService, options))
        self.assertIn("federix.yml:2:1: listn", told)
        self.assertIn("did you mean 'listen'", told)
        self.assertIn("not started", told)

    def test_demo_accounts_are_for_loopback_only(self) -> None:
        text = "hosts: [a.test]\nlisten: [{module: ejabberd_c2s, port: 5222, ip: 0.0.0.0}]\n"
        told = str(self.assertRaises(SystemExit, makeService, self.options(text, "--demo")))
        self.assertIn("loopback", told)

    def test_five_lines_say_what_runs_and_how_to_go_on(self) -> None:
        config = Config.default(self.folder, known_modules=MODULES.get)
        clock = MemoryReactorClock()  # type: ignore[no-untyped-call]
        lines = introduction(Server(config, clock), None)
        self.assertEqual(len(lines), 5)
        told = "\n".join(lines)
        for word in ("localhost", "127.0.0.1:5222", "127.0.0.1:5223", "federixctl", "register romeo localhost", "Stop"):
            self.assertIn(word, told)

    def test_the_limit_of_open_files_is_raised_as_far_as_allowed(self) -> None:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, before[1]), before[1]))
        self.assertEqual(raise_open_files(), before[1])
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE)[0], before[1])


class Running(SynchronousTestCase):
    """Real processes on loopback, ended by their pid."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory(prefix="federix-tap-")
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        self.folder.chmod(0o755)
        self.port = free_port()

    def write(self, extra: str = "") -> Path:
        path = self.folder / "federix.yml"
        path.write_text(
            f"hosts: [a.test]\nlisten: [{{module: ejabberd_c2s, ip: 127.0.0.1, port: {self.port}, tls: true}}]\n{extra}"
        )
        return path

    @contextmanager
    def twistd(self, *arguments: str, before: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            [sys.executable, "-c", _TWISTD, "--nodaemon", "--pidfile=", *before, "federix", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def until_it_listens(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if process.poll() is not None:
                assert process.stdout is not None
                self.fail(f"it ended: {process.stdout.read().decode()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        self.fail("it does not listen")

    def header(self) -> bytes:
        """Open a stream over TLS; what the server says first."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname="a.test") as secure,
        ):
            secure.sendall(
                b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='a.test'"
                b" version='1.0'>"
            )
            got = b""
            while b"</stream:features>" not in got:
                piece = secure.recv(4096)
                if not piece:
                    break
                got += piece
            return got

    def test_it_serves_and_ends_at_sigterm(self) -> None:
        with self.twistd("-c", str(self.write()), "-d", str(self.folder / "data")) as process:
            self.until_it_listens(process)
            self.assertIn(b"SCRAM-SHA-256-PLUS", self.header())
            process.send_signal(signal.SIGTERM)
            # twistd stops everything and then dies of the signal, so that whoever sent it can tell.
            self.assertEqual(process.wait(PATIENCE), -signal.SIGTERM)
            assert process.stdout is not None
            told = process.stdout.read().decode()
        self.assertIn("server started", told)
        self.assertIn("server stopped", told)
        self.assertNotIn("Traceback", told)
        self.assertNotIn("[warning]", told)

    def test_a_wrong_configuration_ends_without_a_traceback(self) -> None:
        with self.twistd("-c", str(self.write("modules: {mod_pong: {}}\n"))) as process:
            self.assertNotEqual(process.wait(PATIENCE), 0)
            assert process.stdout is not None
            told = process.stdout.read().decode()
        self.assertIn("federix.yml:3:11", told)
        self.assertIn("mod_ping", told)
        self.assertNotIn("Traceback", told)

    def test_a_port_that_is_taken_ends_the_start(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", self.port))
            taken.listen()
            with self.twistd("-c", str(self.write()), "-d", str(self.folder / "data")) as process:
                self.assertNotEqual(process.wait(PATIENCE), 0)
                assert process.stdout is not None
                told = process.stdout.read().decode()
                self.assertIn(str(self.port), told)
                self.assertIn("running there already", told)
                self.assertNotIn("Traceback", told)

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`federixctl` for the server of this test."""
        where = ["-c", str(self.folder / "federix.yml"), "-d", str(self.folder / "data")]
        return subprocess.run(
            [sys.executable, "-c", "from federix.server.ctl.main import main; main()", *where, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def test_a_reload_takes_what_is_right_and_drops_nobody(self) -> None:
        path = self.write()
        with self.twistd("-c", str(path), "-d", str(self.folder / "data")) as process:
            self.until_it_listens(process)
            with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as old:
                path.write_text("hosts: [a.test\n")
                broken = self.ctl("reload_config")
                self.assertEqual(broken.returncode, 1)
                self.assertIn("federix.yml:", broken.stderr)
                self.assertIn(b"from='a.test'", self.header())

                self.write("loglevel: error\nhost_config: {b.test: {language: de}}\n")
                path.write_text(path.read_text().replace("[a.test]", "[a.test, b.test]"))
                self.assertEqual(self.ctl("reload_config").returncode, 0)
                self.assertEqual(self.ctl("registered_vhosts").stdout.split(), ["a.test", "b.test"])
                self.assertEqual(self.ctl("register", "romeo", "b.test", "secret").returncode, 0)
                # The connection from before is still open: nothing has come, not even its end.
                old.setblocking(False)
                self.assertRaises(BlockingIOError, old.recv, 1)
            self.assertEqual(self.ctl("stop").returncode, 0)
            self.assertEqual(process.wait(PATIENCE), 0)
            assert process.stdout is not None
            told = process.stdout.read().decode()
        self.assertNotIn("Traceback", told)
        self.assertNotIn("server stopped", told)  # from the reload on, only errors are logged

    @skipUnless(os.geteuid() == 0, "only root can give up rights")
    def test_rights_are_given_up_after_binding(self) -> None:
        nobody = pwd.getpwnam("nobody")
        data = self.folder / "data"
        data.mkdir()
        os.chown(data, nobody.pw_uid, nobody.pw_gid)
        before = ("--uid", "nobody", "--gid", str(nobody.pw_gid))
        with self.twistd("-c", str(self.write()), "-d", str(data), before=before) as process:
            self.until_it_listens(process)
            status = Path(f"/proc/{process.pid}/status").read_text()
            uid = next(line for line in status.splitlines() if line.startswith("Uid:"))
            self.assertEqual(set(uid.split()[1:]), {str(nobody.pw_uid)})
            self.assertIn(b"mechanisms", self.header())


#: `twistd` without depending on where its script lies.
_TWISTD = "import sys; sys.argv[0] = 'twistd'; from twisted.scripts.twistd import run; run()"
