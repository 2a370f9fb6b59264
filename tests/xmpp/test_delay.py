from datetime import UTC, datetime, timedelta, timezone

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp import ns
from federix.xmpp.delay import MAX_STAMP, Delay, delay, is_delay_by, is_delayed_by, parse_stamp, stamp
from federix.xmpp.element import Element
from federix.xmpp.errors import Condition, StanzaError
from federix.xmpp.jid import JID

MOON = datetime(1969, 7, 21, 2, 56, 15, tzinfo=UTC).timestamp()


class Stamps(SynchronousTestCase):
    def test_the_examples(self) -> None:
        """XEP-0082 §3.2, examples 2 and 3."""
        self.assertEqual(parse_stamp("1969-07-21T02:56:15Z"), MOON)
        self.assertEqual(parse_stamp("1969-07-20T21:56:15-05:00"), MOON)
        self.assertEqual(stamp(MOON), "1969-07-21T02:56:15Z")

    def test_east_is_ahead_of_utc(self) -> None:
        self.assertEqual(parse_stamp("2002-09-10T19:00:00+07:00"), parse_stamp("2002-09-10T12:00:00Z"))
        self.assertEqual(parse_stamp("2002-09-10T12:30:00+00:30"), parse_stamp("2002-09-10T12:00:00Z"))

    def test_fractions_have_any_number_of_digits_and_six_count(self) -> None:
        self.assertEqual(parse_stamp("1970-01-01T00:00:00.5Z"), 0.5)
        self.assertEqual(parse_stamp("1970-01-01T00:00:00.000001Z"), 0.000001)
        self.assertEqual(parse_stamp("1970-01-01T00:00:00.12345678901234567890+00:00"), 0.123456)
        self.assertEqual(parse_stamp("1969-12-31T23:59:59.5Z"), -0.5)

    def test_a_fraction_is_written_only_where_there_is_one(self) -> None:
        self.assertEqual(stamp(0), "1970-01-01T00:00:00Z")
        self.assertEqual(stamp(1.25), "1970-01-01T00:00:01.250000Z")
        self.assertEqual(stamp(1_000_000_000.123456), "2001-09-09T01:46:40.123456Z")

    def test_white_space_around_is_no_matter(self) -> None:
        self.assertEqual(parse_stamp(" 1970-01-01T00:00:01Z\n"), 1)

    def test_all_else_is_a_bad_request(self) -> None:
        for text in (
            "",
            "1970-01-01",
            "1970-01-01T00:00:00",  # "The Time Zone Definition is mandatory"
            "19700101T00:00:00",
            "1970-01-01T00:00:00.Z",
            "1970-01-01 00:00:00Z",
            "1970-01-01t00:00:00z",
            "1970-13-01T00:00:00Z",
            "1970-02-30T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:60:00Z",
            "1970-01-01T00:00:60Z",
            "1970-01-01T00:00:00+14:01",
            "1970-01-01T00:00:00+01:60",
            "1970-01-01T00:00:00+0100",
            "0000-01-01T00:00:00Z",
            "-1970-01-01T00:00:00Z",
            "\u0661970-01-01T00:00:00Z",
            "1970-01-01T00:00:00." + "0" * MAX_STAMP + "Z",
        ):
            with self.assertRaises(StanzaError, msg=text) as caught:
                parse_stamp(text)
            self.assertEqual(caught.exception.condition, Condition.BAD_REQUEST)

    def test_a_time_no_date_has_cannot_be_written(self) -> None:
        for seconds in (1e12, -1e12, 1e300, float("inf"), float("nan")):
            self.assertRaises(ValueError, stamp, seconds)


class Delays(SynchronousTestCase):
    def test_the_element(self) -> None:
        """XEP-0203 §3, example 1."""
        element = delay(JID.parse("capulet.com"), parse_stamp("2002-09-10T23:08:25Z"), "Offline Storage")
        self.assertEqual(
            element.to_xml(),
            "<delay xmlns='urn:xmpp:delay' from='capulet.com' stamp='2002-09-10T23:08:25Z'>Offline Storage</delay>",
        )
        self.assertEqual(delay(None, 0).to_xml(), "<delay xmlns='urn:xmpp:delay' stamp='1970-01-01T00:00:00Z'/>")

    def test_whose_it_claims_to_be(self) -> None:
        host = JID.parse("capulet.com")
        for from_, its in {
            "capulet.com": True,
            "Capulet.COM": True,
            "a@capulet.com": False,
            "@": False,
            "": False,
        }.items():
            element = Element("delay", ns.DELAY, attrs={"from": from_})
            self.assertEqual(is_delay_by(element, host), its, from_)
            self.assertEqual(is_delayed_by(Element("message", ns.CLIENT, element), host), its, from_)
        own = delay(host, 0)
        self.assertFalse(is_delay_by(delay(None, 0), host))
        self.assertFalse(is_delay_by(Element("x", ns.DELAY, attrs=own.attrs), host))
        self.assertFalse(is_delay_by(Element("delay", "urn:x", attrs=own.attrs), host))
        self.assertFalse(is_delayed_by(Element("message", ns.CLIENT, Element("x", "urn:x", own)), host))

    def test_nonsense_is_a_bad_request(self) -> None:
        now = "1970-01-01T00:00:00Z"
        for element in (
            Element("delay", ns.DELAY),
            Element("delay", ns.DELAY, attrs={"stamp": "yesterday"}),
            Element("delay", ns.DELAY, attrs={"stamp": now, "from": "@"}),
            Element("delay", "jabber:x:delay", attrs={"stamp": now}),
            Element("x", ns.DELAY, attrs={"stamp": now}),
        ):
            with self.assertRaises(StanzaError) as caught:
                Delay.parse(element)
            self.assertEqual(caught.exception.condition, Condition.BAD_REQUEST)


# To the year 2200 a float holds microseconds.
SECONDS = st.floats(min_value=-62e8, max_value=72e8)


class Properties(SynchronousTestCase):
    @given(SECONDS)
    def test_a_time_written_and_read_is_the_same_to_the_microsecond(self, seconds: float) -> None:
        self.assertLessEqual(abs(parse_stamp(stamp(seconds)) - seconds), 1.5e-6)

    @given(SECONDS)
    def test_what_was_read_is_written_in_the_same_way_again(self, seconds: float) -> None:
        text = stamp(seconds)
        self.assertEqual(stamp(parse_stamp(text)), text)

    @given(st.datetimes(), st.integers(-14 * 60, 14 * 60))
    @example(datetime(1970, 1, 1, 0, 1, 0, 1), 1)
    def test_any_date_in_any_zone_is_understood(self, moment: datetime, offset: int) -> None:
        zone = f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
        # In whole microseconds up to the end: a sum of floats is not the float nearest to the sum.
        elapsed = moment.replace(tzinfo=timezone(timedelta(minutes=offset))) - datetime(1970, 1, 1, tzinfo=UTC)
        self.assertEqual(parse_stamp(moment.isoformat() + zone), elapsed.total_seconds())

    @given(st.text() | st.text(alphabet="0123456789-T:.Z+", max_size=30))
    def test_anything_is_a_date_or_a_bad_request(self, text: str) -> None:
        try:
            self.assertIsInstance(parse_stamp(text), float)
        except StanzaError as error:
            self.assertEqual(error.condition, Condition.BAD_REQUEST)

    @given(
        st.integers(-62 * 10**8, 72 * 10**8),
        st.none() | st.sampled_from(["example.com", "a@example.com/b c"]).map(JID.parse),
        st.text(max_size=20).map(str.strip),
    )
    def test_a_delay_written_and_read_is_the_same(self, seconds: int, from_: JID | None, reason: str) -> None:
        known = Delay(float(seconds), from_, reason)
        self.assertEqual(Delay.parse(known.to_element()), known)
