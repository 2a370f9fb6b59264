"""What the accounts promise, whatever keeps them."""

from __future__ import annotations

from federix.storage.accounts import Account, AccountExists, NoSuchAccount
from tests.contracts.storage import Contract, together

HOST = "example.org"
SECRETS = {"SCRAM-SHA-1": "4096:c2FsdA==:…", "PLAIN": "pâß 'word'"}


class AccountsContract(Contract):
    async def test_an_account_comes_back_as_it_was_created(self) -> None:
        account = Account("rômeo", HOST, SECRETS, 1_700_000_000.125)
        await self.storage.accounts.create(account)
        self.assertEqual(await self.storage.accounts.get("rômeo", HOST), account)
        self.assertIs(await self.storage.accounts.exists("rômeo", HOST), True)

    async def test_an_account_is_of_one_host_alone(self) -> None:
        await self.storage.accounts.create(Account("romeo", HOST, SECRETS, 0.0))
        self.assertIsNone(await self.storage.accounts.get("romeo", "example.com"))
        self.assertIs(await self.storage.accounts.exists("romeo", "example.com"), False)
        self.assertIs(await self.storage.accounts.delete("romeo", "example.com"), False)
        self.assertEqual(await self.storage.accounts.count("example.com"), 0)

    async def test_a_name_is_given_once_even_if_two_ask_at_the_same_time(self) -> None:
        async def create(secret: str) -> str:
            try:
                await self.storage.accounts.create(Account("romeo", HOST, {"PLAIN": secret}, 0.0))
            except AccountExists:
                return ""
            return secret

        created = [secret for secret in await together(create(secret) for secret in "abc") if secret]
        self.assertEqual(len(created), 1)
        kept = await self.storage.accounts.get("romeo", HOST)
        assert kept is not None
        self.assertEqual(kept.credentials, {"PLAIN": created[0]})

    async def test_new_credentials_take_the_place_of_all_old_ones(self) -> None:
        await self.storage.accounts.create(Account("romeo", HOST, SECRETS, 5.0))
        await self.storage.accounts.set_credentials("romeo", HOST, {"SCRAM-SHA-256": "x"})
        self.assertEqual(
            await self.storage.accounts.get("romeo", HOST), Account("romeo", HOST, {"SCRAM-SHA-256": "x"}, 5.0)
        )

    async def test_credentials_need_an_account(self) -> None:
        await self.assert_raises(NoSuchAccount, self.storage.accounts.set_credentials("romeo", HOST, SECRETS))
        self.assertIs(await self.storage.accounts.exists("romeo", HOST), False)

    async def test_a_deleted_account_is_gone_and_its_name_free(self) -> None:
        await self.storage.accounts.create(Account("romeo", HOST, SECRETS, 0.0))
        self.assertIs(await self.storage.accounts.delete("romeo", HOST), True)
        self.assertIs(await self.storage.accounts.delete("romeo", HOST), False)
        self.assertIsNone(await self.storage.accounts.get("romeo", HOST))
        await self.storage.accounts.create(Account("romeo", HOST, {}, 1.0))

    async def test_forgetting_an_owner_leaves_the_account(self) -> None:
        account = Account("romeo", HOST, SECRETS, 0.0)
        await self.storage.accounts.create(account)
        await self.storage.forget(account.owner)
        self.assertEqual(await self.storage.accounts.get("romeo", HOST), account)

    async def test_the_names_of_a_host_come_in_order_and_in_pages(self) -> None:
        names = ["Z", "a", "b", "c", "é"]
        for name in reversed(names):
            await self.storage.accounts.create(Account(name, HOST, {}, 0.0))
        await self.storage.accounts.create(Account("bb", "example.com", {}, 0.0))
        self.assertEqual(await self.storage.accounts.names(HOST, limit=3), names[:3])
        self.assertEqual(await self.storage.accounts.names(HOST, limit=3, after="b"), names[3:])
        self.assertEqual(await self.storage.accounts.names(HOST, limit=3, after="é"), [])
        self.assertEqual(await self.storage.accounts.count(HOST), 5)

    async def test_secrets_do_not_show_in_what_is_printed(self) -> None:
        await self.storage.accounts.create(Account("romeo", HOST, SECRETS, 0.0))
        self.assertNotIn("word", repr(await self.storage.accounts.get("romeo", HOST)))
