"""A start that fails: one line for each problem, exit code 1, and nothing left behind."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import skipUnless

from twisted.application.service import MultiService
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from federix.api import Module
from federix.life.executor import InlineExecutor
from federix.server.config import Config
from federix.server.directory import AnotherServer, DirectoryError, lock, make_directory, unlock
from federix.server.failures import explained
from federix.server.server import Server

from .processes import PATIENCE, ProcessCase, free_port

BROKEN = """\
from federix.api import Module

class Broken(Module):
    name = "mod_broken"

    async def on_start(self) -> None:
        raise RuntimeError("no luck today")
"""


class Background(ProcessCase):
    """Who waits for `twistd` in the foreground hears how the start went."""

    def failed(self, *before: str) -> list[str]:
        """The lines on standard error of a start that must fail."""
        done = self.run_twistd("-c", "federix.yml", "-d", "data", before=before)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertNotIn("Traceback", done.stdout + done.stderr)
        self.assertFalse((self.folder / "twistd.pid").exists())
        return done.stderr.splitlines()

    def test_a_port_that_is_taken(self) -> None:
        self.write()
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", self.port))
            taken.listen()
            lines = self.failed()
        self.assertRegex(lines[0], rf"federix.yml:2:10: cannot listen, .*:{self.port}: Address already in use; ")
        self.assertEqual(lines[1], "federix: not started")
        self.assertIn("not started: ", (self.folder / "twistd.log").read_text())

    def test_a_module_that_cannot_start(self) -> None:
        self.write("modules: {mod_broken: {}}\n")
        (self.folder / "modules").mkdir()
        (self.folder / "modules" / "mod_broken.py").write_text(BROKEN)
        why = "mod_broken could not start on a.test: RuntimeError: no luck today"
        for before in ((), ("-n",)):
            lines = self.failed(*before)
            self.assertRegex(lines[0], rf"^{why} \(.*mod_broken.py:7\)$")
            self.assertEqual(lines[1], "federix: not started")
        self.assertNotIn("Traceback", (self.folder / "twistd.log").read_text())

    def test_a_log_that_cannot_be_written(self) -> None:
        self.write()
        for before in (("--logfile", "/nowhere/x.log"), ("-n", "--logfile", "/nowhere/x.log")):
            self.assertEqual(
                self.failed(*before), ["/nowhere/x.log: No such file or directory", "federix: not started"]
            )

    def test_a_start_that_works_is_done_when_it_says_so(self) -> None:
        path = self.write()
        done = self.run_twistd("-c", "federix.yml", "-d", "data")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        try:
            self.assertEqual(self.ctl("registered_vhosts").stdout, "a.test\n")
            # A second one for the same folder, on another port, has no chance.
            path.write_text(path.read_text().replace(f"port: {self.port}", "port: 0"))
            second = self.run_twistd("-c", "federix.yml", "-d", "data", before=("-n", "--pidfile="))
            self.assertEqual(second.returncode, 1)
            self.assertRegex(second.stderr, r"^a server \(process \d+\) runs in .*/data already: ")
        finally:
            self.assertEqual(self.ctl("stop").returncode, 0)

    @contextmanager
    def starting_for_ever(self) -> Iterator[subprocess.Popen[bytes]]:
        """A process whose start waits for something that never comes."""
        path = self.write("modules: {mod_broken: {}}\n")
        (self.folder / "modules").mkdir()
        waiting = BROKEN.replace("raise RuntimeError", "from twisted.internet.defer import Deferred; await Deferred")
        (self.folder / "modules" / "mod_broken.py").write_text(waiting.replace('"no luck today"', ""))
        with self.twistd("-c", str(path), "-d", "data") as process:
            self.until_it_listens(process)
            end = time.monotonic() + PATIENCE
            while not (self.folder / "data" / "federix.sqlite").exists() and time.monotonic() < end:
                time.sleep(0.05)
            yield process

    def test_a_start_that_takes_for_ever_can_be_stopped(self) -> None:
        with self.starting_for_ever() as process:
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(PATIENCE), 1)
            assert process.stdout is not None
            self.assertEqual(
                process.stdout.read().decode(),
                "stopped by SIGTERM before it had started\nfederix: not started\n",
            )

    def test_a_start_that_takes_for_ever_can_be_stopped_by_federixctl(self) -> None:
        with self.starting_for_ever() as process:
            self.assertEqual(self.ctl("stop").returncode, 0)
            self.assertEqual(process.wait(PATIENCE), 1)
            assert process.stdout is not None
            told = process.stdout.read().decode()
            self.assertNotIn("Traceback", told)
            self.assertIn("\nstopped by federixctl before it had started\nfederix: not started\n", told)

    @skipUnless(os.geteuid() == 0, "only root can give up rights")
    def test_a_directory_of_somebody_else(self) -> None:
        self.write()
        (self.folder / "data").mkdir(mode=0o755)
        done = self.run_twistd("-c", "federix.yml", "-d", "data", before=("-n", "--uid", "nobody"))
        self.assertEqual(done.returncode, 1)
        self.assertEqual(
            done.stderr.splitlines()[0],
            f"the data directory {self.folder}/data cannot be written to by nobody, whom the server runs as:"
            " Permission denied",
        )
        self.assertNotIn("federixctl", done.stdout)


class Explained(SynchronousTestCase):
    """The same in one process: the text of each problem."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="federix-start-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def start(self, listen: dict[str, Any] | None = None, **settings: Any) -> list[str]:
        listeners = [] if listen is None else [{"module": "ejabberd_c2s", **listen}]
        config = Config.load({"hosts": ["a.test"], "listen": listeners, **settings}, directory=self.folder)
        clock = MemoryReactorClock()  # type: ignore[no-untyped-call]
        server = Server(config, clock, executor=InlineExecutor(), iterations=4096)
        failure = self.failureResultOf(ensureDeferred(server.start()))
        self.assertEqual(clock.getDelayedCalls(), [])
        return explained(failure.value)

    def test_a_database_in_a_folder_that_is_not_there(self) -> None:
        (line,) = self.start(sql_database="missing/federix.sqlite")
        self.assertIn("missing/federix.sqlite cannot be opened", line)
        self.assertTrue(line.endswith("cannot be opened: No such file or directory"), line)

    def test_a_database_that_is_none(self) -> None:
        (self.folder / "federix.sqlite").write_bytes(b"no database" * 1000)
        (line,) = self.start()
        self.assertIn("federix.sqlite cannot be opened: file is not a database", line)

    def test_a_directory_that_cannot_be_made(self) -> None:
        (self.folder / "file").touch()
        error = self.assertRaises(DirectoryError, make_directory, self.folder / "file" / "data")
        self.assertRegex(str(error), "/file/data cannot be made by .*: Not a directory")
        error = self.assertRaises(DirectoryError, make_directory, self.folder / "file")
        self.assertIn("something else of that name", str(error))

    @skipUnless(os.geteuid() == 0, "only root can give away what it makes")
    def test_what_is_made_belongs_to_who_will_run_the_server(self) -> None:
        nobody = pwd.getpwnam("nobody")
        make_directory(self.folder / "a" / "b", nobody.pw_uid, nobody.pw_gid)
        for path in (self.folder / "a", self.folder / "a" / "b"):
            self.assertEqual((path.stat().st_uid, path.stat().st_mode & 0o777), (nobody.pw_uid, 0o700))

    def test_a_directory_is_held_by_one(self) -> None:
        held = lock(self.folder)
        self.addCleanup(os.close, held)
        (line,) = self.start()
        self.assertIn(f"a server (process {os.getpid()}) runs in {self.folder} already", line)

    def test_a_directory_whose_holder_leaves_at_that_moment_is_held_by_one_again(self) -> None:
        flock, left = fcntl.flock, lock(self.folder)

        def late(descriptor: int, how: int) -> None:
            self.patch(fcntl, "flock", flock)
            unlock(self.folder, left)
            flock(descriptor, how)

        self.patch(fcntl, "flock", late)
        held = lock(self.folder)
        self.assertRaises(AnotherServer, lock, self.folder)
        unlock(self.folder, held)
        self.assertEqual(list(self.folder.iterdir()), [])

    def refused(self, number: int, listen: dict[str, Any]) -> str:
        def no(reactor: object, port: object, *_: object, **__: object) -> None:
            if not str(port).endswith("federixctl.sock"):
                raise CannotListenError("0.0.0.0", 80, OSError(number, "No"))

        self.patch(MemoryReactorClock, "listenTCP", no)
        self.patch(MemoryReactorClock, "listenUNIX", no)
        (line,) = self.start(listen)
        return line

    def test_each_reason_not_to_listen_has_its_advice(self) -> None:
        port = {"port": 80}
        self.assertIn("Address already in use; does a server run there already?", self.refused(98, port))
        refusal = self.refused(13, port)
        self.assertIn("only root may open such a port", refusal)
        self.assertNotIn("server run there", refusal)
        self.assertIn("no network interface has this address", self.refused(99, port))
        self.assertIn("there is no folder /nowhere", self.refused(2, {"port": "unix:/nowhere/x.sock"}))

    def test_an_error_nobody_foresaw_comes_with_its_place(self) -> None:
        class Odd(Module):
            name = "mod_odd"

            async def on_start(self) -> None:
                raise KeyError("lost")

        settings = {"hosts": ["a.test"], "modules": {"mod_odd": {}}}
        config = Config.load(settings, own_modules={"mod_odd": Odd}, directory=self.folder)
        clock = MemoryReactorClock()  # type: ignore[no-untyped-call]
        server = Server(config, clock, executor=InlineExecutor(), iterations=4096, ctl=False)
        (line,) = explained(self.failureResultOf(ensureDeferred(server.start())).value)
        self.assertRegex(line, r"^mod_odd could not start on a.test: KeyError: 'lost' \(.*test_failed_starts.py:\d+\)$")


class Ports(TestCase):
    """Bound with all rights, before the start."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="federix-start-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.ports = (free_port(), free_port())
        listen = [{"module": "ejabberd_c2s", "ip": "127.0.0.1", "port": port} for port in self.ports]
        settings = {"hosts": ["a.test"], "default_db": "memory", "listen": listen}
        config = Config.load(settings, directory=self.folder)
        self.server = Server(config, reactor, executor=InlineExecutor(), iterations=4096, ctl=False)
        self.addCleanup(lambda: ensureDeferred(self.server.stop()))

    async def test_where_one_is_taken_none_stays_bound_and_it_can_be_tried_again(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", self.ports[1]))
            taken.listen()
            self.assertRaises(CannotListenError, self.server.privilegedStartService)
            await deferLater(reactor, 0.01, lambda: None)  # the reactor closes them
            with socket.socket() as other:
                other.bind(("127.0.0.1", self.ports[0]))
        self.server.privilegedStartService()
        await self.server.start()
        self.assertTrue(self.server.running)

    async def test_one_that_is_bound_is_not_bound_again(self) -> None:
        self.server.privilegedStartService()
        application = MultiService()  # type: ignore[no-untyped-call]
        application.startService()  # type: ignore[no-untyped-call]
        self.server.setServiceParent(application)  # which does the same once more
        await deferLater(reactor, 0.01, lambda: None)
        self.assertTrue(self.server.running)
