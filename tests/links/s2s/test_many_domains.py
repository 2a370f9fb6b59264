"""Two servers of two domains each share streams: whatever happens, nothing is lost, and all comes in its order."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from federix.links.s2s.pair import MOST_TRIES
from federix.testing import Client, Federation

from .reliable import FAULTS, ReliableTestCase, befall

OURS = ("one@a.test/x", "two@also.test/x")
THEIRS = ("three@b.test/x", "four@more.test/x")
HOSTS = {"a.test": {"hosts": ("a.test", "also.test")}, "b.test": {"hosts": ("b.test", "more.test")}}
#: Who says something, and to whom; or what happens to the network; or how many seconds pass, among them such as bring
#: a message into the moment in which idle streams are closed.
STEP = st.one_of(
    st.tuples(st.integers(0, 3), st.integers(0, 1)),
    st.tuples(st.sampled_from((*FAULTS, "heal", "slow", "fast")), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from((0.1, 0.5, 1, 3, 20, 59.7, 70, 200))),
)


@dataclass
class Flow:
    """What one has said to another: the ids of what was sent, what arrived, and what came back."""

    sent: list[str] = field(default_factory=list)
    arrived: list[str] = field(default_factory=list)
    bounced: list[str] = field(default_factory=list)


class ManyDomains(ReliableTestCase):
    def course(self, steps: list[tuple[Any, Any]], federation: Federation) -> dict[tuple[str, str], Flow]:
        clients: dict[str, Client] = {jid: federation.client(jid) for jid in (*OURS, *THEIRS)}
        flows = {pair: Flow() for pair in (*product(OURS, THEIRS), *product(THEIRS, OURS))}
        network = federation.network
        for what, number in steps:
            if isinstance(what, int):
                sender = (*OURS, *THEIRS)[what]
                to = (THEIRS if sender in OURS else OURS)[number]
                flow = flows[sender, to]
                id = f"{sender} {to} {len(flow.sent)}"
                flow.sent.append(id)
                clients[sender].write(f"<message id='{id}' to='{to}'><body>{id}</body></message>")
                federation.advance(0)
            elif what in ("slow", "fast"):
                network.set_delay("a.test", "b.test", 0.4 if what == "slow" else 0.0)
            elif not befall(federation, what):
                federation.advance(number)
        network.heal()
        federation.advance(600)
        for jid, client in clients.items():
            for element in client.drain():
                id, other = element.get("id") or "", element.get("from") or ""
                if element.get("type") == "error":
                    flows[jid, other].bounced.append(id)
                elif element.name == "message":
                    flows[other, jid].arrived.append(id)
        return flows

    def check(self, steps: list[tuple[Any, Any]], *, counted: bool, **options: Any) -> None:
        federation = Federation("a.test", "b.test", worlds=HOSTS, config={"s2s_timeout": 60}, **options)
        try:
            flows = self.course(steps, federation)
            faults = sum(what in FAULTS for what, _ in steps)
            for flow in flows.values():
                lost = [id for id in flow.sent if id not in flow.arrived and id not in flow.bounced]
                self.assertEqual(lost, [])
                self.assertEqual(len(flow.bounced), len(set(flow.bounced)))
                first = list(dict.fromkeys(flow.arrived))
                self.assertEqual(first, [id for id in flow.sent if id in first])
                copies = max((flow.arrived.count(id) for id in first), default=1)
                self.assertLessEqual(copies, min(MOST_TRIES, faults + 1) if counted else 1)
                if not faults:
                    self.assertEqual(flow.arrived, flow.sent)
                    # Without counting it may come back as well, where the stream was closed before that was known.
                    self.assertTrue(not counted or not flow.bounced, flow.bounced)
            for world in federation.worlds.values():
                core = world.server.federation
                self.assertEqual((core.waiting, core.links, core.opened), (0, set(), set()))
                self.assertEqual((core.pairs, core._by_domains, core._pings), ({}, {}, {}))
        finally:
            federation.stop()
        self.assertEqual(list(federation.network.clock.getDelayedCalls()), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    @settings(max_examples=12, deadline=None)
    @given(st.lists(STEP, max_size=20), st.booleans(), st.booleans())
    def test_counted(self, steps: list[tuple[Any, Any]], bidi: bool, certified: bool) -> None:
        self.check(steps, counted=True, bidi=bidi, certificates="trusted" if certified else "self-signed")

    @settings(max_examples=12, deadline=None)
    @given(st.lists(STEP, max_size=20), st.booleans(), st.booleans())
    def test_pinged(self, steps: list[tuple[Any, Any]], bidi: bool, certified: bool) -> None:
        self.without_counting()
        self.check(steps, counted=False, bidi=bidi, certificates="trusted" if certified else "self-signed")
