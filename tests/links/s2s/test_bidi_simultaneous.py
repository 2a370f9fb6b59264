"""Two servers open streams to each other at once: what is said arrives once, and in the order it was said.

RFC 6120 §10.1: "Stanzas […] MUST be processed in the order in which they were received", from each sender to each
recipient. XEP-0288 leaves open which of two streams is used; each direction keeps to the one it began with.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby, product, starmap
from typing import NamedTuple

from federix.testing import Client, Federation

from .bidi import BidiTestCase, bodies

SERVERS = ("a.test", "b.test")
#: Each says something to both of the others, so often in a second, and for so long.
OFTEN = 2
LASTS = 13.0


class Opening(NamedTuple):
    """How two servers open their streams: when each has its first stanza, and how long each piece takes, in seconds,
    on the stream that the one has opened and on that of the other."""

    begins: tuple[float, float]
    delays: tuple[float, float]
    bidi: tuple[bool, bool] = (True, True)
    certificates: bool = True


class Talk:
    """Two people of each server talk to the two of the other."""

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        off = {"modules": {"mod_s2s_bidi": None}}
        self.federation = Federation(
            *SERVERS,
            worlds={name: {} if on else off for name, on in zip(SERVERS, opening.bidi, strict=True)},
            certificates="trusted" if opening.certificates else "self-signed",
        )
        self.people: list[list[Client]] = [
            [self.federation.client(f"{person}@{name}/x") for person in ("one", "two")] for name in SERVERS
        ]
        self.said = [0, 0]

    def run(self) -> None:
        network = self.federation.network
        network.delay = max(self.opening.delays)
        while network.clock.seconds() < LASTS:
            for number, name in enumerate(SERVERS):
                for connection in network.transcript.connections():
                    if connection.client == name and connection.wire is not None:
                        connection.wire.delay = self.opening.delays[number]
                if network.clock.seconds() >= self.opening.begins[number]:
                    self.say(self.people[number], self.people[1 - number], self.said[number])
                    self.said[number] += 1
            network.advance(1 / OFTEN)
        network.advance(20 * max(self.opening.delays) + 5)

    def say(self, senders: Iterable[Client], recipients: list[Client], number: int) -> None:
        for sender in senders:
            for recipient in recipients:
                sender.write(f"<message to='{recipient.jid}'><body>{number}</body></message>")

    def heard(self) -> dict[tuple[str, str], list[str]]:
        """What each has heard from each other one, errors as well."""
        heard: dict[tuple[str, str], list[str]] = {}
        for client in (client for people in self.people for client in people):
            for element in client.drain():
                text = (element.get("type") or "") + "".join(bodies([element]))
                heard.setdefault((element.get("from") or "", str(client.jid)), []).append(text)
        return heard

    def ways(self, sender: str) -> list[int]:
        """By which connections messages went from *sender*, in their order, each as often as it was changed to."""
        sent = self.federation.transcript.sent_by(sender).where(
            lambda entry: entry.receiver in SERVERS and entry.element is not None and entry.element.name == "message"
        )
        return [number for number, _ in groupby(entry.connection.number for entry in sent)]


class SimultaneousOpens(BidiTestCase):
    def talk(self, opening: Opening) -> Talk:
        talk = Talk(opening)
        self.addCleanup(talk.federation.stop)
        talk.run()
        return talk

    def check(self, opening: Opening) -> Talk:
        talk = self.talk(opening)
        for (sender, _), texts in (heard := talk.heard()).items():
            said = talk.said["b.test" in sender]
            self.assertEqual(texts, [str(number) for number in range(said)], f"from {sender}, {opening}")
        self.assertEqual(len(heard), 8, opening)
        for server in SERVERS:
            self.assertEqual(len(talk.ways(server)), 1, f"{server} changed its way, {opening}")
            core = talk.federation[server].server.federation
            self.assertEqual([len(pair.queue) for pair in core.pairs.values()], [0], opening)
        return talk

    def orders(self, openings: Iterable[Opening]) -> set[tuple[int, ...]]:
        """How many connections there were in the end, and by which of them a.test and b.test talked."""
        seen = set()
        for opening in openings:
            talk = self.check(opening)
            connections = talk.federation.network.connections(*SERVERS)
            ways = talk.ways("a.test") + talk.ways("b.test")
            numbers = sorted({connection.number for connection in connections} | set(ways))
            seen.add((len(connections), *(numbers.index(way) + 1 for way in ways)))
            talk.federation.stop()
        return seen

    def test_all_arrives_once_and_in_order_whoever_is_first(self) -> None:
        """Each order of what happens is among these: b.test begins when a.test's stream is ready, or earlier; either
        one's is ready first at either end."""
        begins = [(0.0, later) for later in (0.0, 0.5, 1.5, 2.5, 4.5)]
        seen = self.orders(starmap(Opening, product(begins, [(0.2, 0.2), (0.1, 0.4), (0.4, 0.1)])))
        # A server is authorised where it has connected to before it knows so itself; so each may begin on the other's.
        self.assertEqual(seen, {(1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 2, 2)})

    def test_so_it_does_with_dialback(self) -> None:
        begins = [(0.0, later) for later in (0.0, 1.0, 3.0)]
        openings = product(begins, [(0.1, 0.1), (0.2, 0.1)], [(True, True)], [False])
        self.assertLess({(1, 1, 1)}, self.orders(starmap(Opening, openings)))

    def test_who_does_not_use_both_directions_needs_a_stream_of_its_own(self) -> None:
        openings = product([(0.0, 0.0), (0.0, 2.0)], [(0.1, 0.2)], [(True, False), (False, True), (False, False)])
        self.assertEqual(self.orders(starmap(Opening, openings)), {(2, 1, 2)})
