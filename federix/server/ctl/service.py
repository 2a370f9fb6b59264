"""The socket where `federixctl` asks: one JSON object a line, both ways.

``{"run": "register", "arguments": {"user": "juliet", …}}`` is answered by ``{"answer": …}`` or by ``{"error": "…",
"code": 1}``; ``{"describe": "register"}`` (or null, for all commands) by what the command takes. With ``"progress":
true`` in a request, lines of ``{"progress": [done, of, note]}`` may stand before the answer. Whoever may open the
socket may do everything: it has mode 0600, so that is the user the server runs as, and root.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from ...core.commands import UNTOLD, Answer, Command, CommandError, Progress, WrongUse
from ...life.scope import Timer
from ...life.tree import Node
from ..directory import lock, make_directory, unlock
from .commands import READING
from .place import MAX_ANSWER, MAX_REQUEST, SOCKET, Unreachable, socket_path

if TYPE_CHECKING:
    from ..server import Server

log = Logger()

#: Operators that may be connected at a time.
MAX_CONNECTIONS: Final = 32
#: Seconds a connection may be silent.
IDLE_TIMEOUT: Final = 60.0

#: Seconds between two words of how far a command is.
TELL_EVERY: Final = 0.5

#: Characters of a command's arguments that are logged.
MAX_LOGGED: Final = 200

#: Exit codes of `ejabberdctl`: it did not work, and it was asked for in the wrong way.
FAILED: Final = 1
WRONG_USE: Final = 2

Reply: TypeAlias = Mapping[str, Answer]


class ControlNode(Node):
    """Listens for the operator, from before the first to after the last of all others."""

    def __init__(self, server: Server) -> None:
        super().__init__("ctl", server.clock)
        self.server = server
        self.connections: set[Operator] = set()
        self._port: IListeningPort | None = None
        self._held = ExitStack()

    async def on_start(self) -> None:
        """Raises `DirectoryError`. Where a socket cannot be made, the server runs without one."""
        directory = self.server.config.directory
        make_directory(directory)
        self._held.callback(unlock, directory, lock(directory))
        try:
            path = self._held.enter_context(socket_path(directory))
            # The lock is ours, so what lies there was left by a server that died.
            (directory / SOCKET).unlink(missing_ok=True)
            # This mode is the whole protection: only our own user and root can connect.
            self._port = self.server.reactor.listenUNIX(path, OperatorFactory(self), mode=0o600)
        except (OSError, CannotListenError, Unreachable) as error:
            log.warn("federixctl cannot reach this server: {reason}", reason=str(error))
        except BaseException:
            self._held.close()
            raise

    async def on_stop(self) -> None:
        port, self._port = self._port, None
        try:
            if port is not None:
                stopping: Any = port.stopListening()
                if stopping is not None:
                    await stopping
        finally:
            for connection in list(self.connections):
                connection.leave()
            self._held.close()


class OperatorFactory(Factory["Operator"]):
    """Makes an `Operator` of each connection, up to a bound."""

    noisy = False

    def __init__(self, node: ControlNode) -> None:
        self._node = node

    def buildProtocol(self, addr: IAddress | None) -> Operator | None:
        if len(self._node.connections) >= MAX_CONNECTIONS:
            return None
        return Operator(self._node)


class Operator(LineReceiver):
    """One connection of an operator: requests are worked on one after the other."""

    delimiter = b"\n"
    MAX_LENGTH = MAX_REQUEST
    transport: Any = None

    def __init__(self, node: ControlNode) -> None:
        self._node = node
        self._idle: Timer | None = None

    def connectionMade(self) -> None:
        self._node.connections.add(self)
        self._watch()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._node.connections.discard(self)
        self._unwatch()

    def leave(self) -> None:
        """The server goes down, and its operators see it by this."""
        self.transport.loseConnection()

    def _watch(self) -> None:
        self._idle = self._node.scope.later(IDLE_TIMEOUT, self.leave)

    def _unwatch(self) -> None:
        idle, self._idle = self._idle, None
        if idle is not None:
            idle.cancel()

    def lineLengthExceeded(self, line: bytes) -> None:
        self._reply({"error": f"a request is at most {MAX_REQUEST} bytes", "code": WRONG_USE})
        self.transport.loseConnection()

    def lineReceived(self, line: bytes) -> None:
        self._unwatch()
        self.pauseProducing()  # type: ignore[no-untyped-call]
        self._node.scope.spawn(self._serve(line))

    async def _serve(self, line: bytes) -> None:
        self._reply(await self._answer(line))
        if self in self._node.connections:
            self._watch()
            self.resumeProducing()  # type: ignore[no-untyped-call]

    async def _answer(self, line: bytes) -> Reply:
        try:
            return {"answer": await self._done(line)}
        except WrongUse as error:
            return {"error": str(error), "code": WRONG_USE}
        except CommandError as error:
            return {"error": str(error), "code": FAILED}

    async def _done(self, line: bytes) -> Answer:
        commands = self._node.server.commands
        request = _request(line)
        if "describe" in request:
            name = request["describe"]
            if name is None:
                return [command.described() for command in commands]
            return commands.find(str(name)).described()
        name, arguments = request.get("run"), request.get("arguments", {})
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise WrongUse('a request is {"run": NAME, "arguments": {…}} or {"describe": NAME}')
        told = log.debug if name in READING else log.info
        concerned = _concerned(commands.find(name), arguments)
        told("an operator's command", command=name, **({"concerning": concerned} if concerned else {}))
        return await commands.run(name, arguments, Telling(self) if request.get("progress") is True else UNTOLD)

    @property
    def has_gone(self) -> bool:
        """Whether the operator has closed the connection."""
        return self not in self._node.connections

    def tell(self, done: int, of: int, note: str) -> None:
        """Say how far the command is."""
        self._reply({"progress": [done, of, note]})

    @property
    def seconds(self) -> float:
        return float(self._node.clock.seconds())

    def _reply(self, reply: Reply) -> None:
        line = json.dumps(reply, ensure_ascii=False).encode("utf-8", "replace")
        if len(line) >= MAX_ANSWER:
            line = json.dumps({"error": "the answer is too long", "code": FAILED}).encode()
        self.sendLine(line)  # type: ignore[no-untyped-call]


class Telling(Progress):
    """Tells an operator how far his command is, every now and then; what nobody waits for any more ends."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._told = -TELL_EVERY

    def __call__(self, done: int, of: int, note: str = "") -> None:
        operator = self._operator
        if operator.has_gone:
            raise CommandError("whoever asked for it has gone")
        if operator.seconds - self._told >= TELL_EVERY:
            self._told = operator.seconds
            operator.tell(done, of, note)


def _request(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise WrongUse("a request is one JSON object on one line")
    return request


def _concerned(command: Command, arguments: dict[str, Any]) -> str:
    """Whom and what a command concerns, for the log: its arguments without the secret ones."""
    names = [argument.name for argument in command.arguments if not argument.secret and argument.name in arguments]
    return " ".join(str(arguments[name]) for name in names)[:MAX_LOGGED]
