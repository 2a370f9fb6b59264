"""A real XMPP client as a process: the test writes commands to it and reads what happened, both as lines of JSON.

Commands are `{"do": NAME, …}` and events `{"event": NAME, …}`; `tests/peers/clients/console.py` lists them.
"""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

Event = Mapping[str, object]

EVENT_TIMEOUT = 60.0
QUIT_TIMEOUT = 15.0


class Client:
    """One running client, logged in when it is made; close it with `quit` or `kill`."""

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str], log: Path) -> None:
        self._log_path = log
        self._log = log.open("wb")
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
        )
        self._events: list[Event] = []
        self._changed = threading.Condition()
        self._has_ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.jid = self._log_in()
        """The full JID."""

    def do(self, command: str, **details: object) -> None:
        """Write one command."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": command, **details}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise AssertionError(f"the client has ended, {command} came too late:\n{self._log_tail()}") from None

    def expect(self, event: str, **details: object) -> Event:
        """Wait for an event with these *details*, in any order with others, and take it from the list.

        A *sender* given as a bare JID also stands for any full JID of that account.
        """
        wanted = {"event": event, **details}
        deadline = time.monotonic() + EVENT_TIMEOUT
        with self._changed:
            while True:
                for seen in self._events:
                    if all(_matches(name, value, seen.get(name)) for name, value in wanted.items()):
                        self._events.remove(seen)
                        return seen
                remaining = deadline - time.monotonic()
                if self._has_ended or remaining <= 0:
                    raise AssertionError(self._report(wanted))
                self._changed.wait(remaining)

    def freeze(self) -> None:
        """Stop the process without ending it: its connection stays open and nobody answers on it."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self._process.send_signal(signal.SIGCONT)

    def quit(self) -> None:
        """Log out and wait for the process to end."""
        self.do("quit")
        try:
            self._process.wait(QUIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the client did not quit:\n{self._log_tail()}") from None
        finally:
            self.kill()

    def kill(self) -> None:
        """End the process, if it still runs, and let go of its pipes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if self._process.poll() is None:
            # Clients that are a wrapper end their own child when they read the end of the file.
            try:
                self._process.send_signal(signal.SIGCONT)
                self._process.stdin.close()
                self._process.wait(5)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                self._process.kill()
        self._process.wait()
        self._reader.join()
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        self._process.stdout.close()
        self._log.close()

    def _log_in(self) -> str:
        try:
            return str(self.expect("online")["jid"])
        except BaseException:
            self.kill()
            raise

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self._events.append(json.loads(line))
                self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def _report(self, wanted: Event) -> str:
        why = "the client has ended" if self._has_ended else f"nothing within {EVENT_TIMEOUT:g} s"
        return f"expected {wanted}, {why}; other events: {self._events}\n{self._log_tail()}"

    def _log_tail(self) -> str:
        return "\n".join(self._log_path.read_text(errors="replace").splitlines()[-60:])


def _matches(name: str, wanted: object, seen: object) -> bool:
    if name == "sender" and isinstance(seen, str) and isinstance(wanted, str):
        return seen == wanted or seen.startswith(f"{wanted}/")
    return wanted == seen
