"""Wokkel's handlers as modules: what they answer, what they send, and what becomes of their mistakes."""

from __future__ import annotations

from collections.abc import Iterable
from configparser import ConfigParser
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.words.protocols.jabber.xmlstream import TimeoutError

from federix._wokkel import domish, generic, jid, ping, pubsub
from federix.api import HostPattern
from federix.core.loader import GROUP
from federix.core.options import ConfigErrors, read
from federix.modules.disco import Disco
from federix.modules.version import Version
from federix.modules.wokkel_host import HandlerModule, Wokkel
from federix.modules.wokkel_slot import MAX_REQUESTS
from federix.testing import Client, World
from federix.xmpp.element import Element
from tests.core.support import WorldTestCase, condition
from tests.modules.wokkel_handlers import ECHO, Failing, Hosting, OddHandler, message_from, with_question

INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"
HANDLERS = {
    "wokkel.ping.PingHandler": {},
    "wokkel.generic.VersionHandler": {"name": "Hosted", "version": "1"},
}


class Hosted(WorldTestCase):
    """In `self.at` the handlers are."""

    def begin(self, options: dict[str, Any], **more: dict[str, Any]) -> None:
        own = {"mod_wokkel": Wokkel, "mod_hosting": Hosting, "mod_disco": Disco, "mod_version": Version}
        modules = {name: value for name, value in {"mod_hosting": options, **more}.items() if value is not None}
        self.world = self.new_world(modules=modules, own_modules=own)
        self.host = self.world.host("example.org")
        self.romeo = self.world.client("romeo@example.org/orchard")
        self.at = str(options.get("host", "example.org")).replace("@HOST@", "example.org")

    @property
    def odd(self) -> OddHandler:
        return self.host.module(Hosting).odd

    def ask(self, payload: str, to: str | None = None, ns: str = ECHO) -> Element:
        return self.romeo.request(f"<iq type='get' id='1' to='{to or self.at}'><{payload} xmlns='{ns}'/></iq>")

    def features(self, node: str = "") -> Element:
        asked = f"query node='{node}'" if node else "query"
        answer = self.ask(asked, ns=INFO).child(INFO, "query")
        assert answer is not None
        return answer


class Everywhere:
    """What holds at a domain of their own, and at the host itself."""

    def test_a_request_is_answered(self: Any) -> None:
        answer = self.ask("answer")
        self.assertEqual((answer.get("type"), answer.get("from")), ("result", self.at))
        self.assertIsNotNone(answer.child(ECHO, "answered"))

    def test_a_request_may_be_answered_later(self: Any) -> None:
        self.romeo.send(f"<iq type='get' id='1' to='{self.at}'><later xmlns='{ECHO}'/></iq>")
        self.romeo.nothing()
        self.odd.waiting.callback(domish.Element((ECHO, "at-last")))
        self.romeo.expect(f"<iq type='result' id='1' from='{self.at}'><at-last xmlns='{ECHO}'/></iq>")

    def test_an_error_that_a_handler_raises_is_the_answer(self: Any) -> None:
        answer = self.ask("refuse")
        self.assertEqual(condition(answer), "forbidden")
        self.assertIn("not today", answer.to_xml())

    def test_a_handler_that_fails_is_answered_for_and_logged(self: Any) -> None:
        self.assertEqual(condition(self.ask("crash")), "internal-server-error")
        self.failures(KeyError)

    def test_an_observer_that_fails_is_logged_and_the_request_refused(self: Any) -> None:
        self.assertEqual(condition(self.ask("break")), "service-unavailable")
        self.failures(KeyError)

    def test_one_that_answers_and_does_not_say_so_has_answered(self: Any) -> None:
        self.assertEqual(self.ask("raw").get("type"), "result")
        self.romeo.nothing()

    def test_what_nobody_answers_is_refused(self: Any) -> None:
        self.assertEqual(condition(self.ask("silent")), "service-unavailable")
        self.assertEqual(condition(self.ask("unknown")), "service-unavailable")
        self.assertEqual(len(self.odd.heard), 1)

    def test_a_message_reaches_a_handler_and_its_answer_comes_back(self: Any) -> None:
        body = "<body>Who &amp; what?</body>"
        self.romeo.send(f"<message to='{self.at}' type='chat'>{body}</message>")
        self.romeo.expect(
            f"<message from='{self.at}' to='romeo@example.org/orchard' type='chat'>{body}</message>", exact=True
        )

    def test_presence_reaches_a_handler(self: Any) -> None:
        self.romeo.send(f"<presence to='{self.at}' xml:lang='it'><show>away</show></presence>")
        heard = self.odd.heard[0]
        self.assertEqual((str(heard.show), heard["from"]), ("away", "romeo@example.org/orchard"))
        self.assertEqual(heard.attributes["http://www.w3.org/XML/1998/namespace", "lang"], "it")

    def test_an_address_that_wokkel_cannot_read_stays_out(self: Any) -> None:
        # U+03F8 came with Unicode 4.0; nodeprep (RFC 3491) knows 3.2 and refuses it.
        self.odd.heard.clear()
        stranger = self.world.client("\u03f8omeo@example.org/orchard")
        answer = stranger.request(f"<iq type='get' id='1' to='{self.at}'><answer xmlns='{ECHO}'/></iq>")
        self.assertEqual(condition(answer), "jid-malformed")

    # -- requests of their own ----------------------------------------------------------------------------------------

    def request(self: Any, **options: Any) -> tuple[list[Any], Element]:
        """What the handler's request ends with, once it does; and the request as it came."""
        request = generic.Request(jid.JID("romeo@example.org/orchard"))
        request.toElement = lambda: with_question(generic.Request.toElement(request))
        for name, value in options.items():
            setattr(request, name, value)
        results: list[Any] = []
        self.odd.request(request).addBoth(results.append)
        self.world.pump()
        return results, self.romeo.expect(f"<iq type='get' from='{self.at}' id='*'><question xmlns='{ECHO}'/></iq>")

    def answer(self: Any, asked: Element, kind: str = "result", who: Client | None = None, payload: str = "") -> None:
        (who or self.romeo).send(f"<iq type='{kind}' id='{asked.get('id')}' to='{self.at}'>{payload}</iq>")

    def test_the_result_of_a_request_is_given_to_who_waits(self: Any) -> None:
        results, asked = self.request()
        self.answer(asked, payload=f"<answer xmlns='{ECHO}'/>")
        self.assertEqual([(r["type"], r["id"]) for r in results], [("result", asked.get("id"))])
        self.assertEqual(results[0].firstChildElement().name, "answer")

    def test_an_error_in_answer_to_a_request_fails_it(self: Any) -> None:
        results, asked = self.request()
        self.answer(
            asked,
            "error",
            payload="<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
        )
        self.assertEqual(results[0].value.condition, "gone")

    def test_somebody_else_cannot_answer_a_request(self: Any) -> None:
        results, asked = self.request()
        self.answer(asked, who=self.world.client("tybalt@example.org/street"))
        self.assertEqual(results, [])
        self.answer(asked)
        self.assertEqual(len(results), 1)
        self.answer(asked)  # and twice does no harm

    def test_a_request_that_is_not_answered_times_out(self: Any) -> None:
        results, asked = self.request()
        self.world.advance(31)
        self.assertEqual(results, [])
        self.world.advance(2)
        results[0].trap(TimeoutError)
        self.answer(asked)  # comes too late
        results, _ = self.request(timeout=5)
        self.world.advance(6)
        results[0].trap(TimeoutError)

    def test_requests_end_with_the_module(self: Any) -> None:
        results, _ = self.request()
        odd = self.odd
        self.world.run(self.host.modules.remove("mod_hosting"))
        results[0].trap(ConnectionDone)
        self.assertEqual([type(why) for why in odd.lost], [ConnectionDone])
        odd.send(message_from(self.at))  # as a handler that has not noticed
        self.romeo.nothing()
        late: list[Any] = []
        odd.request(generic.Request(jid.JID("romeo@example.org/orchard"))).addErrback(late.append)
        late[0].trap(ConnectionDone)
        self.assertEqual(condition(self.ask("answer")), self.gone)

    def test_requests_have_a_bound(self: Any) -> None:
        _, asked = self.request()
        slot = self.odd.parent
        slot._asked |= {f"more{n}": slot._asked[asked.get("id")] for n in range(MAX_REQUESTS - 1)}
        with self.assertRaises(Exception) as raised:
            self.request()
        self.assertEqual(raised.exception.condition.tag, "resource-constraint")
        slot._asked = {asked.get("id"): slot._asked[asked.get("id")]}

    def test_what_is_no_request_is_refused(self: Any) -> None:
        results: list[Any] = []
        self.odd.request(generic.Request(jid.JID("romeo@example.org"), stanzaType="result")).addBoth(results.append)
        results[0].trap(ValueError)

    def test_an_observer_hears_the_answer_to_what_it_sent_and_to_nothing_else(self: Any) -> None:
        heard: list[Any] = []
        self.odd.xmlstream.addObserver("/iq[@type='result']", heard.append)
        question = with_question(domish.Element((None, "iq")))
        question["type"], question["id"], question["to"] = "get", "mine", "romeo@example.org/orchard"
        self.odd.send(question)
        with self.assertRaises(ValueError):
            self.odd.send(question)  # its id is taken
        asked = self.romeo.receive()
        self.romeo.send(f"<iq type='result' id='guessed' to='{self.at}'/>")
        self.assertEqual(heard, [])
        self.answer(asked)
        self.assertEqual([iq["id"] for iq in heard], ["mine"])

    # -- what they may send -------------------------------------------------------------------------------------------

    def test_what_is_no_stanza_cannot_be_sent(self: Any) -> None:
        nameless = domish.Element((None, "iq"))
        nameless["type"], nameless["to"] = "get", "romeo@example.org"
        for wrong in (" ", b"<presence/>", domish.Element((ECHO, "echo")), nameless):
            with self.assertRaises(ValueError):
                self.odd.send(wrong)

    def test_nobody_else_can_be_spoken_for(self: Any) -> None:
        for sender in ("juliet@example.org", "other.example", "juliet@other.example/balcony", "@@", *self.strangers):
            with self.assertRaises(ValueError):
                self.odd.send(message_from(sender))
        self.romeo.nothing()


class AtTheirOwnDomain(Everywhere, Hosted):
    gone = "remote-server-not-found"
    strangers = ("example.org",)

    def setUp(self) -> None:
        self.begin({"host": "echo.@HOST@"}, mod_disco={})

    def test_every_address_below_it_is_theirs(self) -> None:
        self.romeo.send("<message to='any@echo.example.org/one'><body>hi</body></message>")
        self.romeo.expect("<message from='any@echo.example.org/one'><body>hi</body></message>")

    def test_they_say_what_they_are(self) -> None:
        query = self.features()
        self.assertEqual([i.get("category") for i in query.children_of(INFO, "identity")], ["automation"])
        features = [feature.get("var") for feature in query.children_of(INFO, "feature")]
        self.assertEqual(features, [ECHO, INFO, ITEMS])
        self.assertIn("<value>3</value>", query.to_xml())

    def test_the_host_names_them_among_its_items(self) -> None:
        self.assertIn("jid='echo.example.org'", self.ask("query", to="example.org", ns=ITEMS).to_xml())

    def test_messages_that_no_handler_wants_are_returned(self) -> None:
        self.world = self.new_world(
            modules={"mod_wokkel": {"host": "w.@HOST@", "handlers": HANDLERS}}, own_modules={"mod_wokkel": Wokkel}
        )
        romeo = self.world.client("romeo@example.org/orchard")
        romeo.send("<message to='w.example.org'><body>hi</body></message>")
        self.assertEqual(condition(romeo.receive()), "service-unavailable")
        romeo.send("<presence to='w.example.org'/>")
        romeo.nothing()

    def test_an_iq_that_is_none_is_refused(self) -> None:
        self.romeo.send(f"<iq type='get' id='1' to='{self.at}'/>")
        self.assertEqual(condition(self.romeo.receive()), "bad-request")

    def test_a_reload_moves_them(self) -> None:
        odd = self.odd
        modules = {"mod_hosting": {"host": "moved.@HOST@"}, "mod_disco": {}}
        self.world.run(self.world.server.reload(self.world.configure({**self.world.settings, "modules": modules})))
        self.assertEqual(len(odd.lost), 1)
        self.assertEqual(condition(self.ask("answer")), "remote-server-not-found")
        self.assertEqual(self.ask("answer", to="moved.example.org").get("type"), "result")

    def test_one_that_fails_at_its_end_is_logged_and_keeps_nobody_from_moving(self) -> None:
        results, _ = self.request()

        def fail(reason: object) -> None:
            raise KeyError("lost")

        self.patch(self.odd, "connectionLost", fail)
        modules = {"mod_hosting": {"host": "moved.@HOST@"}, "mod_disco": {}}
        self.world.run(self.world.server.reload(self.world.configure({**self.world.settings, "modules": modules})))
        self.assertEqual(self.ask("answer", to="moved.example.org").get("type"), "result")
        results[0].trap(ConnectionDone)
        self.failures(KeyError)


class AtTheHost(Everywhere, Hosted):
    gone = "service-unavailable"
    strangers = ()

    def setUp(self) -> None:
        self.begin({}, mod_disco={})

    def test_the_host_says_what_they_can_do(self) -> None:
        query = self.features()
        identities = [identity.get("category") for identity in query.children_of(INFO, "identity")]
        self.assertEqual(identities, ["server", "automation"])
        self.assertIn(ECHO, [feature.get("var") for feature in query.children_of(INFO, "feature")])
        self.assertIn("<value>3</value>", query.to_xml())

    def test_they_may_have_nodes(self) -> None:
        self.assertIn(f"{ECHO}#room", self.features("room").to_xml())
        self.assertEqual(condition(self.ask("query node='attic'", ns=INFO)), "item-not-found")

    def test_the_host_has_their_items(self) -> None:
        items = self.ask("query", ns=ITEMS)
        self.assertIn("jid='room.example.org' node='room' name='A room'", items.to_xml())

    def test_one_whose_answer_about_itself_must_be_waited_for_is_left_out(self) -> None:
        self.odd.getDiscoInfo = lambda *_: Deferred()  # type: ignore[method-assign]
        self.assertNotIn(ECHO, self.features().to_xml())

    def test_one_that_fails_to_tell_about_itself_is_left_out_and_logged(self) -> None:
        self.odd.getDiscoInfo = lambda *_: 1 / 0  # type: ignore[method-assign]
        self.assertNotIn(ECHO, self.features().to_xml())
        self.flushLoggedErrors(ZeroDivisionError)

    def test_accounts_are_not_theirs(self) -> None:
        self.romeo.send("<message to='nobody@example.org' type='chat'><body>hi</body></message>")
        self.assertEqual(condition(self.romeo.receive()), "service-unavailable")


class Installed(WorldTestCase):
    def test_the_package_offers_it(self) -> None:
        offered = ConfigParser()
        offered.read(Path(__file__).resolve().parents[2] / "setup.cfg")
        name, path = offered["options.entry_points"][GROUP].strip().split(" = ")
        self.assertEqual(name, Wokkel.name)
        self.assertIs(EntryPoint(name, path, GROUP).load(), Wokkel)


class Configured(Hosted):
    def world_of(self, **options: Any) -> World:
        return self.new_world(
            modules={"mod_wokkel": options, "mod_version": {}, "mod_disco": {}},
            own_modules={"mod_wokkel": Wokkel, "mod_version": Version, "mod_disco": Disco},
        )

    def test_handlers_are_named_and_given_their_arguments(self) -> None:
        self.world = self.world_of(host="services.@HOST@", handlers=HANDLERS)
        self.romeo, self.at = self.world.client("romeo@example.org/orchard"), "services.example.org"
        self.assertEqual(self.ask("ping", ns="urn:xmpp:ping").get("type"), "result")
        version = self.ask("query", ns="jabber:iq:version").child("jabber:iq:version", "query")
        assert version is not None
        self.assertEqual(version.text_of("jabber:iq:version", "name"), "Hosted")
        query = self.features()
        self.assertEqual(query.child(INFO, "identity").get("name"), "mod_wokkel")  # type: ignore[union-attr]
        features = {feature.get("var") for feature in query.children_of(INFO, "feature")}
        self.assertEqual(features, {INFO, ITEMS, "urn:xmpp:ping", "jabber:iq:version"})

    def test_a_module_of_the_host_comes_before_a_handler(self) -> None:
        self.world = self.world_of(handlers=HANDLERS)
        self.romeo, self.at = self.world.client("romeo@example.org/orchard"), "example.org"
        self.assertEqual(self.ask("ping", ns="urn:xmpp:ping").get("type"), "result")
        version = self.ask("query", ns="jabber:iq:version").child("jabber:iq:version", "query")
        assert version is not None
        self.assertEqual(version.text_of("jabber:iq:version", "name"), "Federix")
        features = [feature.get("var") for feature in self.features().children_of(INFO, "feature")]
        self.assertEqual(features.count("jabber:iq:version"), 1)
        self.assertIn("urn:xmpp:ping", features)

    def test_a_disco_handler_that_is_named_answers_itself(self) -> None:
        self.world = self.world_of(host="d.@HOST@", handlers={"wokkel.disco.DiscoHandler": {}, **HANDLERS})
        self.romeo, self.at = self.world.client("romeo@example.org/orchard"), "d.example.org"
        self.assertEqual(self.features().children_of(INFO, "identity"), [])

    def test_what_is_no_handler_is_an_error_of_the_configuration(self) -> None:
        for path, arguments, why in (
            ("wokkel.ping.PongHandler", {}, "no attribute 'PongHandler'"),
            ("wokkel.pong.PingHandler", {}, "No module named 'wokkel.pong'"),
            ("PingHandler", {}, "must be the dotted path of a class"),
            ("wokkel.ping.NS_PING", {}, "must be a class or a function"),
            ("wokkel.ping.PingHandler", {"loud": "yes"}, "unexpected keyword argument 'loud'"),
            ("wokkel.generic.VersionHandler", {"name": "x"}, "missing a required argument: 'version'"),
        ):
            with self.assertRaises(ConfigErrors) as raised:
                read(Wokkel.Options, {"handlers": {path: arguments}})
            self.assertIn(why, str(raised.exception))

    def test_what_is_made_and_is_no_handler_fails_the_start(self) -> None:
        world = World(start=False, modules={"mod_failing": {}}, own_modules={"mod_failing": Failing})
        with self.assertRaisesRegex(TypeError, "is no handler"):
            world.run(world.server.start())
        world.stop()

    def test_a_reload_that_fails_leaves_all_as_it_was(self) -> None:
        self.world = self.world_of(host="s.@HOST@", handlers=HANDLERS)
        self.romeo, self.at = self.world.client("romeo@example.org/orchard"), "s.example.org"
        module = self.world.host("example.org").module(Wokkel)
        wrong = Wokkel.Options(host=HostPattern("s.@HOST@"), handlers={"wokkel.gone.Handler": {}})
        module.options, right = wrong, module.options
        with self.assertRaises(ModuleNotFoundError):
            module.reconfigure(right, wrong)
        self.assertEqual(self.ask("ping", ns="urn:xmpp:ping").get("type"), "result")

    def test_a_reload_to_a_domain_that_is_taken_leaves_all_as_it_was(self) -> None:
        self.world = self.world_of(host="s.@HOST@", handlers=HANDLERS)
        self.romeo, self.at = self.world.client("romeo@example.org/orchard"), "s.example.org"
        module = self.world.host("example.org").module(Wokkel)
        self.world.server.router.register("taken.example.org", module)
        right, module.options = module.options, Wokkel.Options(host=HostPattern("taken.@HOST@"), handlers=HANDLERS)
        self.assertRaises(ValueError, module.reconfigure, right, module.options)
        self.assertEqual(self.ask("ping", ns="urn:xmpp:ping").get("type"), "result")
        self.world.run(self.world.host("example.org").modules.remove("mod_wokkel"))
        self.assertFalse(self.world.server.router.serves("s.example.org"))
        self.assertTrue(self.world.server.router.serves("taken.example.org"))

    def test_a_reload_to_handlers_that_cannot_begin_leaves_all_as_it_was(self) -> None:
        for handler, wrong in (("NoHandler", TypeError), ("Unable", KeyError)):
            with self.subTest(handler):
                self.world = self.world_of(host="s.@HOST@", handlers=HANDLERS)
                self.romeo, self.at = self.world.client("romeo@example.org/orchard"), "s.example.org"
                options = {"host": "t.@HOST@", "handlers": {f"tests.modules.wokkel_handlers.{handler}": {}}}
                modules = {"mod_wokkel": options, "mod_version": {}, "mod_disco": {}}
                config = self.world.configure({**self.world.settings, "modules": modules})
                self.world.run(self.world.server.reload(config))
                self.failures(wrong)
                self.assertEqual(self.ask("ping", ns="urn:xmpp:ping").get("type"), "result")
                self.assertFalse(self.world.server.router.serves("t.example.org"))
                # Whoever mends the handler reloads again.
                self.assertEqual(self.world.host("example.org").module(Wokkel).address.domain, "s.example.org")

    def test_a_domain_that_is_taken_fails_the_start(self) -> None:
        world = World(
            start=False,
            modules={"mod_wokkel": {"host": "s.@HOST@"}, "mod_hosting": {"host": "s.@HOST@"}},
            own_modules={"mod_wokkel": Wokkel, "mod_hosting": Hosting},
        )
        with self.assertRaisesRegex(ValueError, r"s\.example\.org is taken"):
            world.run(world.server.start())
        world.stop()


class PubSubs(HandlerModule):
    """One of wokkel's bigger ones."""

    name = "mod_pubsubs"

    def make_handlers(self) -> Iterable[Any]:
        resource = pubsub.PubSubResource()
        resource.features = ["publish"]
        resource.publish = lambda request: self.published.append(request) or succeed(None)
        self.published: list[Any] = []
        return [pubsub.PubSubService(resource), ping.PingHandler()]


class Big(Hosted):
    def test_a_pubsub_service_runs(self) -> None:
        world = self.new_world(modules={"mod_pubsubs": {"host": "p.@HOST@"}}, own_modules={"mod_pubsubs": PubSubs})
        romeo = world.client("romeo@example.org/orchard")
        answer = romeo.request(
            "<iq type='set' id='1' to='p.example.org'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
            "<publish node='n'><item id='i'><entry xmlns='urn:x'>text</entry></item></publish></pubsub></iq>"
        )
        self.assertEqual(answer.get("type"), "result", answer.to_xml())
        (request,) = world.host("example.org").module(PubSubs).published
        self.assertEqual((request.nodeIdentifier, request.sender.full()), ("n", "romeo@example.org/orchard"))
        self.assertEqual(request.items[0].entry.uri, "urn:x")
