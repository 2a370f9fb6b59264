"""`federixctl` itself: what it understands, prints and exits with."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from federix import __version__
from federix.server.ctl import main as program
from federix.server.ctl.asking import NoServer, Refused
from federix.server.ctl.bar import Bar
from federix.server.ctl.printing import lines
from federix.testing import World
from tests.server.processes import PATIENCE, ROOT

CONFIGURATION = """\
hosts: [example.org]
listen:
  - {module: ejabberd_c2s, ip: 127.0.0.1, port: 5222}
modules: {}
"""


class InWorld:
    """In place of a `Connection`: the commands of a world's server."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.ran: list[tuple[str, dict[str, object]]] = []
        self.ended = False

    def __enter__(self) -> InWorld:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def describe(self, name: str | None) -> Any:
        commands = self._world.server.commands
        try:
            return [each.described() for each in commands] if name is None else commands.find(name).described()
        except Exception as error:
            raise Refused(str(error), 2) from None

    def run(self, name: str, arguments: Mapping[str, object], told: Any = None) -> Any:
        self.ran.append((name, dict(arguments)))
        try:
            return self._world.run(self._world.server.commands.run(name, arguments))
        except Exception as error:
            raise Refused(str(error), 1) from None

    def wait_for_the_end(self) -> None:
        self.ended = True


class MainTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="federixctl-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def federixctl(self, *words: str, given: str | None = None) -> Result:
        return CliRunner().invoke(program.main, list(words), input=given)


class WithServerTest(MainTest):
    def setUp(self) -> None:
        super().setUp()
        self.world = World()
        self.addCleanup(self.world.stop)
        self.connection = InWorld(self.world)
        self.patch(program, "Connection", lambda directory, start: self.connection)

    def test_words_are_arguments_in_their_order(self) -> None:
        result = self.federixctl("register", "juliet", "example.org", "balcony")
        self.assertEqual((result.exit_code, result.stdout), (0, "juliet@example.org is registered\n"))
        self.assertEqual(self.federixctl("registered_users", "example.org").stdout, "juliet\n")

    def test_a_password_left_out_is_read(self) -> None:
        self.federixctl("register", "juliet", "example.org", given="balcony\nmore\n")
        self.assertEqual(self.connection.ran[0][1]["password"], "balcony")

    def test_a_password_may_be_read_with_a_hyphen(self) -> None:
        self.federixctl("register", "juliet", "example.org", "-", given="balcony\n")
        self.assertEqual(self.connection.ran[0][1]["password"], "balcony")

    def test_a_password_may_begin_with_a_hyphen(self) -> None:
        self.federixctl("register", "juliet", "example.org", "-c")
        self.assertEqual(self.connection.ran[0][1]["password"], "-c")

    def test_a_closed_standard_input_has_no_password(self) -> None:
        self.patch(sys, "stdin", None)
        with self.assertRaises(SystemExit) as ended:
            program.secret("password", typed=True, twice=True)
        self.assertEqual(ended.exception.code, 2)

    def test_no_password_at_all_is_wrong_use(self) -> None:
        result = self.federixctl("register", "juliet", "example.org", given="")
        self.assertEqual(result.exit_code, 2)
        self.assertEqual(self.connection.ran, [])

    def test_a_missing_argument_is_wrong_use(self) -> None:
        result = self.federixctl("register", "juliet")
        self.assertEqual(result.exit_code, 2)
        self.assertIn("host is missing: federixctl register USER HOST [PASSWORD]", result.stderr)

    def test_too_many_arguments_are_wrong_use(self) -> None:
        self.assertEqual(self.federixctl("status", "now").exit_code, 2)

    def test_an_unknown_command_is_wrong_use(self) -> None:
        result = self.federixctl("statu")
        self.assertEqual(result.exit_code, 2)
        self.assertIn("did you mean 'status'", result.stderr)

    def test_a_failure_goes_to_standard_error(self) -> None:
        result = self.federixctl("check_account", "nobody", "example.org")
        self.assertEqual((result.exit_code, result.stdout), (1, ""))
        self.assertEqual(result.stderr, "federixctl: there is no account nobody@example.org\n")

    def test_answers_come_as_json(self) -> None:
        self.assertEqual(json.loads(self.federixctl("--json", "registered_vhosts").stdout), ["example.org"])

    def test_json_may_stand_behind_the_command(self) -> None:
        self.assertEqual(json.loads(self.federixctl("registered_vhosts", "--json").stdout), ["example.org"])

    def test_paths_are_those_of_who_typed_them(self) -> None:
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        self.federixctl("export_piefxis", "out")
        self.assertEqual(self.connection.ran, [("export_piefxis", {"dir": str(Path("out").absolute())})])

    def test_a_truth_that_may_be_left_out_is_given_by_its_name(self) -> None:
        for words in (("data.xml", "--overwrite"), ("--overwrite", "data.xml")):
            self.federixctl("import_piefxis", *words)
            self.assertEqual(
                self.connection.ran.pop()[1], {"file": str(Path("data.xml").absolute()), "overwrite": "true"}
            )
        self.federixctl("import_piefxis", "data.xml")
        self.assertNotIn("overwrite", self.connection.ran.pop()[1])
        self.assertIn("import_piefxis FILE [--overwrite]", self.federixctl("import_piefxis", "--help").stdout)

    def test_how_far_it_is_stands_on_standard_error_in_a_few_lines(self) -> None:
        with Bar("counting") as bar:
            result = CliRunner()
            with result.isolation() as (_, err, _both):
                for done in range(1000):
                    bar(done, 999, f"{done} things")
                lines = err.getvalue().decode().splitlines()
        self.assertEqual(len(lines), 11)
        self.assertEqual((lines[0], lines[-1]), ("counting: 0 %, 0 things", "counting: 100 %, 999 things"))

    def test_on_a_terminal_there_is_a_bar(self) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        terminal = Terminal()
        self.patch(sys, "stderr", terminal)
        with Bar("counting") as bar:
            bar(1, 4)
            bar(4, 4, "four")
        self.assertIn("100%", terminal.getvalue())
        self.assertIn("four", terminal.getvalue())

    def test_stop_waits_for_the_end(self) -> None:
        self.federixctl("status")
        self.assertFalse(self.connection.ended)
        self.assertEqual(self.federixctl("stop").exit_code, 0)
        self.assertTrue(self.connection.ended)

    def test_help_lists_what_this_server_can_do(self) -> None:
        text = self.federixctl("help").stdout
        for name in ("check ", "register USER HOST [PASSWORD]", "tree"):
            self.assertIn(name, text)
        self.assertIn("Make an account.", self.federixctl("help", "register").stdout)
        self.assertIn("Make an account.", self.federixctl("register", "--help").stdout)
        self.assertEqual(self.connection.ran, [])
        self.assertEqual(self.federixctl("help", "dance").exit_code, 2)


class WithoutServerTest(MainTest):
    def test_it_has_a_version(self) -> None:
        self.assertEqual(self.federixctl("--version").stdout, f"federixctl {__version__}\n")

    def test_nobody_there_is_said_with_what_to_do(self) -> None:
        result = self.federixctl("-c", "some.yml", "-d", str(self.folder), "status")
        self.assertEqual(result.exit_code, 3)
        self.assertIn(f"start it with 'twistd federix -c some.yml -d {self.folder}'", result.stderr)

    def test_help_knows_what_every_server_can_do(self) -> None:
        result = self.federixctl("-d", str(self.folder), "help")
        self.assertEqual(result.exit_code, 0)
        self.assertIn("registered_users HOST", result.stdout)

    def test_nothing_asked_is_wrong_use(self) -> None:
        result = self.federixctl()
        self.assertEqual(result.exit_code, 2)
        self.assertIn("Usage", result.stdout)

    def test_a_server_that_does_not_answer_is_no_server(self) -> None:
        class Silent(InWorld):
            def describe(self, name: str | None) -> Any:
                raise NoServer("the server does not answer: timed out")

        silent = Silent.__new__(Silent)
        self.patch(program, "Connection", lambda directory, start: silent)
        self.assertEqual(self.federixctl("status").exit_code, 3)


class CheckTest(MainTest):
    def check(self, text: str, *words: str) -> Result:
        self.file = self.folder / "federix.yml"
        self.file.write_text(text)
        return self.federixctl("check", "-c", str(self.file), *words)

    def test_what_would_be_in_force_is_shown(self) -> None:
        result = self.check(CONFIGURATION)
        self.assertEqual((result.exit_code, result.stderr), (0, f"{self.file}: a server would start with it\n"))
        self.assertIn("listen[0]: ejabberd_c2s at 127.0.0.1:5222\n", result.stdout)

    def test_the_file_may_be_named_in_front(self) -> None:
        self.check(CONFIGURATION)
        result = self.federixctl("-c", str(self.file), "--json", "check")
        self.assertEqual(json.loads(result.stdout)["hosts"], "[example.org]")

    def test_errors_have_file_line_and_column(self) -> None:
        result = self.check(CONFIGURATION + "loglevel: loud\n")
        self.assertEqual((result.exit_code, result.stdout), (1, ""))
        self.assertIn(f"error: {self.file}:5:11: loglevel: must be one of none", result.stderr)

    def test_warnings_are_no_errors(self) -> None:
        result = self.check(CONFIGURATION + "certfiles: [nowhere.pem]\n", "-q")
        self.assertEqual((result.exit_code, result.stdout), (0, ""))
        self.assertIn(f"warning: {self.file}:5:13: certfiles: there is no file", result.stderr)
        self.assertIn("warning: certificate: ", result.stderr)

    def test_the_file_may_be_named_without_an_option(self) -> None:
        self.check(CONFIGURATION)
        self.assertEqual(self.federixctl("check", str(self.file)).exit_code, 0)
        self.assertEqual(json.loads(self.federixctl("check", str(self.file), "--json").stdout)["loglevel"], "info")

    def test_errors_do_not_withhold_warnings_and_a_verdict_comes_last(self) -> None:
        result = self.check(CONFIGURATION + "loglevel: loud\ns2s_zlib: true\n")
        error, warning, verdict = result.stderr.splitlines()
        self.assertTrue(error.startswith("error: "))
        self.assertTrue(warning.startswith(f"warning: {self.file}:6:1: s2s_zlib"), warning)
        self.assertEqual(verdict, f"{self.file}: 1 error, 1 warning; a server would not start with it")

    def test_quietly_nothing_is_said_where_all_is_well(self) -> None:
        result = self.check(CONFIGURATION, "-q")
        self.assertEqual((result.exit_code, result.output), (0, ""))

    def test_a_missing_certificate_is_told_once_and_what_follows_from_it(self) -> None:
        result = self.check(CONFIGURATION + "certfiles: [nowhere.pem]\n")
        self.assertEqual(result.stderr.count("nowhere.pem"), 1)
        self.assertIn("nobody can use TLS there", result.stderr)

    def test_the_rules_are_among_what_is_in_force(self) -> None:
        result = self.check(CONFIGURATION + "acl: {admin: {user: [romeo]}}\naccess_rules: {c2s: {allow: admin}}\n")
        self.assertIn("example.org: acl.admin: {user: [romeo]}\n", result.stdout)
        self.assertIn("example.org: access_rules.c2s: {allow: admin}\n", result.stdout)

    def test_a_file_that_is_not_there_is_an_error(self) -> None:
        result = self.federixctl("check", "-c", str(self.folder / "no.yml"))
        self.assertEqual(result.exit_code, 1)
        self.assertIn("No such file", result.stderr)

    def test_no_file_is_the_configuration_of_who_has_none(self) -> None:
        result = self.federixctl("-d", str(self.folder), "check")
        self.assertEqual(result.exit_code, 0)
        self.assertIn("hosts: [localhost]", result.stdout)
        self.assertEqual([*self.folder.iterdir()], [])


class NowhereToWriteTest(MainTest):
    """As a program of its own: what Python says at its end counts, too."""

    def told(self, words: str, streams: str) -> tuple[int, str]:
        ran = subprocess.run(
            ["/bin/sh", "-c", f'exec "$0" -m federix.server.ctl.main {words} {streams}', sys.executable],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return ran.returncode, ran.stderr

    def test_a_full_disk_is_told_in_one_line(self) -> None:
        full = "federixctl: standard output: No space left on device\n"
        self.assertEqual(self.told("--version", ">/dev/full"), (1, full))
        self.assertEqual(self.told("check", ">/dev/full"), (1, full))

    def test_where_nobody_can_be_told_the_exit_code_tells(self) -> None:
        self.assertEqual(self.told("status", ">/dev/full 2>&1"), (3, ""))
        self.assertEqual(self.told("--version", ">/dev/full 2>&1"), (1, ""))

    def test_a_closed_output_takes_nothing_and_harms_nothing(self) -> None:
        code, said = self.told("check", ">&-")
        self.assertEqual(code, 0, said)
        self.assertEqual(said, "the configuration of who has none: a server would start with it\n")
        self.assertEqual(self.told("check", ">&- 2>&-"), (0, ""))


class PrintingTest(SynchronousTestCase):
    def test_answers_by_their_shape(self) -> None:
        self.assertEqual(lines(None), [])
        self.assertEqual(lines(3), ["3"])
        self.assertEqual(lines("one\ntwo"), ["one", "two"])
        self.assertEqual(lines([]), [])
        self.assertEqual(lines(["one", 2]), ["one", "2"])
        self.assertEqual(lines({"one": 1, "two": True}), ["one: 1", "two: true"])
        rows = [{"a": "x", "b": 1}, {"a": "long", "b": None}]
        self.assertEqual(lines(rows), ["x     1", "long"])
        self.assertEqual(lines(rows, headed=True), ["A     B", "x     1", "long"])

    def test_rows_that_have_other_columns(self) -> None:
        rows = [{"a": "x"}, {"c": 3, "a": "y"}, {}]
        self.assertEqual(lines(rows, headed=True), ["A  C", "x", "y  3", ""])

    def test_what_strangers_chose_cannot_move_the_cursor(self) -> None:
        self.assertEqual(lines(["juliet@example.org/\x1b[2J\n"]), ["juliet@example.org/\\x1b[2J\\n"])
