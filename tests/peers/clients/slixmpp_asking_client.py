"""slixmpp as a client that says what a test has written, word for word, and keeps all it hears (see `console.py`)."""

import asyncio
import logging
import sys
from collections.abc import Mapping
from xml.etree import ElementTree

from slixmpp import ClientXMPP, Iq
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import StanzaBase
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from tests.peers.clients.console import Login, arriving_commands, read_login, tell


class Asking(ClientXMPP):
    """Logs in by SCRAM alone, and sends no presence before it is told to."""

    def __init__(self, login: Login) -> None:
        mechanisms = {"use_mechs": {"SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"}}
        super().__init__(login.jid, login.password, plugin_config={"feature_mechanisms": mechanisms})
        self._login = login
        self._heard: list[str] = []
        self.ca_certs = login.authority
        self.enable_direct_tls = login.is_direct_tls
        self.enable_starttls = not login.is_direct_tls
        self.auto_authorize = None
        self.auto_subscribe = False
        self.add_event_handler("session_start", self._begin)
        for name in ("message", "presence"):
            self.register_handler(Callback(f"Any {name}", MatchXPath(f"{{jabber:client}}{name}"), self._hear))

    async def obey(self) -> None:
        """Connect, and follow the test's commands until it says to quit."""
        self.connect(self._login.address, self._login.port)
        async for command in arriving_commands():
            match command["do"]:
                case "send":
                    self.send_raw(command["xml"])
                case "ask":
                    await self._ask(command)
                case "recount":
                    tell("recount", heard=self._heard)
        await self.disconnect()

    async def _ask(self, command: Mapping[str, str]) -> None:
        iq = Iq(self, xml=ElementTree.fromstring(command["xml"]))
        iq["id"] = self.new_id()
        try:
            answer = await iq.send(timeout=30)
        except IqError as error:
            answer = error.iq
        tell("answer", xml=_text(answer))

    def _begin(self, _event: object) -> None:
        tell("online", jid=str(self.boundjid), mechanism=self.plugin["feature_mechanisms"].mech.name)

    def _hear(self, stanza: StanzaBase) -> None:
        self._heard.append(_text(stanza))
        tell("heard", kind=stanza.name, type=stanza.xml.get("type", ""), sender=stanza.xml.get("from", ""))


def _text(stanza: StanzaBase) -> str:
    return ElementTree.tostring(stanza.xml, encoding="unicode")


async def main() -> None:
    client = Asking(read_login())
    client.add_event_handler("disconnected", lambda reason: tell("offline", reason=str(reason)))
    await client.obey()


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG)
    asyncio.run(main())
