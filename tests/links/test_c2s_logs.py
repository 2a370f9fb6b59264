"""What is logged of clients: a line for what an operator asks about, nothing for what is ordinary, no secret ever."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.logger import eventAsText as as_text
from zope.interface import implementer

from federix.testing import World
from tests.links.support import WorldTestCase, auth, plain, response, secured
from tests.xmpp.sasl.support import Client as Scram


@implementer(ILogObserver)
class Journal:
    """Keeps every event whole."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        self.events.append(event)


class LogTests(WorldTestCase):
    def setUp(self) -> None:
        self.world = self.make()
        self.world.register("romeo@example.org", "open sesame")
        journal = Journal()
        self.events = journal.events
        globalLogPublisher.addObserver(journal)
        self.addCleanup(globalLogPublisher.removeObserver, journal)

    def lines(self) -> list[str]:
        """What was logged since they were last asked for."""
        lines = [str(event.get("log_format")) for event in self.events if event.get("log_format")]
        self.events.clear()
        return lines

    def test_a_session_has_a_line_at_its_beginning_and_one_at_its_end(self) -> None:
        client = self.world.client("romeo@example.org/orchard", "open sesame")
        self.assertEqual(self.lines(), ["client authenticated", "client session opened"])
        client.send("<message to='romeo@example.org/orchard'><body>x</body></message>" * 10)
        client.send("<message to='@'/><iq type='get' id='1'><query xmlns='urn:unknown'/></iq>")
        self.assertEqual(self.lines(), [])
        client.close()
        self.assertEqual(self.lines(), ["client session closed"])

    def test_they_say_who_and_why(self) -> None:
        client = self.world.client("romeo@example.org/orchard", "open sesame")
        client.send("<a/>")
        opened, closed = self.events[-2:]
        self.assertEqual((opened["session"], opened["peer"]), ("romeo@example.org/orchard", "192.0.2.1"))
        self.assertEqual(
            (closed["session"], str(closed["why"])), ("romeo@example.org/orchard", "unsupported-stanza-type")
        )

    def test_a_failed_login_has_a_line(self) -> None:
        client = secured(self.world)
        self.assertEqual(self.lines(), [])
        client.send(plain("romeo", "wrong"))
        event = self.events[0]
        self.assertEqual(
            (event["host"], event["peer"], event["condition"]), ("example.org", "192.0.2.1", "not-authorized")
        )
        self.assertEqual(self.lines(), ["login failed"])

    def test_so_has_a_login_that_an_access_rule_denies(self) -> None:
        world = self.make({"access_rules": {"c2s": [{"deny": "all"}]}})
        world.register("romeo@example.org")
        client = secured(world)
        self.events.clear()
        client.send(plain("romeo"))
        self.assertEqual(self.events[0]["condition"], "access denied")
        self.assertEqual(self.lines(), ["login failed"])

    def test_a_connection_refused_has_a_line(self) -> None:
        client = self.world.connect()
        client.send("nonsense")
        self.assertEqual(self.lines(), ["client refused"])

    def test_a_connection_that_comes_and_goes_has_none(self) -> None:
        self.world.connect().cut()
        client = self.world.connect()
        client.open("example.org")
        client.close()
        self.assertEqual(self.lines(), [])

    def test_ordinary_traffic_is_never_a_warning(self) -> None:
        client = secured(self.world)
        client.send(plain("romeo", "wrong"))
        client.send(plain("romeo", "open sesame"))
        client.send("<oops>")
        other = self.world.client("romeo@example.org/orchard", "open sesame", tls=True)
        self.world.client("romeo@example.org/orchard", "open sesame", tls=True)
        other.cut()
        self.assertEqual([e for e in self.events if e.get("log_level", LogLevel.info) > LogLevel.info], [])

    def test_no_secret_is_ever_logged(self) -> None:
        secrets = ["open sesame", "wr0ng-guess", "t0p-secret-body", "s3cret-token"]
        client = secured(self.world)
        client.send(plain("romeo", "wr0ng-guess"))
        client.send(auth("X-TOKEN", b"s3cret-token"))
        client.send(plain("romeo\0s3cret-token", "wr0ng-guess"))
        half = Scram("SHA-1", name="romeo", password="wr0ng-guess")
        client.send(auth("SCRAM-SHA-1", half.first()))
        client.drain()
        client.send(response(b"c=biws,r=x,p=" + b64encode(b"s3cret-token")))
        client.send(plain("romeo", "open sesame"))
        juliet = self.world.client("romeo@example.org/balcony", "open sesame")
        for to in ("romeo@example.org/balcony", "@", "nowhere.example", "nobody@example.org", "t0p-secret-body@"):
            juliet.send(f"<message to='{to}'><subject>t0p-secret-body</subject><body>t0p-secret-body</body></message>")
        juliet.send("<message from='t0p-secret-body'/>")
        self.world.client("romeo@example.org/a", "open sesame").send("<t0p-secret-body/>")
        self.world.client("romeo@example.org/b", "open sesame").send("<message><body>t0p-secret-body</oops>")
        self.world.client("romeo@example.org/c", "open sesame").send("<!-- t0p-secret-body -->")
        self.assertGreater(len(self.events), 10)
        forms = [form for secret in secrets for form in (secret, b64encode(secret.encode()).decode().rstrip("="))]
        forms += [b64encode(b"\0romeo\0" + secret.encode()).decode().rstrip("=") for secret in secrets]
        for event in self.events:
            text = as_text(event) + "".join(f"{key}={value!r}" for key, value in event.items())
            for form in forms:
                self.assertNotIn(form, text)

    def test_not_even_when_the_storage_fails(self) -> None:
        client = secured(self.world)
        accounts: Any = self.world.host("example.org").accounts

        async def fail(local: str) -> None:
            raise ZeroDivisionError

        self.patch(accounts, "credentials", fail)
        client.send(plain("romeo", "open sesame"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        for event in self.events:
            text = as_text(event) + "".join(f"{key}={value!r}" for key, value in event.items())
            self.assertNotIn("open sesame", text)

    def test_refused_addresses_are_told_together(self) -> None:
        world = World(listener={"max_connections_per_address": 1})
        self.addCleanup(world.stop)
        world.connect()
        self.events.clear()
        for _ in range(10):
            world.connect()
        self.assertEqual(self.lines(), ["connections refused"])
        world.advance(61)
        world.connect()
        self.assertEqual(self.events[-1]["count"], 10)
