"""Streams with the servers there are, as far as bidi goes: whoever connects, everything arrives, over as many
connections as that server is able to do with."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from federix.testing import Federation
from federix.testing.certificates import Kind
from federix.xmpp import ns

from . import peers
from .logs import Logged, troubles
from .peers import Neighbour, Release

#: How many connections each needs, where we have connected first, and where it has.
RELEASES: dict[Release, tuple[int, int]] = {
    # It does not know what we enable it with, nor we what it does.
    peers.EJABBERD_24_10: (2, 2),
    # We understand its offer; it does not find ours.
    peers.EJABBERD_24_12_REBUILT: (1, 2),
    peers.EJABBERD_25_03: (1, 2),
    peers.EJABBERD_26_07: (1, 1),
    peers.EJABBERD_26_07_OPTIONAL: (1, 1),
    peers.EJABBERD_WITHOUT: (2, 2),
    peers.PROSODY_0_12: (1, 1),
    peers.PROSODY_13: (1, 1),
    peers.PROSODY_WITHOUT: (2, 2),
}
#: Seconds that pass between what is said: a server asks whether all has arrived, and gives up when no answer comes.
PAUSES = (1.0, 30.0, 60.0, 60.0)


class Exchange(SynchronousTestCase):
    """What a message, an iq and a presence each way take."""

    def exchange(self, release: Release, *, we_connect: bool, certificate: Kind) -> None:
        federation = Federation("a.test")
        self.addCleanup(federation.stop)
        self.romeo = federation.client("romeo@a.test/x")
        self.neighbour = Neighbour(federation.network, release, "a.test", certificate)
        logged = Logged(self)
        steps = [self.thither, self.hither]
        for _ in range(2):
            for step in steps if we_connect else reversed(steps):
                step()
                for seconds in PAUSES:
                    federation.advance(seconds)
                    self.neighbour.work()
        self.neighbour.nothing()
        self.romeo.nothing()
        self.assertEqual(troubles(logged), [])
        connections = federation.transcript.connections("a.test", "b.test")
        # Those that were opened to verify a key are closed again.
        open_ones = [connection for connection in connections if connection.open]
        self.assertEqual(len(open_ones), RELEASES[release][0 if we_connect else 1], federation.transcript)
        self.assertEqual(connections[0].client, "a.test" if we_connect else "b.test")
        if certificate == "trusted":
            self.assertEqual(open_ones, connections)
        for connection in connections:
            ours = federation.transcript.on(connection).sent_by("a.test")
            enabled = [(element.ns, element.name) for element in ours.elements() if element.name == "bidi"]
            self.assertIn(enabled, ([], [(ns.BIDI, "bidi")]))

    def thither(self) -> None:
        """Romeo says everything there is to Juliet, and she answers."""
        self.romeo.send("<message to='juliet@b.test/y'><body>thither</body></message>")
        self.romeo.send("<presence to='juliet@b.test/y'/>")
        self.romeo.send("<iq type='get' id='q1' to='juliet@b.test/y'><query xmlns='urn:example:query'/></iq>")
        self.assert_received("message", "presence", "iq")
        self.neighbour.send("<iq type='result' id='q1' from='juliet@b.test/y' to='romeo@a.test/x'/>")
        self.romeo.expect("<iq type='result' id='q1' from='juliet@b.test/y'/>")

    def hither(self) -> None:
        """Juliet says everything there is to Romeo, and he answers."""
        addresses = "from='juliet@b.test/y' to='romeo@a.test/x'"
        self.neighbour.send(f"<message {addresses}><body>hither</body></message>")
        self.neighbour.send(f"<presence {addresses}/>")
        self.neighbour.send(f"<iq type='get' id='q2' {addresses}><query xmlns='urn:example:query'/></iq>")
        self.romeo.expect("<message><body>hither</body></message>")
        self.romeo.expect("<presence from='juliet@b.test/y'/>")
        self.romeo.expect("<iq type='get' id='q2'/>")
        self.romeo.send("<iq type='result' id='q2' to='juliet@b.test/y'/>")
        self.assert_received("iq")

    def assert_received(self, *names: str) -> None:
        got = [self.neighbour.receive() for _ in names]
        self.assertEqual([(e.ns, e.name) for e in got], [(ns.CLIENT, name) for name in names])
        self.assertEqual({e.get("from") for e in got}, {"romeo@a.test/x"})


def _exchange(release: Release, we_connect: bool, certificate: Kind) -> Callable[[Exchange], None]:
    return lambda self: self.exchange(release, we_connect=we_connect, certificate=certificate)


for _release in RELEASES:
    _name = "".join(c if c.isalnum() else "_" for c in _release.name.lower())
    for _who, _we_connect in (("we_connect_to_", True), ("we_are_reached_by_", False)):
        for _how, _kind in (("", "trusted"), ("_with_dialback", "self-signed")):
            setattr(Exchange, f"test_{_who}{_name}{_how}", _exchange(_release, _we_connect, _kind))  # type: ignore[arg-type]
