"""Components (XEP-0114): the handshake, passwords, and what a component may send."""

from __future__ import annotations

from federix.api import JID
from federix.links.components import UNANNOUNCED_AT_MOST
from federix.testing import Client
from federix.testing.component import handshake, open_stream
from federix.xmpp import ns
from federix.xmpp.element import Element
from tests.links.component_case import IRC, NEWS, ROMEO, ComponentCase


class HandshakeTests(ComponentCase):
    def test_the_header_is_answered_in_the_components_name_and_without_features(self) -> None:
        client = self.opened(self.service())
        assert client.header is not None
        self.assertEqual((client.header.content, client.header.get("from")), (ns.COMPONENT, IRC))
        self.assertIsNone(client.header.get("version"))
        client.nothing()

    def test_the_right_secret_is_answered_by_an_empty_handshake(self) -> None:
        client = self.opened(self.service())
        client.send(handshake(client, "secret"))
        client.expect("<handshake/>", exact=True)
        self.assertTrue(client.raw.endswith(b"<handshake/>"))
        self.assertFalse(client.ended)

    def test_the_secret_is_hashed_with_the_id_of_this_stream(self) -> None:
        world = self.service()
        one, other = self.opened(world), self.opened(world)
        one.send(handshake(other, "secret"))
        self.assert_stream_error(one, "not-authorized")

    def test_a_wrong_secret_ends_the_stream(self) -> None:
        for wrong in ("wrong", "", "Secret"):
            client = self.opened(self.service())
            client.send(handshake(client, wrong))
            self.assert_stream_error(client, "not-authorized")

    def test_a_handshake_that_is_no_hash_at_all_ends_the_stream(self) -> None:
        for shown in ("<handshake/>", "<handshake>\N{SNOWMAN}</handshake>", "<handshake>secret</handshake>"):
            client = self.opened(self.service())
            client.send(shown)
            self.assert_stream_error(client, "not-authorized")

    def test_nothing_may_be_sent_before_the_handshake(self) -> None:
        client = self.opened(self.service())
        client.send(f"<message from='{IRC}' to='{ROMEO}'/>")
        self.assert_stream_error(client, "not-authorized")

    def test_a_second_handshake_is_not_understood(self) -> None:
        client = self.service().component(IRC)
        client.send(handshake(client, "secret"))
        self.assert_stream_error(client, "unsupported-stanza-type")

    def test_a_stream_of_another_namespace_is_refused(self) -> None:
        for namespace in (ns.CLIENT, ns.SERVER, "jabber:component:connect"):
            client = self.service().connect(5275)
            client.send(f"<stream:stream xmlns='{namespace}' xmlns:stream='{ns.STREAMS}' to='{IRC}'>")
            self.assert_stream_error(client, "invalid-namespace")

    def test_a_stream_without_a_domain_is_improperly_addressed(self) -> None:
        client = self.service().connect(5275)
        client.send(f"<stream:stream xmlns='{ns.COMPONENT}' xmlns:stream='{ns.STREAMS}'>")
        self.assert_stream_error(client, "improper-addressing")

    def test_a_domain_that_cannot_be_had_is_unknown(self) -> None:
        for domain in ("other.example.org", "example.net", "not a domain"):
            self.assert_stream_error(self.opened(self.service(), domain), "host-unknown")

    def test_case_does_not_count_in_the_domain(self) -> None:
        world = self.service(hosts={"IRC.Example.org": {"password": "secret"}})
        self.assertEqual(world.component("irc.EXAMPLE.org").header.get("from"), IRC)  # type: ignore[union-attr]

    def test_who_says_nothing_is_closed(self) -> None:
        world = self.service({"negotiation_timeout": 30})
        client = self.opened(world)
        world.advance(29)
        client.nothing()
        world.advance(2)
        self.assert_stream_error(client, "connection-timeout")

    def test_who_is_connected_is_not_closed(self) -> None:
        world = self.service({"negotiation_timeout": 30})
        client = world.component(IRC)
        world.advance(3600)
        client.nothing()
        self.assertIsNone(client.lost)

    def test_access_says_from_where_components_may_connect(self) -> None:
        rules = {"access_rules": {"near": {"allow": {"ip": "192.0.2.0/24"}}}}
        world = self.service(rules, access="near")
        world.component(IRC, ip="192.0.2.7")
        self.assert_stream_error(self.opened(world, ip="198.51.100.1"), "policy-violation")

    def test_who_guesses_is_not_heard_any_more(self) -> None:
        world = self.service(max_failed_logins_per_address=3)
        for _ in range(3):
            client = self.opened(world, ip="198.51.100.1")
            client.send(handshake(client, "guess"))
            self.assert_stream_error(client, "not-authorized")
        self.assertIsNotNone(world.connect(5275, ip="198.51.100.1").lost)
        world.component(IRC, ip="198.51.100.2")

    def test_tls_from_the_first_byte(self) -> None:
        world = self.service(tls=True)
        client = world.connect(5275)
        client.begin_tls()
        open_stream(client, IRC)
        client.send(handshake(client, "secret"))
        client.expect("<handshake/>")

    def test_it_is_small_before_the_handshake_and_large_after_it(self) -> None:
        world = self.service()
        client = self.opened(world)
        client.send(f"<handshake>{'x' * 10_000}</handshake>")
        self.assert_stream_error(client, "policy-violation")
        component, romeo = world.component(IRC), world.client(ROMEO)
        component.send(f"<message from='{IRC}' to='{ROMEO}' id='large'><body>{'x' * 100_000}</body></message>")
        self.assertEqual(self.received(romeo), ["large"])

    def test_who_has_shaken_hands_is_not_on_the_way_to_a_login(self) -> None:
        world = self.service()
        arrivals = world.server.listeners.arrivals
        client = self.opened(world)
        self.assertEqual(len(arrivals), 1)
        client.send(handshake(client, "secret"))
        self.assertEqual(len(arrivals), 0)

    def test_a_shaper_slows_a_component_down(self) -> None:
        rules = {"shaper": {"slow": 1000}, "shaper_rules": {"components": "slow"}}
        world = self.service(rules, shaper="components")
        component, romeo = world.component(IRC), world.client(ROMEO)
        for _ in range(4):
            component.send(f"<message from='{IRC}' to='{ROMEO}'><body>{'x' * 1000}</body></message>")
        self.assertLess(len(romeo.drain()), 4)
        world.advance(10)
        self.assertGreater(len(romeo.drain()), 0)


class PasswordTests(ComponentCase):
    def test_a_password_alone_is_for_any_domain(self) -> None:
        world = self.service(hosts=None, password="common")
        world.component("anything.example", "common")
        world.component("other.example", "common")

    def test_a_domain_that_is_named_has_its_own_password_only(self) -> None:
        world = self.service(password="common")
        client = self.opened(world)
        client.send(handshake(client, "common"))
        self.assert_stream_error(client, "not-authorized")
        world.component(IRC, "secret")

    def test_a_domain_that_another_port_keeps_cannot_be_had(self) -> None:
        keeping = {
            "module": "ejabberd_service",
            "ip": "127.0.0.1",
            "port": 5275,
            "hosts": {IRC: {"password": "secret"}},
        }
        open_to_all = {"module": "ejabberd_service", "ip": "127.0.0.1", "port": 5276, "password": "common"}
        world = self.make({"listen": [keeping, open_to_all]})
        client = world.connect(5276)
        open_stream(client, IRC)
        self.assert_stream_error(client, "host-unknown")

    def test_a_domain_of_the_servers_own_is_taken(self) -> None:
        world = self.service(hosts=None, password="common")
        self.assert_stream_error(self.opened(world, "example.org"), "conflict")

    def test_a_domain_of_somebody_else_here_is_taken(self) -> None:
        world = self.service(hosts=None, password="common")
        world.server.router.register("conference.example.org", world.host("example.org"))
        self.assert_stream_error(self.opened(world, "conference.example.org"), "conflict")

    def test_a_domain_that_nobody_keeps_goes_with_its_component(self) -> None:
        world = self.service(hosts=None, password="common")
        component = world.component("any.example", "common")
        self.assertTrue(world.server.router.serves("any.example"))
        component.close()
        self.assertFalse(world.server.router.serves("any.example"))
        self.assertEqual(world.server.components.children, {})

    def test_domains_that_nobody_keeps_are_bounded(self) -> None:
        world = self.service(hosts=None, password="common", max_connections_per_address="infinity")
        components = world.server.components
        for number in range(UNANNOUNCED_AT_MOST - 1):
            components.children[f"c{number}.example"] = components
        world.component("last.example", "common")
        try:
            self.assert_stream_error(self.opened(world, "more.example"), "resource-constraint")
        finally:
            components.children = {name: node for name, node in components.children.items() if node is not components}


class SendingTests(ComponentCase):
    def setUp(self) -> None:
        self.world = self.service()
        self.romeo = self.world.client(ROMEO)
        self.component = self.world.component(IRC)

    def test_a_component_speaks_for_everybody_at_its_domain(self) -> None:
        for sender in (IRC, f"verona@{IRC}", f"verona@{IRC}/juliet"):
            self.component.send(f"<message from='{sender}' to='{ROMEO}'><body>Hi</body></message>")
            self.romeo.expect(f"<message from='{sender}' to='{ROMEO}'><body>Hi</body></message>")

    def test_it_does_not_speak_for_others(self) -> None:
        for sender in ("juliet@example.org", "example.org", f"x.{IRC}", "news.example.org", "@"):
            world = self.service()
            component = world.component(IRC)
            component.send(f"<presence from='{sender}' to='{ROMEO}'/>")
            self.assert_stream_error(component, "invalid-from")

    def test_its_address_is_written_in_its_one_form(self) -> None:
        self.component.send(f"<message from='Verona@IRC.Example.ORG./Juliet' to='{ROMEO}' id='m'/>")
        self.romeo.expect(f"<message from='verona@{IRC}/Juliet' id='m'/>")

    def test_without_check_from_it_speaks_for_everybody(self) -> None:
        world = self.service(check_from=False)
        romeo, component = world.client(ROMEO), world.component(IRC)
        component.send(f"<message from='juliet@example.org/x' to='{ROMEO}' id='m'/>")
        romeo.expect("<message from='juliet@example.org/x' id='m'/>")

    def test_every_stanza_must_say_from_whom_and_to_whom(self) -> None:
        for attrs in (f"from='{IRC}'", f"to='{ROMEO}'", "", f"from='' to='{ROMEO}'", f"from='{IRC}' to=''"):
            component = self.service().component(IRC)
            component.send(f"<message {attrs}><body>Hi</body></message>")
            self.assert_stream_error(component, "improper-addressing")

    def test_an_address_that_is_none_comes_back(self) -> None:
        self.component.send(f"<message from='{IRC}' to='a b@@' id='m'/>")
        self.component.expect("<message id='m' type='error'><error><jid-malformed xmlns='*'/></error></message>")

    def test_a_domain_that_nobody_serves_comes_back(self) -> None:
        self.component.send(f"<message from='{IRC}' to='x@elsewhere.invalid' id='m'/>")
        self.world.advance(300)
        self.component.expect("<message from='x@elsewhere.invalid' to='irc.example.org' id='m' type='error'/>")

    def test_its_own_domain_is_reached_through_the_server(self) -> None:
        self.component.send(f"<message from='a@{IRC}' to='b@{IRC}' id='m'/>")
        self.component.expect(f"<message from='a@{IRC}' to='b@{IRC}' id='m'/>")

    def test_components_reach_each_other(self) -> None:
        world = self.service(hosts={IRC: {"password": "secret"}, NEWS: {"password": "other"}})
        irc, news = world.component(IRC), world.component(NEWS, "other")
        irc.send(f"<message from='{IRC}' to='{NEWS}' id='m'/>")
        news.expect(f"<message from='{IRC}' to='{NEWS}' id='m'/>")

    def test_a_request_is_answered_and_asked(self) -> None:
        world = self.service(modules={"mod_ping": {}})
        component, romeo = world.component(IRC), world.client(ROMEO)
        ping = "<ping xmlns='urn:xmpp:ping'/>"
        answer = component.request(f"<iq from='{IRC}' to='example.org' type='get' id='p1'>{ping}</iq>")
        self.assertEqual((answer.get("type"), answer.get("to")), ("result", IRC))
        romeo.send(f"<iq to='{IRC}' type='get' id='p2'>{ping}</iq>")
        component.expect(f"<iq from='{ROMEO}' to='{IRC}' type='get' id='p2'>{ping}</iq>")
        component.send(f"<iq from='{IRC}' to='{ROMEO}' type='result' id='p2'/>")
        romeo.expect("<iq from='irc.example.org' type='result' id='p2'/>")

    def test_the_host_asks_a_component(self) -> None:
        host = self.world.host("example.org")
        asking = host.scope.spawn(host.request("get", JID("", IRC), Element("ping", ns.PING)))
        request = self.component.receive()
        self.component.send(f"<iq from='{IRC}' to='example.org' type='result' id='{request.get('id')}'/>")
        self.assertEqual(self.successResultOf(asking).type, "result")  # type: ignore[attr-defined]

    def test_stanzas_are_in_the_namespace_of_their_stream(self) -> None:
        self.romeo.send(f"<message to='{IRC}' id='m1'><body xmlns='jabber:client'>Hi</body></message>")
        self.component.expect("<message id='m1'><body>Hi</body></message>")
        self.component.send(
            f"<message from='{IRC}' to='{ROMEO}' id='m2'><x:body xmlns:x='{ns.COMPONENT}'>Hi</x:body></message>"
        )
        self.romeo.expect("<message id='m2'><body>Hi</body></message>")
        self.assertNotIn(b"jabber:client", self.component.raw)
        self.assertNotIn(ns.COMPONENT.encode(), self.romeo.raw)

    def test_ordinary_stanzas_keep_their_bytes(self) -> None:
        counters = self.world.server.counters
        self.romeo.drain()
        before = (counters.reused, counters.rendered)
        self.romeo.send(f"<message to='{IRC}' id='m1'><body>Hi</body></message>")
        self.component.send(f"<message from='{IRC}' to='{ROMEO}' id='m2'><body>Hi</body></message>")
        self.assertEqual((counters.reused, counters.rendered), (before[0] + 2, before[1]))

    def test_the_language_of_the_stream_is_that_of_its_stanzas(self) -> None:
        client = self.world.connect(5275)
        open_stream(client, IRC, "xml:lang='it'")
        client.send(handshake(client, "secret"))
        client.send(f"<message from='{IRC}' to='{ROMEO}' id='m'><body>Ciao</body></message>")
        self.assertEqual(self.romeo.receive().get("xml:lang"), "it")

    def test_what_comes_for_an_account_is_delivered_as_from_anybody(self) -> None:
        self.component.send(
            f"<message from='{IRC}' to='nobody@example.org' id='m' type='chat'><body>Hi</body></message>"
        )
        self.component.expect("<message from='nobody@example.org' id='m' type='error'/>")

    def test_an_unknown_element_ends_the_stream(self) -> None:
        self.component.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        self.assert_stream_error(self.component, "unsupported-stanza-type")


class AbsentTests(ComponentCase):
    def send(self, romeo: Client) -> Element:
        romeo.send(f"<message to='x@{IRC}' id='m'><body>Hi</body></message>")
        return romeo.receive()

    def test_what_is_for_a_component_that_is_not_there_comes_back_to_be_tried_again(self) -> None:
        world = self.service()
        romeo = world.client(ROMEO)
        error = self.send(romeo).child(ns.CLIENT, "error")
        assert error is not None
        self.assertEqual(error.get("type"), "wait")
        self.assertIsNotNone(error.child(ns.STANZA_ERROR, "remote-server-timeout"))

    def test_presence_and_answers_for_it_come_to_nothing(self) -> None:
        world = self.service()
        romeo = world.client(ROMEO)
        romeo.send(f"<iq to='{IRC}' type='result' id='r'/><message to='{IRC}' type='error' id='e'/>")
        romeo.nothing()

    def test_it_is_gone_however_its_connection_ends(self) -> None:
        for end in ("close", "cut"):
            world = self.service()
            romeo, component = world.client(ROMEO), world.component(IRC)
            getattr(component, end)()
            self.assertEqual(self.send(romeo).get("type"), "error", end)

    def test_nobody_hears_it_when_the_server_stops(self) -> None:
        world = self.service()
        component = world.component(IRC)
        world.stop()
        component.expect("<stream:error><system-shutdown xmlns='*'/></stream:error>")
