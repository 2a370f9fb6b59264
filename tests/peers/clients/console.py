"""The language between a test and the client programs in this folder: one JSON object per line.

Commands, on standard input; the end of the input means `quit` as well:

    {"do": "message", "to": JID, "body": TEXT}
    {"do": "subscribe", "to": JID}                                  ask for the presence of *to*
    {"do": "approve", "to": JID}                                    let *to* have ours
    {"do": "roster", "contact": JID, "name": TEXT, "group": TEXT}   set a roster item
    {"do": "acknowledge"}                                           ask the server what it has handled (*)
    {"do": "archive"}                                               tell what the archive has (*)
    {"do": "recount"}                                               tell all that was heard (*)
    {"do": "quit"}                                                  log out and end

Events, on standard output:

    {"event": "online", "jid": FULL-JID}                            logged in, roster known, presence sent
    {"event": "message", "sender": JID, "body": TEXT}
    {"event": "subscribe", "sender": JID}
    {"event": "subscribed", "sender": JID}
    {"event": "available", "sender": JID}
    {"event": "unavailable", "sender": JID}
    {"event": "roster", "contact": JID, "name": TEXT, "group": TEXT}   an item of the roster, at login or pushed
    {"event": "offline", "reason": TEXT}                            the connection has ended
    {"event": "managed"}                                            stream management is enabled
    {"event": "asked", "h": NUMBER}                                 an <r/> came; so many stanzas were acknowledged
    {"event": "resumed"}                                            the session goes on over a new connection
    {"event": "failed", "h": NUMBER, "again": NUMBER}               it does not; how much is said again (*)
    {"event": "caught_up", "jid": FULL-JID}                         a new session, and the archive has been read (*)
    {"event": "acknowledged", "body": TEXT}                         the server has handled a message (*)
    {"event": "heard", "body": TEXT}                                a message came, whichever way (*)
    {"event": "archive", "ids": [STANZA-ID, …]}                     what the archive has, in its order (*)
    {"event": "recount", "heard": [[SESSION, WAY, STANZA-ID, TEXT], …], "unacknowledged": [TEXT, …]} (*)

Those with a star are of `slixmpp_keeping_client.py` alone.

Standard error is for whatever helps to understand a failure.
"""

import argparse
import asyncio
import json
import queue
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Login:
    """Who logs in, and where."""

    user: str
    host: str
    password: str
    port: int
    is_direct_tls: bool
    address: str
    """The IP address to connect to."""
    authority: Path
    """The certificate authority to trust, and no other (PEM); its folder serves OpenSSL as a folder of authorities."""

    @property
    def jid(self) -> str:
        """The bare JID."""
        return f"{self.user}@{self.host}"


def read_login() -> Login:
    """Read the command line that all client programs share."""
    parser = argparse.ArgumentParser()
    for name in ("--user", "--host", "--password"):
        parser.add_argument(name, required=True)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--tls", required=True, choices=("starttls", "direct"))
    parser.add_argument("--authority", required=True, type=Path)
    options = parser.parse_args()
    return Login(
        user=options.user,
        host=options.host,
        password=options.password,
        port=options.port,
        address=options.address,
        is_direct_tls=options.tls == "direct",
        authority=options.authority,
    )


def tell(event: str, **details: object) -> None:
    """Tell the test what happened."""
    print(json.dumps({"event": event, **details}), flush=True)


def commands(tick: float) -> Iterator[Mapping[str, str] | None]:
    """Yield each command up to `quit`, and `None` whenever *tick* seconds passed without one."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read_lines, args=(lines,), daemon=True).start()
    while True:
        try:
            command = _parse(lines.get(timeout=tick))
        except queue.Empty:
            yield None
            continue
        if command["do"] == "quit":
            return
        yield command


async def arriving_commands() -> AsyncIterator[Mapping[str, str]]:
    """Yield each command up to `quit`, for a client that lives in asyncio."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while (command := _parse((await reader.readline()).decode()))["do"] != "quit":
        yield command


def _read_lines(lines: "queue.SimpleQueue[str]") -> None:
    for line in sys.stdin:
        lines.put(line)
    lines.put("")


def _parse(line: str) -> Mapping[str, str]:
    return json.loads(line) if line.strip() else {"do": "quit"}
