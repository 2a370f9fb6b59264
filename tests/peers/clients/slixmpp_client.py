"""slixmpp as a client a test can command (see `console.py`)."""

import asyncio
import logging
import sys
from collections.abc import Mapping

from slixmpp import JID, ClientXMPP, Iq, Message, Presence
from slixmpp.stanza.roster import Roster

from tests.peers.clients.console import Login, arriving_commands, read_login, tell


class Slixmpp(ClientXMPP):
    """Tells the test every event it has a name for."""

    def __init__(self, login: Login) -> None:
        super().__init__(login.jid, login.password)
        self._login = login
        self._is_online = False
        self.ca_certs = login.authority
        self.enable_direct_tls = login.is_direct_tls
        self.enable_starttls = not login.is_direct_tls
        # The test approves by itself, so that it sees the request.
        self.auto_authorize = None
        self.auto_subscribe = False
        self.register_plugin("xep_0199")
        self.register_plugin("xep_0313")
        self.add_event_handler("session_start", self._begin)
        self.add_event_handler("message", self._hear_message)
        self.add_event_handler("roster_update", self._hear_roster)
        for kind in ("subscribe", "subscribed", "available", "unavailable"):
            self.add_event_handler(f"presence_{kind}", self._hear_presence)

    async def obey(self) -> None:
        """Connect, and follow the test's commands until it says to quit."""
        self.connect(self._login.address, self._login.port)
        async for command in arriving_commands():
            await self.follow(command)
        await self.disconnect()

    async def follow(self, command: Mapping[str, str]) -> None:
        """Do what one command says."""
        match command["do"]:
            case "message":
                self.send_message(mto=JID(command["to"]), mbody=command["body"], mtype="chat")
            case "subscribe":
                self.send_presence_subscription(command["to"], ptype="subscribe")
            case "approve":
                self.send_presence_subscription(command["to"], ptype="subscribed")
            case "roster":
                self.update_roster(JID(command["contact"]), name=command["name"], groups=[command["group"]])
            case "history":
                await self._tell_history(JID(command["contact"]))

    async def _tell_history(self, contact: JID) -> None:
        """What the archive holds of *contact*, one message a page, the newest page first."""
        pages = self.plugin["xep_0313"].iterate(
            jid=JID(self.boundjid.bare), with_jid=contact, reverse=True, rsm={"max": 1}
        )
        async for result in pages:
            kept = result["mam_result"]["forwarded"]["stanza"]
            tell("archived", sender=str(kept["from"]), body=kept["body"], id=result["mam_result"]["id"])

    async def _begin(self, _event: object) -> None:
        await self.get_roster()
        self.send_presence()

    def _hear_message(self, message: Message) -> None:
        if message["body"]:
            tell("message", sender=str(message["from"]), body=message["body"])

    def _hear_presence(self, presence: Presence) -> None:
        if presence["from"] == self.boundjid and not self._is_online:
            # The server sends a client's presence back to it (RFC 6121 §4.2.2): from now on messages reach it.
            self._is_online = True
            tell("online", jid=str(self.boundjid))
        if presence["from"].bare == self.boundjid.bare:
            return
        tell(presence["type"], sender=str(presence["from"]))

    def _hear_roster(self, iq: Iq) -> None:
        roster = iq["roster"]
        assert isinstance(roster, Roster)
        for contact, item in roster.get_items().items():
            group = (list(item["groups"]) or [""])[0]
            tell("roster", contact=str(contact), name=item["name"], group=group)


async def main() -> None:
    client = Slixmpp(read_login())
    client.add_event_handler("disconnected", lambda reason: tell("offline", reason=str(reason)))
    await client.obey()


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG)
    asyncio.run(main())
