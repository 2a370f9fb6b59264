"""What the documentation shows works as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from federix import load_config
from tests.server.processes import PATIENCE, free_port

SOURCE = Path(__file__).resolve().parents[1]
PAGES = [SOURCE / "README.md", *sorted((SOURCE / "docs").rglob("*.md"))]
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{SOURCE}{os.pathsep}{SOURCE / 'examples' / 'modules'}"}

#: What the tests in `testing.md` leave to their reader: a bot.
BOT = """
import socket

class MyBot:
    def __init__(self, jid, password, ca_certs):
        assert (jid, password) == ("bot@localhost", "secret") and open(ca_certs).read()

    def connect(self, host, port):
        socket.create_connection((host, port)).close()
"""


def blocks(page: str, language: str) -> list[str]:
    """The blocks of code on a page of `docs`, as they stand there."""
    text = (SOURCE / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


class Docs(SynchronousTestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory(prefix="federix-docs-")
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def python(self, *arguments: str) -> str:
        """What a run of Python in the folder says; it must end well."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**ENVIRONMENT, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def write(self, name: str, *texts: str) -> str:
        (self.folder / name).write_text("\n".join(texts))
        return name

    def test_every_block_of_python_is_python(self) -> None:
        for page in PAGES:
            for block in blocks(str(page), "python"):
                # A part of a class stands there indented, as it does in the class.
                compile(f"class _:\n{block}" if block.startswith(" ") else block, str(page), "exec")

    def test_the_configurations_are_right(self) -> None:
        shutil.copytree(SOURCE / "examples" / "modules", self.folder / "modules")
        for page in PAGES:
            for block in blocks(str(page), "yaml"):
                path = self.folder / self.write("federix.yml", "hosts: [example.org]", block)
                self.assertEqual(load_config(path, self.folder).warnings, (), page)

    def test_the_module_that_the_tutorial_builds_is_the_one_that_runs(self) -> None:
        shown = "\n".join(blocks("docs/modules.md", "python")[:3:2])
        file = (SOURCE / "examples" / "modules" / "mod_quiet.py").read_text()
        self.assertTrue(file.endswith("\n\n" + shown))

    def test_the_test_of_a_module_passes_under_unittest_and_trial(self) -> None:
        (test,) = [block for block in blocks("docs/modules.md", "python") if "TestCase" in block]
        self.write("test_quiet.py", test)
        self.assertIn("OK", self.python("-m", "unittest", "test_quiet"))
        # What is received instead of what is expected counts as a failure, not as an error.
        self.write("test_quiet.py", test.replace("Not now.</body>", "Now!</body>"))
        failed = self.assertRaises(self.failureException, self.python, "-m", "twisted.trial", "test_quiet")
        self.assertIn("FAILED (failures=1)", str(failed))

    def test_servers_in_virtual_time_do_what_is_shown(self) -> None:
        for number, program in enumerate(blocks("docs/testing.md", "python")[:3]):
            self.python(self.write(f"world{number}.py", program))

    def test_the_fixtures_are_used_as_shown(self) -> None:
        tests = blocks("docs/testing.md", "python")[3:]
        (self.folder / "mypackage").mkdir()
        shutil.copy(SOURCE / "examples" / "modules" / "mod_quiet.py", self.folder / "mypackage" / "quiet.py")
        self.write("test_bot.py", BOT, *(textwrap.dedent(test).replace("    ...\n", "") for test in tests))
        plugins = ("-p", "federix.testing.pytest", "-p", "no:cacheprovider")
        said = self.python("-m", "pytest", *plugins, "-c", os.devnull, f"--rootdir={self.folder}", "test_bot.py")
        self.assertIn(f"{len(tests)} passed", said)

    def test_a_program_with_a_server_in_it_runs(self) -> None:
        program, welcome, *_ = blocks("docs/embedding.md", "python")
        self.python(self.write("welcome.py", welcome))
        self.write("program.py", program.replace("5222", str(free_port())))
        with subprocess.Popen(
            [sys.executable, "program.py"], cwd=self.folder, env=ENVIRONMENT, stdout=subprocess.PIPE
        ) as running:
            try:
                assert running.stdout is not None
                self.assertEqual(running.stdout.readline(), b"ready\n")
                running.terminate()
                running.wait(PATIENCE)
            finally:
                running.kill()

    def test_a_server_runs_on_the_loop_of_asyncio(self) -> None:
        (program,) = [block for block in blocks("docs/embedding.md", "python") if "asyncio.run" in block]
        quick = program.replace("5222", str(free_port())).replace("sleep(1)", "sleep(0)")
        self.assertEqual(self.python(self.write("program.py", quick)), "ready\n")

    def test_links_lead_somewhere(self) -> None:
        for page in PAGES:
            for link in re.findall(r"\]\(([\w./-]+\.\w+)(?:#[\w-]+)?\)", page.read_text()):
                self.assertTrue((page.parent / link).exists(), f"{page}: {link}")
