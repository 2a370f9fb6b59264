"""Stream management on a connection, without a server: what is counted, answered and told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from twisted.trial.unittest import SynchronousTestCase

from bench.names import HEADER
from faults.connection import Connection, Way
from faults.management import Management

SM = "urn:xmpp:sm:3"


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return False


class ConnectionTests(SynchronousTestCase):
    def using(self, test: Callable[[], Awaitable[None]]) -> None:
        async def use() -> None:
            self.transport = Transport()
            self.told: list[tuple[list[str], Way]] = []
            self.connection = Connection()
            self.connection.connection_made(self.transport)
            self.connection.on_acknowledged = lambda messages, way: self.told.append((messages, way))
            self.connection.data_received(HEADER)
            await test()

        asyncio.run(use())

    def enable(self) -> Management:
        self.hear(f"<enabled xmlns='{SM}' id='x' resume='true'/>")
        assert self.connection.management is not None
        return self.connection.management

    def hear(self, text: str) -> None:
        self.connection.data_received(text.encode())

    def test_every_stanza_that_comes_is_counted_and_nothing_else(self) -> None:
        async def test() -> None:
            self.hear("<message/>")
            management = self.enable()
            self.hear(f"<message/><presence/><a xmlns='{SM}' h='0'/><iq type='get' id='1'/><iq type='result' id='2'/>")
            self.hear(f"<r xmlns='{SM}'/>")
            self.assertEqual(management.received, 4)
            self.assertEqual(self.transport.written[-1], f"<a xmlns='{SM}' h='4'/>".encode())

        self.using(test)

    def test_answers_to_the_servers_requests_count_as_sent(self) -> None:
        async def test() -> None:
            management = self.enable()
            self.hear("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>")
            self.connection.send("<presence/>")
            self.connection.ask()
            self.assertEqual(len(management.unacknowledged), 2)

        self.using(test)

    def test_what_is_sent_before_it_is_enabled_is_not_counted(self) -> None:
        async def test() -> None:
            self.connection.send("<iq type='set' id='1'/>")
            self.assertEqual(len(self.enable().unacknowledged), 0)

        self.using(test)

    def test_messages_are_told_when_they_are_acknowledged(self) -> None:
        async def test() -> None:
            self.enable()
            self.connection.send("<presence/>")
            self.connection.send_message(b"<message/>", "m1")
            self.hear(f"<a xmlns='{SM}' h='1'/><a xmlns='{SM}' h='2'/>")
            self.assertEqual(self.told, [([], "a"), (["m1"], "a")])

        self.using(test)

    def test_too_much_acknowledged_is_wrong(self) -> None:
        async def test() -> None:
            self.enable()
            self.hear(f"<a xmlns='{SM}' h='1'/>")
            assert self.connection.wrong is not None
            self.assertIn("h=1", self.connection.wrong)

        self.using(test)

    def previous(self) -> Management:
        management = Management("before", received=5)
        management.sent(b"<message id='m1'/>", "m1")
        management.sent(b"<message id='m2'/>", "m2")
        return management

    def test_a_resumed_session_sends_again_what_was_not_handled_and_goes_on_counting(self) -> None:
        async def test() -> None:
            previous = self.previous()
            resuming = asyncio.ensure_future(self.connection.resume(previous))
            await asyncio.sleep(0)
            self.assertEqual(self.transport.written, [f"<resume xmlns='{SM}' previd='before' h='5'/>".encode()])
            self.hear(f"<resumed xmlns='{SM}' previd='before' h='1'/><message/><r xmlns='{SM}'/>")
            self.assertTrue(await resuming)
            self.assertEqual(self.told, [(["m1"], "resumed")])
            answer, again = self.transport.written[1:]
            self.assertEqual((answer, again), (f"<a xmlns='{SM}' h='6'/>".encode(), b"<message id='m2'/>"))
            self.assertIs(self.connection.management, previous)
            self.assertEqual(len(previous.unacknowledged), 1)

        self.using(test)

    def test_a_session_that_is_gone_may_tell_what_was_handled(self) -> None:
        async def test() -> None:
            resuming = asyncio.ensure_future(self.connection.resume(self.previous()))
            await asyncio.sleep(0)
            self.hear(
                f"<failed xmlns='{SM}' h='1'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
            )
            self.assertFalse(await resuming)
            self.assertEqual(self.told, [(["m1"], "failed")])
            self.assertIsNone(self.connection.management)

        self.using(test)
