"""`twistd federix`: as an operator starts it."""

from __future__ import annotations

import json
import os
import pwd
import resource
import signal
import socket
import sys
from pathlib import Path
from unittest import skipUnless

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from federix.modules import MODULES
from federix.server.config import Config
from federix.server.introduction import DEMO_ACCOUNTS, demo_accounts, demonstration, federixctl, free_name, introduction
from federix.server.running import raise_open_files
from federix.server.server import Server
from federix.server.tap import Options, makeService
from federix.testing import World

from .processes import PATIENCE, ProcessCase


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

    def test_a_program_that_is_not_on_the_path_is_named_with_its_folder(self) -> None:
        program = self.folder.absolute() / "bin" / "federixctl"
        program.parent.mkdir()
        program.touch(mode=0o755)
        self.patch(os, "environ", {"PATH": "/nowhere"})
        self.patch(sys, "argv", [str(program.with_name("twistd"))])
        self.assertEqual(federixctl(), str(program))
        self.patch(sys, "argv", [str(self.folder / "bin" / "twistd")])
        self.patch(Path, "cwd", lambda: self.folder.absolute())
        self.assertEqual(federixctl(), "bin/federixctl")

    def test_demo_accounts_are_told_with_the_passwords_they_have(self) -> None:
        world = World()
        self.addCleanup(world.stop)
        world.register("romeo@example.org", "changed")
        accounts = world.run(demo_accounts(world.server, DEMO_ACCOUNTS))
        told = "\n".join(demonstration(world.server, accounts))
        self.assertIn("juliet@example.org (password balcony)", told)
        self.assertNotIn("romeo", told)
        self.assertEqual(world.run(free_name(world.server)), "mercutio")
        world.run(world.host("example.org").accounts.set_password("juliet", "changed"))
        accounts = world.run(demo_accounts(world.server, DEMO_ACCOUNTS))
        self.assertNotIn("balcony", "\n".join(demonstration(world.server, accounts)))

    def test_the_limit_of_open_files_is_raised_as_far_as_allowed(self) -> None:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, before[1]), before[1]))
        self.assertEqual(raise_open_files(), before[1])
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE)[0], before[1])


class Running(ProcessCase):
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

    def test_who_cannot_wait_for_its_end_is_told_that_it_comes(self) -> None:
        path = self.write()
        path.write_text(path.read_text().replace(", tls: true", ""))
        with self.twistd("-c", str(path), "-d", str(self.folder / "data")) as process:
            self.until_it_listens(process)
            self.assertEqual(self.ctl("status").returncode, 0)
            with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as client:
                # Who has said something, and does not answer, is waited for.
                client.sendall(b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")
                client.recv(4096)
                process.send_signal(signal.SIGTERM)
                while client.recv(4096):
                    pass
                process.send_signal(signal.SIGINT)
                told = self.until("server stopped", process)
            process.wait(PATIENCE)
        self.assertIn("the server is stopping already", told)
        self.assertNotIn("Traceback", told)

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
                self.assertIn("does a server run there already?", told)
                self.assertNotIn("Traceback", told)

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

    def test_a_hang_up_reloads_and_a_wrong_file_is_logged(self) -> None:
        path = self.write()
        right = path.read_text().replace("[a.test]", "[a.test, b.test]")
        with self.twistd("-c", str(path), "-d", str(self.folder / "data")) as process:
            self.until_it_listens(process)
            self.ctl("status")  # now it runs in full
            assert process.stdout is not None
            self.write("modules: {mod_pong: {}}\n")
            process.send_signal(signal.SIGHUP)
            told = self.until("not reloaded", process)
            path.write_text(right)
            process.send_signal(signal.SIGHUP)
            told += self.until("configuration reloaded", process)
            self.assertEqual(self.ctl("registered_vhosts").stdout.split(), ["a.test", "b.test"])
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
            told += process.stdout.read().decode()
        self.assertIn('configuration reloaded (hosts: "a.test, b.test")', told)
        self.assertIn("server stopped", told)
        self.assertNotIn("Traceback", told)

    def test_the_end_of_its_terminal_is_its_own(self) -> None:
        mine, terminal = os.openpty()
        with self.twistd("-c", str(self.write()), "-d", str(self.folder / "data"), terminal=terminal) as process:
            os.close(terminal)
            self.until_it_listens(process)
            self.assertEqual(self.ctl("status").returncode, 0)
            os.close(mine)
            self.assertEqual(process.wait(PATIENCE), 0)
        self.assertFalse((self.folder / "data" / "federixctl.sock").exists())

    def test_every_line_of_a_json_log_is_json(self) -> None:
        with self.twistd("-c", str(self.write()), "-d", str(self.folder / "data"), "--log-format", "json") as process:
            self.until_it_listens(process)
            self.header()
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
            assert process.stdout is not None
            entries = [json.loads(line) for line in process.stdout.read().splitlines()]
        self.assertIn("server stopped", [entry["event"] for entry in entries])

    @skipUnless(os.geteuid() == 0, "only root can give up rights")
    def test_rights_are_given_up_after_binding(self) -> None:
        nobody = pwd.getpwnam("nobody")
        data = self.folder / "deep" / "data"
        before = ("--uid", "nobody", "--gid", str(nobody.pw_gid))
        with self.twistd("-c", str(self.write()), "-d", str(data), before=before) as process:
            self.until_it_listens(process)
            # It is bound before rights are given up: only who is answered knows that they are gone.
            self.assertIn(b"mechanisms", self.header())
            status = Path(f"/proc/{process.pid}/status").read_text()
            uid = next(line for line in status.splitlines() if line.startswith("Uid:"))
            self.assertEqual(set(uid.split()[1:]), {str(nobody.pw_uid)})
        # The folder was not there: whoever runs the server owns it, and all that is in it.
        for path in (data.parent, data, *data.iterdir()):
            self.assertEqual(path.stat().st_uid, nobody.pw_uid, path)
