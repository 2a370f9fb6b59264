"""XEP-0013: a client looks at what waits, fetches it, and removes it."""

from __future__ import annotations

from typing import Any

from federix.modules import offline_catching_up as catching
from federix.modules import offline_retrieval as retrieval
from federix.testing import Client

from .neighbours import reload
from .offline_case import JULIET, OfflineCase

OFFLINE = "http://jabber.org/protocol/offline"
DISCO = "http://jabber.org/protocol/disco"
INFO = f"<query xmlns='{DISCO}#info' node='{OFFLINE}'/>"
ITEMS = f"<query xmlns='{DISCO}#items' node='{OFFLINE}'/>"


class RetrievalCase(OfflineCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(catching, "PIECE", 2)
        self.patch(retrieval, "PIECE", 2)
        self.write(*"abcde")
        self.juliet = self.world.client(f"{JULIET}/balcony")

    def ask(self, payload: str, kind: str = "get", client: Client | None = None, to: str = "") -> Any:
        client = client or self.juliet
        client.send(f"<iq type='{kind}' id='q'{to}>{payload}</iq>")
        self.world.advance(2)
        self.before = []
        while (answer := client.receive()).name != "iq":
            self.before.append(answer)
        return answer

    def offline_query(self, content: str, kind: str = "get", **more: Any) -> Any:
        return self.ask(f"<offline xmlns='{OFFLINE}'>{content}</offline>", kind, **more)

    def nodes(self) -> list[str]:
        query = self.ask(ITEMS).child(f"{DISCO}#items", "query")
        return [item.get("node") for item in query.elements()]

    def assert_error(self, answer: Any, condition: str) -> None:
        self.assertEqual(answer.get("type"), "error")
        self.assertIn(f"<{condition} ", answer.to_xml())

    def ids(self) -> list[str]:
        """Of the messages that came before the last answer."""
        return [element.get("id") or "" for element in self.before if element.name == "message"]


class LookingTest(RetrievalCase):
    def test_the_number_of_messages_is_told(self) -> None:
        # §2.2: "it MUST include Service Discovery Extensions (XEP-0128) data specifying the number of messages".
        self.juliet.send(f"<iq type='get' id='q'>{INFO}</iq>")
        self.juliet.expect(
            f"<iq type='result' id='q' from='{JULIET}' to='{JULIET}/balcony'>"
            f"<query xmlns='{DISCO}#info' node='{OFFLINE}'>"
            f"<identity category='automation' type='message-list'/><feature var='{DISCO}#info'/>"
            f"<feature var='{OFFLINE}'/><x xmlns='jabber:x:data' type='result'>"
            f"<field var='FORM_TYPE' type='hidden'><value>{OFFLINE}</value></field>"
            "<field var='number_of_messages'><value>5</value></field></x></query></iq>"
        )

    def test_headers_tell_the_sender_and_a_node_of_each(self) -> None:
        # §2.3: "the header information provided MUST include the full Jabber ID of the sender … and a unique
        # identifier".
        query = self.ask(ITEMS).child(f"{DISCO}#items", "query")
        self.assertEqual(query.get("node"), OFFLINE)
        items = list(query.elements())
        self.assertEqual(
            {(item.get("jid"), item.get("name")) for item in items}, {(JULIET, "romeo@example.org/orchard")}
        )
        nodes = [item.get("node") or "" for item in items]
        # "applications MAY perform character-by-character dictionary ordering on the values".
        self.assertEqual((len(set(nodes)), sorted(nodes)), (5, nodes))

    def test_where_there_are_none_the_answer_is_empty(self) -> None:
        # §2.3: "If there are no offline messages for this user, the server MUST return an empty query".
        self.world.run(self.offline.kept.drop(JULIET))
        self.assertEqual(self.nodes(), [])

    def test_another_may_not_look(self) -> None:
        # §2.3: "If the requester is a JID other than an authorized resource of the user …, the server MUST return a
        # <forbidden/> error": be there such an account or not.
        for to in (JULIET, "nobody@example.org"):
            for payload in (INFO, ITEMS, f"<offline xmlns='{OFFLINE}'><fetch/></offline>"):
                self.assert_error(self.ask(payload, client=self.romeo, to=f" to='{to}'"), "forbidden")
            self.assert_error(self.offline_query("<purge/>", "set", client=self.romeo, to=f" to='{to}'"), "forbidden")
        self.assertEqual(self.kept(), 5)

    def test_nor_view_or_remove_a_message_whose_node_it_knows(self) -> None:
        # §2.4, §2.5: "If the requester is a JID other than an authorized resource of the user, the server MUST return a
        # <forbidden/> error": whether there is such a node is not told either.
        there = self.nodes()[0]
        for to in (JULIET, "nobody@example.org"):
            for node in (there, f"{int(there) + 1000:019}", "1", ""):
                view, remove = (f"<item action='{action}' node='{node}'/>" for action in ("view", "remove"))
                self.assert_error(self.offline_query(view, client=self.romeo, to=f" to='{to}'"), "forbidden")
                self.assertEqual(self.ids(), [])
                self.assert_error(self.offline_query(remove, "set", client=self.romeo, to=f" to='{to}'"), "forbidden")
        self.assertEqual(self.kept(), 5)


class FloodTest(RetrievalCase):
    """§2.2, §2.6: "the server MUST NOT send a flood of offline messages"."""

    def assert_no_flood(self, client: Client) -> None:
        client.send("<presence/>")
        self.world.advance(5)
        self.assertEqual((self.got(client), self.kept()), ([], 5))

    def test_who_has_asked_for_the_number_is_not_flooded(self) -> None:
        self.ask(INFO)
        self.assert_no_flood(self.juliet)

    def test_nor_who_has_asked_for_headers(self) -> None:
        self.ask(ITEMS)
        self.assert_no_flood(self.juliet)

    def test_nor_who_has_fetched_all(self) -> None:
        self.offline_query("<fetch/>")
        self.assert_no_flood(self.juliet)

    def test_another_resource_gets_them_once_when_the_first_is_gone(self) -> None:
        modules = {"mod_roster": {}, "mod_disco": {}, "mod_offline": {}, "mod_stream_mgmt": {"resume_timeout": 30}}
        reload(self.world, modules)
        self.juliet.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        self.juliet.send(f"<iq type='get' id='q'><offline xmlns='{OFFLINE}'><fetch/></offline></iq>")
        self.assertNotEqual(self.got(self.juliet), [])
        garden = self.come("garden")
        self.assertEqual(self.got(garden), [])
        self.juliet.cut()
        self.world.advance(35)
        self.assertEqual((self.got(garden), self.kept(), self.errors()), (list("abcde"), 0, {}))

    def test_nor_another_resource_while_the_first_is_there(self) -> None:
        # §2.2: "the server MUST NOT flood the second resource with the offline message queue".
        self.ask(INFO)
        self.assert_no_flood(self.world.client(f"{JULIET}/garden"))

    def test_but_messages_of_the_session_come(self) -> None:
        # §2.2: "once the user sends presence, the user's server MUST deliver in-session messages as usual".
        self.ask(INFO)
        self.juliet.send("<presence/>")
        self.write("f")
        self.assertEqual(self.got(self.juliet), ["f"])

    def test_the_next_session_gets_what_was_left(self) -> None:
        # §2.5: the "queue SHOULD NOT be automatically cleared out by the server … when the user's session ends".
        self.ask(INFO)
        self.juliet.close()
        self.assertEqual(self.got(self.come("garden")), list("abcde"))


class FetchingTest(RetrievalCase):
    def test_messages_are_viewed_by_their_nodes_and_stay(self) -> None:
        # §2.4: "the server MUST send the requested message(s) plus an IQ result"; "each message MUST contain the node
        # value"; §2.5: it "MUST NOT remove a message simply because it has been requested".
        nodes = self.nodes()
        items = "".join(f"<item action='view' node='{node}'/>" for node in (nodes[3], nodes[1], nodes[4]))
        answer = self.offline_query(items)
        self.assertEqual((answer.get("type"), answer.first()), ("result", None))
        self.assertEqual(self.ids(), ["d", "b", "e"])
        for element, node in zip(self.before, (nodes[3], nodes[1], nodes[4]), strict=True):
            self.assertIn(f"<offline xmlns='{OFFLINE}'><item node='{node}'/></offline>", element.to_xml())
            self.assertIn("<delay ", element.to_xml())
        self.assertEqual(self.kept(), 5)

    def test_a_node_that_is_not_there_is_not_found_and_nothing_is_sent(self) -> None:
        # §2.4: "the server MUST return an <item-not-found/> error".
        nodes = self.nodes()
        for other in (f"{int(nodes[0]) + 1000:019}", "1", "", "x" * 19, "-" + nodes[0][1:], "9" * 19):
            items = f"<item action='view' node='{nodes[0]}'/><item action='view' node='{other}'/>"
            self.assert_error(self.offline_query(items), "item-not-found")
            self.assert_error(self.offline_query(items.replace("view", "remove"), "set"), "item-not-found")
            self.assertEqual((self.ids(), self.kept()), ([], 5))

    def test_all_are_fetched_and_stay(self) -> None:
        # §2.6: "the server MUST retrieve all messages and inform the user".
        answer = self.offline_query("<fetch/>")
        self.assertEqual((answer.get("type"), self.ids(), self.kept()), ("result", list("abcde"), 5))

    def test_they_come_no_faster_than_they_are_taken(self) -> None:
        self.juliet.wire.far.producer.pauseProducing()
        self.juliet.send(f"<iq type='get' id='q'><offline xmlns='{OFFLINE}'><fetch/></offline></iq>")
        session = self.world.host("example.org").sessions.find("juliet", "balcony")
        assert session is not None
        self.world.advance(3)
        self.assertLess(session.attachment.waiting, 600)
        self.juliet.wire.far.producer.resumeProducing()
        self.world.advance(3)
        self.assertEqual(self.got(self.juliet), list("abcde"))

    def test_who_leaves_while_they_come_breaks_nothing(self) -> None:
        self.juliet.wire.far.producer.pauseProducing()
        self.juliet.send(f"<iq type='get' id='q'><offline xmlns='{OFFLINE}'><fetch/></offline></iq>")
        self.juliet.cut()
        self.world.advance(3)
        self.assertEqual(self.kept(), 5)

    def test_what_makes_no_sense_is_refused(self) -> None:
        for content, kind in (
            ("", "get"),
            ("<purge/>", "get"),
            ("<fetch/>", "set"),
            ("<item action='remove' node='1'/>", "get"),
            ("<item node='1'/>", "set"),
            ("<fetch/><fetch/>", "get"),
            ("<fetch xmlns='urn:x'/>", "get"),
        ):
            self.assert_error(self.offline_query(content, kind), "bad-request")


class RemovingTest(RetrievalCase):
    def test_messages_are_removed_by_their_nodes(self) -> None:
        # §2.5: "the server MUST remove the messages and inform the user".
        nodes = self.nodes()
        items = "".join(f"<item action='remove' node='{node}'/>" for node in (nodes[3], nodes[1], nodes[3]))
        self.assertEqual(self.offline_query(items, "set").get("type"), "result")
        self.assertEqual(self.nodes(), [nodes[0], nodes[2], nodes[4]])

    def test_all_are_removed(self) -> None:
        # §2.7.
        self.assertEqual(self.offline_query("<purge/>", "set").get("type"), "result")
        self.assertEqual(self.kept(), 0)
