"""The domains of components: several connections of one, one for several, hooks, and what a reload changes."""

from __future__ import annotations

from collections import Counter
from typing import Any

from federix.api import JID, Module, hooks
from federix.life.tree import State
from federix.testing import Client, World
from federix.testing.component import handshake
from federix.xmpp import ns
from federix.xmpp.element import Element
from tests.links.component_case import IRC, NEWS, ROMEO, ComponentCase


class SeveralTests(ComponentCase):
    def prepare(self, balancing: dict[str, Any] | None, connections: int = 3) -> tuple[World, list[Client]]:
        config = {"domain_balancing": {IRC: balancing}} if balancing is not None else {}
        world = self.service(config)
        self.users = [world.client(f"user{number}@example.org/r") for number in range(10)]
        components = [world.component(IRC) for _ in range(connections)]
        domain: Any = world.server.components.of(IRC)
        for number, link in enumerate(domain.own):
            link.id = f"stream{number}"  # it decides who gets what, and is another one each time
        return world, components

    def routes(self, world: World, components: list[Client]) -> list[tuple[Element, int]]:
        """Messages of ten users to seven rooms with five resources, each with the number of who got it."""
        for number in range(60):
            self.users[number % 10].send(f"<message to='room{number % 7}@{IRC}/r{number % 5}' id='{number}'/>")
        return [(element, index) for index, each in enumerate(components) for element in each.drain()]

    def test_all_get_something_and_nothing_comes_twice(self) -> None:
        for kind in ("random", "source", "destination", "bare_source", "bare_destination"):
            routes = self.routes(*self.prepare({"type": kind}))
            self.assertEqual(len(routes), 60)
            self.assertEqual(len({element.get("id") for element, _ in routes}), 60)
            self.assertGreater(len({index for _, index in routes}), 1, kind)

    def assert_decided_by(self, routes: list[tuple[Element, int]], attribute: str, *, bare: bool) -> None:
        seen: dict[str, set[int]] = {}
        for element, index in routes:
            address = JID.parse(element.get(attribute) or "")
            seen.setdefault(str(address.bare if bare else address), set()).add(index)
        self.assertEqual({len(indexes) for indexes in seen.values()}, {1})

    def test_who_gets_it_is_decided_by_what_the_option_says(self) -> None:
        for kind, attribute in (("source", "from"), ("destination", "to")):
            for bare in (False, True):
                routes = self.routes(*self.prepare({"type": f"bare_{kind}" if bare else kind}))
                self.assert_decided_by(routes, attribute, bare=bare)

    def test_without_an_option_each_senders_stanzas_keep_their_order(self) -> None:
        routes = self.routes(*self.prepare(None))
        self.assert_decided_by(routes, "from", bare=True)
        for index in range(3):
            ids = [int(element.get("id") or "") for element, at in routes if at == index]
            self.assertEqual(ids, sorted(ids))

    def test_when_one_goes_the_others_keep_their_senders(self) -> None:
        world, components = self.prepare(None)
        before = {element.get("from"): index for element, index in self.routes(world, components)}
        components[1].cut()
        after = {element.get("from"): index for element, index in self.routes(world, components)}
        there = {sender: index for sender, index in before.items() if index != 1}
        self.assertLess(len(there), len(before))
        self.assertEqual({sender: after[sender] for sender in there}, there)
        self.assertNotIn(1, Counter(after.values()))

    def test_more_connections_than_wanted_are_refused(self) -> None:
        world, _ = self.prepare({"component_number": 2}, connections=2)
        self.assert_stream_error(self.opened(world), "conflict")

    def test_one_that_came_meanwhile_leaves_no_room(self) -> None:
        world, _ = self.prepare({"component_number": 2}, connections=1)
        late = self.opened(world)
        world.component(IRC)
        late.send(handshake(late, "secret"))
        self.assert_stream_error(late, "conflict")


class GlobalRoutesTests(ComponentCase):
    def prepare(self, news: str, **options: Any) -> tuple[World, Client, Client]:
        hosts = {IRC: {"password": "secret"}, NEWS: {"password": news}}
        world = self.service(hosts=hosts, **options)
        return world, world.client(ROMEO), world.component(IRC)

    def test_one_component_may_stand_for_all_domains_of_its_password(self) -> None:
        _, romeo, irc = self.prepare("secret")
        romeo.send(f"<message to='{NEWS}' id='m'/>")
        irc.expect(f"<message to='{NEWS}' id='m'/>")
        irc.send(f"<message from='{NEWS}' to='{ROMEO}' id='m'/>")
        romeo.expect(f"<message from='{NEWS}' id='m'/>")

    def test_it_stands_back_for_who_connects_for_that_domain(self) -> None:
        world, romeo, irc = self.prepare("secret")
        news = world.component(NEWS)
        romeo.send(f"<message to='{NEWS}' id='m1'/>")
        self.assertEqual((self.received(news), self.received(irc)), (["m1"], []))
        news.cut()
        romeo.send(f"<message to='{NEWS}' id='m2'/>")
        self.assertEqual(self.received(irc), ["m2"])

    def test_another_password_is_another_component(self) -> None:
        _, romeo, irc = self.prepare("other")
        romeo.send(f"<message to='{NEWS}' id='m'/>")
        romeo.expect("<message id='m' type='error'/>")
        irc.send(f"<message from='{NEWS}' to='{ROMEO}'/>")
        self.assert_stream_error(irc, "invalid-from")

    def test_it_can_be_switched_off(self) -> None:
        _, romeo, irc = self.prepare("secret", global_routes=False)
        romeo.send(f"<message to='{NEWS}' id='m'/>")
        romeo.expect("<message id='m' type='error'/>")
        irc.send(f"<message from='{NEWS}' to='{ROMEO}'/>")
        self.assert_stream_error(irc, "invalid-from")


class Watcher(Module):
    """Takes the hooks of components."""

    name = "mod_watcher"
    heard: list[tuple[str, ...]]

    async def on_start(self) -> None:
        self.heard = []

    @hooks.component_connected
    def there(self, domain: JID) -> None:
        self.heard.append(("there", str(domain)))

    @hooks.component_disconnected
    def gone(self, domain: JID, reason: str) -> None:
        self.heard.append(("gone", str(domain), reason))


class SeenTests(ComponentCase):
    def test_modules_hear_of_the_first_connection_and_of_the_end_of_the_last(self) -> None:
        world = self.service(modules={"mod_watcher": {}}, own={"mod_watcher": Watcher})
        heard = world.host("example.org").module(Watcher).heard
        one, other = world.component(IRC), world.component(IRC)
        self.assertEqual(heard, [("there", IRC)])
        one.cut()
        self.assertEqual(heard, [("there", IRC)])
        other.close()
        self.assertEqual(heard[1:], [("gone", IRC, "closed")])

    def test_connections_stand_in_the_service_tree(self) -> None:
        world = self.service()
        domain = world.server.components.children[IRC]
        component = world.component(IRC, ip="192.0.2.9")
        self.assertEqual(
            [(node.name, node.state) for _, node in domain.walk()],
            [(IRC, State.RUNNING), ("connection 1 from 192.0.2.9", State.RUNNING)],
        )
        component.cut()
        self.assertEqual([node.name for _, node in domain.walk()], [IRC])

    def test_the_hosts_items_name_the_components_below_it(self) -> None:
        hosts = {IRC: {"password": "secret"}, "irc.example.net": {"password": "secret"}}
        world = self.service(hosts=hosts, modules={"mod_disco": {}})
        world.component(IRC)
        answer = world.client(ROMEO).request(
            f"<iq type='get' id='d' to='example.org'><query xmlns='{ns.DISCO_ITEMS}'/></iq>"
        )
        items = [item.get("jid") for query in answer.elements() for item in query.elements()]
        self.assertEqual(items, [IRC])

    def test_nothing_is_left_of_a_connection_that_ended(self) -> None:
        world = self.service(hosts={IRC: {"password": "secret"}, NEWS: {"password": "secret"}})
        for _ in range(3):
            world.component(IRC).cut()
        for name in (IRC, NEWS):
            domain = world.server.components.of(name)
            assert domain is not None
            self.assertEqual((domain.own, domain.standing_in, domain.children), ([], [], {}))


class ReloadTests(ComponentCase):
    def reload(self, world: World, **changes: Any) -> None:
        world.run(world.server.reload(world.configure({**world.settings, **changes})))

    def listen(self, **options: Any) -> list[dict[str, Any]]:
        c2s = {"module": "ejabberd_c2s", "ip": "127.0.0.1", "port": 5222, "starttls_required": False}
        return [c2s, {"module": "ejabberd_service", "ip": "127.0.0.1", "port": 5275, **options}]

    def test_new_domains_are_kept_and_old_ones_let_go(self) -> None:
        world = self.service()
        self.reload(world, listen=self.listen(hosts={NEWS: {"password": "new"}}))
        self.assertEqual((world.server.router.serves(IRC), world.server.router.serves(NEWS)), (False, True))
        world.component(NEWS, "new")

    def test_who_is_connected_stays(self) -> None:
        world = self.service()
        component, romeo = world.component(IRC), world.client(ROMEO)
        self.reload(world, listen=self.listen(hosts={NEWS: {"password": "new"}}))
        romeo.send(f"<message to='{IRC}' id='m'/>")
        component.expect("<message id='m'/>")
        component.cut()
        self.assertFalse(world.server.router.serves(IRC))

    def test_a_component_gives_way_to_a_host_of_that_name(self) -> None:
        world = self.service()
        component = world.component(IRC)
        self.reload(world, hosts=["example.org", IRC], listen=self.listen(hosts={NEWS: {"password": "new"}}))
        self.assert_stream_error(component, "conflict")
        world.client(f"romeo@{IRC}/r")

    def test_a_host_gives_way_to_a_component_of_that_name(self) -> None:
        world = self.service({"hosts": ["example.org", "chat.example.org"]})
        self.reload(world, hosts=["example.org"], listen=self.listen(hosts={"chat.example.org": {"password": "x"}}))
        world.component("chat.example.org", "x")
