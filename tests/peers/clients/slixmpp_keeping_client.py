"""slixmpp as a client that keeps all it hears, by stanza-id, and says again what was not acknowledged (`console.py`).

It does what a careful client does. Where its session cannot be resumed it asks its archive for what came after the last
message it knows, and where `<failed/>` tells how much of the old session was handled, it sends the rest anew.
"""

import asyncio
import logging
import sys
from collections.abc import Mapping

from slixmpp import JID, Message
from slixmpp.plugins.xep_0198.stanza import RequestAck
from slixmpp.xmlstream import StanzaBase

from tests.peers.clients.console import Login, read_login, tell
from tests.peers.clients.slixmpp_managed_client import Managed

STANZA_ID = "{urn:xmpp:sid:0}stanza-id"
PAGE = 10


class Keeping(Managed):
    """Has carbons and an archive besides its managed stream, and an account of what it said and heard."""

    def __init__(self, login: Login) -> None:
        super().__init__(login)
        self.register_plugin("xep_0280")
        self._management = self.plugin["xep_0198"]
        #: What it heard: the number of the session, the way it came, its stanza-id, its body.
        self._heard: list[tuple[int, str, str, str]] = []
        self._session = 0
        #: What it said and the server has not acknowledged, to whom by body, in order.
        self._unacknowledged: dict[str, JID] = {}
        #: What waited in the managed stream when the connection was lost.
        self._left: list[StanzaBase] = []
        self._may_speak = False
        self.add_event_handler("sm_enabled", self._begin_session)
        self.add_event_handler("session_resumed", self._go_on)
        self.add_event_handler("sm_failed", self._count_what_was_handled)
        self.add_event_handler("stanza_acked", self._take_acknowledged)
        self.add_event_handler("disconnected", self._fall_silent)
        self.add_event_handler("carbon_received", self._hear_carbon)

    async def follow(self, command: Mapping[str, str]) -> None:
        match command["do"]:
            case "message":
                self._unacknowledged[command["body"]] = JID(command["to"])
                if self._may_speak:
                    self._say(command["body"])
            case "acknowledge":
                # Behind what waits to be written: `request_ack` would write it before that.
                self.send(RequestAck(self))
            case "archive":
                results = self.plugin["xep_0313"].iterate(jid=JID(self.boundjid.bare), rsm={"max": PAGE})
                tell("archive", ids=[result["mam_result"]["id"] async for result in results])
            case "recount":
                tell("recount", heard=self._heard, unacknowledged=list(self._unacknowledged))
            case _:
                await super().follow(command)

    # -- sessions -----------------------------------------------------------------------------------------------------

    async def _begin(self, _event: object) -> None:
        """Say nothing yet: the stream is not managed before `_begin_session`."""

    async def _begin_session(self, _event: object) -> None:
        self._session += 1
        known = self._heard[-1][2] if self._heard else None
        await self.plugin["xep_0280"].enable()
        await self.get_roster()
        # From its presence on it hears what is said; what was said until then is in the archive.
        self.send_presence()
        results = self.plugin["xep_0313"].iterate(
            jid=JID(self.boundjid.bare), rsm={"max": PAGE} if known is None else {"max": PAGE, "after": known}
        )
        async for result in results:
            kept = result["mam_result"]
            self._keep("archive", kept["id"], kept["forwarded"]["stanza"]["body"])
        tell("caught_up", jid=str(self.boundjid))
        self._speak(list(self._unacknowledged))

    def _go_on(self, _event: object) -> None:
        # What slixmpp wrote it says again by itself; what it had not come to write it has forgotten.
        again = {stanza["body"] for _, stanza in self._management.unacked_queue if isinstance(stanza, Message)}
        self._speak([body for body in self._unacknowledged if body not in again])

    def _fall_silent(self, _reason: object) -> None:
        self._may_speak = False
        self._left = [stanza for _, stanza in self._management.unacked_queue]

    def _count_what_was_handled(self, failed: StanzaBase) -> None:
        """XEP-0198 §5: with 'h' in ``<failed/>`` a client can "retransmit only those" that were not handled."""
        h = failed.xml.get("h")
        for stanza in self._left[: int(h) - self._management.last_ack] if h is not None else []:
            self._take_acknowledged(stanza)
        tell("failed", h=h, again=len(self._unacknowledged))

    # -- what is said and heard ---------------------------------------------------------------------------------------

    def _speak(self, bodies: list[str]) -> None:
        for body in bodies:
            self._say(body)
        self._may_speak = True

    def _say(self, body: str) -> None:
        self.send_message(mto=self._unacknowledged[body], mbody=body, mtype="chat")

    def _take_acknowledged(self, stanza: StanzaBase) -> None:
        if isinstance(stanza, Message):
            del self._unacknowledged[stanza["body"]]
            tell("acknowledged", body=stanza["body"])

    def _hear_message(self, message: Message) -> None:
        self._hear("live", message)

    def _hear_carbon(self, message: Message) -> None:
        self._hear("carbon", message["carbon_received"])

    def _hear(self, way: str, message: Message) -> None:
        if message["body"]:
            ids = [
                kept.get("id", "") for kept in message.xml.findall(STANZA_ID) if kept.get("by") == self.boundjid.bare
            ]
            assert len(ids) == 1, f"not one stanza-id of {self.boundjid.bare}: {message}"
            self._keep(way, ids[0], message["body"])

    def _keep(self, way: str, id: str, body: str) -> None:
        self._heard.append((self._session, way, id, body))
        tell("heard", body=body)


async def main() -> None:
    await Keeping(read_login()).obey()


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG)
    asyncio.run(main())
