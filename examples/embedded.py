"""A Twisted program with an XMPP server inside: ``python examples/embedded.py DIRECTORY [PORT]``.

The program has the server's hosts, accounts and sessions at hand, and a module of its own in it: whoever logs in as
romeo (password: wherefore) is told how many are there. Ctrl-C ends both.
"""

import sys
from pathlib import Path

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import react

from federix import Config, Server
from federix.api import Module, Presence, Session, hooks, message


class Welcome(Module):
    """Says hello to everybody who comes online."""

    name = "mod_welcome"

    @hooks.set_presence
    def greet(self, session: Session, presence: Presence) -> None:
        text = f"Welcome! Sessions here: {sum(1 for _ in self.host.sessions)}"
        self.host.route(message("headline", body=text, to=session.jid, sender=self.host.jid))


def configure(directory, port):
    """The server's configuration: as in the file, but in Python."""
    return Config.load(
        {
            "hosts": ["localhost"],
            "listen": [{"module": "ejabberd_c2s", "ip": "127.0.0.1", "port": port}],
            "modules": {"mod_roster": {}, "mod_disco": {}, "mod_ping": {}, "mod_welcome": {}},
        },
        own_modules={"mod_welcome": Welcome},
        directory=directory,
    )


async def main(reactor, directory, port="5222"):
    server = Server(configure(Path(directory), int(port)), reactor)
    await server.start()
    reactor.addSystemEventTrigger("before", "shutdown", lambda: ensureDeferred(server.stop()))
    accounts = server.host("localhost").accounts
    if not await accounts.exists("romeo"):
        await accounts.register("romeo", "wherefore")
    print("ready", flush=True)
    await Deferred()  # here the program does what it is for


if __name__ == "__main__":
    react(lambda reactor, *words: ensureDeferred(main(reactor, *words)), sys.argv[1:])
