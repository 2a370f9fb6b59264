"""The operator's socket, with a real reactor: who may ask, what a line may be, and whose directory it is."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

from federix.core.commands import Progress, command
from federix.life.executor import InlineExecutor
from federix.server.config import Config
from federix.server.ctl.asking import Connection, NoServer, Refused
from federix.server.ctl.commands import READING
from federix.server.ctl.place import MAX_ANSWER, MAX_PATH, MAX_REQUEST
from federix.server.ctl.service import (
    IDLE_TIMEOUT,
    MAX_CONNECTIONS,
    ControlNode,
    Operator,
    OperatorFactory,
)
from federix.server.directory import AnotherServer
from federix.server.server import Server
from federix.testing import World


def server_in(directory: Path) -> Server:
    settings = {"hosts": ["example.org"], "listen": [], "default_db": "memory"}
    config = Config.load(settings, directory=directory)
    return Server(config, reactor, executor=InlineExecutor(), iterations=4096)


def folder(test: TestCase) -> Path:
    made = tempfile.mkdtemp(prefix="federixctl-")
    test.addCleanup(shutil.rmtree, made)
    return Path(made)


class SocketTest(TestCase):
    def setUp(self) -> Deferred[None]:
        self.directory = folder(self)
        return ensureDeferred(self.start())

    async def start(self) -> None:
        self.server = server_in(self.directory)
        await self.server.start()
        self.addCleanup(lambda: ensureDeferred(self.server.stop()))

    def asked(self, name: str, **arguments: object) -> Deferred[Any]:
        def ask() -> Any:
            with Connection(self.directory, "…") as connection:
                return connection.run(name, arguments)

        return deferToThread(ask)

    async def test_a_running_server_answers(self) -> None:
        await self.asked("register", user="juliet", host="example.org", password="balcony")
        self.assertEqual(await self.asked("registered_users", host="example.org"), ["juliet"])

    async def test_who_asks_hears_how_far_it_is(self) -> None:
        await self.asked("register", user="juliet", host="example.org", password="balcony")
        told: list[tuple[int, int, str]] = []

        def ask() -> Any:
            with Connection(self.directory, "…") as connection:
                arguments = {"dir": str(self.directory / "out")}
                return connection.run("export_piefxis", arguments, lambda *how_far: told.append(how_far))

        answer = await deferToThread(ask)
        self.assertEqual(told, [(1, 1, "1 accounts")])
        self.assertEqual(len(answer), 2)

    async def test_an_error_comes_with_its_exit_code(self) -> None:
        with self.assertRaises(Refused) as failed:
            await self.asked("check_account", user="nobody", host="example.org")
        with self.assertRaises(Refused) as wrong:
            await self.asked("chekc_account")
        self.assertEqual((failed.exception.code, wrong.exception.code), (1, 2))

    async def test_only_the_owner_may_connect(self) -> None:
        mode = (self.directory / "federixctl.sock").stat().st_mode
        self.assertEqual(stat.S_IMODE(mode), 0o600)
        self.assertEqual(stat.S_IMODE((self.directory / "federixctl.lock").stat().st_mode), 0o600)

    async def test_one_directory_has_one_server(self) -> None:
        second = server_in(self.directory)
        with self.assertRaisesRegex(AnotherServer, f"process {os.getpid()}.*-d"):
            await second.start()
        self.assertEqual((await self.asked("status"))["state"], "running")

    async def test_nothing_is_left_when_it_stops_and_it_can_start_again(self) -> None:
        await self.server.stop()
        self.assertEqual([path.name for path in self.directory.iterdir() if path.name.startswith("federixctl")], [])
        with self.assertRaisesRegex(NoServer, "no server runs for .* start it with 'twistd federix'"):
            Connection(self.directory, "twistd federix")
        await self.server.start()
        self.assertEqual((await self.asked("status"))["state"], "running")

    async def test_the_socket_of_a_dead_server_is_replaced(self) -> None:
        await self.server.stop()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self.directory / "federixctl.sock"))
        with self.assertRaisesRegex(NoServer, "no server runs"):
            Connection(self.directory, "…")
        await self.server.start()
        self.assertEqual((await self.asked("status"))["state"], "running")

    async def test_whoever_asked_it_to_stop_sees_the_end(self) -> None:
        def stop() -> None:
            with Connection(self.directory, "…") as connection:
                connection.run("stop", {})
                connection.wait_for_the_end()

        await deferToThread(stop)
        while self.server.running:
            await deferLater(reactor, 0.01)
        self.assertFalse((self.directory / "federixctl.sock").exists())


class LongPathTest(TestCase):
    async def test_a_directory_with_a_long_name_works_as_well(self) -> None:
        directory = folder(self) / ("long" * 30)
        self.assertGreater(len(str(directory)), MAX_PATH)
        server = server_in(directory)
        await server.start()
        self.addCleanup(lambda: ensureDeferred(server.stop()))

        def ask() -> Any:
            with Connection(directory, "…") as connection:
                return connection.run("registered_vhosts", {})

        self.assertEqual(await deferToThread(ask), ["example.org"])
        self.assertTrue((directory / "federixctl.sock").is_socket())


class OperatorTest(SynchronousTestCase):
    counted = 0

    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.stop)
        node = self.world.server.children["ctl"]
        assert isinstance(node, ControlNode)
        self.node = node
        self.factory = OperatorFactory(node)
        self.operator, self.transport = self.connect()

    def connect(self) -> tuple[Operator, StringTransport]:
        operator = self.factory.buildProtocol(None)
        assert operator is not None
        transport = StringTransport()
        operator.makeConnection(transport)
        return operator, transport

    def say(self, line: bytes | str) -> list[Any]:
        self.transport.clear()
        data = line.encode() if isinstance(line, str) else line
        self.operator.dataReceived(data + b"\n")
        self.world.pump()
        return [json.loads(answer) for answer in self.transport.value().splitlines()]

    def test_a_line_is_answered_by_a_line(self) -> None:
        self.assertEqual(self.say('{"run": "registered_vhosts"}'), [{"answer": ["example.org"]}])

    def test_several_lines_are_answered_in_their_order(self) -> None:
        register = '{"run": "register", "arguments": {"user": "a", "host": "example.org", "password": "b"}}'
        answers = self.say(f'{register}\n{{"run": "registered_users", "arguments": {{"host": "example.org"}}}}')
        self.assertEqual([answer["answer"] for answer in answers], ["a@example.org is registered", ["a"]])

    def test_commands_are_described(self) -> None:
        names = [each["name"] for each in self.say('{"describe": null}')[0]["answer"]]
        self.assertIn("register", names)
        described = self.say('{"describe": "register"}')[0]["answer"]
        self.assertEqual([each["secret"] for each in described["arguments"]], [False, False, True])

    def test_what_is_no_request_is_refused(self) -> None:
        for line in (
            b"",
            b"x",
            b"[]",
            b"\xff",
            b"{}",
            b'{"run": 1}',
            b'{"run": "status", "arguments": []}',
            b"[" * 9999,
        ):
            answers = self.say(line)
            self.assertEqual([answer["code"] for answer in answers], [2], line[:20])

    def test_a_line_without_end_is_refused(self) -> None:
        self.operator.dataReceived(b"x" * (MAX_REQUEST + 2))
        self.assertIn(b"at most", self.transport.value())
        self.assertTrue(self.transport.disconnecting)

    def test_an_answer_has_a_bound(self) -> None:
        self.patch(self.world.server.commands, "run", _too_much)
        self.assertEqual(self.say('{"run": "status"}'), [{"error": "the answer is too long", "code": 1}])

    def test_a_silent_operator_is_let_go(self) -> None:
        self.world.advance(IDLE_TIMEOUT - 1)
        self.say('{"run": "status"}')
        self.world.advance(IDLE_TIMEOUT - 1)
        self.assertFalse(self.transport.disconnecting)
        self.world.advance(1)
        self.assertTrue(self.transport.disconnecting)

    def test_there_are_only_so_many_operators(self) -> None:
        for _ in range(MAX_CONNECTIONS - 1):
            self.connect()
        self.assertIsNone(self.factory.buildProtocol(None))
        self.operator.connectionLost()
        self.assertIsNotNone(self.factory.buildProtocol(None))

    def test_no_password_reaches_the_log(self) -> None:
        told: list[Any] = []
        globalLogPublisher.addObserver(told.append)
        self.addCleanup(globalLogPublisher.removeObserver, told.append)
        self.say('{"run": "register", "arguments": {"user": "a", "host": "example.org", "password": "wherefore"}}')
        self.assertIn("register", str(told))
        self.assertNotIn("wherefore", str(told))

    def test_the_log_says_whom_a_command_concerned_and_reading_is_a_detail(self) -> None:
        told: list[Any] = []
        globalLogPublisher.addObserver(told.append)
        self.addCleanup(globalLogPublisher.removeObserver, told.append)
        self.say('{"run": "register", "arguments": {"user": "a", "host": "example.org", "password": "wherefore"}}')
        self.say('{"run": "connected_users_vhost", "arguments": {"host": "example.org"}}')
        levels = [(e["log_level"].name, e["concerning"]) for e in told if e.get("command")]
        self.assertEqual(levels, [("info", "a example.org"), ("debug", "example.org")])

    def test_who_wants_to_know_is_told_how_far_a_command_is_but_not_too_often(self) -> None:
        self.world.server.commands.add(self.counting)
        answers = self.say('{"run": "counting", "arguments": {"to": 3}, "progress": true}')
        self.assertEqual(answers, [{"progress": [0, 3, "so far"]}])
        self.transport.clear()
        self.world.advance(3)
        told = [json.loads(line) for line in self.transport.value().splitlines()]
        self.assertEqual(told, [*({"progress": [done, 3, "so far"]} for done in (4, 8, 12, 16)), {"answer": 20}])

    def test_who_does_not_want_to_know_is_not_told(self) -> None:
        self.world.server.commands.add(self.counting)
        self.say('{"run": "counting", "arguments": {"to": 3}}')
        self.world.advance(3)
        self.assertEqual(self.transport.value(), b'{"answer": 20}\n')

    def test_what_nobody_waits_for_any_more_ends(self) -> None:
        self.world.server.commands.add(self.counting)
        self.say('{"run": "counting", "arguments": {"to": 3}, "progress": true}')
        self.operator.connectionLost()
        self.world.advance(3)
        self.assertEqual(self.counted, 1)

    @command()
    async def counting(self, progress: Progress, to: int) -> int:
        """Count."""
        for self.counted in range(20):
            progress(self.counted, to, "so far")
            await deferLater(self.world.clock, 0.125)
        return self.counted + 1

    def test_commands_that_only_read_are_commands(self) -> None:
        self.assertLessEqual(READING, {each.name for each in self.world.server.commands})


async def _too_much(name: str, arguments: object, progress: object) -> str:
    return "x" * MAX_ANSWER
