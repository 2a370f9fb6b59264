"""One handler for each shape: a filter that refuses, changes or takes, an event that watches, a collect that adds.

The second module takes a hook of the first one's.
"""

from collections.abc import Iterable

from federix.api import (
    HANDLED,
    JID,
    Condition,
    Element,
    Event,
    Message,
    Module,
    Outcome,
    Session,
    Slot,
    Stanza,
    StanzaError,
    hooks,
    ns,
)
from federix.testing import World

SEEN = "urn:example:seen"
somebody_came: Event[[JID]] = Event("somebody_came", "A client came in: its address.")


class Doorkeeper(Module):
    name = "mod_doorkeeper"

    @hooks.sm_register_connection
    def came(self, session: Session) -> None:
        somebody_came.run(self.host.chains, session.jid)

    @hooks.user_send_packet.at(Slot.CHECK)
    def check(self, session: Session, stanza: Stanza) -> Outcome:
        if not isinstance(stanza, Message):
            return None  # it goes on
        if stanza.body == "knock":
            return HANDLED  # it was for us, and goes no further
        if stanza.body and "sword" in stanza.body:
            raise StanzaError(Condition.POLICY_VIOLATION, "No swords.")
        return stanza.appending(Element("seen", SEEN))  # another one goes on

    @hooks.disco_local_items
    def rooms(self, who: JID, node: str) -> Iterable[Element]:
        return [Element("item", ns.DISCO_ITEMS, attrs={"jid": f"hall.{self.host.name}"})] if not node else []


class Guests(Module):
    name = "mod_guests"
    requires = (Doorkeeper,)

    async def on_start(self) -> None:
        self.list: list[JID] = []

    @somebody_came
    def write(self, who: JID) -> None:
        self.list.append(who)


own = {"mod_doorkeeper": Doorkeeper, "mod_guests": Guests}
world = World(modules={"mod_disco": {}, "mod_doorkeeper": {}, "mod_guests": {}}, own_modules=own)
romeo, juliet = world.client("romeo@example.org/orchard"), world.client("juliet@example.org/balcony")
assert world.host("example.org").module(Guests).list == [romeo.jid, juliet.jid]

for words in ("knock", "my sword", "hello"):
    romeo.send(f"<message to='juliet@example.org/balcony'><body>{words}</body></message>")
romeo.expect("<message type='error'><error><policy-violation xmlns='*'/></error></message>")
juliet.expect(f"<message><body>hello</body><seen xmlns='{SEEN}'/></message>")
juliet.nothing()
romeo.send("<iq type='get' id='1' to='example.org'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>")
romeo.expect("<iq type='result'><query xmlns='*'><item jid='hall.example.org'/></query></iq>")
world.stop()
