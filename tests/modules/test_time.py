from __future__ import annotations

import os
import re
import time
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.modules.time import time_zone
from federix.testing import World
from federix.testing.world import BEGINNING
from federix.xmpp import delay

ASK = "<iq type='get' to='example.org' id='1'><time xmlns='urn:xmpp:time'/></iq>"


class TimeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(modules={"mod_time": {}, "mod_disco": {}})
        self.addCleanup(self.world.stop)
        self.romeo = self.world.client("romeo@example.org/orchard")

    def live_in(self, zone: str) -> None:
        """Put the process into that time zone (POSIX: west is positive)."""
        before = os.environ.get("TZ")

        def undo() -> None:
            os.environ.pop("TZ", None)
            if before is not None:
                os.environ["TZ"] = before
            time.tzset()

        self.addCleanup(undo)
        os.environ["TZ"] = zone
        time.tzset()

    def test_offset_and_utc_are_required(self) -> None:
        """XEP-0202 §2."""
        self.live_in("XXX-5:30")
        self.romeo.send(ASK)
        self.romeo.expect(
            "<iq type='result' from='example.org' to='romeo@example.org/orchard' id='1'><time"
            " xmlns='urn:xmpp:time'><tzo>+05:30</tzo><utc>2027-01-15T08:00:00Z</utc></time></iq>",
            exact=True,
        )

    def test_west_of_greenwich_the_offset_is_negative(self) -> None:
        self.live_in("XXX6")
        self.assertIn("<tzo>-06:00</tzo>", self.romeo.request(ASK).to_xml())

    def test_utc_must_conform_to_the_date_time_profile_and_be_in_utc(self) -> None:
        self.live_in("XXX6")
        self.world.advance(1.75)
        match = re.search("<utc>(.*Z)</utc>", self.romeo.request(ASK).to_xml())
        assert match is not None
        self.assertEqual(delay.parse_stamp(match[1]), BEGINNING + 1)

    def test_the_feature_must_be_reported(self) -> None:
        info = self.romeo.request(
            "<iq type='get' to='example.org' id='1'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        )
        self.assertIn("<feature var='urn:xmpp:time'/>", info.to_xml())


class ZoneTests(SynchronousTestCase):
    def test_examples(self) -> None:
        for minutes, text in ((0, "+00:00"), (330, "+05:30"), (-360, "-06:00"), (-570, "-09:30"), (840, "+14:00")):
            self.assertEqual(time_zone(timedelta(minutes=minutes)), text)

    @given(st.integers(-14 * 60, 14 * 60))
    def test_the_offset_must_conform_to_the_time_zone_definition(self, minutes: int) -> None:
        """XEP-0082 §2.1; what the parser of dates makes of it is the same offset."""
        text = time_zone(timedelta(minutes=minutes))
        self.assertRegex(text, r"\A[+-][0-9]{2}:[0-9]{2}\Z")
        self.assertEqual(delay.parse_stamp(f"1970-01-02T00:00:00{text}"), 86400 - minutes * 60)
