"""What the tests of moving share: worlds with everything that moves, people in them, and a look at all they have."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from federix.core.commands import Progress
from federix.modules.mam.wishes import KEPT as PREFERENCES
from federix.modules.offline import Offline
from federix.modules.private import Private
from federix.storage.archive import Span
from federix.storage.codec import ELEMENT, STANZA
from federix.storage.roster import Contact, RosterItem
from federix.testing import World
from federix.xmpp.element import Element
from federix.xmpp.jid import JID

MODULES: Mapping[str, Mapping[str, Any]] = {
    name: {} for name in ("mod_roster", "mod_offline", "mod_mam", "mod_private", "mod_blocking", "mod_disco")
}
JULIET, ROMEO = "juliet@example.org", "romeo@example.org"
PIE = "xmlns='urn:xmpp:pie:0'"
XI = "xmlns:xi='http://www.w3.org/2001/XInclude'"

#: §4.3, example 4.
KEYS = (
    "<scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-1'><iter-count>100000</iter-count>"
    "<salt>TmFDbE5hQ2xOYUNsTmFDbE5hQ2xOYUNsTmFDbE5hQ2xOYUNsTmFDbE5hQ2wK</salt>"
    "<server-key>0pXWGK0GZJ6TR73AIUN3ITYtA1g=</server-key><stored-key>Q6qT/SbybblGCZz8e8eSfCJOQic=</stored-key>"
    "</scram-credentials>"
)


def result(body: str, stamp: str, id: str = "a", to: str = JULIET, sender: str = "romeo@montague.net/orchard") -> str:
    message = f"<message xmlns='jabber:client' to='{to}' from='{sender}' type='chat'><body>{body}</body></message>"
    delay = f"<delay xmlns='urn:xmpp:delay' stamp='{stamp}'/>"
    forwarded = f"<forwarded xmlns='urn:xmpp:forward:0'>{delay}{message}</forwarded>"
    return f"<result xmlns='urn:xmpp:mam:2' id='{id}'>{forwarded}</result>"


def archive(*results: str) -> str:
    return f"<archive xmlns='urn:xmpp:pie:0#mam'>{''.join(results)}</archive>"


def privacy(*items: str, default: bool = True) -> str:
    chosen = "<default name='public'/>" if default else ""
    return f"<query xmlns='jabber:iq:privacy'>{chosen}<list name='public'>{''.join(items)}</list></query>"


class MovingCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="federix-moving-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.world = self.new_world()

    def new_world(self, *, modules: Mapping[str, Mapping[str, Any]] = MODULES, **more: Any) -> World:
        world = World(modules=modules, **more)
        self.addCleanup(world.stop)
        return world

    def ask(self, name: str, world: World | None = None, progress: Progress | None = None, **arguments: Any) -> Any:
        world = world or self.world
        given = {name: str(value).lower() if value is True else str(value) for name, value in arguments.items()}
        return world.run(world.server.commands.run(name, given, progress or Progress()))

    def file(self, text: str, name: str = "data.xml") -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def bring(self, inside: str, world: World | None = None, user: str = "juliet", **options: Any) -> list[str]:
        """Import a file with one user who has *inside*."""
        users = f"<user name='{user}' password='secret'>{inside}</user>"
        text = f"<?xml version='1.0'?>\n<server-data {PIE}><host jid='example.org'>\n{users}</host></server-data>"
        lines: list[str] = self.ask("import_piefxis", world, file=self.file(text), **options)
        return lines

    def rows(self, world: World | None = None) -> list[Any]:
        world = world or self.world
        found: list[Any] = world.run(world.server.storage.archives.page(JULIET, Span(), limit=99))
        return found

    def populate(self) -> None:
        """Juliet has some of everything, Romeo little, and a third one nothing."""
        world = self.world
        juliet, romeo = world.client(f"{JULIET}/balcony"), world.client(f"{ROMEO}/orchard")
        world.register("жульетта@example.org")
        fragment = "<exodus xmlns='exodus:prefs' xml:lang='en'><defaultnick> Ju&amp;liet\n</defaultnick></exodus>"
        juliet.request(f"<iq type='set' id='1'><query xmlns='jabber:iq:private'>{fragment}</query></iq>")
        blocked = "<item jid='tybalt@example.net'/><item jid='example.com'/><item jid='a@b.test/c'/>"
        juliet.request(f"<iq type='set' id='2'><block xmlns='urn:xmpp:blocking'>{blocked}</block></iq>")
        juliet.send("<presence/>")
        romeo.send("<presence/>")
        romeo.send(f"<message to='{JULIET}' type='chat' id='m1'><body>I take thee at thy word: é ☂ 𝄞</body></message>")
        juliet.send(f"<message to='{ROMEO}/orchard' type='chat' id='m2'><body>What man art thou?</body></message>")
        prefs = "<always><jid>nurse@example.net</jid></always><never/>"
        juliet.request(f"<iq type='set' id='3'><prefs xmlns='urn:xmpp:mam:2' default='always'>{prefs}</prefs></iq>")
        juliet.close()
        world.pump()
        romeo.send(f"<message to='{JULIET}' type='chat' id='m3'><body>I know not how to tell thee</body></message>")
        for number in range(3):
            romeo.send(f"<message to='{JULIET}' type='chat'><body>again</body><x xmlns='n:{number}'/></message>")
        romeo.send(f"<presence type='subscribe' to='{JULIET}'><status>Let me see thee</status></presence>")
        world.advance(1)
        items = (
            RosterItem("nurse@example.net", "The <Nurse> & co.", "both", groups=frozenset({"Servants", "House"})),
            RosterItem("paris@example.net", subscription="from", ask=True),
            RosterItem("lawrence@example.net", approved=True),
        )
        for item in items:
            world.run(world.server.storage.rosters.transition(JULIET, item.jid, lambda known, item=item: Contact(item)))

    def everything(self, world: World | None = None) -> dict[str, Any]:
        """All that accounts have, as it means."""
        world = world or self.world
        return {
            name: world.run(self._of(world, name))
            for name in world.run(world.host("example.org").accounts.names(limit=999))
        }

    async def _of(self, world: World, local: str) -> dict[str, Any]:
        host, storage = world.host("example.org"), world.server.storage
        account = JID(local, host.name)
        owner = str(account)
        _, items, requests = await storage.rosters.relations(owner)
        rows = await storage.archives.page(owner, Span(), limit=999)
        offline, private = host.module(Offline), host.module(Private)
        waiting = await offline.read(owner, limit=999)
        stored = await storage.accounts.get(local, host.name)
        assert stored is not None
        return {
            "secrets": dict(stored.credentials),
            "items": items,
            "requests": {jid: ELEMENT.decode(request) for jid, request in requests.items()},
            "offline": [(each.at, each.expires, each.sender, _numbered(world, each.stanza)) for _, each in waiting],
            "archive": [
                (row.id, row.peer, row.resource, row.sent, row.fingerprint, STANZA.decode(row.stanza).element)
                for row in rows
            ],
            "private": await private.kept.all(owner),
            "blocked": await storage.documents.get("blocking", owner),
            "preferences": await PREFERENCES.bind(storage).get(owner),
        }


def _numbered(world: World, stanza: bytes) -> Element:
    """A message with the numbers that its ids in an archive stand for: each server has ids of its own."""
    element = STANZA.decode(stanza).element
    for child in element.elements():
        if child.name == "stanza-id":
            child.attrs["id"] = str(world.server.archive_ids.decode(child.get("id") or ""))
    return element
