"""slixmpp as a component (XEP-0114) that says back what it hears (see `console.py`).

It knows the command `message` with a *sender* at its domain, and tells `online`, `message` and `offline`.
"""

import argparse
import asyncio
import logging
import sys

from slixmpp import JID, ComponentXMPP, Message

from tests.peers.clients.console import arriving_commands, tell


class Echo(ComponentXMPP):
    """A domain where everybody repeats what is said to him, and answers pings and questions about features."""

    def __init__(self, domain: str, password: str, address: str, port: int) -> None:
        super().__init__(domain, password, address, port)
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0199")
        self.add_event_handler("session_start", lambda _: tell("online", jid=domain))
        self.add_event_handler("disconnected", lambda reason: tell("offline", reason=str(reason)))
        self.add_event_handler("message", self._repeat)

    async def obey(self) -> None:
        """Connect, and follow the test's commands until it says to quit."""
        self.connect()
        async for command in arriving_commands():
            if command["do"] == "message":
                self.send_message(
                    mto=JID(command["to"]), mbody=command["body"], mfrom=JID(command["sender"]), mtype="chat"
                )
        await self.disconnect()

    def _repeat(self, message: Message) -> None:
        if message["type"] == "error" or not message["body"]:
            return
        tell("message", sender=str(message["from"]), body=message["body"])
        message.reply(message["body"]).send()


async def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--domain", "--password"):
        parser.add_argument(name, required=True)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", required=True, type=int)
    arguments = parser.parse_args()
    await Echo(arguments.domain, arguments.password, arguments.address, arguments.port).obey()


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG)
    asyncio.run(main())
