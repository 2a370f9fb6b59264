"""mod_ping and clients that leave: whenever one closes, before a ping is due, while it is, or while it is on its way,
there is nothing an operator should read.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from federix.testing import Client, World

from .neighbours import reload, worries

ASKED = "<iq type='get' from='example.org' id='*'><ping xmlns='urn:xmpp:ping'/></iq>"
INTERVAL, TIMEOUT = 60.0, 32.0
#: Seconds in which a connection is closed at both ends.
LEAVING = 10.0
KILLING = {"send_pings": True, "ping_interval": INTERVAL, "ping_ack_timeout": TIMEOUT, "timeout_action": "kill"}


def close(client: Client) -> None:
    client.close()


def close_and_vanish(client: Client) -> None:
    client.close()
    client.cut()


def cut(client: Client) -> None:
    client.cut()


def misbehave(client: Client) -> None:
    client.send("<a></b>")


def close_behind_the_answer(client: Client) -> None:
    """Both in one piece; where it was not asked, the answer is one to nothing."""
    asked = [element for element in client.drain() if element.child("urn:xmpp:ping", "ping")]
    number = asked[-1].get("id") if asked else "unasked"
    client.send(f"<iq type='result' to='example.org' id='{number}'/></stream:stream>")


def come_again(client: Client) -> None:
    """Another connection takes the resource."""
    assert client.jid is not None
    client.world.client(str(client.jid)).close()


ENDS: tuple[Callable[[Client], None], ...] = (
    close,
    close_and_vanish,
    cut,
    misbehave,
    close_behind_the_answer,
    come_again,
)


class ClosingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.worries = worries(self)
        self.world = World(modules={"mod_ping": KILLING})
        self.addCleanup(self.world.stop)
        # Who was a client once has left nothing of itself, which is what these tests count from.
        self.world.client("romeo@example.org/orchard").close()
        self.world.advance(60)
        self.calls = len(self.world.clock.getDelayedCalls())

    def romeo(self) -> Client:
        return self.world.client("romeo@example.org/orchard")

    def check_that_nothing_comes_of_it(self, what: str) -> None:
        host = self.world.host("example.org")
        for passed in (LEAVING, 10 * (INTERVAL + TIMEOUT)):
            self.world.advance(passed)
            self.assertEqual(self.worries, [], what)
            self.assertEqual(self.flushLoggedErrors(), [], what)
            self.assertEqual((len(host.sessions), len(host.requests)), (0, 0), what)
            self.assertEqual(len(self.world.clock.getDelayedCalls()), self.calls, what)

    def test_before_a_ping_is_due(self) -> None:
        for end in ENDS:
            romeo = self.romeo()
            self.world.advance(INTERVAL - 0.001)
            end(romeo)
            self.check_that_nothing_comes_of_it(end.__name__)

    def test_while_a_ping_is_on_its_way(self) -> None:
        for waited in (0, 1, TIMEOUT - 0.001):
            for end in ENDS:
                romeo = self.romeo()
                self.world.advance(INTERVAL + waited)
                self.assertEqual(len(self.world.host("example.org").requests), 1)
                end(romeo)
                self.check_that_nothing_comes_of_it(f"{end.__name__} after {waited} s")

    def test_in_the_moment_it_is_due(self) -> None:
        """Whichever of the two the clock calls first."""
        self.world.clock.callLater(INTERVAL, self.romeo().cut)
        self.world.advance(INTERVAL)
        self.check_that_nothing_comes_of_it("asked first")
        self.world.clock.callLater(INTERVAL, self.romeo().cut)
        # A reload sets the timers again, behind what was set meanwhile.
        reload(self.world, {"mod_ping": {**KILLING, "ping_ack_timeout": TIMEOUT + 1}})
        self.world.advance(INTERVAL)
        self.check_that_nothing_comes_of_it("cut first")

    def test_in_the_moment_its_time_is_over(self) -> None:
        romeo = self.romeo()
        self.world.clock.callLater(INTERVAL + TIMEOUT, romeo.cut)
        self.world.advance(INTERVAL + TIMEOUT)
        self.check_that_nothing_comes_of_it("cut")

    def test_while_the_module_is_told_otherwise(self) -> None:
        romeo = self.romeo()
        self.world.advance(INTERVAL)
        romeo.expect(ASKED)
        reload(self.world, {"mod_ping": {**KILLING, "send_pings": False}})
        romeo.close()
        self.check_that_nothing_comes_of_it("switched off")

    def test_while_the_module_goes(self) -> None:
        romeo = self.romeo()
        self.world.advance(INTERVAL)
        romeo.expect(ASKED)
        reload(self.world, {})
        romeo.close()
        self.check_that_nothing_comes_of_it("taken out")
