"""Each example does what it says."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from unittest import SkipTest

from slixmpp import ClientXMPP
from twisted.trial.unittest import SynchronousTestCase

from federix.core.loader import Catalogue
from federix.testing import Client, World
from federix.testing.serve import Ports

SOURCE = Path(__file__).resolve().parents[1]
EXAMPLES = SOURCE / "examples"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCE)}
TIMEOUT = 60.0
#: A Python that has SPADE, and Federix: it brings a slixmpp of its own, which cannot be installed beside the other.
SPADE = Path(__file__).parent / "peers" / "spade" / "bin" / "python"


class QuietHours(SynchronousTestCase):
    """A module of one's own, from a `modules_dir`."""

    def setUp(self) -> None:
        found = Catalogue({}, [EXAMPLES / "modules"]).find("mod_quiet")
        assert found is not None
        self.world = World(modules={"mod_quiet": {"text": "later"}}, own_modules={"mod_quiet": found})
        self.addCleanup(self.world.stop)
        self.romeo = self.world.client("romeo@example.org/orchard")
        self.juliet = self.world.client("juliet@example.org/balcony")
        self.hour = int(self.world.server.now() // 3600 % 24)

    def until(self, hour: int) -> None:
        self.world.advance(((hour - self.hour) % 24) * 3600.0)

    def say(self) -> None:
        self.romeo.send("<message to='juliet@example.org/balcony' type='chat'><body>hello</body></message>")
        self.juliet.expect("<message from='romeo@example.org/orchard'><body>hello</body></message>")

    def test_at_night_the_sender_is_told_once(self) -> None:
        self.until(23)
        self.say()
        self.romeo.expect("<message from='juliet@example.org' type='headline'><body>later</body></message>")
        self.say()
        self.romeo.nothing()

    def test_by_day_nobody_is_told(self) -> None:
        self.until(12)
        self.say()
        self.romeo.nothing()


class PersonalNotes(SynchronousTestCase):
    """A module with a namespace, a store and a command of its own."""

    def setUp(self) -> None:
        found = Catalogue({}, [EXAMPLES / "modules"]).find("mod_notes")
        assert found is not None
        self.world = World(modules={"mod_notes": {"most": 2, "max_size": 10}}, own_modules={"mod_notes": found})
        self.addCleanup(self.world.stop)
        self.romeo = self.world.client("romeo@example.org/orchard")

    def write(self, name: str, text: str) -> str:
        """The condition of the error, or "result"."""
        self.romeo.send(f"<iq type='set' id='w'><note xmlns='urn:example:notes' name='{name}'>{text}</note></iq>")
        error = self.romeo.expect("<iq id='w'/>").child("jabber:client", "error")
        condition = None if error is None else error.first()
        return "result" if condition is None else condition.name

    def count(self) -> object:
        asked = {"user": "Romeo", "host": "example.org"}
        return self.world.run(self.world.server.commands.run("count_notes", asked))

    def test_notes_are_found_on_another_device_and_forgotten_with_the_account(self) -> None:
        self.assertEqual(self.write("a", "buy a &lt;rope&gt;"), "not-acceptable")
        self.assertEqual(self.write("a", "a rope"), "result")
        other = self.world.client("romeo@example.org/balcony")
        other.send("<iq type='get' id='1'><notes xmlns='urn:example:notes'/></iq>")
        other.expect(
            "<iq type='result' id='1'><notes xmlns='urn:example:notes'><note name='a'>a rope</note></notes></iq>"
        )
        self.assertEqual(self.count(), 1)
        self.world.run(self.world.host("example.org").accounts.remove("romeo"))
        self.assertEqual(self.count(), 0)

    def test_there_are_not_more_than_the_operator_allows(self) -> None:
        self.assertEqual(
            [self.write(name, "x") for name in ("a", "b", "c", "a")],
            ["result", "result", "resource-constraint", "result"],
        )
        self.assertEqual(self.write("a", ""), "result")
        self.assertEqual(self.write("c", "x"), "result")
        self.assertEqual(self.write("", "x"), "bad-request")

    def test_they_are_nobody_elses(self) -> None:
        juliet = self.world.client("juliet@example.org/balcony")
        juliet.send("<iq type='get' id='1' to='romeo@example.org'><notes xmlns='urn:example:notes'/></iq>")
        juliet.expect("<iq type='error' id='1'><error><service-unavailable xmlns='*'/></error></iq>")


class Moderation(SynchronousTestCase):
    """A filter that asks a web service."""

    def setUp(self) -> None:
        self.answers: list[bytes] = []
        self.asked: list[object] = []
        asked, answers = self.asked, self.answers

        class Service(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                body = answers.pop(0)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        service = HTTPServer(("127.0.0.1", 0), Service)
        thread = Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.addCleanup(service.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(service.shutdown)
        self.patch(os, "environ", {**os.environ, "no_proxy": "127.0.0.1"})
        found = Catalogue({}, [EXAMPLES / "modules"]).find("mod_moderate")
        assert found is not None
        options = {"url": f"http://127.0.0.1:{service.server_port}/", "trusted": [{"allow": {"user": "nurse"}}]}
        self.world = World(modules={"mod_moderate": options}, own_modules={"mod_moderate": found})
        self.addCleanup(self.world.stop)
        self.juliet = self.world.client("juliet@example.org/balcony")

    def say(self, who: str) -> Client:
        client = self.world.client(f"{who}@example.org/orchard")
        client.send("<message to='juliet@example.org/balcony' id='1'><body>hello</body></message>")
        return client

    def test_what_is_allowed_arrives_and_the_rest_comes_back(self) -> None:
        self.answers += [b'{"allowed": true}', b'{"allowed": false}']
        self.say("romeo")
        self.juliet.expect("<message from='romeo@example.org/orchard'><body>hello</body></message>")
        self.say("tybalt").expect("<message type='error' id='1'><error><policy-violation xmlns='*'/></error></message>")
        self.juliet.nothing()
        people = ("romeo", "tybalt")
        self.assertEqual(self.asked, [{"from": f"{who}@example.org", "body": "hello"} for who in people])

    def test_nothing_passes_while_the_service_talks_nonsense(self) -> None:
        self.answers += [b"[]", b"<html>"]
        for who in ("romeo", "tybalt"):
            self.say(who).expect(
                "<message type='error'><error type='wait'><service-unavailable xmlns='*'/></error></message>"
            )
        self.juliet.nothing()

    def test_who_is_trusted_is_not_asked_about(self) -> None:
        self.say("nurse")
        self.juliet.expect("<message from='nurse@example.org/orchard'><body>hello</body></message>")
        self.assertEqual(self.asked, [])


class Embedded(SynchronousTestCase):
    """A program with a server inside."""

    def test_it_welcomes_who_comes_online_and_ends_when_it_is_told(self) -> None:
        ports = Ports()
        with (
            tempfile.TemporaryDirectory() as folder,
            subprocess.Popen(
                [sys.executable, EXAMPLES / "embedded.py", folder, str(ports[0])],
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
            ) as program,
        ):
            try:
                assert program.stdout is not None
                self.assertEqual(program.stdout.readline(), b"ready\n")
                ports.release()
                heard = asyncio.run(self.heard(ports[0], Path(folder) / "self-signed.pem"))
                self.assertEqual(heard, "Welcome! Sessions here: 1")
                program.send_signal(signal.SIGINT)
                program.wait(TIMEOUT)
            finally:
                program.kill()

    async def heard(self, port: int, certificate: Path) -> str:
        """What romeo is told when he comes online."""
        romeo = ClientXMPP("romeo@localhost", "wherefore")
        romeo.ca_certs = certificate
        romeo.enable_direct_tls = False
        romeo.add_event_handler("session_start", lambda _: romeo.send_presence())
        message = romeo.wait_until("message", timeout=int(TIMEOUT))
        romeo.connect("127.0.0.1", port)
        said = str((await message)["body"])
        await romeo.disconnect()
        return said


class Bot(SynchronousTestCase):
    """A bot whose test uses the fixture."""

    def test_its_test_passes(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "pytest", "-p", "federix.testing.pytest", "-p", "no:cacheprovider"),
                    *(f"--rootdir={folder}", "-c", os.devnull, EXAMPLES / "bot_test.py"),
                ],
                env={**ENVIRONMENT, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
            )
        self.assertIn("1 passed", done.stdout, done.stdout + done.stderr)


class Dice(SynchronousTestCase):
    """A handler of wokkel's, hosted."""

    def test_they_roll(self) -> None:
        python = imported(EXAMPLES / "wokkel_handler.py")
        self.addCleanup(sys.modules.pop, python.__name__, None)
        world = World(modules={"mod_dice": {"host": "dice.@HOST@"}}, own_modules={"mod_dice": python.DiceModule})
        self.addCleanup(world.stop)
        romeo = world.client("romeo@example.org/orchard")
        for said, answer in (("d1", "1"), ("1", "1"), ("d0", "Say d6*"), ("dance", "Say d6*")):
            romeo.send(f"<message to='dice.example.org' type='chat'><body>{said}</body></message>")
            body = romeo.expect("<message from='dice.example.org' type='chat'><body/></message>").first()
            assert body is not None
            self.assertTrue(body.text == answer or body.text.startswith(answer.rstrip("*") + ","), body.text)


class Agents(SynchronousTestCase):
    """Two SPADE agents."""

    def test_the_one_answers_the_other(self) -> None:
        if not SPADE.exists() and os.environ.get("CI") != "true":
            raise SkipTest("SPADE is not installed: sh .ci/peers")
        done = subprocess.run(
            [SPADE, EXAMPLES / "spade_agents.py"],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        self.assertEqual(done.stdout, "42\n", done.stderr)


def imported(path: Path) -> Any:
    """An example, as a module in `sys.modules`."""
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    python = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = python
    spec.loader.exec_module(python)
    return python


class Standing(SynchronousTestCase):
    def test_every_example_can_be_imported(self) -> None:
        for path in sorted(EXAMPLES.rglob("*.py")):
            python = imported(path)
            self.addCleanup(sys.modules.pop, python.__name__, None)
            self.assertTrue(python.__doc__, path)
