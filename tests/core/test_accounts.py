"""Accounts: made, checked, changed, removed, and kept as the operator chose."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from federix.api import BYTES, JID, Condition, Document, Log, Module, StanzaError, Table, hooks
from federix.storage.roster import RosterItem
from federix.storage.storage import StoreError
from federix.testing import World


class Keeper(Module):
    """Keeps something in each shape, and hears of accounts."""

    name = "mod_keeper"
    document = Document("keeper", BYTES)
    table = Table("keeper", BYTES)
    log = Log("keeper", BYTES)

    async def on_start(self) -> None:
        self.heard: list[str] = []
        self.waiting: Deferred[None] | None = None

    @hooks.register_user
    def made(self, account: JID) -> None:
        self.heard.append(f"+{account}")

    @hooks.remove_user
    async def removed(self, account: JID) -> None:
        there = await self.storage.accounts.exists(account.local, account.domain)
        kept = await self.document.get(str(account)) is not None
        self.heard.append(f"-{account} there={there} kept={kept}")
        if self.waiting is not None:
            await self.waiting


class Accounts(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = self.with_settings()

    def with_settings(self, **settings: Any) -> World:
        world = World(settings, modules={"mod_keeper": {}}, own_modules={"mod_keeper": Keeper})
        self.addCleanup(world.stop)
        return world

    def accounts(self, world: World | None = None) -> Any:
        return (world or self.world).host("example.org").accounts

    def refusal(self, task: Any) -> Condition:
        error = self.assertRaises(StanzaError, self.world.run, task)
        return error.condition  # type: ignore[no-any-return]

    def test_a_name_is_prepared_before_it_is_kept(self) -> None:
        jid = self.world.run(self.accounts().register("RoMeo", "secret"))
        self.assertEqual(str(jid), "romeo@example.org")
        self.assertTrue(self.world.run(self.accounts().exists("romeo")))
        self.assertTrue(self.world.run(self.accounts().check_password("ROMEO", "secret")))

    def test_a_name_that_is_taken_is_a_conflict(self) -> None:
        self.world.register("romeo@example.org")
        self.assertIs(self.refusal(self.accounts().register("Romeo", "other")), Condition.CONFLICT)
        self.assertTrue(self.world.run(self.accounts().check_password("romeo", "secret")))

    def test_a_name_that_is_no_localpart_is_refused(self) -> None:
        for name in ("", "a b", "a@b", "a/b", "x" * 1024):
            self.assertIs(self.refusal(self.accounts().register(name, "secret")), Condition.JID_MALFORMED, name)

    def test_a_password_that_no_client_could_send_is_refused(self) -> None:
        for password in ("", "\x00"):
            self.assertIs(self.refusal(self.accounts().register("romeo", password)), Condition.NOT_ACCEPTABLE)
        self.assertFalse(self.world.run(self.accounts().exists("romeo")))

    def test_wrong_passwords_and_unknown_users_do_not_check(self) -> None:
        self.world.register("romeo@example.org")
        for user, password in [("romeo", "Secret"), ("romeo", ""), ("tybalt", "secret"), ("a b", "secret")]:
            self.assertFalse(self.world.run(self.accounts().check_password(user, password)), (user, password))

    def test_a_new_password_takes_the_place_of_the_old(self) -> None:
        self.world.register("romeo@example.org")
        self.world.run(self.accounts().set_password("Romeo", "changed"))
        self.assertTrue(self.world.run(self.accounts().check_password("romeo", "changed")))
        self.assertFalse(self.world.run(self.accounts().check_password("romeo", "secret")))
        self.world.client("romeo@example.org/r", "changed")

    def test_nobody_has_no_password_to_change(self) -> None:
        self.assertIs(self.refusal(self.accounts().set_password("tybalt", "secret")), Condition.ITEM_NOT_FOUND)

    def stored(self, world: World) -> dict[str, str]:
        account = world.run(world.server.storage.accounts.get("romeo", "example.org"))
        return dict(account.credentials)

    def test_what_is_kept_of_a_password_is_the_operators_choice(self) -> None:
        every = {"SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"}
        for settings, kinds in [
            ({"auth_stored_password_types": []}, every),
            ({"auth_stored_password_types": [], "auth_scram_hash": "sha512"}, {"SCRAM-SHA-512"}),
            ({"auth_stored_password_types": [], "auth_password_format": "plain"}, {"PLAIN"}),
            ({"auth_stored_password_types": ["scram_sha256", "plain"]}, {"SCRAM-SHA-256", "PLAIN"}),
        ]:
            world = self.with_settings(**settings)
            world.register("romeo@example.org")
            stored = self.stored(world)
            self.assertEqual(set(stored), kinds, settings)
            self.assertEqual("secret" in "".join(stored.values()), "PLAIN" in kinds)
            self.assertTrue(world.run(self.accounts(world).check_password("romeo", "secret")))

    def test_only_mechanisms_that_every_account_can_use_are_offered(self) -> None:
        for types, offered in [
            (["scram_sha256"], {"SCRAM-SHA-256"}),
            (["scram_sha1", "scram_sha512"], {"SCRAM-SHA-1", "SCRAM-SHA-512"}),
            (["plain"], {"SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"}),
        ]:
            world = self.with_settings(auth_stored_password_types=types)
            features = world.connect().open("example.org")
            names = {m.text for e in features.elements() if e.name == "mechanisms" for m in e.elements()}
            self.assertEqual(names, offered, types)

    def test_plain_passwords_serve_scram_logins(self) -> None:
        world = self.with_settings(auth_stored_password_types=["plain"])
        world.client("romeo@example.org/orchard")

    def test_accounts_are_listed_in_order_page_by_page(self) -> None:
        for name in ("juliet", "romeo", "benvolio"):
            self.world.register(f"{name}@example.org")
        self.assertEqual(self.world.run(self.accounts().names(limit=2)), ["benvolio", "juliet"])
        self.assertEqual(self.world.run(self.accounts().names(limit=2, after="juliet")), ["romeo"])
        self.assertEqual(self.world.run(self.accounts().count()), 3)

    def test_modules_hear_of_a_new_account(self) -> None:
        self.world.register("romeo@example.org")
        self.assertEqual(self.world.host("example.org").module(Keeper).heard, ["+romeo@example.org"])

    def test_an_account_that_goes_takes_everything_with_it(self) -> None:
        romeo = self.world.client("romeo@example.org/orchard")
        self.world.client("juliet@example.org/balcony")
        keeper = self.world.host("example.org").module(Keeper)
        rosters = self.world.server.storage.rosters
        for owner in ("romeo@example.org", "juliet@example.org"):
            self.world.run(keeper.document.put(owner, b"1"))
            self.world.run(keeper.table.put(owner, "key", b"1"))
            self.world.run(keeper.log.append(owner, b"1"))
            self.world.run(rosters.put(owner, RosterItem("x@example.org")))
        self.assertTrue(self.world.run(self.accounts().remove("Romeo")))
        # The modules heard while all was still there.
        self.assertEqual(keeper.heard[-1], "-romeo@example.org there=True kept=True")
        self.assertFalse(self.world.run(self.accounts().exists("romeo")))
        for owner, left in (("romeo@example.org", False), ("juliet@example.org", True)):
            self.assertEqual(self.world.run(keeper.document.get(owner)) is not None, left)
            self.assertEqual(self.world.run(keeper.table.get(owner, "key")) is not None, left)
            self.assertEqual(self.world.run(keeper.log.count(owner)) > 0, left)
            self.assertEqual(bool(self.world.run(rosters.get(owner)).items), left)
        # XEP-0077 §3.2: its streams end with not-authorized.
        self.assertIn(b"<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>", bytes(romeo.raw))
        self.assertTrue(romeo.ended)

    def begin_removal(self) -> tuple[Deferred[None], Deferred[Any]]:
        waiting: Deferred[None] = Deferred()
        self.world.host("example.org").module(Keeper).waiting = waiting
        removing = ensureDeferred(self.accounts().remove("romeo"))
        self.world.pump()
        return waiting, removing

    def test_while_an_account_goes_it_is_not_there_and_its_name_not_free(self) -> None:
        self.world.register("romeo@example.org")
        waiting, removing = self.begin_removal()
        self.assertFalse(self.world.run(self.accounts().exists("romeo")))
        self.assertIsNone(self.world.run(self.accounts().credentials("romeo")))
        self.assertFalse(self.world.run(self.accounts().remove("Romeo")))
        self.assertIs(self.refusal(self.accounts().register("romeo", "mine")), Condition.CONFLICT)
        self.assertIs(self.refusal(self.accounts().set_password("romeo", "mine")), Condition.ITEM_NOT_FOUND)
        waiting.callback(None)
        self.world.pump()
        self.assertTrue(self.successResultOf(removing))
        self.world.register("romeo@example.org")
        self.assertTrue(self.world.run(self.accounts().exists("romeo")))

    def test_what_is_written_while_an_account_goes_is_not_left_to_the_next_owner(self) -> None:
        self.world.register("romeo@example.org")
        keeper = self.world.host("example.org").module(Keeper)
        store: Any = self.world.server.storage.accounts
        delete = store.delete

        async def late(local: str, host: str) -> bool:
            deleted = await delete(local, host)
            await keeper.document.put("romeo@example.org", b"late")
            # Or the data of the next owner would be forgotten with it.
            self.assertIs(self.refusal(self.accounts().register("romeo", "mine")), Condition.CONFLICT)
            return bool(deleted)

        self.patch(store, "delete", late)
        self.assertTrue(self.world.run(self.accounts().remove("romeo")))
        self.assertIsNone(self.world.run(keeper.document.get("romeo@example.org")))

    def test_a_removal_that_fails_can_be_done_again(self) -> None:
        self.world.register("romeo@example.org")
        store: Any = self.world.server.storage

        async def fail(owner: str) -> None:
            raise StoreError("disk full")

        broken = self.patch(store, "forget", fail)
        self.assertRaises(StoreError, self.world.run, self.accounts().remove("romeo"))
        broken.restore()
        self.assertTrue(self.world.run(self.accounts().exists("romeo")))
        self.assertTrue(self.world.run(self.accounts().remove("romeo")))

    def test_removing_nobody_says_so(self) -> None:
        self.assertFalse(self.world.run(self.accounts().remove("tybalt")))

    def test_salts_of_unknown_users_outlive_a_restart(self) -> None:
        accounts = self.accounts()
        before = accounts.decoys.keys("tybalt@example.org", "SHA-1")
        self.world.run(accounts.start())
        self.assertEqual(accounts.decoys.keys("tybalt@example.org", "SHA-1"), before)
        self.assertNotEqual(accounts.decoys.keys("paris@example.org", "SHA-1").salt, before.salt)
