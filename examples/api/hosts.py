"""What a module finds at its host: accounts, sessions, and notes of its own about a session."""

from federix.api import Key, Module, Session, Stanza, StreamCondition, StreamError, hooks
from federix.testing import World

SAID = Key[int]("mod_talkers.said")


class Talkers(Module):
    name = "mod_talkers"

    @hooks.user_sent_packet
    def count(self, session: Session, stanza: Stanza) -> None:
        session.notes[SAID] = (session.notes.get(SAID) or 0) + 1

    def send_home(self, more_than: int) -> None:
        for session in self.host.sessions:
            if (session.notes.get(SAID) or 0) > more_than:
                session.end(StreamError(StreamCondition.POLICY_VIOLATION, "That is enough."))


world = World(modules={"mod_talkers": {}}, own_modules={"mod_talkers": Talkers})
host = world.host("example.org")
world.run(host.accounts.register("nurse", "secret"))
assert world.run(host.accounts.exists("nurse")) and not world.run(host.accounts.exists("tybalt"))

romeo = world.client("romeo@example.org/orchard")
romeo.send("<presence/>")
[session] = host.sessions.of("romeo")
assert session.jid == romeo.jid and session.host is host

host.module(Talkers).send_home(more_than=0)
world.pump()
assert romeo.ended and not host.sessions.of("romeo")
world.stop()
