"""The other end of the socket: asking a running server, without Twisted."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeAlias

from .place import MAX_ANSWER, MAX_REQUEST, Unreachable, socket_path

#: Seconds to wait for the connection, and for the answer to a command.
CONNECT_TIMEOUT: Final = 5.0
ANSWER_TIMEOUT: Final = 300.0

Told: TypeAlias = Callable[[int, int, str], object]
"""Hears how far a command is: how much is done, of how much, and a note."""


class NoServer(Exception):
    """There is nobody to ask; the text says why and what to do."""


class Refused(Exception):
    """The server's answer is an error, to leave with this exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Connection:
    """A connection to the server whose data is in a directory; *start* is how one would start it."""

    def __init__(self, directory: Path, start: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(CONNECT_TIMEOUT)
        try:
            with socket_path(directory) as path:
                self._socket.connect(path)
        except PermissionError as error:
            self._socket.close()
            raise NoServer(f"{error.filename or directory}: only the user that runs the server may do this") from None
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            self._socket.close()
            raise NoServer(f"no server runs for {directory}: start it with '{start}'") from None
        except (OSError, Unreachable) as error:
            self._socket.close()
            raise NoServer(f"the server at {directory} cannot be reached: {error}") from None
        self._socket.settimeout(ANSWER_TIMEOUT)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        self._socket.close()

    def describe(self, name: str | None) -> Any:
        """What the command of that name takes, or what every command does. Raises `Refused`."""
        return self._ask({"describe": name})

    def run(self, name: str, arguments: Mapping[str, object], told: Told | None = None) -> Any:
        """Have a command done; its answer. Where it takes long, *told* hears how far it is. Raises `Refused`."""
        request = {"run": name, "arguments": dict(arguments)}
        return self._ask(request if told is None else {**request, "progress": True}, told)

    def wait_for_the_end(self) -> None:
        """Return when the server has stopped."""
        try:
            while self._file.read(1024):
                pass
        except OSError as error:
            raise NoServer(f"the server was told to stop, and has not yet: {error}") from None

    def _ask(self, request: dict[str, Any], told: Told | None = None) -> Any:
        line = json.dumps(request).encode() + b"\n"
        if len(line) > MAX_REQUEST:
            raise Refused(f"a request is at most {MAX_REQUEST} bytes", 2)
        try:
            self._socket.sendall(line)
            reply = self._reply()
            while "progress" in reply:
                if told is not None:
                    told(*reply["progress"])
                reply = self._reply()
        except OSError as error:
            raise NoServer(f"the server does not answer: {error}") from None
        if "error" in reply:
            raise Refused(reply["error"], reply.get("code", 1))
        return reply.get("answer")

    def _reply(self) -> dict[str, Any]:
        answer = self._file.readline(MAX_ANSWER + 1)
        if not answer.endswith(b"\n"):
            raise NoServer("the server ended the connection before it answered: its log may say why")
        reply: dict[str, Any] = json.loads(answer)
        return reply
