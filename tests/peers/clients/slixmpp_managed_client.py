"""slixmpp as a client that manages its stream, and comes back when it loses its connection (see `console.py`)."""

import asyncio
import logging
import sys

from slixmpp.plugins.xep_0198.stanza import RequestAck
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from tests.peers.clients.console import Login, read_login, tell
from tests.peers.clients.slixmpp_client import Slixmpp

#: Seconds until it tries to come back.
PATIENCE = 0.2


class Managed(Slixmpp):
    """Tells as well when its stream is managed, what it acknowledges, and when its session goes on over a new one."""

    def __init__(self, login: Login) -> None:
        super().__init__(login)
        self._managed = login
        self.register_plugin("xep_0198")
        self.add_event_handler("sm_enabled", lambda _: tell("managed"))
        self.add_event_handler("session_resumed", lambda _: tell("resumed"))
        self.add_event_handler("disconnected", self._come_back)
        # slixmpp answers by itself, and has no event for it.
        self.register_handler(Callback("Asked", MatchXPath(RequestAck.tag_name()), self._tell_asked))

    def _tell_asked(self, _request: object) -> None:
        tell("asked", h=self.plugin["xep_0198"].handled)

    async def _come_back(self, reason: object) -> None:
        tell("offline", reason=str(reason))
        await asyncio.sleep(PATIENCE)
        self.connect(self._managed.address, self._managed.port)


async def main() -> None:
    await Managed(read_login()).obey()


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG)
    asyncio.run(main())
