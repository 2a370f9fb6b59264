"""A namespace of one's own: a request is answered, an error raised, and another one asked."""

from federix.api import (
    IQ,
    JID,
    Condition,
    Element,
    Module,
    RequestError,
    Session,
    StanzaError,
    hooks,
    iq_get,
    iq_set,
    ns,
)
from federix.testing import World

DICE = "urn:example:dice"


class Dice(Module):
    name = "mod_dice"

    async def on_start(self) -> None:
        self.sides = 6
        self.silent: list[JID] = []

    @iq_get(DICE, "roll", on=("host",))
    def roll(self, iq: IQ) -> Element:
        return Element("rolled", DICE, text=str(self.sides))  # a lucky one

    @iq_set(DICE, "sides", on=("host",))
    def change(self, iq: IQ) -> None:
        assert iq.payload is not None  # a request has one
        if not iq.payload.text.isdecimal():
            raise StanzaError(Condition.BAD_REQUEST, "That is no number.")
        self.sides = int(iq.payload.text)

    @hooks.sm_register_connection
    async def ask(self, session: Session) -> None:
        try:
            await self.host.request("get", session.jid, Element("ping", ns.PING), timeout=10.0)
        except (RequestError, TimeoutError):
            self.silent.append(session.jid)


world = World(modules={"mod_dice": {}}, own_modules={"mod_dice": Dice})
romeo = world.client("romeo@example.org/orchard")
ping = romeo.expect("<iq type='get' id='*' from='example.org'><ping xmlns='*'/></iq>")
world.advance(10.0)
assert world.host("example.org").module(Dice).silent == [romeo.jid]

for number, answer in (("20", "<iq type='result' id='1'/>"), ("many", "<iq type='error' id='1'/>")):
    romeo.send(f"<iq type='set' id='1' to='example.org'><sides xmlns='{DICE}'>{number}</sides></iq>")
    romeo.expect(answer)
romeo.send(f"<iq type='get' id='2' to='example.org'><roll xmlns='{DICE}'/></iq>")
romeo.expect(f"<iq type='result' id='2'><rolled xmlns='{DICE}'>20</rolled></iq>")
world.stop()
