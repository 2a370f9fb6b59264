"""The load generator's process, from the side of who has it started."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from .load import AGAIN, Specification
from .process import ServerFailed

#: Seconds beyond its own limit after which the load is ended from outside.
GRACE: Final = 30.0


class LoadProcess:
    """See `load.py` for what it does, and when it says what."""

    def __init__(self, specification: Specification) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load", json.dumps(asdict(specification))],
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self._begun = False
        self._timer = threading.Timer(specification.seconds + GRACE, self._process.kill)
        self._timer.daemon = True
        self._timer.start()

    def expect_ready(self) -> None:
        self._line("ready")

    def go(self) -> dict[str, Any]:
        """Have it do what is measured, and answer what it did; it keeps its connections until `end`.

        It can do so again and again.
        """
        self._tell(AGAIN if self._begun else "")
        self._begun = True
        done = json.loads(self._line(None))
        assert isinstance(done, dict)
        return done

    def connected(self) -> int:
        """How many of its connections are still open; then it ends. Raises `ServerFailed` if the server closed one."""
        self._tell("")
        found: int = json.loads(self._line(None))["connected"]
        return found

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _line(self, expected: str | None) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if line.startswith("{") and "error" in (told := json.loads(line)):
            raise ServerFailed(str(told["error"]))
        if not line or (expected is not None and line != expected):
            raise ServerFailed(f"the load ended, or said: {line!r}")
        return line

    def end(self) -> None:
        self._timer.cancel()
        try:
            self._tell("")
        except OSError:
            pass  # it has ended already
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    pass
