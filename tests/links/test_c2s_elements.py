"""Elements of clients that are neither stanzas nor the stream's own: modules may take them."""

from __future__ import annotations

from typing import Any

from federix.api import Element, Module, Session, hooks
from federix.testing import Client

from ..core.support import WorldTestCase, stream_condition


class Listening(Module):
    """Takes what is called so."""

    name = "mod_listening"

    async def on_start(self) -> None:
        self.heard: list[tuple[str, str]] = []

    @hooks.c2s_authenticated_packet
    def take(self, session: Session, element: Element) -> list[bool]:
        if element.ns != "urn:x":
            return []
        if element.name == "wrong":
            raise ValueError("a bug")
        self.heard.append((str(session.jid), element.name))
        return [element.name == "mine"]


OWN: Any = {"mod_listening": Listening}


class ElementTests(WorldTestCase):
    def setUp(self) -> None:
        self.world = self.new_world(modules={"mod_listening": {}}, own_modules=OWN)

    def client(self) -> Client:
        return self.world.client("romeo@example.org/orchard")

    def assert_refused(self, client: Client) -> None:
        self.assertEqual(stream_condition(client.receive()), "unsupported-stanza-type")

    def test_a_module_may_take_one_of_a_client_with_a_session(self) -> None:
        romeo = self.client()
        romeo.send("<mine xmlns='urn:x'/><iq type='get' id='1' to='example.org'><q xmlns='urn:y'/></iq>")
        self.assertEqual(
            self.world.host("example.org").module(Listening).heard, [("romeo@example.org/orchard", "mine")]
        )
        romeo.expect("<iq id='1' type='error'/>")
        romeo.nothing()

    def test_what_no_module_takes_ends_the_stream(self) -> None:
        for element in ("<other xmlns='urn:x'/>", "<mine xmlns='urn:y'/>"):
            romeo = self.client()
            romeo.send(element)
            self.assert_refused(romeo)

    def test_what_a_module_fails_at_ends_the_stream(self) -> None:
        romeo = self.client()
        romeo.send("<wrong xmlns='urn:x'/>")
        self.assert_refused(romeo)
        self.failures(ValueError)

    def test_before_there_is_a_session_nobody_is_asked(self) -> None:
        romeo = self.world.connect()
        romeo.open("example.org")
        romeo.send("<mine xmlns='urn:x'/>")
        self.assert_refused(romeo)
        self.assertEqual(self.world.host("example.org").module(Listening).heard, [])
