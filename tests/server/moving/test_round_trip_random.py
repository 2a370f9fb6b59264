"""Whatever accounts have is there, and the same, behind a file: for any texts and addresses, and brought twice."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from federix.api import JID, Contact, Element, Message, RosterItem
from federix.modules.blocking import Blocking
from federix.modules.mam.module import MessageArchive
from federix.modules.mam.preferences import Preferences
from federix.modules.offline import Offline
from federix.modules.offline_records import Record
from federix.modules.private import Private
from federix.storage.archive import ArchiveRow

from .moving_case import JULIET, MovingCase

#: Nine in the morning on the first of May 2026, which was before a world begins.
START = 1_777_626_000_000_000
OWNER = JID.parse(JULIET)

texts = st.text(
    st.sampled_from("a <>&'\"\t\n\r]\u0085\u2028\ufffd\u00e9\U0001d11e")
    | st.characters(exclude_categories=("Cs", "Cc")),
    max_size=8,
).map(lambda text: text.replace("\ufffe", "").replace("\uffff", ""))
jids = st.sampled_from(["nurse@example.net", "\u0440\u043e\u043c\u0435\u043e@b.test", "a\\26b@c.test", "b.test"]).map(
    JID.parse
)
resources = st.sampled_from(["", "balcony", "a b'<&>\"", "\u2603/\U0001f600"])
full_jids = st.builds(lambda jid, resource: JID(jid.local, jid.domain, resource), jids, resources)
attrs = st.dictionaries(st.sampled_from(["a", "xml:lang", "{urn:y}b"]), texts, max_size=2)
elements = st.recursive(
    st.builds(
        lambda ns, text, attrs: Element("x", ns, text=text, attrs=attrs),
        st.sampled_from(["urn:x", "jabber:client"]),
        texts,
        attrs,
    ),
    lambda inner: st.builds(
        lambda ns, children, attrs: Element("y", ns, *children, attrs=attrs),
        st.sampled_from(["urn:x", "jabber:client", "urn:xmpp:pie:0", "jabber:server"]),
        st.lists(inner, max_size=2),
        attrs,
    ),
    max_leaves=3,
)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """One that came for Juliet."""
    children = [Element("body", "jabber:client", text=draw(texts)), *draw(st.lists(elements, max_size=2))]
    attrs = {
        "from": str(draw(full_jids)),
        "to": JULIET,
        "type": "chat",
        **draw(st.just({}) | texts.map(lambda id: {"id": id})),
    }
    return Message(Element("message", "jabber:client", *children, attrs=attrs))


items = st.builds(
    lambda jid, name, subscription, groups: RosterItem(str(jid), name, subscription, groups=groups),
    jids,
    texts.filter(bool),
    st.sampled_from(["none", "to", "from", "both"]),
    st.frozensets(texts.filter(bool), max_size=2),
)
times = st.integers(0, 3_000_000)


class RandomRoundTripTest(MovingCase):
    @settings(max_examples=30, deadline=None)
    @given(
        st.lists(st.tuples(times, messages()), max_size=6, unique_by=lambda each: each[0]),
        st.lists(st.tuples(times, messages()), max_size=4),
        st.lists(items, max_size=3, unique_by=lambda item: item.jid),
        st.lists(elements, max_size=3),
        st.sets(full_jids.map(str), max_size=3),
        st.none()
        | st.builds(
            Preferences,
            st.sampled_from([None, "always", "never", "roster"]),
            st.frozensets(full_jids.map(str)),
            st.frozensets(full_jids.map(str)),
        ),
    )
    def test_everything_is_the_same(
        self,
        archived: list[tuple[int, Message]],
        waiting: list[tuple[int, Message]],
        contacts: list[RosterItem],
        fragments: list[Element],
        blocked: set[str],
        preferences: Preferences | None,
    ) -> None:
        world, other = self.new_world(), self.new_world(config={"default_db": "memory"})
        world.register(JULIET)
        other.advance(60)

        async def fill() -> None:
            host, storage = world.host("example.org"), world.server.storage
            rows = [self.row(at, message) for at, message in archived]
            if rows:
                await storage.archives.keep(rows)
            for at, message in waiting:
                await host.module(Offline).kept.append(JULIET, Record.of(message, (START + at) / 1_000_000))
            for item in contacts:
                await storage.rosters.keep(JULIET, {item.jid: Contact(item)})
            await host.module(Private).keep(JULIET, [each for each in fragments if each.ns == "urn:x"])
            if blocked:
                await host.module(Blocking).add(OWNER, [JID.parse(jid) for jid in blocked])
            if preferences is not None:
                await host.module(MessageArchive).wishes.set(OWNER, preferences)

        world.run(fill())
        before = self.everything(world)
        with tempfile.TemporaryDirectory() as folder:
            self.ask("export_piefxis", world, dir=Path(folder) / "out")
            file = Path(folder) / "out" / "server-data.xml"
            self.ask("import_piefxis", other, file=file)
            self.assertEqual(self.everything(other), before)
            told = self.ask("import_piefxis", other, file=file)
        self.assertTrue(all(line.endswith(" there already") for line in told), told)
        self.assertEqual(self.everything(other), before)
        for each in (world, other):
            each.stop()

    def row(self, at: int, message: Message) -> ArchiveRow:
        sender = message.sender
        assert sender is not None
        stanza = message.to_bytes("jabber:client")
        return ArchiveRow(JULIET, START + at, sender.bare.text, sender.resource, False, "", stanza)
