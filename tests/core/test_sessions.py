"""Sessions: who is connected, who gives way, and what ends with them."""

from __future__ import annotations

from typing import Any

from federix.api import JID, Key, Module, Session, StreamCondition, StreamError, hooks
from federix.core.sessions import ResourceConflict
from federix.testing import Client, World

from .support import WorldTestCase, condition, stream_condition

ROMEO = "romeo@example.org/orchard"
NOTE = Key[str]("mod_witness.note")


class Witness(Module):
    """Remembers who came and went, and how things stood then."""

    name = "mod_witness"

    async def on_start(self) -> None:
        self.heard: list[tuple[str, str]] = []
        self.ended_with: list[tuple[bool, bool, str | None]] = []

    @hooks.sm_register_connection
    def came(self, session: Session) -> None:
        session.notes[NOTE] = "kept"
        self.heard.append(("came", str(session.jid)))
        assert self.host.sessions.find(session.jid.local, session.jid.resource) is session

    @hooks.sm_remove_connection
    def went(self, session: Session) -> None:
        self.heard.append(("went", str(session.jid)))
        found = self.host.sessions.find(session.jid.local, session.jid.resource) is session
        self.ended_with.append((found, session.scope.closed, session.notes.get(NOTE)))


class SessionTestCase(WorldTestCase):
    def arrange(self, **config: Any) -> World:
        self.world = self.new_world(config=config, modules={"mod_witness": {}}, own_modules={"mod_witness": Witness})
        self.host = self.world.host("example.org")
        self.witness = self.host.module(Witness)
        return self.world

    def resources(self, local: str = "romeo") -> list[str]:
        return sorted(session.jid.resource for session in self.host.sessions.of(local))

    def gone(self, client: Client, why: str) -> None:
        self.assertEqual(stream_condition(client.receive()), why)
        client.nothing()
        self.assertTrue(client.ended)


class ConflictTests(SessionTestCase):
    """RFC 6120 §7.7.2.2: two that want one resource."""

    def test_the_new_one_takes_it_over(self) -> None:
        for policy in ("acceptnew", "closeold"):
            self.arrange(resource_conflict=policy)
            old = self.world.client(ROMEO)
            new = self.world.client(ROMEO)
            self.gone(old, "conflict")
            self.assertEqual(str(new.jid), ROMEO)
            self.assertEqual(len(self.host.sessions), 1)
            self.assertEqual(self.witness.heard, [("came", ROMEO), ("went", ROMEO), ("came", ROMEO)])
            new.send(f"<message to='{ROMEO}'/>")
            new.expect("<message/>")

    def test_the_old_one_keeps_it(self) -> None:
        self.arrange(resource_conflict="closenew")
        old = self.world.client(ROMEO)
        error = self.assertRaises(AssertionError, self.world.client, ROMEO)
        self.assertIn("conflict", str(error))
        old.nothing()
        self.assertEqual(self.resources(), ["orchard"])

    def test_the_one_who_was_refused_may_ask_for_another(self) -> None:
        self.arrange(resource_conflict="closenew")
        self.world.client(ROMEO)
        new = self.world.connect()
        new.open("example.org")
        self.assertRaises(AssertionError, new.login, JID.parse(ROMEO), "secret")
        new.bind(JID.parse("romeo@example.org/garden"))
        self.assertEqual(self.resources(), ["garden", "orchard"])

    def test_the_new_one_gets_another(self) -> None:
        self.arrange(resource_conflict="setresource")
        old = self.world.client(ROMEO)
        new = self.world.client(ROMEO)
        old.nothing()
        assert new.jid is not None
        self.assertNotEqual(new.jid.resource, "orchard")
        self.assertEqual(self.resources(), sorted(["orchard", new.jid.resource]))
        new.send(f"<message to='{ROMEO}'/>")
        old.expect(f"<message from='{new.jid}'/>")

    def test_the_end_of_the_old_one_does_not_end_the_new_one(self) -> None:
        self.arrange()
        old = self.world.client(ROMEO)
        new = self.world.client(ROMEO)
        old.close()
        old.cut()
        self.world.advance(60)
        self.assertEqual(self.resources(), ["orchard"])
        new.send(f"<message to='{ROMEO}'/>")
        new.expect("<message/>")

    def test_the_same_resource_of_another_account_is_no_conflict(self) -> None:
        self.arrange(resource_conflict="closenew")
        self.world.client(ROMEO)
        self.world.client("juliet@example.org/orchard").nothing()

    def test_the_policy_is_that_of_the_host(self) -> None:
        world = self.new_world(
            hosts=("example.org", "verona.example"),
            config={"host_config": {"verona.example": {"resource_conflict": "closenew"}}},
        )
        world.client(ROMEO)
        world.client(ROMEO)
        world.client("a@verona.example/x")
        self.assertRaises(AssertionError, world.client, "a@verona.example/x")

    def test_a_resource_nobody_names_is_made_up_and_cannot_be_guessed(self) -> None:
        self.arrange()
        made = {self.world.client("romeo@example.org").jid for _ in range(5)}
        self.assertEqual(len({jid.resource for jid in made if jid}), 5)
        self.assertTrue(all(jid and len(jid.resource) == 30 for jid in made))


class LimitTests(SessionTestCase):
    def test_past_the_limit_the_oldest_ends(self) -> None:
        self.arrange(shaper_rules={"max_user_sessions": 3})
        clients = []
        for name in "abc":
            clients.append(self.world.client(f"romeo@example.org/{name}"))
            self.world.advance(1)
        other = self.world.client("juliet@example.org/balcony")
        self.assertEqual(self.resources(), ["a", "b", "c"])
        self.world.client("romeo@example.org/d")
        self.gone(clients[0], "policy-violation")
        self.assertEqual(self.resources(), ["b", "c", "d"])
        for client in (*clients[1:], other):
            client.nothing()

    def test_ten_is_the_limit_unless_another_is_set(self) -> None:
        self.arrange()
        for number in range(12):
            self.world.client(f"romeo@example.org/{number}")
        self.assertEqual(len(self.resources()), 10)

    def test_there_may_be_no_limit(self) -> None:
        self.arrange(shaper_rules={"max_user_sessions": "infinity"})
        for number in range(12):
            self.world.client(f"romeo@example.org/{number}")
        self.assertEqual(len(self.resources()), 12)

    def test_who_takes_over_a_resource_takes_nobody_elses_place(self) -> None:
        self.arrange(shaper_rules={"max_user_sessions": 2})
        first = self.world.client("romeo@example.org/a")
        second = self.world.client("romeo@example.org/b")
        self.world.client("romeo@example.org/b")
        self.gone(second, "conflict")
        first.nothing()
        self.assertEqual(self.resources(), ["a", "b"])


class LifeTests(SessionTestCase):
    def setUp(self) -> None:
        self.arrange()

    def test_what_is_known_of_a_session_outlives_it_for_those_who_hear_of_its_end(self) -> None:
        romeo = self.world.client(ROMEO)
        romeo.close()
        self.assertEqual(self.witness.heard, [("came", ROMEO), ("went", ROMEO)])
        self.assertEqual(self.witness.ended_with, [(False, False, "kept")])

    def test_a_session_ends_once_however_it_ends(self) -> None:
        for end in ("close", "cut"):
            romeo = self.world.client(ROMEO)
            session = self.session(romeo)
            getattr(romeo, end)()
            self.host.sessions.close(session)
            self.world.advance(60)
            self.assertEqual([what for what, _ in self.witness.heard], ["came", "went"])
            self.assertTrue(session.scope.closed)
            self.assertEqual(len(self.host.sessions), 0)
            self.witness.heard.clear()

    def test_what_a_session_owns_ends_with_it(self) -> None:
        romeo = self.world.client(ROMEO)
        session = self.session(romeo)
        fired: list[str] = []
        session.scope.later(5, fired.append, "late")
        session.scope.later(1, fired.append, "soon")
        self.world.advance(2)
        romeo.close()
        self.world.advance(60)
        self.assertEqual(fired, ["soon"])

    def test_an_ended_session_gets_nothing_more(self) -> None:
        romeo = self.world.client(ROMEO)
        session = self.session(romeo)
        session.end(StreamError(StreamCondition.RESET))
        self.gone(romeo, "reset")
        juliet = self.world.client("juliet@example.org/balcony")
        juliet.send(f"<message to='{ROMEO}'/>")
        self.assertEqual(condition(juliet.receive()), "service-unavailable")

    def test_sessions_can_be_asked_for(self) -> None:
        a = self.session(self.world.client("romeo@example.org/a"))
        b = self.session(self.world.client("romeo@example.org/b"))
        c = self.session(self.world.client("juliet@example.org/c"))
        sessions = self.host.sessions
        a.available = True
        self.assertEqual(len(sessions), 3)
        self.assertEqual(list(sessions), [a, b, c])
        self.assertEqual(sessions.of("romeo"), [a, b])
        self.assertEqual(sessions.of("nobody"), [])
        self.assertEqual(sessions.available("romeo"), [a])
        self.assertIs(sessions.find("romeo", "b"), b)
        self.assertIsNone(sessions.find("romeo", "c"))
        self.assertIsNone(sessions.find("nobody", "c"))

    def test_sessions_may_end_while_they_are_gone_through(self) -> None:
        for name in "abc":
            self.world.client(f"romeo@example.org/{name}")
        for session in self.host.sessions:
            session.end()
        self.assertEqual(len(self.host.sessions), 0)

    def test_nothing_stays_of_many_that_came_and_went(self) -> None:
        for number in range(30):
            client = self.world.client(f"romeo@example.org/{number % 3}")
            client.cut() if number % 2 else client.close()
        self.world.advance(60)
        self.assertEqual(len(self.host.sessions), 0)
        self.assertEqual(self.host.sessions.of("romeo"), [])
        self.assertEqual(len(self.host.sessions._accounts), 0)

    def test_the_sessions_of_an_account_end_with_it(self) -> None:
        romeo, juliet = self.world.client(ROMEO), self.world.client("juliet@example.org/balcony")
        self.world.run(self.host.accounts.remove("romeo"))
        self.gone(romeo, "not-authorized")
        juliet.nothing()

    def test_a_conflict_is_raised_before_anything_changes(self) -> None:
        session = self.session(self.world.client(ROMEO))
        self.assertRaises(
            ResourceConflict,
            self.host.sessions.open,
            "romeo",
            "orchard",
            session.attachment,
            policy="closenew",
            limit=1,
            new_resource=lambda: "x",
        )
        self.assertEqual(self.resources(), ["orchard"])
