"""A client that manages its stream, and what its load costs."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bench import managing
from bench.inbox import LoadFailed
from bench.load_process import LoadProcess
from bench.managed import ASK_AFTER, Managed
from bench.managing import LIMIT, bounds

MESSAGE = b"<message to='a@x/r'><body>hello</body></message>"
ASKED = b"<r xmlns='urn:xmpp:sm:3'/>"


class Connection:
    jid = "a@x/r"

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.received: Any = None

    def send(self, data: bytes) -> None:
        self.sent.append(data)


class ManagedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.connection: Any = Connection()
        self.client = Managed(self.connection)

    def test_it_asks_after_so_many_stanzas(self) -> None:
        for _ in range(2 * ASK_AFTER):
            self.client.send(MESSAGE)
        asked = [number for number, data in enumerate(self.connection.sent, 1) if data == MESSAGE + ASKED]
        self.assertEqual(asked, [ASK_AFTER, 2 * ASK_AFTER])

    def test_it_answers_with_what_it_has(self) -> None:
        heard: list[bytes] = []
        self.client.received = heard.append
        self.connection.received(MESSAGE + b"<presence/><iq type='get'/>" + ASKED)
        self.assertEqual(self.connection.sent, [b"<a xmlns='urn:xmpp:sm:3' h='3'/>"])
        self.assertEqual(len(heard), 1)

    @given(st.integers(1, 200))
    def test_every_stanza_counts_once_wherever_the_bytes_are_cut(self, cut: int) -> None:
        connection: Any = Connection()
        client = Managed(connection)
        client.send(MESSAGE)
        data = 2 * MESSAGE + b"<a h='1' xmlns='urn:xmpp:sm:3'/>" + ASKED + MESSAGE
        for part in (data[:cut], data[cut:]):
            connection.received(part)
        self.assertEqual((client.heard, client.acknowledged), (3, 1))
        self.assertIn(b"<a xmlns", connection.sent[1])

    def test_a_pause_has_both_sides_know(self) -> None:
        self.connection.received(MESSAGE)
        self.client.pause()
        self.assertEqual(self.connection.sent, [b"<a xmlns='urn:xmpp:sm:3' h='1'/>" + ASKED])

    def test_a_server_that_counts_wrongly_is_noticed(self) -> None:
        self.client.send(MESSAGE)
        self.client.send(MESSAGE)
        self.connection.received(b"<a xmlns='urn:xmpp:sm:3' h='2'/>")
        for wrong in (b"h='3'", b"h='1'", b""):
            self.assertRaises(LoadFailed, self.client.take, b"<a xmlns='urn:xmpp:sm:3' %s/>" % wrong)


class BoundsTests(SynchronousTestCase):
    def test_medians_are_compared(self) -> None:
        without, managed = bounds(5, [1e-5, 2e-5, 9e-5], [2e-5, 2.2e-5, 2.1e-5], archived=False)
        self.assertEqual([round(sample) for sample in without.samples], [10, 20, 90])
        self.assertAlmostEqual(managed.samples[0], 1.05)
        self.assertEqual((managed.limit, managed.verdict), (LIMIT, "kept"))

    def test_it_can_be_missed(self) -> None:
        self.assertEqual(bounds(1, [1e-5], [1.2e-5], archived=False)[1].verdict, "MISSED")

    def test_with_an_archive_it_is_another_figure(self) -> None:
        plain, archived = (bounds(1, [1e-5], [1e-5], archived=archived) for archived in (False, True))
        for one, other in zip(plain, archived, strict=True):
            self.assertNotEqual((one.name, one.title), (other.name, other.title))

    def test_a_load_is_asked_again(self) -> None:
        told: list[str] = []
        load: Any = LoadProcess.__new__(LoadProcess)
        load._begun = False
        load._tell = told.append
        load._line = lambda expected: '{"done": 1, "connected": 2}'
        load.go()
        load.go()
        self.assertEqual((load.connected(), told), (2, ["", "again", ""]))

    def test_quick_is_smaller(self) -> None:
        quick, full = managing.QUICK, managing.FULL
        self.assertLess(quick.clients * quick.count * quick.repeat, full.clients * full.count * full.repeat)
        self.assertEqual((quick.clients % 2, full.clients % 2), (0, 0))
