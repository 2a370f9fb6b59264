"""profanity as a client a test can command (see `console.py`): it runs in a tmux of its own.

What the test wants is typed into it. What happened is read from its console window, as a user would, and from the
history of messages it keeps.
"""

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.peers.clients.console import Login, commands, read_login, tell

LOGGED_IN = re.compile(r"(?P<jid>\S+) logged in successfully")
PONG = re.compile(r"Ping response from ")
TOO_EARLY = re.compile(r"Server does not support ping requests")
"""It has asked the server what it supports, and the answer is not there yet."""
REQUESTED = re.compile(r"Received authorization request from (?P<jid>\S+)")
GRANTED = re.compile(r"Subscription received from (?P<jid>\S+)")
CAME = re.compile(r"\+\+ (?P<name>\S+)( \((?P<resource>\S+)\))? is online")
LEFT = re.compile(r"-- (?P<name>\S+)( \((?P<resource>\S+)\))? is offline")
ROSTER_ITEM = re.compile(r"  (?P<contact>\S+@\S+)( \((?P<name>.+)\))? - \w+( - (?P<group>.+))?$")
LOST = re.compile(r"Lost connection|Login failed|TLS certificate verification failed")
CONSOLE_LINE = re.compile(r"^\d\d:\d\d:\d\d - (?P<text>.*)$")

COLUMNS = 250
ROWS = 400
"""So tall that nothing scrolls out of the console during a test."""
PERIOD = 0.1
"""Seconds between two looks at the screen."""


class Terminal:
    """profanity in a tmux whose socket, configuration and data are all in *folder*."""

    def __init__(self, folder: Path, login: Login) -> None:
        self._tmux = ("tmux", "-u", "-S", str(folder / "tmux"), "-f", "/dev/null")
        self._data = folder / "data" / "profanity"
        self._environment = {
            **os.environ,
            "LC_ALL": "C.UTF-8",
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_DATA_HOME": str(folder / "data"),
        }
        self._configure(folder / "config" / "profanity", login)
        size = ("-x", str(COLUMNS), "-y", str(ROWS))
        self._run("new-session", "-d", *size, f"profanity -l DEBUG -f '{folder / 'debug'}' -a account")
        self.type("/roster hide")

    def type(self, line: str) -> None:
        """Type one line, and come back to the console window should it have led elsewhere."""
        for text in (line, "/win 1"):
            self._run("send-keys", "-l", text)
            self._run("send-keys", "Enter")

    def console(self) -> list[str] | None:
        """Return what stands in the console window without the times, or `None` while another window shows."""
        screen = self._run("capture-pane", "-p").splitlines()
        if not screen or not screen[0].lstrip().startswith("Profanity."):
            return None
        return [line["text"].rstrip() for row in screen if (line := CONSOLE_LINE.match(row))]

    def messages(self, login: Login, seen: int) -> list[tuple[int, str, str]]:
        """Return number, sender and body of the messages received after the one numbered *seen*."""
        history = self._data / "database" / f"{login.user}_at_{login.host}" / "chatlog.db"
        if not history.exists():
            return []
        query = (
            "SELECT id, from_jid || '/' || from_resource, message FROM ChatLogs"
            " WHERE id > ? AND from_jid != ? ORDER BY id"
        )
        try:
            with contextlib.closing(sqlite3.connect(f"file:{history}?mode=ro", uri=True)) as database:
                return database.execute(query, (seen, login.jid)).fetchall()
        except sqlite3.OperationalError:
            # Not made to the end yet, or being written: the next look will do.
            return []

    def is_running(self) -> bool:
        """Tell whether profanity still runs."""
        asked = (*self._tmux, "has-session")
        return subprocess.run(asked, env=self._environment, capture_output=True).returncode == 0

    def close(self) -> None:
        """End profanity, if it still runs, and its tmux."""
        subprocess.run((*self._tmux, "kill-server"), env=self._environment, capture_output=True)

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            (*self._tmux, *arguments), env=self._environment, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout

    def _configure(self, folder: Path, login: Login) -> None:
        folder.mkdir(parents=True)
        self._data.mkdir(parents=True)
        (folder / "profrc").write_text(f"[connection]\ntls.certpath={login.authority.parent}\n[ui]\nsplash=false\n")
        account = {
            "enabled": "true",
            "jid": login.jid,
            # With direct TLS the certificate is checked against this name.
            "server": login.host,
            "port": login.port,
            "password": login.password,
            "resource": "profanity",
            "tls.policy": "legacy" if login.is_direct_tls else "force",
            "presence.last": "online",
            "presence.login": "online",
        }
        lines = [f"{name}={value}" for name, value in account.items()]
        (self._data / "accounts").write_text("\n".join(["[account]", *lines, ""]))


class Conversation:
    """Follows the test's commands in one terminal, and tells what is to be read there."""

    def __init__(self, terminal: Terminal, login: Login) -> None:
        self._terminal = terminal
        self._login = login
        self._contacts: dict[str, str] = {}
        """By the name in the roster, which the console shows in place of the JID."""
        self._awaited_items: set[tuple[str, str]] = set()
        """Contact and group set here that the roster has not shown yet."""
        self._lines_read = 0
        self._last_message = 0
        self._own = ""

    def obey(self) -> None:
        """Follow commands until the test says to quit or profanity ends."""
        for command in commands(PERIOD):
            if not self._terminal.is_running():
                break
            match command:
                case {"do": "message", "to": to, "body": body}:
                    self._terminal.type(f"/msg {to} {body}")
                case {"do": "subscribe", "to": to}:
                    self._terminal.type(f"/sub request {to}")
                case {"do": "approve", "to": to}:
                    self._terminal.type(f"/sub allow {to}")
                case {"do": "roster", "contact": contact, "name": name, "group": group}:
                    self._set_item(contact, name, group)
            self._look()
        self._quit()

    def _set_item(self, contact: str, name: str, group: str) -> None:
        self._contacts[name] = contact
        self._terminal.type(f"/roster add {contact} {name}")
        self._terminal.type(f"/roster group add {group} {name}")
        self._awaited_items.add((contact, group))

    def _quit(self) -> None:
        if self._terminal.is_running():
            self._terminal.type("/quit")
        tell("offline", reason="")

    def _look(self) -> None:
        if self._awaited_items:
            # profanity changes its roster only when the server pushes the change, and shows it only when asked.
            self._terminal.type("/roster")
        lines = self._terminal.console()
        if lines is not None:
            for line in lines[self._lines_read :]:
                self._tell_line(line)
            self._lines_read = max(self._lines_read, len(lines))
        for number, sender, body in self._terminal.messages(self._login, self._last_message):
            self._last_message = number
            tell("message", sender=sender, body=body)

    def _tell_line(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)
        if found := LOGGED_IN.match(line):
            self._own = found["jid"]
            self._terminal.type("/ping")
        elif TOO_EARLY.match(line):
            self._terminal.type("/ping")
        elif PONG.match(line) and self._own:
            # The server takes what we send in order: it has our presence too, and messages reach us.
            tell("online", jid=self._own)
            self._own = ""
        elif found := REQUESTED.match(line):
            tell("subscribe", sender=found["jid"])
        elif found := GRANTED.match(line):
            tell("subscribed", sender=found["jid"])
        elif found := CAME.match(line):
            tell("available", sender=f"{self._jid(found['name'])}/{found['resource'] or ''}")
        elif found := LEFT.match(line):
            tell("unavailable", sender=f"{self._jid(found['name'])}/{found['resource'] or ''}")
        elif found := ROSTER_ITEM.match(line):
            self._awaited_items.discard((found["contact"], found["group"]))
            tell("roster", contact=found["contact"], name=found["name"] or "", group=found["group"] or "")
        elif LOST.match(line):
            tell("offline", reason=line)

    def _jid(self, name: str) -> str:
        return self._contacts.get(name, name)


def main() -> None:
    login = read_login()
    with tempfile.TemporaryDirectory(prefix="profanity-") as folder:
        terminal = Terminal(Path(folder), login)
        try:
            Conversation(terminal, login).obey()
        finally:
            debug = Path(folder) / "debug"
            if debug.exists():
                print(debug.read_text(errors="replace"), file=sys.stderr)
            terminal.close()


if __name__ == "__main__":
    main()
