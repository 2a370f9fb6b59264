"""What an operator sees of other servers."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from federix.core.commands import CommandError
from federix.testing import Federation
from federix.testing.peer import STARTTLS


class S2STestCase(SynchronousTestCase):
    def begin(self, *domains: str, **options: Any) -> None:
        self.federation = Federation(*domains, **options)
        self.addCleanup(self.federation.stop)
        self.romeo = self.federation.client("romeo@a.test/x")

    def say(self, to: str = "juliet@b.test") -> None:
        self.romeo.send(f"<message to='{to}'><body>hi</body></message>")
        self.federation.advance(2)

    def ask(self, name: str, seconds: float = 60, at: str = "a.test", **arguments: str) -> Any:
        """The answer of a command, which may take so long; raises what it raises."""
        results: list[Any] = []
        ensureDeferred(self.federation[at].server.commands.run(name, arguments)).addBoth(results.append)
        self.federation.advance(seconds)
        [result] = results
        if isinstance(result, Failure):
            result.raiseException()
        return result


class Peers(S2STestCase):
    """`federixctl s2s`."""

    def test_nobody_is_spoken_with(self) -> None:
        self.begin("a.test")
        self.assertEqual(self.ask("s2s"), [])

    def test_both_ends_of_a_stream_that_goes_both_ways(self) -> None:
        self.begin("a.test", "b.test")
        self.say()
        [ours], [theirs] = self.ask("s2s"), self.ask("s2s", at="b.test")
        self.assertEqual((ours["direction"], theirs["direction"]), ("out", "in"))
        for row, local, remote in ((ours, "a.test", "b.test"), (theirs, "b.test", "a.test")):
            self.assertEqual((row["local"], row["remote"]), (local, remote))
            self.assertEqual((row["proof"], row["tls"], row["bidi"], row["sm"]), ("certificate", "TLSv1.3", True, True))
            self.assertRegex(row["certificate"], r"^until 20\d\d-\d\d-\d\d$")
            self.assertEqual((row["queue"], row["unconfirmed"], row["last error"]), (0, 0, ""))
        self.assertEqual((self.ask("outgoing_s2s_number"), self.ask("incoming_s2s_number")), (1, 0))
        self.assertEqual(self.ask("incoming_s2s_number", at="b.test"), 1)

    def test_dialback_and_what_is_wrong_with_the_certificate(self) -> None:
        self.begin("a.test", "b.test", certificates="self-signed")
        self.say()
        [row] = self.ask("s2s", domain="b.test")
        self.assertEqual(row["proof"], "dialback")
        self.assertIn("self-signed", row["certificate"])

    def test_what_waits_and_why(self) -> None:
        self.begin("a.test")
        self.federation.peer("b.test").stop_listening()
        self.say()
        [row] = self.ask("s2s", seconds=0)
        self.assertEqual((row["remote"], row["direction"], row["queue"]), ("b.test", "none", 1))
        self.assertIn("refused", row["last error"])
        self.assertRegex(row["oldest"], r"^\d+ s$")

    def test_one_domain_alone(self) -> None:
        self.begin("a.test", "b.test", "c.test")
        self.say()
        self.say("mercutio@c.test")
        self.assertEqual({row["remote"] for row in self.ask("s2s")}, {"b.test", "c.test"})
        self.assertEqual({row["remote"] for row in self.ask("s2s", domain="C.test")}, {"c.test"})

    def test_a_domain_that_is_none(self) -> None:
        self.begin("a.test")
        with self.assertRaises(CommandError):
            self.ask("s2s", domain="no domain")


class Why(S2STestCase):
    """`federixctl why_s2s`."""

    def why(self, domain: str, seconds: float = 60) -> list[str]:
        """The steps, where it fails: then the exit code says so, too."""
        with self.assertRaises(CommandError) as raised:
            self.ask("why_s2s", seconds, domain=domain)
        told = str(raised.exception).split("\n")
        self.assertEqual(told[-1], "This is where it fails")
        return told

    def test_all_is_well_and_nothing_of_it_stays(self) -> None:
        self.begin("a.test", "b.test")
        told = self.ask("why_s2s", domain="b.test")
        self.assertEqual(told[-1], "All is well")
        for step in ("priority 10", "connected to", "STARTTLS", "TLSv1.3", "certificate is good", "answers a ping"):
            self.assertTrue(any(step in line for line in told), (step, told))
        self.assertEqual(self.ask("s2s"), [])
        self.assertEqual(len(self.federation.network.connections("a.test", "b.test")), 0)

    def test_no_stanza_goes_over_the_stream_it_opens(self) -> None:
        self.begin("a.test", "b.test")
        self.say()
        before = self.ask("s2s")[0]["peer"]
        self.ask("why_s2s", domain="b.test")
        self.say()
        rows = self.ask("s2s")
        self.assertEqual([row["peer"] for row in rows], [before])
        self.assertEqual(len(self.romeo.drain()), 2)  # there is no Juliet: both came back over the same stream

    def test_a_certificate_that_has_expired(self) -> None:
        self.begin("a.test", "b.test", certificates={"b.test": "expired"}, dialback=False)
        told = self.why("b.test")
        self.assertTrue(any("it expired on" in line for line in told), told)

    def test_a_domain_that_the_dns_does_not_know(self) -> None:
        self.begin("a.test")
        told = self.why("nowhere.test")
        self.assertTrue(any("nowhere.test has no address" in line for line in told), told)

    def test_a_server_that_does_not_connect_back(self) -> None:
        """Without bidi the answer to a ping needs a stream of its own."""
        self.begin("a.test", bidi=False)
        peer = self.federation.peer("b.test")
        results: list[Any] = []
        server = self.federation["a.test"].server
        ensureDeferred(server.commands.run("why_s2s", {"domain": "b.test"})).addBoth(results.append)
        self.federation.advance(1)
        stream = peer.accept()
        stream.answer(STARTTLS)
        stream.accept_tls()
        stream.answer(
            "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>"
        )
        stream.accept_external()
        stream.answer()
        self.federation.advance(60)
        self.assertIn("it may be unable to connect to us", results[0].getErrorMessage())

    def test_what_stands_in_the_way_at_present_is_told(self) -> None:
        self.begin("a.test")
        self.federation.peer("b.test").stop_listening()
        self.say()
        told = self.why("b.test", seconds=0.1)
        self.assertTrue(any(line.startswith("It failed ") for line in told), told)

    def test_our_own_domains_and_those_that_are_not_ours(self) -> None:
        self.begin("a.test")
        for arguments in ({"domain": "a.test"}, {"domain": "b.test", "host": "c.test"}):
            with self.assertRaises(CommandError):
                self.ask("why_s2s", **arguments)
