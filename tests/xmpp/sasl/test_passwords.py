"""Passwords in one form."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from scramp.utils import ScramException, saslprep
from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp.sasl.passwords import MAX_PASSWORD, InvalidPassword, prepare_password


class PreparationTests(SynchronousTestCase):
    @given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
    def test_plain_ascii_stays_as_it_is(self, text: str) -> None:
        self.assertEqual(prepare_password(text), text)

    def test_the_examples_of_saslprep_hold(self) -> None:
        """RFC 4013 §3."""
        for given_text, expected in (("I\u00adX", "IX"), ("user", "user"), ("\u00aa", "a"), ("\u2168", "IX")):
            self.assertEqual(prepare_password(given_text), expected)

    def test_the_examples_of_opaque_string_hold(self) -> None:
        """RFC 8265 §4.3."""
        for given_text, expected in (
            ("correct horse battery staple", "correct horse battery staple"),
            ("π\u00dfå", "πßå"),
            ("Jack of ♦s", "Jack of ♦s"),
            ("foo\u1680bar", "foo bar"),
        ):
            self.assertEqual(prepare_password(given_text), expected)

    def test_an_emoji_is_allowed(self) -> None:
        self.assertEqual(prepare_password("pass\U0001f600"), "pass\U0001f600")

    def test_what_saslprep_refuses_for_its_direction_is_allowed_as_an_opaque_string(self) -> None:
        self.assertRaises(ScramException, saslprep, "\u06271")
        self.assertEqual(prepare_password("\u06271"), "\u06271")
        # Both would map the digit to "1", had SASLprep not refused them.
        for mixed in ("\u0627\uff11", "\uff11\u0627", "\u0627a\uff11\u0627"):
            self.assertEqual(prepare_password(mixed), mixed)
        self.assertEqual(prepare_password("\u0627\uff11\u0627"), "\u06271\u0627")

    def test_composed_and_decomposed_are_one_password(self) -> None:
        self.assertEqual(prepare_password("e\u0301"), prepare_password("\u00e9"))

    def test_nobody_can_have_such_a_password(self) -> None:
        for text in ("", "\0", "my cat is a \tby", "\u00ad", "\ud800", "a" * (MAX_PASSWORD + 1)):
            error = self.assertRaises(InvalidPassword, prepare_password, text)
            self.assertTrue(error.__suppress_context__ or error.__context__ is None, "the password is in the traceback")

    def test_the_longest_password_is_allowed(self) -> None:
        self.assertEqual(len(prepare_password("ä" * MAX_PASSWORD)), MAX_PASSWORD)

    @given(st.text(max_size=20))
    def test_whatever_an_independent_saslprep_allows_comes_out_the_same(self, text: str) -> None:
        try:
            expected = saslprep(text)
        except ScramException:
            expected = ""
        try:
            prepared = prepare_password(text)
        except InvalidPassword:
            self.assertEqual(expected, "")
        else:
            self.assertIn(expected, ("", prepared))
