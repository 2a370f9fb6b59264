"""XEP-0352 with XEP-0198: what waits is not sent. XEP-0280: a session that sleeps gets messages like any other."""

from __future__ import annotations

from typing import Final

from federix.modules.client_state import HELD

from ..links.sm_case import ManagedCase

ACTIVE: Final = "<active xmlns='urn:xmpp:csi:0'/>"
INACTIVE: Final = "<inactive xmlns='urn:xmpp:csi:0'/>"
ENABLE: Final = "<enable xmlns='urn:xmpp:carbons:2'/>"


class InactiveTests(ManagedCase):
    """Romeo's stream is managed, and nobody looks at his client."""

    def setUp(self) -> None:
        self.begin(modules={"mod_client_state": {}})
        self.id = self.enable(self.romeo)
        self.romeo.send(INACTIVE)

    def show(self, *shows: str) -> None:
        """Juliet shows herself to Romeo."""
        for show in shows:
            self.juliet.send(f"<presence to='romeo@example.org/orchard'><show>{show}</show></presence>")

    def sent(self) -> int:
        """How many stanzas Romeo's client has to acknowledge."""
        managed = self.session().managed
        assert managed is not None
        return len(managed.queue)

    def test_what_waits_is_not_counted_until_it_is_sent(self) -> None:
        self.show("away", "dnd")
        self.assertEqual(self.sent(), 0)
        self.romeo.send(ACTIVE)
        self.romeo.expect("<presence><show>dnd</show></presence>")
        self.assertEqual(self.sent(), 1)

    def test_of_a_session_that_sleeps_it_still_waits(self) -> None:
        self.romeo.cut()
        self.show("away", "dnd")
        self.assertEqual((self.sent(), len(self.session().notes[HELD])), (0, 1))

    def test_a_message_takes_it_along_into_what_is_sent_when_the_session_is_resumed(self) -> None:
        self.show("away")
        self.romeo.cut()
        self.say("Hark!")
        self.show("dnd")
        romeo = self.resumed(self.id, 0)
        romeo.expect("<presence><show>away</show></presence>")
        romeo.expect("<message><body>Hark!</body></message>")
        got = [element.text_of("jabber:client", "show") for element in romeo.drain() if element.name == "presence"]
        self.assertEqual(got, ["dnd"])

    def test_a_resumed_stream_is_active(self) -> None:
        """§5.2: "the CSI state is *not* restored"."""
        self.romeo.cut()
        romeo = self.resumed(self.id, 0)
        self.assertNotIn(HELD, self.session().notes)
        self.show("away")
        romeo.expect("<presence><show>away</show></presence>")

    def test_with_a_session_that_is_not_resumed_presence_is_lost_silently_and_a_message_is_not(self) -> None:
        self.show("away")
        self.say("Hark!")
        self.show("dnd")
        self.juliet.drain()
        self.romeo.cut()
        self.world.advance(1000)
        self.assertFalse(self.is_there())
        self.juliet.expect("<message type='error' id='Hark!'/>")
        self.juliet.nothing()


class SleepingTests(ManagedCase):
    """Romeo's session sleeps; another one of his has carbons."""

    def setUp(self) -> None:
        self.begin(modules={"mod_carboncopy": {}})
        self.id = self.enable(self.romeo)
        self.romeo.send(f"<iq type='set' id='c1'>{ENABLE}</iq>")
        self.romeo.expect("<iq type='result' id='c1'/>")
        self.garden = self.world.client("romeo@example.org/garden")
        self.garden.send(f"<iq type='set' id='c1'>{ENABLE}</iq>")
        self.garden.expect("<iq type='result' id='c1'/>")
        self.world.advance(2)
        self.answer(self.romeo, 1)
        self.romeo.cut()

    def test_what_is_delivered_to_a_session_that_sleeps_is_copied_to_the_others_only(self) -> None:
        self.say("Hark!")
        self.garden.expect("<message><received xmlns='urn:xmpp:carbons:2'/></message>")
        romeo = self.resumed(self.id, 1)
        romeo.expect("<message><body>Hark!</body></message>")
        self.assertEqual(self.bodies(romeo), [])

    def test_a_session_that_sleeps_gets_copies(self) -> None:
        self.say("Hark!", to="romeo@example.org/garden")
        self.garden.expect("<message><body>Hark!</body></message>")
        romeo = self.resumed(self.id, 1)
        romeo.expect("<message from='romeo@example.org'><received xmlns='urn:xmpp:carbons:2'/></message>")

    def test_a_copy_that_was_not_acknowledged_goes_to_nobody_else(self) -> None:
        """XEP-0280 §10.3: "the server MUST NOT forward that error back to the original sender"."""
        self.say("Hark!", to="romeo@example.org/garden")
        self.garden.drain()
        self.juliet.drain()
        self.world.advance(1000)
        self.assertFalse(self.is_there())
        self.juliet.nothing()
        self.garden.nothing()
