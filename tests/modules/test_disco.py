from __future__ import annotations

from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from federix.api import JID, Element, Module, RosterItem, forms, hooks, iq, iq_get
from federix.core.options import ConfigErrors
from federix.modules.disco import CAPS_NODE, SERVER_INFO, Disco
from federix.testing import Client, World
from federix.xmpp import ns
from federix.xmpp.caps import Caps, Identity, Information

from .neighbours import FRIENDS, reload


class Service(Module):
    """Has something to say about everything."""

    name = "mod_service"
    features = ("urn:x-test:declared",)

    @iq_get("urn:x-test:host", "ask", on=("host",))
    def ask_host(self, _: object) -> None: ...

    @iq_get("urn:x-test:account", "ask", on=("account",))
    def ask_account(self, _: object) -> None: ...

    @hooks.disco_local_identity
    def identities(self, who: JID, node: str) -> list[Identity]:
        return [Identity("automation", "test"), Identity("server", "im", name="Other")] if node in ("", "known") else []

    @hooks.disco_local_features
    def local_features(self, who: JID, node: str) -> list[str]:
        return {"": ["urn:x-test:hook", f"urn:x-test:for-{who.local or 'all'}"], "known": ["urn:x-test:node"]}.get(
            node, []
        )

    @hooks.disco_local_items
    def items(self, who: JID, node: str) -> list[Element]:
        return [Element("item", ns.DISCO_ITEMS, attrs={"jid": "items.example.net"})] if not node else []

    @hooks.disco_info
    def forms(self, who: JID, node: str) -> list[forms.Form]:
        field = forms.Field("a", values=("1",))
        return [forms.Form.of(forms.FormType.RESULT, "urn:x-test:form", [field])] if not node else []

    @hooks.disco_sm_identity
    async def account_identities(self, account: JID, who: JID, node: str) -> list[Identity]:
        return [Identity("pubsub", "pep")] if node in ("", "known") else []

    @hooks.disco_sm_features
    async def account_features(self, account: JID, who: JID, node: str) -> list[str]:
        return [] if node else ["urn:x-test:account-hook"]

    @hooks.disco_sm_info
    async def account_forms(self, account: JID, who: JID, node: str) -> list[forms.Form]:
        field = forms.Field("of", values=(f"{account} {node}",))
        return [forms.Form.of(forms.FormType.RESULT, "urn:x-test:account-form", [field])] if node == "counted" else []

    @hooks.disco_sm_items
    async def account_items(self, account: JID, who: JID, node: str) -> list[Element]:
        return [] if node else [Element("item", ns.DISCO_ITEMS, attrs={"jid": str(account), "node": "tunes"})]


class Case(SynchronousTestCase):
    """Romeo may see Juliet's presence; nobody else may see anybody's."""

    more: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        self.modules: dict[str, Any] = {"mod_disco": {}, "mod_friends": {}, **self.more}
        self.world = World(modules=self.modules, own_modules={**FRIENDS, "mod_service": Service})
        self.addCleanup(self.world.stop)
        self.romeo = self.world.client("romeo@example.org/orchard")

    def reload(self, options: dict[str, Any]) -> None:
        reload(self.world, {**self.modules, "mod_disco": options})

    def ask(self, what: str, to: str = "example.org", node: str | None = None, client: Client | None = None) -> Any:
        attribute = "" if node is None else f" node='{node}'"
        query = f"<query xmlns='http://jabber.org/protocol/disco#{what}'{attribute}/>"
        return (client or self.romeo).request(f"<iq type='get' to='{to}' id='1'>{query}</iq>")

    def info(self, *arguments: Any, **named: Any) -> Information:
        answer = self.ask("info", *arguments, **named)
        self.assertEqual(answer.get("type"), "result", answer)
        query = answer.child(ns.DISCO_INFO, "query")
        return Information.parse(query)

    def items(self, *arguments: Any, **named: Any) -> list[str]:
        answer = self.ask("items", *arguments, **named)
        self.assertEqual(answer.get("type"), "result", answer)
        query = answer.child(ns.DISCO_ITEMS, "query")
        return [item.get("jid") for item in query.elements()]

    def assert_error(self, answer: Any, condition: str) -> None:
        self.assertEqual(answer.get("type"), "error")
        self.assertIn(f"<{condition} ", answer.to_xml())


class HostInfoTests(Case):
    def test_a_server_is_a_server(self) -> None:
        found = self.info()
        self.assertEqual(found.identities, (Identity("server", "im", name="Federix"),))
        self.assertEqual(found.features, (ns.CAPS, ns.DISCO_INFO, ns.DISCO_ITEMS))
        self.assertEqual(found.forms, ())

    def test_its_name_is_the_operators_choice(self) -> None:
        self.reload({"name": "Capulet"})
        self.assertEqual(self.info().identities, (Identity("server", "im", name="Capulet"),))

    def test_an_unknown_node_is_not_found(self) -> None:
        """§7."""
        for what in ("info", "items"):
            self.assert_error(self.ask(what, node="nowhere"), "item-not-found")

    def test_a_full_address_of_the_server_is_unavailable(self) -> None:
        self.assert_error(self.ask("info", "example.org/resource"), "service-unavailable")

    def test_a_client_answers_for_itself(self) -> None:
        juliet = self.world.client("juliet@example.org/balcony")
        self.romeo.send(
            "<iq type='get' to='juliet@example.org/balcony' id='1'>"
            "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        )
        juliet.expect("<iq type='get' id='1'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")


class CostTests(Case):
    def test_the_host_answers_at_once_and_makes_its_answer_once(self) -> None:
        disco = self.world.host("example.org").module(Disco)
        question = Element("query", ns.DISCO_INFO)
        answers = [
            disco.host_info(iq("get", question, id="1", to=JID.parse("example.org"), sender=JID.parse(sender)))
            for sender in ("romeo@example.org/orchard", "remote.example")
        ]
        self.assertIsInstance(answers[0], Element)
        self.assertIs(answers[0], answers[1])


class DerivedTests(Case):
    more: ClassVar[dict[str, Any]] = {"mod_service": {}}

    def test_features_come_from_handlers_declarations_and_hooks(self) -> None:
        features = self.info().features
        for feature in ("urn:x-test:host", "urn:x-test:declared", "urn:x-test:hook"):
            self.assertIn(feature, features)
        self.assertNotIn("urn:x-test:account", features)
        self.assertEqual(list(features), sorted(set(features)))

    def test_the_answer_may_depend_on_who_asks(self) -> None:
        self.assertIn("urn:x-test:for-romeo", self.info().features)

    def test_features_go_with_their_module(self) -> None:
        self.modules.pop("mod_service")
        self.reload({})
        self.assertEqual([f for f in self.info().features if "x-test" in f], [])

    def test_the_query_must_not_hold_two_names_for_one_identity(self) -> None:
        """§3.1; the server's own comes first."""
        self.assertEqual(
            self.info().identities, (Identity("server", "im", name="Federix"), Identity("automation", "test"))
        )

    def test_forms_of_modules_are_shown(self) -> None:
        (form,) = self.info().forms
        self.assertEqual((form.form_type, form.values("a")), ("urn:x-test:form", ("1",)))

    def test_a_node_of_a_module_is_answered_and_must_be_mirrored(self) -> None:
        """§3.2: "the response MUST mirror the specified 'node' attribute"."""
        answer = self.ask("info", node="known")
        query = answer.child(ns.DISCO_INFO, "query")
        self.assertEqual(query.get("node"), "known")
        found = Information.parse(query)
        self.assertEqual(found.features, (ns.DISCO_INFO, "urn:x-test:node"))

    def test_a_node_without_items_must_have_an_empty_answer(self) -> None:
        """§7."""
        answer = self.ask("items", node="known")
        query = answer.child(ns.DISCO_ITEMS, "query")
        self.assertEqual((answer.get("type"), query.get("node"), list(query.elements())), ("result", "known", []))

    def test_items_of_modules_are_shown(self) -> None:
        self.assertEqual(self.items(), ["items.example.net"])


class CapsTests(Case):
    more: ClassVar[dict[str, Any]] = {"mod_service": {}}

    def announced(self) -> Caps:
        assert self.romeo.features is not None
        found = Caps.find(self.romeo.features)
        assert found is not None
        return found

    def test_the_stream_features_announce_what_the_server_can_do(self) -> None:
        """XEP-0115 §6.3, and §5.4 from the client's side."""
        announced = self.announced()
        self.assertEqual((announced.node, announced.hash), (CAPS_NODE, "sha-1"))
        answer = self.ask("info", node=announced.query_node)
        query = answer.child(ns.DISCO_INFO, "query")
        self.assertEqual(query.get("node"), announced.query_node)
        self.assertTrue(announced.stands_for(Information.parse(query)))

    def test_the_string_stands_for_contact_addresses_as_well(self) -> None:
        before = self.announced()
        self.reload({"server_info": [{"name": "abuse-addresses", "urls": ["mailto:abuse@example.org"]}]})
        self.romeo = self.world.client("romeo@example.org/orchard")
        self.assertNotEqual(self.announced().ver, before.ver)
        self.assertTrue(self.announced().stands_for(self.info(node=self.announced().query_node)))

    def test_the_response_header_must_name_the_server(self) -> None:
        """§6.3: "MUST provide a 'from' address in its response stream headers"."""
        assert self.romeo.header is not None
        self.assertEqual(self.romeo.header.get("from"), "example.org")

    def test_an_outdated_string_is_not_found(self) -> None:
        self.assert_error(self.ask("info", node=f"{CAPS_NODE}#outdated"), "item-not-found")

    def test_the_feature_must_be_advertised(self) -> None:
        """§7."""
        self.assertIn(ns.CAPS, self.info().features)

    def test_the_caps_node_is_none_of_the_items(self) -> None:
        """§6.2: "SHOULD NOT include the "caps node" in the list of entities it returns in its disco#items"."""
        self.assertEqual(self.items(node=self.announced().query_node), [])

    def test_strangers_to_the_server_see_no_capabilities_before_they_log_in(self) -> None:
        client = self.world.connect()
        self.assertIsNone(Caps.find(client.open("example.org")))


class ServerInfoTests(Case):
    """XEP-0157."""

    def test_contact_addresses_must_be_in_a_form_of_that_type(self) -> None:
        self.reload(
            {
                "server_info": [
                    {"modules": "all", "name": "abuse-addresses", "urls": ["mailto:abuse@example.org"]},
                    {"modules": ["mod_disco"], "name": "abuse-addresses", "urls": ["xmpp:abuse@example.org"]},
                    {"modules": ["mod_muc"], "name": "admin-addresses", "urls": ["mailto:muc@example.org"]},
                ]
            }
        )
        (form,) = self.info().forms
        self.assertEqual((form.type, form.form_type), (forms.FormType.RESULT, SERVER_INFO))
        self.assertEqual(form.values("abuse-addresses"), ("mailto:abuse@example.org", "xmpp:abuse@example.org"))
        self.assertIsNone(form.field("admin-addresses"))

    def test_addresses_must_be_uris(self) -> None:
        with self.assertRaises(ConfigErrors) as caught:
            self.reload({"server_info": [{"name": "status-addresses", "urls": ["status.example.org"]}]})
        self.assertIn("status.example.org is no URI", str(caught.exception))

    def test_an_address_without_a_name_is_an_error(self) -> None:
        with self.assertRaises(ConfigErrors) as caught:
            self.reload({"server_info": [{"urls": ["mailto:abuse@example.org"]}]})
        self.assertIn("is needed", str(caught.exception))


class Nowhere:
    """Takes stanzas for a domain and does nothing with them."""

    def deliver(self, stanza: object) -> None: ...


class HostItemsTests(Case):
    def test_nothing_associated_must_be_an_empty_answer(self) -> None:
        """§4.1: "the target entity MUST return an empty query element"."""
        self.assertEqual(self.items(), [])

    def test_domains_below_the_host_are_its_services(self) -> None:
        router = self.world.server.router
        for domain in ("conference.example.org", "gateway.example.org", "example.net", "notexample.org"):
            router.register(domain, Nowhere())
        self.assertEqual(self.items(), ["conference.example.org", "gateway.example.org"])

    def test_hosts_and_their_services_are_not_services_of_the_host_above(self) -> None:
        world = World(modules={"mod_disco": {}}, hosts=("example.org", "sub.example.org"))
        self.addCleanup(world.stop)
        world.server.router.register("conference.sub.example.org", Nowhere())
        self.romeo = world.client("romeo@example.org/orchard")
        self.assertEqual(self.items(), [])
        self.assertEqual(self.items("sub.example.org"), ["conference.sub.example.org"])

    def test_the_operator_may_name_more(self) -> None:
        self.reload({"extra_domains": ["users.@HOST@", "jabber.example.net"]})
        self.assertEqual(self.items(), ["jabber.example.net", "users.example.org"])


class AccountTests(Case):
    more: ClassVar[dict[str, Any]] = {"mod_service": {}}

    def setUp(self) -> None:
        super().setUp()
        self.juliet = self.world.client("juliet@example.org/balcony")
        self.mercutio = self.world.client("mercutio@example.org/street")

    def test_those_who_may_see_its_presence_learn_what_an_account_is(self) -> None:
        for client in (self.romeo, self.juliet):
            found = self.info("juliet@example.org", client=client)
            self.assertEqual(found.identities, (Identity("account", "registered"), Identity("pubsub", "pep")))
            self.assertEqual(
                found.features,
                (ns.DISCO_INFO, ns.DISCO_ITEMS, "urn:x-test:account", "urn:x-test:account-hook"),
            )

    def test_strangers_must_be_told_that_it_is_unavailable(self) -> None:
        """§8: "the server MUST return a <service-unavailable/> error"; also for an account that is not there."""
        for node in (None, "known", "nowhere"):
            there = self.ask("info", "juliet@example.org", node=node, client=self.mercutio)
            self.assert_error(there, "service-unavailable")
            nowhere = self.ask("info", "juliette@example.org", node=node, client=self.mercutio)
            self.assertEqual(there.to_xml().replace("juliet@", "juliette@"), nowhere.to_xml())

    def test_nodes_of_an_account(self) -> None:
        self.assertEqual(self.info("juliet@example.org", node="known").identities, (Identity("pubsub", "pep"),))
        self.assertEqual(self.items("juliet@example.org", node="known"), [])
        (form,) = self.info("juliet@example.org", node="counted").forms
        self.assertEqual(form.value("of"), "juliet@example.org counted")
        for what in ("info", "items"):
            self.assert_error(self.ask(what, "juliet@example.org", node="nowhere"), "item-not-found")

    def test_contacts_see_the_available_resources(self) -> None:
        self.assertEqual(self.items("juliet@example.org"), ["juliet@example.org"])
        (session,) = self.world.host("example.org").sessions.of("juliet")
        session.available = True
        self.assertEqual(self.items("juliet@example.org"), ["juliet@example.org", "juliet@example.org/balcony"])

    def test_strangers_must_not_see_the_available_resources(self) -> None:
        """§8; but "the server MAY return items other than available resources"."""
        (session,) = self.world.host("example.org").sessions.of("juliet")
        session.available = True
        self.assertEqual(self.items("juliet@example.org", client=self.mercutio), ["juliet@example.org"])

    def test_strangers_do_not_learn_which_nodes_there_are(self) -> None:
        for node in ("known", "nowhere"):
            self.assertEqual(self.items("juliet@example.org", node=node, client=self.mercutio), [])

    def test_an_account_that_is_not_there_must_have_no_items(self) -> None:
        """§8: "the server MUST return an empty result set if: The target entity does not exist"."""
        for node in (None, "known"):
            answer = self.ask("items", "juliette@example.org", node=node)
            query = answer.child(ns.DISCO_ITEMS, "query")
            self.assertEqual((answer.get("type"), list(query.elements()), query.get("node")), ("result", [], node))


class RosterTests(SynchronousTestCase):
    def test_the_roster_says_who_may_see_an_accounts_presence(self) -> None:
        world = World(modules={"mod_disco": {}, "mod_roster": {}})
        self.addCleanup(world.stop)
        romeo = world.client("romeo@example.org/orchard")
        world.register("juliet@example.org")
        ask = (
            "<iq type='get' to='juliet@example.org' id='1'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        )
        for subscription, answer in (("to", "error"), ("from", "result"), ("both", "result"), ("none", "error")):
            item = RosterItem("romeo@example.org", subscription=subscription)
            world.run(world.server.storage.rosters.put("juliet@example.org", item))
            self.assertEqual(romeo.request(ask).get("type"), answer)


class HarvestTests(Case):
    def test_without_items_an_account_cannot_be_told_from_none(self) -> None:
        self.world.client("mercutio@example.org/street")
        there = self.ask("items", "mercutio@example.org").to_xml()
        self.assertEqual(there.replace("mercutio", "mercutia"), self.ask("items", "mercutia@example.org").to_xml())
