from __future__ import annotations

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from federix.api import JID, ArchiveIds, Element, Message, message
from federix.modules.offline_records import RECORD, Record

#: To the microsecond, as they are written down.
TIMES = st.integers(0, 4 * 10**15).map(lambda microseconds: microseconds / 1_000_000)
HOST = JID("", "example.org")
IDS = ArchiveIds(bytes(16))


class RecordTest(TestCase):
    @given(
        TIMES,
        st.none() | TIMES,
        st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])),
        st.binary(),
    )
    def test_a_record_comes_back_as_it_was(self, at: float, expires: float | None, sender: str, stanza: bytes) -> None:
        record = Record(at, expires, sender, stanza)
        self.assertEqual(RECORD.decode(RECORD.encode(record)), record)
        archived = record.in_archive(2**62)
        self.assertEqual(RECORD.decode(RECORD.encode(archived)), Record(at, expires, sender, b"", 2**62))

    def kept(self, sent: Message) -> Message:
        return RECORD.decode(RECORD.encode(Record.of(sent, 1000.0))).delivered(HOST, "juliet@example.org", IDS)

    def test_a_message_is_the_same_with_a_delay_at_its_end(self) -> None:
        sent = message("chat", Element("x", "urn:x", attrs={"{urn:y}a": "1"}), body="<&\n\u2603>", id="i")
        kept = self.kept(sent)
        self.assertEqual(kept.element.children[:-1], sent.element.children)
        self.assertEqual(kept.element.attrs, sent.element.attrs)
        self.assertIn("stamp='1970-01-01T00:16:40Z'", kept.element.to_xml())

    def test_its_bytes_are_reused(self) -> None:
        raw = b"<message  id = 'i' ><body >x</body ></message >"
        sent = Message(message(None, body="x", id="i").element, raw)
        kept = self.kept(sent)
        assert kept.raw is not None
        self.assertTrue(kept.raw.startswith(raw.removesuffix(b"</message >")), kept.raw)

    def test_a_message_without_a_lifetime_never_expires(self) -> None:
        self.assertFalse(Record.of(message("chat", body="x"), 1000.0).has_expired(10**12))
