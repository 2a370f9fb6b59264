"""XEP-0191 and XEP-0352: what waits for a client that nobody looks at, when its sender is blocked."""

from __future__ import annotations

from .blocking_case import GARDEN, MARKET, MERCUTIO, ORCHARD, BlockingCase
from .neighbours import reload


class HeldTest(BlockingCase):
    def test_it_does_not_come_behind_the_block(self) -> None:
        reload(self.world, {**self.modules, "mod_client_state": {}})
        phone, garden = self.arrive(ORCHARD), self.arrive(GARDEN)
        phone.send("<inactive xmlns='urn:xmpp:csi:0'/>")
        phone.drain()
        self.remote.send(f"<presence from='{MARKET}' to='{ORCHARD}'><status>Come, shall we go?</status></presence>")
        phone.nothing()
        self.block(garden, MERCUTIO)
        # It had come before, and so it goes before.
        phone.expect(f"<presence from='{MARKET}'/>")
        self.remote.send(f"<presence from='{MARKET}' to='{ORCHARD}' type='unavailable'/>")
        phone.send("<active xmlns='urn:xmpp:csi:0'/>")
        phone.nothing()
