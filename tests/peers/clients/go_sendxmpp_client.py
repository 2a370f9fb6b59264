"""go-sendxmpp as a client a test can command (see `console.py`): one listens, and another is started for each message.

It does no more than messages, so `subscribe`, `approve` and `roster` are not there.
"""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO

from tests.peers.clients.console import Login, commands, read_login, tell

BOUND = re.compile(r"<jid>([^<]+)</jid>")
RECEIVED = re.compile(r"^\S+Z (?P<sender>\S+): (?P<body>.*)$")
SEND_TIMEOUT = 30.0


def main() -> None:
    login = read_login()
    # Go's TLS takes its authorities from here. The name in the certificate is compared with the JID's domain.
    environment = {**os.environ, "SSL_CERT_FILE": str(login.authority)}
    command = _command(login)
    listener = subprocess.Popen(
        [*command, "--listen", "--debug"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert listener.stdout is not None
    assert listener.stderr is not None
    threads = [
        threading.Thread(target=_follow_stream, args=(listener.stderr,)),
        threading.Thread(target=_follow_messages, args=(listener.stdout,)),
    ]
    for thread in threads:
        thread.start()
    for order in commands(tick=60.0):
        if order is not None:
            assert order["do"] == "message", order
            subprocess.run(
                [*command, order["to"]],
                env=environment,
                input=order["body"],
                text=True,
                stdout=sys.stderr,
                timeout=SEND_TIMEOUT,
                check=True,
            )
    listener.terminate()
    listener.wait()
    for thread in threads:
        thread.join()


def _command(login: Login) -> Sequence[str]:
    command = ["go-sendxmpp", "-u", login.jid, "-p", login.password, "-j", f"127.0.0.1:{login.port}"]
    return [*command, "--tls"] if login.is_direct_tls else command


def _follow_stream(debug_output: IO[str]) -> None:
    """Notice in the raw stream who is logged in, and when the server has seen its presence."""
    jid: str | None = None
    for line in debug_output:
        print(line, end="", file=sys.stderr, flush=True)
        if bound := BOUND.search(line):
            jid = bound[1]
        # The server sends a client's presence back to it (RFC 6121 §4.2.2): from now on messages reach it.
        if jid is not None and "<presence" in line:
            tell("online", jid=jid)
            jid = None
    tell("offline", reason="")


def _follow_messages(output: IO[str]) -> None:
    for line in output:
        if message := RECEIVED.match(line):
            tell("message", sender=message["sender"], body=message["body"])


if __name__ == "__main__":
    main()
