"""An account goes, or gets another password, while somebody is on the way into it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred

from federix.api import JID, Module, StreamError, hooks
from federix.testing import Client, World
from federix.xmpp import ns
from tests.links.support import ALL_HASHES, WorldTestCase, auth, decoded, plain, response, secured
from tests.xmpp.sasl.support import Client as Scram

BIND = f"<iq type='set' id='b1'><bind xmlns='{ns.BIND}'/></iq>"


class Slow(Module):
    """Takes its time to hear that an account goes."""

    name = "mod_slow"

    async def on_start(self) -> None:
        self.waiting: Deferred[None] | None = None

    @hooks.remove_user
    async def removed(self, account: JID) -> None:
        if self.waiting is not None:
            await self.waiting


class Case(WorldTestCase):
    def setUp(self) -> None:
        self.world: World = self.make(ALL_HASHES, modules={"mod_slow": {}}, own_modules={"mod_slow": Slow})
        self.world.register("romeo@example.org")
        self.host = self.world.host("example.org")
        self.accounts: Any = self.host.accounts

    def remove(self) -> None:
        self.assertTrue(self.world.run(self.accounts.remove("romeo")))

    def begin_removal(self) -> tuple[Deferred[None], Deferred[Any]]:
        """A removal that waits for a module, and how to let it go on."""
        waiting: Deferred[None] = Deferred()
        self.host.module(Slow).waiting = waiting
        removing = ensureDeferred(self.accounts.remove("romeo"))
        self.world.pump()
        return waiting, removing

    def authenticated(self) -> Client:
        client = secured(self.world)
        client.send(plain("romeo"))
        client.expect(f"<success xmlns='{ns.SASL}'/>")
        return client

    def challenged(self) -> tuple[Client, bytes]:
        """A client in the middle of its exchange, and what it says next."""
        client, half = secured(self.world), Scram(name="romeo", password="secret")
        client.send(auth("SCRAM-SHA-256", half.first()))
        return client, half.final(decoded(client.receive()))

    def slow_look_up(self) -> Deferred[None]:
        """Storage answers the next question for credentials when this is called back, with what was there before."""
        looking: Deferred[None] = Deferred()
        store: Any = self.world.server.storage.accounts
        get = store.get

        async def later(local: str, host: str) -> Any:
            found = await get(local, host)
            await looking
            return found

        self.patch(store, "get", later)
        return looking

    def assert_nobody_is_left(self) -> None:
        self.assertEqual(len(self.host.sessions), 0)
        self.assertEqual(len(self.accounts.logins), 0)


class RemovalTests(Case):
    """XEP-0077 §3.2: with an account all that it is connected with ends."""

    def test_a_stream_that_has_not_bound_ends(self) -> None:
        client = self.authenticated()
        self.remove()
        self.assert_stream_error(client, "not-authorized")
        self.assert_nobody_is_left()

    def test_one_that_waits_to_bind_ends_as_well_and_is_no_ghost_of_the_next_owner(self) -> None:
        client = self.authenticated()
        client.open("example.org")
        self.remove()
        self.world.register("romeo@example.org", "another")
        client.send(BIND)
        self.assert_stream_error(client, "not-authorized")
        self.assert_nobody_is_left()

    def test_an_exchange_that_began_before_does_not_succeed(self) -> None:
        client, final = self.challenged()
        self.remove()
        self.world.register("romeo@example.org")  # even with the same password: who proved it meant another account
        client.send(response(final))
        self.assert_sasl_failure(client, "not-authorized")
        client.send(plain("romeo"))
        client.expect(f"<success xmlns='{ns.SASL}'/>")

    def test_a_look_up_that_began_before_does_not_succeed(self) -> None:
        client = secured(self.world)
        looking = self.slow_look_up()
        client.send(plain("romeo"))
        self.remove()
        looking.callback(None)
        self.world.pump()
        self.assert_sasl_failure(client, "not-authorized")
        self.assert_nobody_is_left()

    def test_nobody_logs_in_while_modules_hear_of_it(self) -> None:
        waiting, removing = self.begin_removal()
        for half in (Scram(name="romeo", password="secret"), None):
            client = secured(self.world)
            if half is None:
                client.send(plain("romeo"))
            else:
                client.send(auth("SCRAM-SHA-256", half.first()))
                client.send(response(half.final(decoded(client.receive()))))
            self.assert_sasl_failure(client, "not-authorized")
        waiting.callback(None)
        self.world.pump()
        self.assertTrue(self.successResultOf(removing))
        self.assert_nobody_is_left()

    def test_nothing_binds_meanwhile_by_any_other_way(self) -> None:
        waiting, _ = self.begin_removal()
        juliet = self.world.client("juliet@example.org/balcony")
        stream: Any = self.host.sessions.of("juliet")[0].attachment
        self.assertRaises(
            StreamError,
            self.host.sessions.open,
            "romeo",
            "orchard",
            stream,
            policy="acceptnew",
            limit=None,
            new_resource=lambda: "x",
        )
        waiting.callback(None)
        juliet.nothing()

    def test_others_are_left_alone(self) -> None:
        self.world.register("juliet@example.org")
        client = secured(self.world)
        client.send(plain("juliet"))
        client.expect(f"<success xmlns='{ns.SASL}'/>")
        self.remove()
        client.open("example.org")
        client.send(BIND)
        client.expect("<iq type='result' id='b1'/>")

    def test_who_failed_or_left_or_bound_is_on_the_way_no_more(self) -> None:
        self.world.client("romeo@example.org/orchard")
        self.assertEqual(len(self.accounts.logins), 0)
        failed = secured(self.world)
        failed.send(plain("romeo", "wrong"))
        self.assert_sasl_failure(failed, "not-authorized")
        self.assertEqual(len(self.accounts.logins), 0)
        clients = [self.authenticated(), self.challenged()[0]]
        self.assertEqual(len(self.accounts.logins), 2)
        for client in clients:
            client.cut()
        self.assertEqual(len(self.accounts.logins), 0)

    def test_one_stream_is_on_one_way_at_a_time(self) -> None:
        client = secured(self.world)
        for name in ("romeo", "tybalt", "paris"):
            client.send(auth("SCRAM-SHA-256", Scram(name=name).first()))
            client.receive()
        self.assertEqual(len(self.accounts.logins), 1)


class NewPasswordTests(Case):
    """Sessions go on when the password changes; what has not become one must show the new password."""

    def change(self) -> None:
        self.world.run(self.accounts.set_password("romeo", "changed"))

    def test_sessions_stay(self) -> None:
        romeo = self.world.client("romeo@example.org/orchard")
        self.change()
        romeo.nothing()
        self.assertFalse(romeo.ended)

    def test_a_stream_that_has_not_bound_ends(self) -> None:
        client = self.authenticated()
        self.change()
        self.assert_stream_error(client, "not-authorized")
        self.assert_nobody_is_left()

    def test_an_exchange_that_began_before_does_not_succeed(self) -> None:
        client, final = self.challenged()
        self.change()
        client.send(response(final))
        self.assert_sasl_failure(client, "not-authorized")

    def test_a_look_up_that_began_before_does_not_succeed(self) -> None:
        client = secured(self.world)
        looking = self.slow_look_up()
        client.send(plain("romeo"))
        changing = ensureDeferred(self.accounts.set_password("romeo", "changed"))
        looking.callback(None)
        self.world.pump()
        self.successResultOf(changing)
        self.assert_sasl_failure(client, "not-authorized")
        self.assert_nobody_is_left()
