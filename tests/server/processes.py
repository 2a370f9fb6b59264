"""Real processes of `twistd federix` on loopback, for tests."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[2]
#: Seconds a start or a stop may take on a machine that is busy with other tests.
PATIENCE = 40.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ProcessCase(SynchronousTestCase):
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

    def run_twistd(self, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """To the end of what waits for it in the foreground; in the background, unless *before* says ``-n``."""
        return subprocess.run(
            [sys.executable, "-c", _TWISTD, *before, "federix", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    @contextmanager
    def twistd(
        self, *arguments: str, before: tuple[str, ...] = (), terminal: int | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """In the foreground; *terminal* is its own, where it has one."""
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", _TWISTD if terminal is None else _TAKE_TERMINAL + _TWISTD),
                *("--nodaemon", "--pidfile=", *before, "federix", *arguments),
            ],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL if terminal is None else terminal,
            stdout=subprocess.PIPE if terminal is None else terminal,
            stderr=subprocess.STDOUT,
            start_new_session=terminal is not None,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout is not None:
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

    def until(self, what: str, process: subprocess.Popen[bytes]) -> str:
        """Read what the process writes up to a line with *what* in it; where none comes the process is ended."""
        assert process.stdout is not None
        told = ""
        patience = threading.Timer(PATIENCE, process.kill)
        patience.start()
        try:
            for line in iter(process.stdout.readline, b""):
                told += line.decode()
                if what in told:
                    break
        finally:
            patience.cancel()
        return told

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


#: `twistd` without depending on where its script lies.
_TWISTD = "import sys; sys.argv[0] = 'twistd'; from twisted.scripts.twistd import run; run()"
#: In front of it: the standard input becomes the terminal that the process belongs to.
_TAKE_TERMINAL = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
