"""What is raised in a handler, and what the other side hears of it."""

from federix.api import Condition, ErrorType, Message, Module, Outcome, Session, Stanza, StanzaError, hooks
from federix.testing import World


class Fussy(Module):
    name = "mod_fussy"

    @hooks.user_send_packet
    def check(self, session: Session, stanza: Stanza) -> Outcome:
        if isinstance(stanza, Message) and stanza.body == "please":
            raise StanzaError(Condition.NOT_ALLOWED, "Not today.", ErrorType.WAIT)
        return None


world = World(modules={"mod_fussy": {}}, own_modules={"mod_fussy": Fussy})
romeo = world.client("romeo@example.org/orchard")
romeo.send("<message to='juliet@example.org' id='1'><body>please</body></message>")
romeo.expect(
    "<message type='error' id='1' from='juliet@example.org'>"
    "<error type='wait'><not-allowed xmlns='*'/><text xmlns='*'>Not today.</text></error></message>"
)
world.stop()

assert Condition.NOT_ALLOWED.tag == "not-allowed" and Condition.NOT_ALLOWED.kind is ErrorType.CANCEL
