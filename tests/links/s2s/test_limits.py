"""What a client may send to its own server never ends the stream to another one, which is there for everybody."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from federix.testing import Federation
from federix.xmpp.limits import Limits

LONGEST = Limits().tag_bytes
MOST = Limits().attributes
#: Each of them takes six times as many bytes when it is written.
QUOTES = '"' * (LONGEST // 4)


class Limited(SynchronousTestCase):
    def begin(self, **options: Any) -> None:
        self.federation = Federation("a.test", "b.test", **options)
        self.addCleanup(self.federation.stop)
        self.romeo = self.federation.client("romeo@a.test/x")
        self.juliet = self.federation.client("juliet@b.test/y")

    def say(self, attrs: str, payload: str = "") -> list[str | None]:
        """What arrives of a message like that."""
        self.romeo.send(f"<message to='juliet@b.test/y' id='1'{attrs}>{payload}</message>")
        self.federation.advance(30)
        return [each.get("id") for each in self.juliet.drain()]

    def errors(self) -> list[str]:
        found = [each.child("jabber:client", "error") for each in self.romeo.drain()]
        return [condition.name for error in found if error is not None and (condition := error.first()) is not None]

    def connections(self) -> int:
        return len(self.federation.transcript.between("a.test", "b.test").connections())

    def test_as_many_attributes_as_a_client_may_send_arrive_with_what_its_server_adds(self) -> None:
        for bidi in (True, False):
            self.begin(bidi=bidi)
            attrs = "".join(f" a{number}=''" for number in range(MOST - 2))
            self.assertEqual(self.say(attrs), ["1"])
            self.juliet.send(f"<message to='romeo@a.test/x' id='2'{attrs}/>")
            self.federation.advance(30)
            self.assertEqual([each.get("id") for each in self.romeo.drain()], ["2"])
            self.assertEqual(self.connections(), 1 if bidi else 2)

    def test_a_tag_that_has_become_too_long_goes_back(self) -> None:
        """By what is added to it, and by being written anew."""
        for attrs, payload in (
            (f" a='{'x' * (LONGEST - 60)}'", ""),
            ("", f"<x xmlns='urn:x' xmlns:p='urn:p' a='{QUOTES}'/>"),
            ("", f"<![CDATA[']]><x xmlns='urn:x' xmlns:p='urn:p' a='>{QUOTES}'/>"),
        ):
            self.begin()
            self.assertEqual(self.say(""), ["1"])
            self.assertEqual(self.say(attrs, payload), [])
            self.assertEqual(self.errors(), ["policy-violation"])
            self.assertEqual(self.say(""), ["1"])
            self.assertEqual(self.connections(), 1)

    def test_much_that_has_no_long_tag_arrives(self) -> None:
        self.begin()
        text = "x" * LONGEST
        self.assertEqual(self.say("", f"<body>{text}</body><x xmlns='urn:x'><![CDATA[<a b='{text}'>]]></x>"), ["1"])
