"""A real server in a process of its own: for tests of clients, whatever library or event loop they use."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

#: Seconds for the server to start, to answer, and to end.
START_TIMEOUT: Final = 30.0
ANSWER_TIMEOUT: Final = 30.0
STOP_TIMEOUT: Final = 5.0
#: Lines of the log that an error shows.
TAIL: Final = 40

_PACKAGES: Final = Path(__file__).resolve().parents[2]


class ServerFailed(Exception):
    """The server did not start, ended, or refused what it was asked."""


class ServerProcess:
    """A server on free ports of the loopback; it keeps everything in memory.

    ``with ServerProcess() as server:`` starts it and stops it; it ends with this process in any case. *config* is
    merged over the configuration of that server, in the grammar of the configuration file; *modules* are its modules
    with their options (``None``: those of a server without a configuration), where a module of your own is named by its
    dotted path; *hosts* are its domains; *listener* has options of both ports.
    """

    #: Where to connect; the domain to log in to is `domain`.
    host: str
    #: Speaks STARTTLS, and refuses logins without unless *listener* says otherwise.
    port: int
    #: Speaks TLS from the first byte (XEP-0368).
    tls_port: int
    #: The authority that vouches for the server, PEM: what a client is to trust.
    ca_file: str

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        modules: Mapping[str, Mapping[str, Any]] | None = None,
        hosts: Sequence[str] = ("localhost",),
        listener: Mapping[str, Any] | None = None,
    ) -> None:
        #: The first of its hosts.
        self.domain = hosts[0]
        self._settings = {
            "config": dict(config or {}),
            "modules": None if modules is None else dict(modules),
            "hosts": list(hosts),
            "listener": dict(listener or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._log = ""
        self._said = bytearray()
        self._asked = 0
        self._asking = threading.Lock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- life -----------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether its process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; both ports accept connections when this returns. Raises `ServerFailed`."""
        if self.running:
            raise ServerFailed("it runs already")
        self.kill()  # what is left of one that crashed
        self._folder = Path(tempfile.mkdtemp(prefix="federix-server-"))
        self._said.clear()
        path = [str(Path(folder).resolve()) for folder in sys.path]
        found_at = os.pathsep.join(filter(None, (str(_PACKAGES), os.environ.get("PYTHONPATH"))))
        with self._log_file.open("wb") as log:
            # In a session of its own: Ctrl-C is for the tests, which then stop it.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "federix.testing.serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": found_at},
                start_new_session=True,
            )
        try:
            self._say({**self._settings, "folder": str(self._folder), "path": path})
            answer = self._hear(START_TIMEOUT)
            if "ready" not in answer:
                raise ServerFailed(f"it did not start: {answer.get('failed')}")
        except BaseException:
            self.kill()
            raise
        for name, value in answer["ready"].items():
            setattr(self, name, value)

    def stop(self) -> None:
        """End it as an operator would; its clients are told. Nothing is done where it does not run."""
        process = self._process
        if process is None:
            return
        try:
            self._say({"stop": True})
        except (OSError, ServerFailed):
            pass  # it is gone already
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would: its clients are not told."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except OSError:
                pass  # what was written last went nowhere
        self._log = self.log()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    # -- what it can be asked -------------------------------------------------------------------------------------

    def register(self, user: str, password: str, *, domain: str | None = None) -> str:
        """Make an account, and return its bare address. Raises `ServerFailed`, for one that is there already too."""
        wanted = {"user": user, "host": domain or self.domain, "password": password}
        return str(self._ask("register", wanted))

    def command(self, name: str, **arguments: object) -> Any:
        """Run a command of the operator, as `federixctl` does: ``server.command("connected_users")``.

        Raises `ServerFailed` with what was wrong.
        """
        return self._ask(name, arguments)

    def log(self) -> str:
        """What it has logged, also after its end."""
        if self._folder is None:
            return self._log
        return self._log_file.read_text(errors="replace")

    # -- the pipe -------------------------------------------------------------------------------------------------

    @property
    def _log_file(self) -> Path:
        assert self._folder is not None
        return self._folder / "server.log"

    def _ask(self, name: str, arguments: Mapping[str, object]) -> object:
        with self._asking:
            try:
                self._asked += 1
                self._say({"number": self._asked, "do": name, "with": arguments})
                answer = self._hear(ANSWER_TIMEOUT)
                while answer.get("number") != self._asked:
                    answer = self._hear(ANSWER_TIMEOUT)  # that was for one who has given up
            except OSError:
                raise self._ended() from None
        if "error" in answer:
            raise ServerFailed(f"{name}: {answer['error']}")
        return answer["answer"]

    def _say(self, request: Mapping[str, object]) -> None:
        if self._process is None or self._process.stdin is None:
            raise ServerFailed("it does not run")
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()

    def _hear(self, timeout: float) -> dict[str, Any]:
        """The next line."""
        assert self._process is not None and self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while b"\n" not in self._said:
                if not selector.select(max(deadline - time.monotonic(), 0)):
                    raise ServerFailed(f"it did not answer in {timeout:g} s{self._tail()}")
                read = os.read(pipe, 65536)
                if not read:
                    raise self._ended()
                self._said += read
        line, _, rest = bytes(self._said).partition(b"\n")
        self._said[:] = rest
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _ended(self) -> ServerFailed:
        return ServerFailed(f"it has ended{self._tail()}")

    def _tail(self) -> str:
        lines = self.log().splitlines()[-TAIL:]
        return "".join(f"\n  {line}" for line in (":", *lines)) if lines else ""
