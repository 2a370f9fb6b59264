"""What is on its way when its stream is lost arrives once, whenever it goes on (XEP-0198 §5)."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet.defer import Deferred

from federix.api import Module
from federix.core.intake import MOST_MESSAGES
from federix.links.management import SETTLED_IN
from federix.streams.reading import LEFT_BEHIND
from federix.testing import Client
from tests.core.passage_case import Keeper, SlowArchives, Thinker

from .sm_case import SM, ManagedCase, a


class RememberingArchives(SlowArchives):
    """They know what they have kept. What is *read* when they are asked is told when that fires."""

    reading: Deferred[None] | None = None

    async def fingerprints(self, owner: str, since: int, limit: int) -> dict[str, int]:
        found = {row.fingerprint: row.id for row in self.kept if row.owner == owner and row.sent}
        reading, self.reading = self.reading, None
        if reading is not None:
            await reading
        return found


class ComingBackCase(ManagedCase):
    own_modules: ClassVar[dict[str, type[Module]]]

    def setUp(self) -> None:
        modules: dict[str, Any] = {name: {} for name in self.own_modules}
        self.begin(modules=modules, own_modules=self.own_modules)
        self.archives = self.world.server.storage.archives = RememberingArchives()  # type: ignore[assignment]
        self.id = self.enable(self.romeo)

    def tell(self, *bodies: str, client: Client | None = None, named: bool = True) -> None:
        for body in bodies:
            id = f" id='{body}'" if named else ""
            (client or self.romeo).send(
                f"<message to='juliet@example.org/balcony' type='chat'{id}><body>{body}</body></message>"
            )

    def come_back(self, h: int = 0) -> Client:
        """The connection is lost, and the client, which has *h* stanzas, begins to resume its session."""
        self.romeo.cut()
        client = self.logged_in()
        client.send(f"<resume {SM} previd='{self.id}' h='{h}'/>")
        return client

    def came_back(self) -> Client:
        """As `come_back`; it has waited for what is on its way as long as it does, and is told of nothing."""
        client = self.come_back()
        self.world.advance(SETTLED_IN)
        client.expect(f"<resumed {SM} h='0'/>")
        return client

    def begin_anew(self) -> Client:
        """The session is over, and the client begins another."""
        self.session().end()
        client = self.world.client("romeo@example.org/orchard")
        self.enable(client)
        return client

    def assert_arrived(self, *bodies: str) -> None:
        self.world.pump()
        self.assertEqual(self.bodies(self.juliet), list(bodies))


class LookedUpTests(ComingBackCase):
    own_modules: ClassVar[dict[str, type[Module]]] = {"mod_keeper": Keeper}

    def test_what_was_looked_up_for_a_stream_before_is_not_what_is_known_now(self) -> None:
        self.archives.reading = reading = Deferred()
        self.tell("1")
        client = self.came_back()
        reading.callback(None)
        self.assert_arrived("1")
        self.tell("1", client=client)
        self.assert_arrived()


class HeldUpTests(ComingBackCase):
    own_modules: ClassVar[dict[str, type[Module]]] = {"mod_keeper": Keeper}

    def test_who_sends_too_much_at_once_is_not_read_though_the_stream_before_is_given_up(self) -> None:
        self.archives.slow = True
        bodies = [str(number) for number in range(MOST_MESSAGES + 2)]
        self.tell(*bodies[:MOST_MESSAGES])
        client = self.came_back()
        self.tell(*bodies[MOST_MESSAGES:], client=client)
        self.assertTrue(self.session().attachment.paused)
        self.world.advance(LEFT_BEHIND)
        client.nothing()
        self.assertTrue(self.session().attachment.paused)
        while self.archives.jobs:
            self.archives.commit()
            self.world.pump()
        self.assert_arrived(*bodies)


class CaughtUpTests(ComingBackCase):
    own_modules: ClassVar[dict[str, type[Module]]] = {"mod_keeper": Keeper}

    def test_a_count_that_is_kept_later_is_what_is_told_of_though_it_is_lower(self) -> None:
        """What was behind one that went back is counted when its sender comes back, and he sends it again meanwhile."""
        refused = "<message to='nobody@example.org' type='chat'><body>hark</body></message>"
        self.romeo.send(refused)
        self.tell("1")
        self.archives.slow = True
        client = self.come_back(1)
        client.expect(f"<resumed {SM} h='0'/>")
        client.send(refused)
        self.tell("1", client=client)
        client.send(a(2))
        self.archives.commit(1)
        while self.archives.jobs:
            self.archives.commit()
        self.assertEqual(self.session().intake.handled, 2)
        self.assertEqual([counted.h for counted in self.archives.counts if counted], [0, 2, 0, 2])


class ThinkingTests(ComingBackCase):
    own_modules: ClassVar[dict[str, type[Module]]] = {"mod_keeper": Keeper, "mod_thinker": Thinker}

    def go_on(self, number: int) -> None:
        """The module has made up its mind about the one that came as that *number*."""
        self.world.host("example.org").module(Thinker).thinking[number].callback(None)
        self.world.pump()

    def test_who_resumes_is_told_of_it_where_that_does_not_take_long(self) -> None:
        self.tell("1", named=False)
        client = self.come_back()
        client.nothing()
        self.go_on(0)
        client.expect(f"<resumed {SM} h='1'/>")
        self.assert_arrived("1")

    def test_else_it_is_known_when_it_is_sent_again(self) -> None:
        self.tell("1")
        client = self.came_back()
        self.go_on(0)
        self.tell("1", client=client)
        self.go_on(1)
        self.assert_arrived("1")

    def test_and_where_it_goes_on_while_it_is_sent_again(self) -> None:
        self.think_of_both(0, 1)

    def test_and_where_it_goes_on_last(self) -> None:
        self.think_of_both(1, 0)

    def think_of_both(self, *order: int) -> None:
        self.tell("1")
        client = self.came_back()
        self.tell("1", client=client)
        self.archives.slow = True
        for number in order:
            self.go_on(number)
        self.archives.commit()
        self.world.pump()
        self.archives.commit()
        self.assert_arrived("1")

    def test_and_where_those_before_it_were_looked_up_already(self) -> None:
        self.archives.slow = True
        self.tell("obvious", "1")
        client = self.came_back()
        self.archives.slow = False
        self.archives.commit()
        self.tell("obvious", client=client)
        self.go_on(0)
        self.tell("1", client=client)
        self.go_on(1)
        self.assert_arrived("obvious", "1")

    def test_nor_is_it_new_where_its_session_is_over(self) -> None:
        """Whoever sends it again has sent something before, for which it was looked what is known."""
        self.tell("1")
        client = self.begin_anew()
        self.tell("obvious", client=client)
        self.go_on(0)
        self.tell("1", client=client)
        self.go_on(1)
        self.assert_arrived("obvious", "1")

    def test_nor_where_two_of_them_are(self) -> None:
        self.tell("1")
        client = self.begin_anew()
        self.tell("obvious", "1", client=client)
        self.session().end()
        self.go_on(0)
        self.go_on(1)
        self.assert_arrived("obvious", "1")

    def test_nor_where_it_arrives_while_it_is_looked_for(self) -> None:
        self.tell("1")
        client = self.begin_anew()
        self.archives.reading = reading = Deferred()
        self.tell("obvious", client=client)
        self.go_on(0)
        reading.callback(None)
        self.tell("1", client=client)
        self.go_on(1)
        self.assert_arrived("1", "obvious")
