from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from federix.api import JID, Contact, Element, RosterItem
from federix.modules import roster as roster_module
from federix.modules.contacts import MOST_WAITING
from federix.modules.roster import Roster
from federix.testing import Client, World
from federix.testing.match import mismatch, parse

from .neighbours import reload
from .rfc6121 import (
    MERCUTIO,
    NONE_IN,
    ROMEO,
    Elsewhere,
    arrive,
    ask_for_roster,
    befriend,
    contact_in,
    keep,
    kept,
    set_item,
)

NURSE = "nurse@example.org"
RESULT = "<iq type='result'/>"


def error(kind: str, condition: str) -> str:
    return (
        f"<iq type='error'><error type='{kind}'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    )


def roster(*items: str, ver: str = "*") -> str:
    return f"<query xmlns='jabber:iq:roster' ver='{ver}'>{''.join(items)}</query>"


def interim(item: str, ver: str = "*") -> str:
    return f"<iq type='set' from='{ROMEO}'>{roster(item, ver=ver)}</iq>"


def query_of(iq: Element) -> Element:
    query = iq.first()
    assert query is not None
    return query


class RosterCase(SynchronousTestCase):
    OPTIONS: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        self.world = World(modules={"mod_roster": self.OPTIONS})
        self.addCleanup(self.world.stop)

    def check(self, iq: Element, pattern: str) -> None:
        self.assertIsNone(mismatch(parse(pattern), iq), iq.to_xml())

    def put(self, *items: RosterItem) -> None:
        for item in items:
            keep(self.world, ROMEO, item.jid, Contact(item))


class FeaturesTest(RosterCase):
    def features(self) -> set[str]:
        client = self.world.client(f"{ROMEO}/orchard")
        assert client.features is not None
        return {element.ns for element in client.features.elements()}

    def test_versioning_and_pre_approval_are_advertised(self) -> None:
        """§2.6.1, §3.4: "it MUST advertise the following stream feature"."""
        self.assertLessEqual({"urn:xmpp:features:rosterver", "urn:xmpp:features:pre-approval"}, self.features())

    def test_versioning_that_is_off_is_not(self) -> None:
        reload(self.world, {"mod_roster": {"versioning": False}})
        self.assertNotIn("urn:xmpp:features:rosterver", self.features())


class GetTest(RosterCase):
    """§2.1.3, §2.1.4."""

    def test_an_empty_roster_is_an_empty_query(self) -> None:
        """ "the server MUST return an IQ-result containing a child <query/> element that in turn contains no …"."""
        answer = ask_for_roster(self.world.client(f"{ROMEO}/orchard"))
        self.check(answer, f"<iq type='result' from='{ROMEO}' to='{ROMEO}/orchard'>{roster()}</iq>")
        self.assertEqual(query_of(answer).children, [])

    def test_all_that_is_stored_is_returned(self) -> None:
        item = RosterItem(MERCUTIO, "Mercutio & <co>", "both", groups=frozenset({"Friends", "Foes"}))
        self.put(item, RosterItem(NURSE, ask=True), RosterItem("icq.example", approved=True))
        answer = ask_for_roster(self.world.client(f"{ROMEO}/orchard"))
        self.check(
            answer,
            "<iq type='result'>"
            + roster(
                f"<item jid='{MERCUTIO}' name='Mercutio &amp; &lt;co&gt;' subscription='both' ask='-' approved='-'>"
                "<group>Foes</group><group>Friends</group></item>",
                f"<item jid='{NURSE}' name='-' subscription='none' ask='subscribe' approved='-'/>",
                "<item jid='icq.example' subscription='none' ask='-' approved='true'/>",
            )
            + "</iq>",
        )

    def test_a_request_that_waits_is_not_shown(self) -> None:
        keep(self.world, ROMEO, MERCUTIO, Contact(None, contact_in(NONE_IN).request))
        self.assertEqual(query_of(ask_for_roster(self.world.client(f"{ROMEO}/orchard"))).children, [])

    def test_others_get_and_set_nothing(self) -> None:
        """§2.1.5: "MUST verify that the sender of the roster set is authorized …, and if not return a <forbidden/>";
        it is the same whether there is such an account.
        """
        befriend(self.world, ROMEO, "juliet@example.org")
        self.world.register(ROMEO)
        client = self.world.client("juliet@example.org/balcony")
        for to in (ROMEO, "nobody@example.org"):
            for kind in ("get", "set"):
                item = f"<item jid='{NURSE}'/>" if kind == "set" else ""
                answer = client.request(
                    f"<iq type='{kind}' id='x' to='{to}'><query xmlns='jabber:iq:roster'>{item}</query></iq>"
                )
                self.check(answer, error("auth", "forbidden"))
        self.assertIsNone(kept(self.world, ROMEO, NURSE).item)

    def test_the_host_keeps_none(self) -> None:
        answer = self.world.client(f"{ROMEO}/orchard").request(
            "<iq type='get' id='x' to='example.org'><query xmlns='jabber:iq:roster'/></iq>"
        )
        self.check(answer, error("cancel", "service-unavailable"))


class SetTest(RosterCase):
    """§2.3 to §2.5."""

    OPTIONS: ClassVar[dict[str, Any]] = {"max_items": 3, "max_name_length": 10, "max_group_length": 8, "max_groups": 2}

    def setUp(self) -> None:
        super().setUp()
        self.romeo = arrive(self.world, f"{ROMEO}/orchard", presence=None)

    def push(self, item: str, ver: str = "*") -> str:
        return f"<iq type='set' id='*' from='{ROMEO}'>{roster(item, ver=ver)}</iq>"

    def refuse(self, items: str, kind: str, condition: str) -> None:
        self.check(set_item(self.romeo, items), error(kind, condition))
        self.romeo.nothing()

    def test_an_item_is_added_and_pushed_to_all_interested_resources(self) -> None:
        """§2.3.2."""
        garden = arrive(self.world, f"{ROMEO}/garden", presence=None)
        other = arrive(self.world, f"{ROMEO}/other", interested=False)
        self.check(set_item(self.romeo, f"<item jid='{NURSE}' name='Nurse'><group>Servants</group></item>"), RESULT)
        item = f"<item jid='{NURSE}' name='Nurse' subscription='none'><group>Servants</group></item>"
        for client in (self.romeo, garden):
            pushed = client.expect(self.push(item, ver="1"))
            self.assertEqual(pushed.get("to"), str(client.jid))
            client.send(f"<iq type='result' id='{pushed.get('id')}'/>")
            client.nothing()
        other.nothing()

    def test_an_error_in_answer_to_a_push_is_ignored(self) -> None:
        """§2.1.6: "it SHOULD ignore the error"."""
        set_item(self.romeo, f"<item jid='{NURSE}'/>")
        id = self.romeo.receive().get("id")
        self.romeo.send(f"<iq type='error' id='{id}' to='{ROMEO}'><error type='cancel'/></iq>")
        self.romeo.nothing()

    def test_a_client_is_interested_once_it_has_asked(self) -> None:
        client = self.world.client(f"{ROMEO}/garden")
        set_item(self.romeo, f"<item jid='{NURSE}'/>")
        client.nothing()
        ask_for_roster(client, ver="1")
        set_item(self.romeo, "<item jid='tybalt@example.org'/>")
        client.expect(self.push("<item jid='tybalt@example.org'/>"))

    def test_an_item_is_updated_exactly_as_provided(self) -> None:
        """§2.4.1."""
        for content, pushed in (
            ("name='Nurse'><group>A</group><group>B</group></item>", ""),
            ("name='N'><group>B</group></item>", ""),
            ("name=''/>", "name='-'/>"),
        ):
            set_item(self.romeo, f"<item jid='{NURSE}' {content}")
            got = self.romeo.expect(self.push(f"<item jid='{NURSE}' {pushed or content}"))
            groups = query_of(got).elements()
            self.assertEqual(sum(1 for item in groups for _ in item.elements()), content.count("</group>"))

    def test_only_removal_is_a_clients_to_ask_for(self) -> None:
        """§2.1.5: "MUST ignore any value of the 'subscription' attribute other than 'remove'"; §2.1.2.1, §2.1.2.2."""
        for subscription in ("both", "to", "from", "none", "nonsense"):
            set_item(self.romeo, f"<item jid='{NURSE}' subscription='{subscription}' ask='subscribe' approved='true'/>")
            self.romeo.expect(self.push(f"<item jid='{NURSE}' subscription='none' ask='-' approved='-'/>"))

    def test_an_update_leaves_the_subscription_as_it_is(self) -> None:
        kept_item = RosterItem(NURSE, "Nurse", "both", approved=False)
        keep(self.world, "juliet@example.org", NURSE, Contact(kept_item, b"<presence/>"))
        juliet = arrive(self.world, "juliet@example.org/balcony", presence=None)
        set_item(juliet, f"<item jid='{NURSE}' name='N'/>")
        after = kept(self.world, "juliet@example.org", NURSE)
        self.assertEqual(after, Contact(RosterItem(NURSE, "N", "both"), b"<presence/>"))

    def test_a_full_jid_is_made_bare(self) -> None:
        self.check(set_item(self.romeo, "<item jid='Nurse@EXAMPLE.org/kitchen'/>"), RESULT)
        self.romeo.expect(self.push(f"<item jid='{NURSE}'/>"))

    def test_a_removed_item_is_pushed_as_such(self) -> None:
        """§2.5.2."""
        set_item(self.romeo, f"<item jid='{NURSE}'/>")
        self.romeo.drain()
        self.check(set_item(self.romeo, f"<item jid='{NURSE}' subscription='remove' name='{'x' * 99}'/>"), RESULT)
        self.romeo.expect(self.push(f"<item jid='{NURSE}' subscription='remove'/>", ver="2"))
        self.assertEqual(query_of(ask_for_roster(self.romeo)).children, [])

    def test_what_is_not_there_cannot_be_removed(self) -> None:
        """§2.5.3."""
        self.refuse(f"<item jid='{NURSE}' subscription='remove'/>", "modify", "item-not-found")

    def test_more_than_one_item_or_none_is_a_bad_request(self) -> None:
        """§2.3.3."""
        self.refuse(f"<item jid='{NURSE}'/><item jid='{MERCUTIO}'/>", "modify", "bad-request")
        self.refuse("", "modify", "bad-request")
        self.refuse(f"<item xmlns='urn:other' jid='{NURSE}'/>", "modify", "bad-request")

    def test_an_item_without_a_jid_is_refused(self) -> None:
        self.refuse("<item/>", "modify", "bad-request")
        self.refuse("<item jid=''/>", "modify", "bad-request")
        self.refuse("<item jid='@example.org'/>", "modify", "jid-malformed")

    def test_a_long_name_is_not_acceptable(self) -> None:
        self.refuse(f"<item jid='{NURSE}' name='{'x' * 11}'/>", "modify", "not-acceptable")
        self.check(set_item(self.romeo, f"<item jid='{NURSE}' name='{'ü' * 10}'/>"), RESULT)

    def test_duplicate_groups_are_a_bad_request(self) -> None:
        self.refuse(f"<item jid='{NURSE}'><group>A</group><group>A</group></item>", "modify", "bad-request")
        # Once composed, once not.
        self.refuse(f"<item jid='{NURSE}'><group>\u00e9</group><group>e\u0301</group></item>", "modify", "bad-request")

    def test_an_empty_group_is_not_acceptable(self) -> None:
        self.refuse(f"<item jid='{NURSE}'><group></group></item>", "modify", "not-acceptable")

    def test_a_long_group_is_not_acceptable(self) -> None:
        self.refuse(f"<item jid='{NURSE}'><group>{'x' * 9}</group></item>", "modify", "not-acceptable")

    def test_too_many_groups_are_not_acceptable(self) -> None:
        groups = "<group>A</group><group>B</group><group>C</group>"
        self.refuse(f"<item jid='{NURSE}'>{groups}</item>", "modify", "not-acceptable")

    def test_nobody_is_a_contact_of_his_own(self) -> None:
        self.refuse(f"<item jid='{ROMEO}/x'/>", "cancel", "not-allowed")

    def test_a_full_roster_takes_no_more(self) -> None:
        for name in "abc":
            set_item(self.romeo, f"<item jid='{name}@example.org'/>")
        self.romeo.drain()
        self.refuse("<item jid='d@example.org'/>", "modify", "policy-violation")
        self.check(set_item(self.romeo, "<item jid='a@example.org' name='A'/>"), RESULT)
        self.romeo.drain()
        # The bound holds where nothing is in memory, too.
        self.romeo.close()
        self.romeo = self.world.client(f"{ROMEO}/garden")
        self.refuse("<item jid='d@example.org'/>", "modify", "policy-violation")

    def test_all_items_together_are_bounded(self) -> None:
        reload(self.world, {"mod_roster": {"max_size": 250}})
        name, groups = "x" * 100, "<group>&lt;</group>"
        for _ in range(2):
            self.check(set_item(self.romeo, f"<item jid='a@example.org' name='{name}'>{groups}</item>"), RESULT)
            self.romeo.drain()
            for item in (
                f"<item jid='b@example.org' name='{name}'/>",
                f"<item jid='a@example.org' name='{name}'>{groups}<group>{name}</group></item>",
            ):
                self.refuse(item, "modify", "policy-violation")
            # The same where nothing is in memory.
            self.romeo.close()
            self.romeo = self.world.client(f"{ROMEO}/garden")
            ask_for_roster(self.romeo)
        self.check(set_item(self.romeo, "<item jid='a@example.org'/>"), RESULT)
        self.check(set_item(self.romeo, f"<item jid='b@example.org' name='{name}'/>"), RESULT)
        self.romeo.drain()
        answer = query_of(ask_for_roster(self.romeo))
        self.assertLessEqual(sum(len(item.to_bytes("jabber:iq:roster")) for item in answer.elements()), 250)

    def test_what_others_change_counts(self) -> None:
        set_item(self.romeo, "<item jid='a@example.org'/>")
        self.romeo.drain()
        self.romeo.send(f"<presence to='{MERCUTIO}' type='subscribed'/>")
        circle = self.world.host("example.org").module(Roster).contacts.circle_now(JID.parse(ROMEO))
        answer = query_of(ask_for_roster(self.romeo))
        assert circle is not None
        self.assertEqual(circle.size, sum(len(item.to_bytes("jabber:iq:roster")) for item in answer.elements()))

    def test_one_that_is_too_large_can_be_read_and_made_smaller(self) -> None:
        for name in "ab":
            set_item(self.romeo, f"<item jid='{name}@example.org' name='long'/>")
        reload(self.world, {"mod_roster": {"max_size": 10}})
        self.romeo.drain()
        self.assertEqual(len(list(query_of(ask_for_roster(self.romeo)).elements())), 2)
        self.check(set_item(self.romeo, "<item jid='a@example.org' name='a'/>"), RESULT)
        self.check(set_item(self.romeo, "<item jid='b@example.org' subscription='remove'/>"), RESULT)
        self.romeo.drain()
        self.refuse("<item jid='a@example.org' name='ab'/>", "modify", "policy-violation")

    def test_removed_items_make_room(self) -> None:
        for name in "abc":
            set_item(self.romeo, f"<item jid='{name}@example.org'/>")
        set_item(self.romeo, "<item jid='a@example.org' subscription='remove'/>")
        self.check(set_item(self.romeo, "<item jid='d@example.org'/>"), RESULT)

    def test_no_more_work_waits_than_may(self) -> None:
        module = self.world.host("example.org").module(Roster)
        assert self.romeo.jid is not None
        account, gate = self.romeo.jid.bare, Deferred[None]()

        async def wait() -> None:
            await gate

        waiting = [ensureDeferred(module.contacts.take_turn(account, wait)) for _ in range(MOST_WAITING)]
        self.refuse(f"<item jid='{NURSE}'/>", "wait", "resource-constraint")
        gate.callback(None)
        for each in waiting:
            self.successResultOf(each)


class VersioningTest(RosterCase):
    """§2.6."""

    def setUp(self) -> None:
        super().setUp()
        self.romeo = arrive(self.world, f"{ROMEO}/orchard", presence=None)

    def set(self, *items: str) -> None:
        for item in items:
            set_item(self.romeo, item)
        self.romeo.drain()

    def later(self, ver: str) -> tuple[Client, Element]:
        """Another client comes, which knows that version."""
        client = self.world.client(f"{ROMEO}/garden")
        return client, ask_for_roster(client, ver)

    def test_each_push_has_a_version_of_its_own_and_the_result_the_last(self) -> None:
        for name in "abc":
            set_item(self.romeo, f"<item jid='{name}@example.org'/>")
        versions = [query_of(push).get("ver") for push in self.romeo.drain()]
        self.assertEqual(len(set(versions)), 3)
        self.assertEqual(query_of(ask_for_roster(self.romeo)).get("ver"), versions[-1])

    def test_what_has_not_changed_is_an_empty_result(self) -> None:
        self.set("<item jid='a@example.org'/>")
        version = query_of(ask_for_roster(self.romeo)).get("ver")
        client, answer = self.later(version or "")
        self.check(answer, RESULT)
        self.assertEqual(answer.children, [])
        client.nothing()

    def test_what_has_changed_is_pushed_after_the_result_the_last_change_last(self) -> None:
        self.set(*(f"<item jid='{name}@example.org'/>" for name in "abcdef"))
        version = query_of(ask_for_roster(self.romeo)).get("ver") or ""
        self.set(
            "<item jid='b@example.org' name='once'/>",
            "<item jid='a@example.org' subscription='remove'/>",
            "<item jid='b@example.org' name='twice'/>",
        )
        latest = query_of(ask_for_roster(self.romeo)).get("ver") or ""
        client = self.world.client(f"{ROMEO}/garden")
        client.send(f"<iq type='get' id='v'><query xmlns='jabber:iq:roster' ver='{version}'/></iq>")
        result = client.expect("<iq type='result' id='v'/>")
        self.assertEqual(result.children, [])
        first = client.expect(interim("<item jid='a@example.org' subscription='remove'/>"))
        client.expect(interim("<item jid='b@example.org' name='twice'/>", ver=latest))
        client.nothing()
        # Who was interrupted after the first still hears of the second.
        between = query_of(first).get("ver") or ""
        self.assertNotIn(between, (version, latest))
        client, _ = self.later(between)
        client.drain()
        client = self.world.client(f"{ROMEO}/park")
        client.send(f"<iq type='get' id='v'><query xmlns='jabber:iq:roster' ver='{between}'/></iq>")
        client.expect("<iq type='result' id='v'/>")
        self.assertIn("b@example.org", client.drain()[-1].to_xml())

    def test_who_was_told_the_changes_gets_those_that_follow(self) -> None:
        client, _ = self.later("0")
        self.set("<item jid='a@example.org'/>")
        client.expect(interim("<item jid='a@example.org'/>"))

    def test_a_version_that_is_unknown_gives_the_whole_roster(self) -> None:
        self.set("<item jid='a@example.org'/>", "<item jid='b@example.org'/>")
        for version in ("", "999", "-1", "x1", "٣", "9" * 40):
            client, answer = self.later(version)
            self.assertEqual(len(list(query_of(answer).elements())), 2, version)
            client.nothing()
            client.close()

    def test_more_changes_than_contacts_are_the_whole_roster(self) -> None:
        """§2.6.3: "unless returning the complete roster would (1) use less bandwidth"."""
        self.set(*(f"<item jid='{name}@example.org'/>" for name in "abc"))
        self.set(*(f"<item jid='{name}@example.org' subscription='remove'/>" for name in "ab"))
        _, answer = self.later("3")
        self.assertEqual(len(list(query_of(answer).elements())), 1)

    def test_so_many_changes_are_the_whole_roster(self) -> None:
        self.patch(roster_module, "MOST_PUSHES", 3)
        self.set(*(f"<item jid='{name}@example.org'/>" for name in "abcdefg"))
        for version, whole in (("3", True), ("4", False)):
            client, answer = self.later(version)
            self.assertEqual(bool(answer.children), whole)
            client.close()

    def test_what_clients_cannot_see_changes_no_version(self) -> None:
        """§2.6.3: it does "not necessitate a change to the version"."""
        before = query_of(ask_for_roster(self.romeo)).get("ver")
        Elsewhere(self.world).send(f"<presence from='{MERCUTIO}' to='{ROMEO}' type='subscribe'/>")
        self.assertEqual(query_of(ask_for_roster(self.romeo)).get("ver"), before)

    def test_where_it_is_off_there_are_no_versions(self) -> None:
        reload(self.world, {"mod_roster": {"versioning": False}})
        self.set("<item jid='a@example.org'/>")
        client, answer = self.later("1")
        self.check(answer, "<iq><query xmlns='jabber:iq:roster' ver='-'><item jid='a@example.org'/></query></iq>")
        set_item(self.romeo, "<item jid='b@example.org'/>")
        client.expect("<iq type='set'><query xmlns='jabber:iq:roster' ver='-'><item jid='b@example.org'/></query></iq>")


class MaySeePresenceTest(RosterCase):
    def test_subscribers_may_whether_the_account_is_there_or_not(self) -> None:
        for number, subscription in enumerate(("none", "to", "from", "both")):
            self.put(RosterItem(f"c{number}@example.org", subscription=subscription))  # type: ignore[arg-type]
        account = self.world.register(ROMEO)
        host = self.world.host("example.org")

        def seen() -> list[bool]:
            contacts = [JID.parse("stranger.example")]
            contacts += [JID.parse(f"c{number}@example.org/x") for number in range(4)]
            return [self.world.run(host.may_see_presence(account, contact)) for contact in contacts]

        self.assertEqual(seen(), [False, False, False, True, True])
        arrive(self.world, f"{ROMEO}/orchard")
        self.assertEqual(seen(), [False, False, False, True, True])
