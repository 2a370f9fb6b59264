"""``python -m federix.testing.serve``: a server in a process of its own. Not for people: `ServerProcess` starts it.

It is told what to do by lines of JSON on its standard input, and answers by lines of JSON on its standard output. The
first line holds the settings; each further one a request. When the input ends, so does the server: it cannot be
forgotten. Its log goes to standard error.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import ensureDeferred
from twisted.internet.stdio import StandardIO
from twisted.logger import Logger, globalLogBeginner
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from ..core.loader import Catalogue
from ..modules import MODULES
from ..server.config import Config
from ..server.config.config import DEFAULT_MODULES
from ..server.logs import Levels, Writer
from ..server.server import Server
from .authority import make_authority

log = Logger()

HOST: Final = "127.0.0.1"
#: Of password hashes: few, so that accounts are made and clients logged in quickly; the least RFC 5802 §5.1 allows.
ITERATIONS: Final = 4096
#: Seconds that clients have to take leave when the server stops.
GRACE: Final = 0.3
#: Seconds between two looks at who our parent is.
LOOK: Final = 1.0
#: Bytes of one request.
LONGEST_LINE: Final = 1 << 20

#: A test may connect, and fail to log in, as often as it likes.
_UNLIMITED: Final = {
    "max_connections_per_address": "infinity",
    "max_connections_per_second": "infinity",
    "max_failed_logins_per_address": "infinity",
}


def main() -> None:
    """Serve until told to stop."""
    from twisted.internet import reactor

    answers = os.dup(1)
    # What a module prints belongs to the log.
    os.dup2(2, 1)
    with open(0, "rb", buffering=0, closefd=False) as requests:
        line = requests.readline()
    if not line:
        return
    settings = json.loads(line)
    sys.path.extend(folder for folder in settings["path"] if folder not in sys.path)
    try:
        control = Control(settings, reactor)
    except Exception as error:
        os.write(answers, _line({"failed": told(error)}) + b"\n")
        raise SystemExit(1) from error
    control.run(answers)
    if not control.asked_to_stop:
        # Whoever made the folder is not there any more.
        shutil.rmtree(settings["folder"], ignore_errors=True)


class Control(LineOnlyReceiver):
    """Does what the lines say, and ends with them."""

    delimiter = b"\n"
    MAX_LENGTH = LONGEST_LINE

    def __init__(self, settings: Mapping[str, Any], reactor: Any) -> None:
        folder = Path(settings["folder"])
        self._reactor = reactor
        self._ports = Ports()
        self._ca_file, chain = make_authority(folder, settings["hosts"])
        config = configure(settings, folder, chain, self._ports)
        writer = Levels(config.server.loglevel).observe(Writer(sys.stderr, "text", hide=False))
        globalLogBeginner.beginLoggingTo([writer], redirectStandardIO=False)
        self._server = Server(config, reactor, iterations=ITERATIONS, ctl=False)
        self._parent = os.getppid()
        self._stopping = False
        self.asked_to_stop = False

    def run(self, answers: int) -> None:
        """Until the end; the answers go to that file descriptor."""
        pipes: Any = StandardIO  # what is known of it is true of another system
        self._reactor.callWhenRunning(lambda: pipes(self, stdin=0, stdout=answers))
        self._reactor.run()

    def connectionMade(self) -> None:
        ensureDeferred(self._server.start()).addCallbacks(self._started, self._could_not_start)

    def _started(self, _: object) -> None:
        ports = self._ports
        ports.release()
        self._say({"ready": {"host": HOST, "port": ports[0], "tls_port": ports[1], "ca_file": str(self._ca_file)}})
        self._look()

    def _could_not_start(self, failure: Failure) -> None:
        log.failure("could not start", failure)
        self._say({"failed": told(failure.value)})
        self.asked_to_stop = True
        self._stop()

    def _say(self, answer: Mapping[str, object]) -> None:
        self.sendLine(_line(answer))  # type: ignore[no-untyped-call]

    def lineReceived(self, line: bytes) -> None:
        request = json.loads(line)
        if request.get("stop"):
            self.asked_to_stop = True
            self._stop()
            return
        # The number says which answer is whose: somebody may have given up waiting for one.
        number = request["number"]
        doing = ensureDeferred(do(self._server, request["do"], request["with"]))
        doing.addCallbacks(
            lambda answer: self._say({"number": number, "answer": answer}),
            lambda failure: self._say({"number": number, "error": told(failure.value)}),
        )

    def _look(self) -> None:
        """Our input stays open where the parent is gone and left children behind that have it too."""
        if os.getppid() != self._parent:
            self._stop()
        else:
            self._reactor.callLater(LOOK, self._look)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        ensureDeferred(self._server.stop()).addBoth(lambda _: self._end())
        # Clients that share a process with the one who waits for us cannot take leave meanwhile.
        self._reactor.callLater(GRACE, self._end)

    def _end(self) -> None:
        if self._reactor.running:
            self._reactor.stop()


async def do(server: Server, name: str, arguments: Mapping[str, Any]) -> object:
    """Make an account, and answer its address; or run the operator's command of that name."""
    if name != "register":
        return await server.commands.run(name, arguments)
    host = server.host(arguments["host"])
    if host is None:
        raise ValueError(f"{arguments['host']} is not served here")
    return str(await host.accounts.register(arguments["user"], arguments["password"]))


def default_modules() -> dict[str, dict[str, object]]:
    """The modules of a server without a configuration."""
    return {name: {} for name in DEFAULT_MODULES if name in MODULES}


def configure(settings: Mapping[str, Any], folder: Path, chain: Path, ports: Ports) -> Config:
    """The configuration for these *settings*, those of `ServerProcess`. Raises `ConfigErrors`."""
    c2s = {"module": "ejabberd_c2s", "ip": HOST, **_UNLIMITED, **settings["listener"]}
    given = settings["config"]
    own = {
        "hosts": settings["hosts"],
        "default_db": "memory",
        "certfiles": [str(chain)],
        "modules": default_modules() if settings["modules"] is None else settings["modules"],
    }
    listen = [
        {**c2s, "port": ports[0]},
        {**c2s, "port": ports[1], "tls": True, "starttls": False},
        *given.get("listen", ()),
    ]
    catalogue = Catalogue(MODULES)
    return Config.load(
        {**own, **given, "listen": listen},
        known_modules=catalogue.find,
        found_folders=catalogue.look_in,
        environ=os.environ,
        directory=folder,
    )


class Ports:
    """Two free ports of the loopback, which the system gives to nobody else before `release`.

    A socket that is bound and does not listen keeps its port, and lets the server listen there: both allow the reuse.
    """

    def __init__(self) -> None:
        self._sockets = [socket.socket(), socket.socket()]
        for each in self._sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind((HOST, 0))
        self._numbers: list[int] = [each.getsockname()[1] for each in self._sockets]

    def __getitem__(self, index: int) -> int:
        return self._numbers[index]

    def release(self) -> None:
        for each in self._sockets:
            each.close()


def told(error: BaseException | None) -> str:
    """Why, for the one who reads the failed test."""
    problems = getattr(error, "problems", None)
    if problems:
        return "\n".join(str(problem) for problem in problems)
    return getattr(error, "text", "") or str(error) or type(error).__name__


def _line(answer: Mapping[str, object]) -> bytes:
    return json.dumps(answer).encode()


if __name__ == "__main__":
    main()
