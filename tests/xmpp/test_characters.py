"""Characters in bytes that are cut anywhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp.characters import is_character, whole_characters, whole_text


class WholeTests(SynchronousTestCase):
    @given(st.text(), st.data())
    def test_what_is_kept_back_is_less_than_a_character(self, text: str, data: st.DataObject) -> None:
        written = text.encode()
        end = data.draw(st.integers(0, len(written)))
        whole = whole_characters(written, end)
        self.assertTrue(end - 3 <= whole <= end)
        written[:whole].decode()
        self.assertEqual(written[:end].decode(errors="ignore"), written[:whole].decode())

    @given(st.binary(max_size=8))
    def test_what_never_becomes_a_character_is_not_waited_for(self, data: bytes) -> None:
        kept = data[whole_characters(data, len(data)) :]
        self.assertLess(len(kept), 4)
        # Half of a surrogate pair is known for what it is at its third byte only: Python's decoder waits for that.
        if kept and not (kept[0] == 0xED and kept[1:] >= b"\xa0"):
            self.assertTrue(
                any(is_character(kept + more) for more in (b"\x80\x80\x80", b"\x9f\x80\x80", b"\xbf\xbf\xbf")), kept
            )

    def test_a_reference_is_kept_until_it_is_whole(self) -> None:
        for data, whole in ((b"a&amp;b", 7), (b"a&am", 1), (b"a&amp;&", 6), (b"\xc3&a", 1), (b"", 0)):
            self.assertEqual(whole_text(data), whole, data)

    def test_what_is_a_character(self) -> None:
        for data, answer in (
            (b"a\xff", True),
            ("é".encode(), True),
            (b"\xef\xbf\xbe<", True),
            (b"\xff", False),
            (b"\xc3<", False),
            (b"\xe2\x82", False),
            (b"\xed\xa0\x80", False),
        ):
            self.assertIs(is_character(data), answer, data)
