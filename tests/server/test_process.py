"""What `twistd federix` does with its process: seen from outside, on a real one."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[2]
#: Seconds a start may take on a machine that is busy with other tests.
PATIENCE = 40.0
#: Open files that a process is allowed at first: what many systems give.
FEW = 256

#: `twistd` without depending on where its script lies, allowed few open files.
TWISTD = f"""
import resource, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, ({FEW}, hard))
sys.argv[0] = "twistd"
from twisted.scripts.twistd import run
run()
"""
HEADER = (
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='elsewhere.test'"
    b" version='1.0'>"
)


class ProcessTests(SynchronousTestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory(prefix="federix-process-")
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    @contextmanager
    def running(self, extra: str = "") -> Iterator[subprocess.Popen[bytes]]:
        """A server that accepts connections; its log is in the file `log`."""
        configuration = self.folder / "federix.yml"
        configuration.write_text(
            f"hosts: [a.test]\nlisten: [{{module: ejabberd_c2s, ip: 127.0.0.1, port: {self.port}}}]\n{extra}"
        )
        arguments = ["--nodaemon", "--pidfile=", "federix", "-c", str(configuration), "-d", str(self.folder / "data")]
        with (self.folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", TWISTD, *arguments],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self.until(lambda: "server started" in self.log(), process)
            yield process
        finally:
            process.kill()
            process.wait()

    def until(self, happened: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + PATIENCE
        while not happened():
            if process.poll() is not None or time.monotonic() > end:
                self.fail(f"it did not start:\n{self.log()}")
            time.sleep(0.05)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def refused(self) -> str:
        """What the log says of one who asks for a host that is not served here."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as client:
            client.sendall(HEADER)
            while client.recv(4096):
                pass
        return next(line for line in self.log().splitlines() if "client refused" in line)

    @skipUnless(Path("/proc/self/limits").exists(), "only Linux tells the limits of another process")
    def test_it_may_open_as_many_files_as_it_is_allowed_to(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with self.running() as process:
            limits = Path(f"/proc/{process.pid}/limits").read_text()
            told = next(line for line in limits.splitlines() if line.startswith("Max open files"))
            allowed = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
            self.assertEqual(told.split()[3:5], [allowed, allowed])
            self.assertIn("peer: 127.0.0.1", self.refused())

    def test_addresses_stay_out_of_the_log_where_the_configuration_says_so(self) -> None:
        with self.running("hide_sensitive_log_data: true\n"):
            refused = self.refused()
        self.assertIn("peer: (hidden)", refused)
        self.assertNotIn("127.0.0.1", refused)
