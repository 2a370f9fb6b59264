"""Keys, their line in the store, and their look-alikes."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from scramp import ScramMechanism
from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp.sasl import Credentials, Decoys, EncodedKeys, InvalidPassword, ScramKeys, derive, matches
from federix.xmpp.sasl.credentials import MAX_ITERATIONS, MAX_SALT_LENGTH, MIN_ITERATIONS, SALT_LENGTH, digest_size
from federix.xmpp.sasl.decoys import MAX_SECRET, MIN_SECRET
from tests.xmpp.sasl.support import DECOYS, HASHES, ITERATIONS, KEPT, PASSWORD, SALT, SECRET


@st.composite
def keys(draw: st.DrawFn) -> ScramKeys:
    name = draw(st.sampled_from(HASHES))
    key = st.binary(min_size=digest_size(name), max_size=digest_size(name))
    salt = draw(st.binary(min_size=1, max_size=MAX_SALT_LENGTH))
    return ScramKeys(name, salt, draw(st.integers(MIN_ITERATIONS, MAX_ITERATIONS)), draw(key), draw(key))


class DerivationTests(SynchronousTestCase):
    def test_the_keys_are_those_an_independent_implementation_derives(self) -> None:
        for name in HASHES:
            for password in (PASSWORD, "Gr\u00fc\u00dfe \u2168"):
                made = derive(password, name, SALT, 5000)
                info = ScramMechanism(f"SCRAM-{name}").make_auth_info(password, iteration_count=5000, salt=SALT)
                self.assertEqual((made.salt, made.stored_key, made.server_key, made.iterations), info)

    def test_keys_match_their_password_and_no_other(self) -> None:
        for name in HASHES:
            self.assertTrue(matches(KEPT.scram[name], PASSWORD))
            for wrong in ("Pencil", "pencil ", "", "\0"):
                self.assertFalse(matches(KEPT.scram[name], wrong))

    def test_a_password_matches_in_each_of_its_spellings(self) -> None:
        self.assertTrue(matches(derive("e\u0301\u2168", "SHA-1", SALT, ITERATIONS), "\u00e9IX"))

    def test_no_keys_are_derived_from_an_impossible_password(self) -> None:
        self.assertRaises(InvalidPassword, derive, "", "SHA-1", SALT, ITERATIONS)

    def test_iterations_and_salt_are_bounded(self) -> None:
        for salt, iterations in (
            (SALT, MIN_ITERATIONS - 1),
            (SALT, MAX_ITERATIONS + 1),
            (b"", ITERATIONS),
            (b"x" * (MAX_SALT_LENGTH + 1), ITERATIONS),
        ):
            self.assertRaises(ValueError, derive, PASSWORD, "SHA-1", salt, iterations)

    def test_every_hash_of_a_new_password_gets_a_salt_of_its_own(self) -> None:
        salts = iter((b"a" * SALT_LENGTH, b"b" * SALT_LENGTH))
        made = Credentials.make(PASSWORD, ("SHA-1", "SHA-512"), ITERATIONS, lambda length: next(salts)[:length])
        self.assertEqual([k.salt for k in made.scram.values()], [b"a" * SALT_LENGTH, b"b" * SALT_LENGTH])
        self.assertIsNone(made.plain)
        self.assertTrue(matches(made.scram["SHA-512"], PASSWORD))


class EncodingTests(SynchronousTestCase):
    @given(keys())
    def test_what_is_written_is_read(self, some: ScramKeys) -> None:
        line = some.encode()
        self.assertTrue(line.isascii() and line.isprintable() and " " not in line)
        self.assertEqual(ScramKeys.decode(line), some)

    def test_the_line_is_that_of_rfc_5803(self) -> None:
        some = ScramKeys("SHA-1", b"salt", 4096, b"s" * 20, b"v" * 20)
        self.assertEqual(
            some.encode(), "SCRAM-SHA-1$4096:c2FsdA==$c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M=:dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnY="
        )

    @given(st.text() | st.from_regex(r"SCRAM-SHA-(1|256)\$[0-9]{3,8}:[A-Z=]*\$[A-Z=]*:[A-Z=]*", fullmatch=True))
    def test_anything_else_is_a_value_error(self, text: str) -> None:
        self.assertRaises(ValueError, ScramKeys.decode, text)

    def test_a_damaged_line_is_a_value_error_that_tells_no_secret(self) -> None:
        line = KEPT.scram["SHA-256"].encode()
        for damaged in (line[:-5], line.replace("256", "512"), line.replace("4096", "12"), line + "\n", "x" + line):
            error = self.assertRaises(ValueError, ScramKeys.decode, damaged)
            self.assertNotIn(line[-20:-4], str(error))

    def test_neither_keys_nor_credentials_show_secrets(self) -> None:
        some = KEPT.scram["SHA-256"]
        shown = repr(Credentials({"SHA-256": some}, PASSWORD))
        for secret in (PASSWORD, repr(some.stored_key), repr(some.server_key), repr(some.salt)):
            self.assertNotIn(secret, shown)


class DecoyTests(SynchronousTestCase):
    def test_the_same_user_always_gets_the_same_keys(self) -> None:
        again = Decoys(SECRET, ITERATIONS, ())
        for name in HASHES:
            self.assertEqual(DECOYS.keys("a@example.org", name), again.keys("a@example.org", name))

    def test_user_host_hash_and_secret_all_change_the_salt(self) -> None:
        salts = {
            decoys.keys(account, name).salt
            for decoys in (DECOYS, Decoys(SECRET + b"!", ITERATIONS, ()))
            for account in ("a@example.org", "b@example.org", "a@example.net")
            for name in HASHES
        }
        self.assertEqual(len(salts), 18)

    def test_they_look_like_the_keys_of_a_new_account(self) -> None:
        made = Credentials.make(PASSWORD, HASHES, ITERATIONS, lambda length: b"x" * length)
        for name in HASHES:
            decoy, real = DECOYS.keys("a@example.org", name), made.scram[name]
            self.assertEqual((len(decoy.salt), decoy.iterations), (len(real.salt), real.iterations))
            self.assertNotEqual(decoy, replace(real, salt=decoy.salt))

    def test_the_salt_which_everybody_sees_says_nothing_of_the_keys(self) -> None:
        decoy = DECOYS.keys("a@example.org", "SHA-256")
        parts = {part[:SALT_LENGTH] for part in (decoy.salt, decoy.stored_key, decoy.server_key)}
        self.assertEqual(len(parts), 3)

    def test_a_short_or_long_secret_and_impossible_iterations_are_refused_at_once(self) -> None:
        for length in (MIN_SECRET - 1, MAX_SECRET + 1):
            self.assertRaises(ValueError, Decoys, b"x" * length, ITERATIONS, ())
        self.assertRaises(ValueError, Decoys, SECRET, MIN_ITERATIONS - 1, ())

    def test_plain_is_checked_with_a_hash_that_everybody_has(self) -> None:
        for kept, expected in ((HASHES, "SHA-256"), (("SHA-1", "SHA-512"), "SHA-512"), (("SHA-1",), "SHA-1")):
            self.assertEqual(Decoys(SECRET, ITERATIONS, kept).plain_hash("a@example.org"), expected)

    def test_where_accounts_differ_in_their_hashes_so_do_those_that_do_not_exist(self) -> None:
        mixed = Decoys(SECRET, ITERATIONS, ())
        names = [f"{number}@example.org" for number in range(60)]
        self.assertEqual({mixed.plain_hash(name) for name in names}, set(HASHES))
        self.assertEqual([mixed.plain_hash(name) for name in names], [mixed.plain_hash(name) for name in names])

    def test_they_are_written_like_the_keys_of_an_account(self) -> None:
        for name in HASHES:
            self.assertEqual(
                ScramKeys.decode(DECOYS.encoded("a@example.org", name)), DECOYS.keys("a@example.org", name)
            )


class EncodedTests(SynchronousTestCase):
    def test_keys_are_read_when_they_are_asked_for(self) -> None:
        encoded = EncodedKeys({"SHA-1": "damaged", "SHA-256": KEPT.scram["SHA-256"].encode()})
        self.assertEqual(encoded["SHA-256"], KEPT.scram["SHA-256"])
        self.assertRaises(ValueError, encoded.get, "SHA-1")
        self.assertIsNone(encoded.get("SHA-512"))
        self.assertEqual((list(encoded), len(encoded)), (["SHA-1", "SHA-256"], 2))
        self.assertIn("SHA-1", encoded)
        self.assertNotIn("SHA-512", encoded)

    def test_keys_of_another_hash_are_refused(self) -> None:
        self.assertRaises(ValueError, EncodedKeys({"SHA-1": KEPT.scram["SHA-256"].encode()}).get, "SHA-1")

    def test_what_is_shown_of_them_is_no_secret(self) -> None:
        line = KEPT.scram["SHA-256"].encode()
        self.assertNotIn(line[-20:-4], repr(Credentials(EncodedKeys({"SHA-256": line}))))
