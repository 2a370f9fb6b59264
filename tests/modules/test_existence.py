"""RFC 6120 §13.11: no answer tells a stranger whether there is such an account.

What a stranger gets for a request of any kind that a module answers, and for any presence, is the same for an account
that is there, with and without clients, as for one that is not: to the byte, but for the addresses themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from twisted.trial.unittest import SynchronousTestCase

from federix.api import Element, Stanza
from federix.core.iq import requests_of
from federix.core.module import declared
from federix.modules import MODULES
from federix.testing import Client, World
from federix.testing.match import parse
from federix.xmpp.stanza import KINDS

from .rfc6121 import Elsewhere, ask_for_roster, method_name

#: Of one length. The first has no client, the second one that is connected, the third one that is available.
THERE: Final = ("offline", "present", "visible")
NOBODY: Final = "nothere"
RESOURCE: Final = "balcony"
#: What the stranger's own server numbers: its roster pushes, the versions of its roster.
_OURS: Final = re.compile(r" ver='\d+'| id='[^']+-\d+'")
PRESENCE: Final = (
    None,
    "unavailable",
    "subscribe",
    "subscribed",
    "unsubscribe",
    "unsubscribed",
    "probe",
    "error",
    "other",
)


def payloads() -> Iterator[tuple[str, str]]:
    """Namespace and name of each request that a module answers, and of one that none does."""
    found = {
        (request.ns, request.name)
        for module in MODULES.values()
        for attribute in declared(module)
        for request in requests_of(getattr(module, attribute))
    }
    yield from sorted(found)
    yield "urn:example:unknown", "query"


def requests() -> Iterator[list[str]]:
    for ns, name in payloads():
        for kind in ("get", "set"):
            for content in ("", "<x xmlns='urn:example:x'/>", f"<item xmlns='{ns}' jid='nurse@example.org'/>"):
                yield [f"<iq to='{{}}' id='i' type='{kind}'><{name} xmlns='{ns}'>{content}</{name}></iq>"]
            yield [f"<iq to='{{}}' id='i' type='{kind}'><{name} xmlns='{ns}' node='urn:x'/></iq>"]
            yield [f"<iq to='{{}}' id='i' type='{kind}'><other xmlns='{ns}'/></iq>"]


def presences() -> Iterator[list[str]]:
    """Each type alone, and each after each other: what one leaves behind must not show in the next."""
    stanzas = [
        "<presence to='{}' id='p'" + (f" type='{kind}'>" if kind else ">") + "<status>!</status></presence>"
        for kind in PRESENCE
    ]
    yield from ([stanza] for stanza in stanzas)
    yield from ([first, second] for first in stanzas for second in stanzas)


class ExistenceTest(SynchronousTestCase):
    """The tests are made below, one for each account that is there and each form of its address."""

    world: ClassVar[World]
    remote: ClassVar[Elsewhere]
    clients: ClassVar[list[Client]]

    @classmethod
    def setUpClass(cls) -> None:
        cls.world = World(modules={name: {} for name in MODULES})
        cls.remote = Elsewhere(cls.world)
        for name in THERE:
            cls.world.register(f"{name}@example.org")
        cls.clients = [cls.world.client(f"{name}@example.org/{RESOURCE}") for name in THERE[1:]]
        cls.clients[1].send("<presence/>")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.world.stop()

    def check(self, name: str, resource: str) -> None:
        """A stranger here learns nothing, and one elsewhere does not."""
        stranger = self.world.client("stranger@example.org/street")
        ask_for_roster(stranger)
        stranger.send("<presence/>")
        stranger.drain()

        def here(stanza: str) -> list[Element]:
            stranger.send(stanza)
            return stranger.drain()

        def elsewhere(stanza: str) -> list[Element]:
            element = parse(stanza)
            element.attrs["from"] = "stranger@remote.example/street"
            self.world.run(_route(self.world, KINDS[element.name](element)))
            heard, self.remote.got = self.remote.got, []
            return heard

        for stanzas in (*requests(), *presences()):
            for say in (here, elsewhere):
                answers = []
                for local in (name, NOBODY):
                    address = f"{local}@example.org{resource}"
                    heard = [element for stanza in stanzas for element in say(stanza.replace("{}", address))]
                    texts = [element.to_xml("jabber:client").replace(local, NOBODY) for element in heard]
                    answers.append([_OURS.sub("", text) for text in texts])
                self.assertEqual(answers[0], answers[1], stanzas)
        for client in self.clients:
            client.drain()


async def _route(world: World, stanza: Stanza) -> None:
    waiting = world.server.router.route(stanza)
    if waiting is not None:
        await waiting


def _make_tests() -> None:
    for name in THERE:
        for resource in ("", f"/{RESOURCE}", "/elsewhere"):

            def test(self: ExistenceTest, name: str = name, resource: str = resource) -> None:
                self.check(name, resource)

            setattr(ExistenceTest, method_name(name, "at", resource.strip("/") or "its bare address"), test)


_make_tests()
