from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from federix.testing import World

SESSION = "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>"


class SessionRequestTests(SynchronousTestCase):
    """RFC 3921 §3: old clients ask for a session after they have bound a resource."""

    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.stop)
        self.romeo = self.world.client("romeo@example.org/orchard")

    def test_the_feature_is_optional(self) -> None:
        assert self.romeo.features is not None
        self.assertIn("<optional", self.romeo.features.to_xml())

    def test_a_request_to_nobody_is_granted(self) -> None:
        self.romeo.send(f"<iq type='set' id='1'>{SESSION}</iq>")
        # RFC 6120 §8.1.2.1: without 'from' it is from the account itself, which was asked.
        self.romeo.expect("<iq type='result' id='1' to='romeo@example.org/orchard'/>", exact=True)

    def test_a_request_to_the_server_is_granted(self) -> None:
        self.romeo.send(f"<iq type='set' id='1' to='example.org'>{SESSION}</iq>")
        self.romeo.expect("<iq type='result' id='1' from='example.org' to='romeo@example.org/orchard'/>", exact=True)

    def test_nobody_else_is_asked_for_a_session(self) -> None:
        self.world.register("juliet@example.org")
        for attributes in ("type='set' to='juliet@example.org'", "type='get'"):
            answer = self.romeo.request(f"<iq {attributes} id='1'>{SESSION}</iq>")
            self.assertIn("<service-unavailable ", answer.to_xml())
