from __future__ import annotations

from types import MappingProxyType
from typing import Any

from twisted.internet.defer import Deferred

from federix.api import JID, Element, Message, forms
from federix.modules.push_items import KEPT, MAX_BODY, Registration, is_worth_waking
from federix.modules.remembered import MOST_WAITING
from federix.testing.match import parse

from .neighbours import reload
from .push_case import DESK, JULIET, NODE, OPTIONS, PHONE, PUBSUB, ROMEO, SERVICE, PushCase


class RegistrationTests(PushCase):
    """§4.1, §5, §6."""

    def test_the_feature_must_be_among_those_of_the_account(self) -> None:
        romeo = self.arrive(PHONE)
        answer = romeo.request(
            f"<iq type='get' to='{ROMEO}' id='1'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        )
        self.assertIn("<feature var='urn:xmpp:push:0'/>", answer.to_xml())

    def test_a_registration_must_name_a_service(self) -> None:
        romeo = self.arrive(PHONE)
        for name in ("enable", "disable"):
            answer = romeo.request(f"<iq type='set' id='{name}'><{name} xmlns='urn:xmpp:push:0' node='n'/></iq>")
            self.assert_error(answer, "bad-request")
        self.assert_error(self.enable(romeo, service="@"), "jid-malformed")

    def test_a_registration_without_a_node_is_not_offered(self) -> None:
        romeo = self.arrive(PHONE)
        self.assert_error(self.enable(romeo, None), "feature-not-implemented")
        self.assert_error(self.enable(romeo, "n" * 1024), "not-acceptable")

    def test_a_form_must_be_one_of_publish_options(self) -> None:
        romeo = self.arrive(PHONE)
        self.assert_error(self.enable(romeo, form=OPTIONS.replace("#publish-options", "")), "bad-request")
        self.assert_error(self.enable(romeo, form="<x xmlns='jabber:x:data'/>"), "bad-request")

    def test_a_large_form_is_refused(self) -> None:
        romeo = self.arrive(PHONE)
        self.assert_error(self.enable(romeo, form=OPTIONS.replace("91", "9" * 5000)), "policy-violation")

    def test_nobody_registers_for_another(self) -> None:
        self.arrive(PHONE)
        for name in ("enable", "disable"):
            for to in (ROMEO, "nobody@example.org"):
                answer = self.juliet.request(
                    f"<iq type='set' to='{to}' id='{self.juliet.new_id()}'>"
                    f"<{name} xmlns='urn:xmpp:push:0' jid='{SERVICE}' node='n'/></iq>"
                )
                self.assert_error(answer, "service-unavailable")

    def test_of_one_service_and_node_the_last_request_counts(self) -> None:
        phone = self.register(form=OPTIONS)
        self.enable(phone)
        phone.close()
        self.write()
        (request,) = self.pushed()
        self.assertNotIn("publish-options", request.to_xml())

    def test_one_service_may_have_several_nodes(self) -> None:
        phone = self.register()
        self.enable(phone, "second")
        phone.close()
        self.write()
        self.assertEqual(self.nodes(), [NODE, "second"])

    def test_disabling_a_node_must_leave_the_others(self) -> None:
        phone = self.register()
        self.enable(phone, "second")
        self.assertEqual(self.disable(phone, f"jid='{SERVICE}' node='{NODE}'").get("type"), "result")
        phone.close()
        self.write()
        self.assertEqual(self.nodes(), ["second"])

    def test_disabling_a_service_disables_all_its_nodes_and_nothing_must_be_published_then(self) -> None:
        phone = self.register()
        self.enable(phone, "second")
        self.enable(phone, service="push.elsewhere.example")
        self.disable(phone, f"jid='{SERVICE}'")
        phone.close()
        self.write()
        self.assertEqual(self.nodes(), [])
        self.assertEqual(len(self.module.registrations.now("romeo") or ()), 1)

    def test_what_waits_to_be_told_is_not_when_the_service_is_disabled(self) -> None:
        self.register().close()
        desk = self.arrive(DESK)
        desk.send("<presence type='unavailable'/>")
        self.write()
        self.assertEqual(len(self.pushed(answer="error", error="<error type='wait'/>")), 1)
        self.disable(desk, f"jid='{SERVICE}'")
        self.world.advance(7200)
        self.assertEqual(self.nodes(), [])

    def test_disabling_what_was_not_enabled_is_no_error(self) -> None:
        self.assertEqual(self.disable(self.arrive(PHONE), f"jid='{SERVICE}'").get("type"), "result")

    def test_registrations_are_bounded_and_the_oldest_give_way(self) -> None:
        reload(self.world, {**self.modules, "mod_push": {"max_registrations": 2}})
        phone = self.register(node="1")
        for node in ("2", "1", "3"):
            self.enable(phone, node)
        phone.close()
        self.write()
        self.assertEqual(self.nodes(), ["1", "3"])

    def test_they_outlive_a_restart_and_not_the_account(self) -> None:
        self.register(form=OPTIONS).close()
        reload(self.world, {name: options for name, options in self.modules.items() if name != "mod_push"})
        reload(self.world, self.modules)
        self.write()
        self.assertEqual(self.nodes(), [NODE])
        self.world.run(self.world.host("example.org").accounts.remove("romeo"))
        self.world.register(ROMEO)
        self.write()
        self.settle()
        self.assertEqual(self.nodes(), [])

    def test_what_waits_to_be_changed_is_not_when_the_account_goes(self) -> None:
        clients = [self.register(f"{ROMEO}/{node}", node) for node in "12"]
        accounts: Any = self.world.server.storage.accounts
        update, delete = self.module.kept.update, accounts.delete
        changes: list[Deferred[None]] = []
        gone: Deferred[None] = Deferred()

        async def slowly(owner: str, change: Any) -> Any:
            changes.append(Deferred())
            await changes[-1]
            return await update(owner, change)

        async def delete_slowly(*args: str) -> Any:
            await gone
            return await delete(*args)

        self.patch(self.module.kept, "update", slowly)
        self.patch(accounts, "delete", delete_slowly)
        for client in clients:
            client.send(f"<iq type='set' id='1'><enable xmlns='urn:xmpp:push:0' jid='{SERVICE}' node='3'/></iq>")
        host = self.world.host("example.org")
        host.scope.spawn(host.accounts.remove("romeo"))
        changes[0].callback(None)
        gone.callback(None)
        for change in changes[1:]:
            change.callback(None)
        self.assertEqual(self.world.run(self.module.kept.get(ROMEO)), None)

    def test_changes_that_wait_are_bounded(self) -> None:
        clients = [self.arrive(f"{ROMEO}/{count}") for count in range(MOST_WAITING + 1)]
        storage: Deferred[None] = Deferred()
        update = self.module.kept.update

        async def slowly(owner: str, change: Any) -> Any:
            await storage
            return await update(owner, change)

        self.patch(self.module.kept, "update", slowly)
        for client in clients:
            client.drain()
            client.send(f"<iq type='set' id='1'><enable xmlns='urn:xmpp:push:0' jid='{SERVICE}' node='n'/></iq>")
        *others, last = clients
        self.assert_error(last.receive(), "resource-constraint")
        storage.callback(None)
        for client in others:
            client.expect("<iq type='result'/>")

    def test_what_is_kept_is_read_as_it_was_written(self) -> None:
        kept = (
            Registration(JID.parse(SERVICE), NODE, "phone", parse(OPTIONS, "jabber:client")),
            Registration(JID.parse("push@service.example/here"), "&<'\u00e9", ""),
        )
        self.assertEqual(KEPT.decode(KEPT.encode(kept)), kept)


class NotificationTests(PushCase):
    """§7: what a service is told."""

    options = MappingProxyType({"include_sender": True, "include_body": True})

    def test_a_message_for_who_is_offline_is_published(self) -> None:
        self.register().close()
        self.write()
        self.service.expect(
            f"<iq type='set' from='example.org' to='{SERVICE}'><pubsub xmlns='{PUBSUB}'><publish node='{NODE}'><item>"
            "<notification xmlns='urn:xmpp:push:0'/></item></publish></pubsub></iq>"
        )

    def test_the_summary_has_count_sender_and_body(self) -> None:
        self.register().close()
        self.write()
        (request,) = self.pushed()
        self.assertEqual(
            self.fields(request),
            {
                "FORM_TYPE": "urn:xmpp:push:summary",
                "message-count": "1",
                "last-message-sender": f"{JULIET}/balcony",
                "last-message-body": "Wherefore art thou?",
            },
        )

    def test_a_long_body_is_cut(self) -> None:
        self.register().close()
        self.write(f"<body>{'o' * 5000}</body>")
        (request,) = self.pushed()
        self.assertEqual(self.fields(request)["last-message-body"], "o" * MAX_BODY)

    def test_the_publish_options_are_sent_with_each_notification(self) -> None:
        self.register(form=OPTIONS).close()
        for _ in range(2):
            self.write()
            (request,) = self.pushed()
            pubsub = request.child(PUBSUB, "pubsub")
            assert pubsub is not None
            options = pubsub.child(PUBSUB, "publish-options")
            assert options is not None
            self.assertEqual(list(options.elements()), [parse(OPTIONS, "jabber:client")])
            self.settle()

    def test_messages_are_counted_until_the_client_is_there(self) -> None:
        phone = self.register()
        for expected in (["1", "2"], ["1"]):
            phone.close()
            for count in expected:
                self.write()
                (request,) = self.pushed()
                self.assertEqual(self.fields(request)["message-count"], count)
                self.settle()
            phone = self.arrive(PHONE)

    def test_what_is_told_must_be_a_form_of_its_kind(self) -> None:
        self.register().close()
        self.write()
        (request,) = self.pushed()
        (found,) = [element for element in _all(request) if element.name == "x"]
        self.assertEqual(forms.Form.parse(found).form_type, "urn:xmpp:push:summary")


def _all(element: Element) -> list[Element]:
    return [element, *(inner for child in element.elements() for inner in _all(child))]


class PrivacyTests(PushCase):
    """§9: "servers SHOULD allow users to limit the information sent via push notifications"."""

    def told(self, options: dict[str, Any]) -> dict[str, str]:
        reload(self.world, {**self.modules, "mod_push": options})
        self.register().close()
        self.write()
        (request,) = self.pushed()
        return self.fields(request)

    def test_as_a_default_neither_sender_nor_text_is_told(self) -> None:
        told = self.told({})
        self.assertNotIn("last-message-sender", told)
        self.assertEqual(told["last-message-body"], "New message")

    def test_another_text_can_be_told(self) -> None:
        self.assertEqual(self.told({"include_body": "Somebody wrote."})["last-message-body"], "Somebody wrote.")

    def test_nothing_of_a_text_need_be_told(self) -> None:
        self.assertEqual(set(self.told({"include_body": False})), {"FORM_TYPE", "message-count"})


class WorthTests(PushCase):
    """What wakes a client."""

    def assert_wakes(self, wakes: bool, *messages: str, any_content: bool = True) -> None:
        for xml in messages:
            with self.subTest(xml):
                self.assertEqual(is_worth_waking(Message(parse(xml)), any_content=any_content), wakes)

    def test_a_text_does(self) -> None:
        texts = (
            "<message><body>Hey</body></message>",
            "<message type='groupchat'><body>Hey</body></message>",
            "<message type='chat'><body>Hey</body><no-store xmlns='urn:xmpp:hints'/></message>",
            "<message type='chat'><encrypted xmlns='urn:xmpp:omemo:2'/><store xmlns='urn:xmpp:hints'/></message>",
            "<message type='groupchat'><openpgp xmlns='urn:xmpp:openpgp:0'/></message>",
        )
        self.assert_wakes(True, *texts)
        self.assert_wakes(True, *texts, any_content=False)

    def test_a_call_or_an_invitation_does_where_all_is_told(self) -> None:
        texts = (
            "<message><propose xmlns='urn:xmpp:jingle-message:0' id='1'/><store xmlns='urn:xmpp:hints'/></message>",
            "<message><x xmlns='jabber:x:conference' jid='room@muc.example'/></message>",
            "<message><x xmlns='http://jabber.org/protocol/muc#user'><invite/></x></message>",
        )
        self.assert_wakes(True, *texts)
        self.assert_wakes(False, *texts, any_content=False)

    def test_what_is_about_other_messages_does_not(self) -> None:
        self.assert_wakes(
            False,
            "<message/>",
            "<message type='chat'><body/></message>",
            "<message type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
            "<message type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/>"
            "<x xmlns='http://jabber.org/protocol/muc#user'/><occupant-id xmlns='urn:xmpp:occupant-id:0' id='1'/>"
            "</message>",
            "<message><received xmlns='urn:xmpp:receipts' id='1'/><store xmlns='urn:xmpp:hints'/></message>",
            "<message type='chat'><displayed xmlns='urn:xmpp:chat-markers:0' id='1'/></message>",
            "<message type='chat'><reactions xmlns='urn:xmpp:reactions:0' id='1'><reaction>👋</reaction></reactions>"
            "<store xmlns='urn:xmpp:hints'/></message>",
            "<message><event xmlns='http://jabber.org/protocol/pubsub#event'/></message>",
            "<message><thread>1</thread><stanza-id xmlns='urn:xmpp:sid:0' id='1' by='a.example'/></message>",
            "<message><propose xmlns='urn:x' id='1'/><no-store xmlns='urn:xmpp:hints'/></message>",
            "<message type='groupchat'><subject>Verona</subject></message>",
            "<message type='groupchat'><x xmlns='http://jabber.org/protocol/muc#user'><status/></x></message>",
            "<message type='headline'><body>Extra!</body></message>",
            "<message type='error'><body>Hey</body></message>",
        )

    def test_only_what_does_is_told(self) -> None:
        self.register().close()
        self.write("<active xmlns='http://jabber.org/protocol/chatstates'/>")
        self.assertEqual(self.nodes(), [])
        self.write()
        self.assertEqual(self.nodes(), [NODE])
