"""Forms in which passwords are kept: what all accounts have in common, when the operator wants other forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from federix.core import password_forms
from federix.core.password_forms import ANY, Forms
from federix.server.config import Config
from federix.storage.storage import StoreError
from federix.xmpp.sasl import HASH_NAMES, Credentials
from tests.links.support import WorldTestCase, mechanisms, plain, scram, secured
from tests.xmpp.sasl.support import Client as Scram

SHA1, SHA256, BOTH, EVERY = (
    ["scram_sha1"],
    ["scram_sha256"],
    ["scram_sha1", "scram_sha256"],
    ["scram_sha1", "scram_sha256", "scram_sha512"],
)
CLEAR = ["plain"]


class Case(WorldTestCase):
    def begin(self, types: Sequence[str]) -> None:
        self.world = self.make({"auth_stored_password_types": list(types)})

    def config(self, types: Sequence[str]) -> Config:
        return self.world.configure({**self.world.settings, "auth_stored_password_types": list(types)})

    def reload(self, types: Sequence[str]) -> None:
        self.world.run(self.world.server.reload(self.config(types)))

    def restart(self, types: Sequence[str]) -> None:
        """The host begins anew, with what it had in storage."""
        server = self.world.server
        server.config = self.config(types)
        self.world.run(server.hosts.remove("example.org"))
        self.world.run(server.hosts.add(server.new_host("example.org")))

    def told(self, change: Callable[[Sequence[str]], None], types: Sequence[str]) -> list[LogEvent]:
        """What is said of missing mechanisms at that."""
        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        try:
            change(types)
        finally:
            globalLogPublisher.removeObserver(events.append)
        return [event for event in events if event.get("mechanisms")]

    def accounts(self) -> Any:
        return self.world.host("example.org").accounts

    def register(self, *names: str) -> None:
        for name in names:
            self.world.register(f"{name}@example.org")

    def offered(self) -> set[str]:
        """The hashes, in the words of the configuration, and plain."""
        client = self.world.connect()
        client.open("example.org")
        client.start_tls("example.org")
        names = mechanisms(client.open("example.org"))
        return {name.replace("SCRAM-SHA-", "scram_sha").lower() for name in names if not name.endswith("-PLUS")}

    def kinds(self, name: str = "romeo") -> set[str]:
        account = self.world.run(self.world.server.storage.accounts.get(name, "example.org"))
        return {kind.replace("SCRAM-SHA-", "scram_sha").lower() for kind in account.credentials}

    def login(self, mechanism: str = "PLAIN", name: str = "romeo", password: str = "secret") -> str:
        client = secured(self.world)
        if mechanism == "PLAIN":
            client.send(plain(name, password))
            return client.receive().name
        hash_name: Any = mechanism.removeprefix("SCRAM-")
        return scram(client, Scram(hash_name, name=name, password=password), mechanism).name


class OfferTests(Case):
    """A mechanism is offered before the user is known: it must fit all accounts there are."""

    def test_a_hash_that_old_accounts_lack_is_not_offered(self) -> None:
        for change in (self.reload, self.restart):
            self.begin(SHA1)
            self.register("romeo")
            change(SHA256)
            self.assertEqual(self.offered(), {"plain"})
            self.register("juliet")
            self.assertEqual(self.offered(), {"plain"})
            self.assertEqual(self.login(), "success")

    def test_what_they_have_in_common_with_the_new_ones_is(self) -> None:
        for change in (self.reload, self.restart):
            self.begin(SHA1)
            self.register("romeo")
            change(BOTH)
            self.register("juliet")
            self.assertEqual(self.offered(), {"plain", "scram_sha1"})
            for name in ("romeo", "juliet"):
                self.assertEqual(self.login("SCRAM-SHA-1", name), "success")

    def test_a_setting_that_was_tried_and_taken_back_harms_nobody(self) -> None:
        self.begin(EVERY)
        self.register("romeo")
        self.reload(SHA256)
        self.assertEqual(self.offered(), {"plain", "scram_sha256"})
        self.reload(EVERY)
        self.assertEqual(self.offered(), {"plain", *EVERY})

    def test_what_was_made_meanwhile_counts_though(self) -> None:
        self.begin(EVERY)
        self.register("romeo")
        self.reload(SHA256)
        self.register("juliet")
        for change in (self.reload, self.restart):
            change(EVERY)
            self.assertEqual(self.offered(), {"plain", "scram_sha256"})

    def test_a_new_password_counts_as_well(self) -> None:
        self.begin(EVERY)
        self.register("romeo")
        self.reload(SHA256)
        self.world.run(self.accounts().set_password("romeo", "changed"))
        self.reload(EVERY)
        self.assertEqual(self.offered(), {"plain", "scram_sha256"})

    def test_an_account_that_goes_holds_nobody_back(self) -> None:
        self.begin(SHA1)
        self.register("romeo")
        self.reload(SHA256)
        self.world.run(self.accounts().remove("romeo"))
        self.register("juliet")
        self.restart(SHA256)
        self.assertEqual(self.offered(), {"plain", "scram_sha256"})

    def test_passwords_in_the_clear_fit_every_hash(self) -> None:
        self.begin(CLEAR)
        self.register("romeo")
        self.reload(SHA256)
        self.register("juliet")
        self.assertEqual(self.offered(), {"plain", "scram_sha256"})
        for name in ("romeo", "juliet"):
            self.assertEqual(self.login("SCRAM-SHA-256", name), "success")

    def test_accounts_from_before_this_was_written_down_are_looked_at(self) -> None:
        self.begin(SHA1)
        self.register("romeo")
        self.world.run(self.world.server.storage.documents.remove("password-forms", "example.org"))
        self.restart(BOTH)
        self.assertEqual(self.offered(), {"plain", "scram_sha1"})
        store: Any = self.world.server.storage.accounts
        self.patch(store, "get", None)
        self.restart(SHA1)  # once

    def test_all_accounts_are_looked_at_however_many(self) -> None:
        self.patch(password_forms, "PAGE", 2)
        for odd in range(5):
            self.begin(SHA1 if odd == 0 else BOTH)
            for number in range(5):
                if number == odd:
                    self.reload(SHA1)
                self.register(f"user{number}")
                self.reload(BOTH)
            self.restart(BOTH)
            self.assertEqual(self.offered(), {"plain", "scram_sha1"}, odd)
            self.world.run(self.accounts().set_password(f"user{odd}", "changed"))
            self.restart(BOTH)
            self.assertEqual(self.offered(), {"plain", *BOTH}, odd)

    def test_looking_ends_where_nothing_more_can_be_found(self) -> None:
        self.patch(password_forms, "PAGE", 2)
        self.begin(SHA1)
        self.register(*"abcdefgh")
        asked: list[str] = []
        store: Any = self.world.server.storage.accounts
        get = store.get

        async def counted(local: str, host: str) -> Any:
            asked.append(local)
            return await get(local, host)

        self.patch(store, "get", counted)
        self.reload(BOTH)
        self.assertEqual(asked, ["a", "b"])
        self.world.run(self.accounts().set_password("a", "changed"))
        self.reload(SHA256)
        self.world.run(self.accounts().set_password("a", "changed"))
        asked.clear()
        # "a" and "b" have nothing in common.
        self.reload(EVERY)
        self.assertEqual(asked, ["a", "b"])
        self.restart(EVERY)
        self.assertEqual(asked, ["a", "b", "a", "b"])

    def test_nobody_is_looked_at_where_nothing_changed(self) -> None:
        self.begin(BOTH)
        self.register("romeo")
        store: Any = self.world.server.storage.accounts
        self.patch(store, "get", None)
        for types in (BOTH, SHA1):
            self.reload(types)
            self.restart(types)
        self.assertEqual(self.offered(), {"plain", *SHA1})

    def test_an_account_made_while_others_are_looked_at_counts(self) -> None:
        self.patch(password_forms, "PAGE", 1)
        self.begin(SHA1)
        self.register("m")
        self.reload(BOTH)
        self.world.run(self.accounts().set_password("m", "changed"))
        looking: Deferred[None] = Deferred()
        store: Any = self.world.server.storage.accounts
        names = store.names

        async def slow(host: str, *, limit: int, after: str = "") -> Any:
            found = await names(host, limit=limit, after=after)
            await looking
            return found

        patched = self.patch(store, "names", slow)
        self.reload(EVERY)  # looks at "m", which has both, and then for those past it
        self.reload(SHA1)
        making = ensureDeferred(self.accounts().register("a", "secret"))
        self.world.pump()
        looking.callback(None)
        patched.restore()
        self.world.pump()
        self.successResultOf(making)
        self.reload(BOTH)
        self.assertEqual(self.offered(), {"plain", *SHA1})

    def test_the_operator_is_told(self) -> None:
        self.begin(SHA1)
        self.register("romeo")
        for change in (self.reload, self.restart):
            told = self.told(change, BOTH)
            self.assertEqual(
                [(event["log_level"], event["host"], event["mechanisms"]) for event in told],
                [(LogLevel.warn, "example.org", "SCRAM-SHA-256")],
            )
            self.assertEqual(self.told(change, SHA1), [])


class RenewalTests(Case):
    """Who logs in with PLAIN shows the password: it is kept in today's forms from then on."""

    def test_a_login_with_plain_renews_what_is_kept(self) -> None:
        for before, after in (
            (SHA1, BOTH),
            (SHA1, SHA256),
            (CLEAR, SHA256),
            (SHA1, CLEAR),
            (SHA256, [*SHA256, *CLEAR]),
        ):
            self.begin(before)
            self.register("romeo")
            self.reload(after)
            self.assertEqual(self.kinds(), set(before))
            self.assertEqual(self.login(), "success")
            self.assertEqual(self.kinds(), set(after))
            self.assertEqual(self.login(), "success")
            self.restart(after)
            self.assertEqual(self.offered(), {"plain", *(EVERY if "plain" in after else after)})
            self.assertEqual(self.login("SCRAM-SHA-256"), "success")

    def test_other_logins_do_not(self) -> None:
        self.begin(SHA1)
        self.register("romeo")
        self.reload(BOTH)
        self.assertEqual(self.login("PLAIN", password="wrong"), "failure")
        self.assertEqual(self.login("SCRAM-SHA-1"), "success")
        self.assertEqual(self.kinds(), set(SHA1))

    def test_what_has_all_forms_is_left_alone(self) -> None:
        self.begin(EVERY)
        self.register("romeo")
        self.reload(BOTH)
        store: Any = self.world.server.storage.accounts
        self.patch(store, "set_credentials", None)
        self.assertEqual(self.login(), "success")
        self.assertEqual(self.kinds(), set(EVERY))

    def late(self, meanwhile: Any) -> None:
        """*meanwhile* happens while the new keys are made."""
        self.begin(SHA1)
        self.register("romeo")
        self.reload(SHA256)
        made: Deferred[None] = Deferred()
        executor: Any = self.world.server.executor
        run = executor.run

        def slow(function: Any, *args: Any, **kwargs: Any) -> Any:
            result = run(function, *args, **kwargs)
            if function == Credentials.make and not made.called:
                result.addCallback(lambda keys: made.addCallback(lambda _: keys))
            return result

        patched = self.patch(executor, "run", slow)
        self.assertEqual(self.login(), "success")
        patched.restore()
        self.world.run(meanwhile())
        made.callback(None)
        self.world.pump()
        self.assert_no_traceback()

    def test_a_password_that_was_changed_meanwhile_stays_changed(self) -> None:
        self.late(lambda: self.accounts().set_password("romeo", "changed"))
        self.assertEqual(self.login(password="changed"), "success")
        self.assertEqual(self.login(), "failure")

    def test_an_account_that_went_meanwhile_does_not_come_back(self) -> None:
        self.late(lambda: self.accounts().remove("romeo"))
        self.assertEqual(self.login(), "failure")

    def test_the_login_does_not_depend_on_it(self) -> None:
        self.begin(SHA1)
        self.register("romeo")
        self.reload(SHA256)
        store: Any = self.world.server.storage.accounts

        async def fail(*_: object) -> None:
            raise StoreError("disk full")

        self.patch(store, "set_credentials", fail)
        self.assertEqual(self.login(), "success")
        self.assertEqual(self.flushLoggedErrors(), [])  # whoever keeps the store has told of it


class DecoyTests(Case):
    """Who does not exist looks like who does."""

    def test_they_keep_what_all_accounts_keep(self) -> None:
        for before, after, kept in (
            (SHA1, BOTH, {"SHA-1"}),
            (SHA1, SHA256, set()),
            (CLEAR, SHA256, set()),
            (EVERY, SHA256, {"SHA-256"}),
        ):
            self.begin(before)
            self.register("romeo")
            self.reload(after)
            self.register("juliet")
            decoys = self.accounts().decoys
            self.assertEqual({name for name in HASH_NAMES if not decoys.derives(name)}, kept, (before, after))


hashes = st.frozensets(st.sampled_from(HASH_NAMES))
forms = st.builds(lambda keys, clear: Forms(keys, frozenset(HASH_NAMES) if clear else keys), hashes, st.booleans())


class FormsTests(SynchronousTestCase):
    @given(forms, forms)
    def test_what_is_common_is_in_both(self, one: Forms, other: Forms) -> None:
        common = one & other
        self.assertTrue(common <= one and common <= other and common <= ANY)
        self.assertEqual(common, other & one)
        self.assertEqual(one <= other, common == one)

    @given(forms, forms)
    def test_what_is_written_is_read(self, one: Forms, other: Forms) -> None:
        for some in (one, one & other):
            self.assertEqual(password_forms.CODEC.decode(password_forms.CODEC.encode(some)), some)

    def test_they_are_told_by_what_is_kept(self) -> None:
        sha1: Any = frozenset({"SHA-1"})
        self.assertEqual(Forms.of({"SCRAM-SHA-1": "…"}), Forms(sha1, sha1))
        self.assertEqual(Forms.of({"SCRAM-SHA-1": "…", "PLAIN": "…"}), Forms(sha1, frozenset(HASH_NAMES)))
        self.assertEqual(Forms.of({"SCRAM-MD5": "…"}), Forms(frozenset(), frozenset()))
