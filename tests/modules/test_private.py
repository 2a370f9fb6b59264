from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from federix.modules.private import MOST_WAITING, Private
from federix.testing import Client, World

from .neighbours import FRIENDS, reload

EXODUS = "<exodus xmlns='exodus:prefs'><defaultnick>Hamlet</defaultnick></exodus>"


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(modules={"mod_private": {}, "mod_friends": {}}, own_modules=FRIENDS)
        self.addCleanup(self.world.stop)
        self.juliet = self.world.client("juliet@example.org/balcony")

    def ask(self, kind: str, payload: str, *, to: str = "", client: Client | None = None) -> Any:
        xml = f"<iq type='{kind}' {to} id='1'><query xmlns='jabber:iq:private'>{payload}</query></iq>"
        return (client or self.juliet).request(xml)

    def assert_stored(self, payload: str, *, client: Client | None = None) -> None:
        answer = self.ask("set", payload, client=client)
        self.assertEqual((answer.get("type"), list(answer.elements())), ("result", []))

    def assert_kept(self, query: str, expected: str, *, client: Client | None = None) -> None:
        answer = self.ask("get", query, client=client)
        self.assertIn(f"<query xmlns='jabber:iq:private'>{expected}</query>", answer.to_xml("jabber:client"))

    def assert_refused(self, condition: str, answer: Any) -> None:
        self.assertEqual(answer.get("type"), "error")
        self.assertIn(f"<{condition} ", answer.to_xml())


class StoringTests(Case):
    def test_what_was_stored_is_found_again_by_another_device(self) -> None:
        self.assert_stored(EXODUS)
        other = self.world.client("juliet@example.org/chamber")
        self.assert_kept("<exodus xmlns='exodus:prefs'/>", EXODUS, client=other)

    def test_what_is_stored_takes_the_place_of_what_was(self) -> None:
        self.assert_stored(EXODUS)
        self.assert_stored(EXODUS.replace("Hamlet", "Ophelia"))
        self.assert_kept("<exodus xmlns='exodus:prefs'/>", EXODUS.replace("Hamlet", "Ophelia"))

    def test_namespace_and_name_tell_fragments_apart(self) -> None:
        self.assert_stored("<a xmlns='x:one'>1</a><a xmlns='x:two'>2</a><b xmlns='x:one'>3</b>")
        for name, ns, text in (("a", "x:one", "1"), ("a", "x:two", "2"), ("b", "x:one", "3")):
            self.assert_kept(f"<{name} xmlns='{ns}'/>", f"<{name} xmlns='{ns}'>{text}</{name}>")

    def test_what_was_never_stored_comes_back_empty(self) -> None:
        self.assert_kept("<exodus xmlns='exodus:prefs'/>", "<exodus xmlns='exodus:prefs'/>")

    def test_an_empty_fragment_takes_the_old_one_away(self) -> None:
        self.assert_stored(EXODUS)
        self.assert_stored("<exodus xmlns='exodus:prefs'/>")
        self.assert_kept("<exodus xmlns='exodus:prefs'/>", "<exodus xmlns='exodus:prefs'/>")

    def test_attributes_alone_are_kept(self) -> None:
        self.assert_stored("<exodus xmlns='exodus:prefs' nick='Hamlet'/>")
        self.assert_kept("<exodus xmlns='exodus:prefs'/>", "<exodus xmlns='exodus:prefs' nick='Hamlet'/>")

    def test_each_account_has_its_own(self) -> None:
        self.assert_stored(EXODUS)
        romeo = self.world.client("romeo@example.org/orchard")
        self.assert_kept("<exodus xmlns='exodus:prefs'/>", "<exodus xmlns='exodus:prefs'/>", client=romeo)

    def test_who_registers_a_removed_account_finds_nothing(self) -> None:
        self.assert_stored(EXODUS)
        self.world.run(self.world.host("example.org").accounts.remove("juliet"))
        juliet = self.world.client("juliet@example.org/balcony")
        self.assert_kept("<exodus xmlns='exodus:prefs'/>", "<exodus xmlns='exodus:prefs'/>", client=juliet)


class RuleTests(Case):
    """XEP-0049 §2.3 and §4."""

    def test_at_least_one_child_must_be_included_or_it_is_not_acceptable(self) -> None:
        for kind in ("get", "set"):
            self.assert_refused("not-acceptable", self.ask(kind, ""))

    def test_a_child_must_have_a_namespace_of_its_own(self) -> None:
        for child in ("<a/>", "<a xmlns='jabber:client'/>", "<a xmlns=''/>"):
            for kind in ("get", "set"):
                self.assert_refused("not-acceptable", self.ask(kind, child))

    def test_a_get_must_not_ask_for_more_than_one_namespace(self) -> None:
        self.assert_refused("not-acceptable", self.ask("get", "<a xmlns='x:one'/><a xmlns='x:two'/>"))

    def test_a_get_may_ask_for_several_elements_of_one_namespace(self) -> None:
        self.assert_stored("<a xmlns='x:one'>1</a>")
        self.assert_kept("<a xmlns='x:one'/><b xmlns='x:one'/>", "<a xmlns='x:one'>1</a><b xmlns='x:one'/>")

    def test_two_elements_of_one_name_are_refused_before_one_is_lost(self) -> None:
        self.assert_refused("not-acceptable", self.ask("set", "<a xmlns='x:one'>1</a><a xmlns='x:one'>2</a>"))
        self.assert_kept("<a xmlns='x:one'/>", "<a xmlns='x:one'/>")

    def test_anothers_data_must_not_be_read_or_changed(self) -> None:
        """Not even a contact's; and the answer does not tell whether there is such an account."""
        self.assert_stored(EXODUS)
        romeo = self.world.client("romeo@example.org/orchard")
        for kind in ("get", "set"):
            there = self.ask(kind, EXODUS, to="to='juliet@example.org'", client=romeo)
            nowhere = self.ask(kind, EXODUS, to="to='juliette@example.org'", client=romeo)
            self.assert_refused("service-unavailable", there)
            self.assertEqual(there.to_xml().replace("juliet@", "juliette@"), nowhere.to_xml())
        self.assert_kept("<exodus xmlns='exodus:prefs'/>", EXODUS)


class BoundTests(Case):
    def test_a_fragment_that_is_too_large_is_refused(self) -> None:
        reload(self.world, {"mod_private": {"max_size": 100}})
        fitting = f"<a xmlns='x:one'>{'x' * (100 - 24)}</a>"
        self.assertEqual(len(fitting), 97)
        self.assert_stored(fitting)
        self.assert_refused("not-acceptable", self.ask("set", f"<a xmlns='x:one'>{'x' * 100}</a>"))
        self.assert_kept("<a xmlns='x:one'/>", fitting)

    def test_the_number_of_fragments_is_bounded(self) -> None:
        reload(self.world, {"mod_private": {"max_fragments": 2}})
        self.assert_stored("<a xmlns='x:one'>1</a><b xmlns='x:one'>2</b>")
        self.assert_refused("resource-constraint", self.ask("set", "<c xmlns='x:one'>3</c>"))
        self.assert_kept("<c xmlns='x:one'/>", "<c xmlns='x:one'/>")

    def test_at_the_bound_what_is_there_may_change_and_make_room(self) -> None:
        reload(self.world, {"mod_private": {"max_fragments": 2}})
        self.assert_stored("<a xmlns='x:one'>1</a><b xmlns='x:one'>2</b>")
        self.assert_stored("<a xmlns='x:one'>3</a>")
        self.assert_stored("<b xmlns='x:one'/>")
        self.assert_stored("<c xmlns='x:one'>3</c>")

    def test_past_the_bound_what_is_there_may_still_change(self) -> None:
        self.assert_stored("<a xmlns='x:one'>1</a><b xmlns='x:one'>2</b>")
        reload(self.world, {"mod_private": {"max_fragments": 1}})
        self.assert_stored("<a xmlns='x:one'>3</a>")
        self.assert_refused("resource-constraint", self.ask("set", "<c xmlns='x:one'>3</c>"))

    def test_one_request_cannot_pass_the_bound(self) -> None:
        reload(self.world, {"mod_private": {"max_fragments": 2}})
        many = "".join(f"<{name} xmlns='x:one'>1</{name}>" for name in "abc")
        self.assert_refused("resource-constraint", self.ask("set", many))

    def test_all_fragments_together_are_bounded(self) -> None:
        reload(self.world, {"mod_private": {"max_total_size": 200}})
        self.assert_stored(f"<a xmlns='x:one'>{'x' * 76}</a>")  # 100 bytes each
        self.assert_stored(f"<b xmlns='x:one'>{'x' * 72}</b>")
        self.assert_refused("resource-constraint", self.ask("set", f"<c xmlns='x:two'>{'x' * 20}</c>"))
        self.assert_refused("resource-constraint", self.ask("set", f"<a xmlns='x:one'>{'x' * 90}</a>"))
        self.assert_kept("<c xmlns='x:two'/>", "<c xmlns='x:two'/>")
        self.assert_stored(f"<a xmlns='x:one'>{'x' * 50}</a>")
        self.assert_stored("<b xmlns='x:one'/><c xmlns='x:two'>3</c>")

    def test_several_resources_that_store_at_once_find_no_way_around_it(self) -> None:
        reload(self.world, {"mod_private": {"max_total_size": 100}})
        gates: list[Deferred[None]] = []
        kept = self.world.host("example.org").module(Private).kept
        put = kept.put

        async def later(*arguments: Any) -> None:
            gates.append(Deferred())
            await gates[-1]
            await put(*arguments)

        self.patch(kept, "put", later)
        clients = [self.juliet, self.world.client("juliet@example.org/chamber")]
        for client, name in zip(clients, "ab", strict=True):
            fragment = f"<{name} xmlns='x:one'>{'x' * 50}</{name}>"
            client.send(f"<iq type='set' id='1'><query xmlns='jabber:iq:private'>{fragment}</query></iq>")
        for gate in gates:
            gate.callback(None)
        self.assertEqual([client.receive().get("type") for client in clients], ["result", "error"])

    def test_no_more_waits_than_may(self) -> None:
        module = self.world.host("example.org").module(Private)
        gate: Deferred[None] = Deferred()

        async def wait(*_: object) -> None:
            await gate

        self.patch(module.kept, "put", wait)
        clients = [self.world.client(f"juliet@example.org/{number}") for number in range(MOST_WAITING)]
        for client in clients:
            client.send(f"<iq type='set' id='1'><query xmlns='jabber:iq:private'>{EXODUS}</query></iq>")
        self.assert_refused("resource-constraint", self.ask("set", EXODUS))
        gate.callback(None)
        for client in clients:
            client.expect("<iq type='result'/>")

    def test_one_answer_holds_no_more_than_may_be_kept(self) -> None:
        """What was stored under larger bounds can be read one by one, made smaller and taken away."""
        fragments = [f"<{name} xmlns='x:one'>{'x' * 80}</{name}>" for name in "abc"]
        self.assert_stored("".join(fragments))
        reload(self.world, {"mod_private": {"max_total_size": 250}})
        both = "<a xmlns='x:one'/><b xmlns='x:one'/>"
        self.assert_kept(both, "".join(fragments[:2]))
        self.assert_refused("not-acceptable", self.ask("get", f"{both}<c xmlns='x:one'/>"))
        for name, fragment in zip("abc", fragments, strict=True):
            self.assert_kept(f"<{name} xmlns='x:one'/>", fragment)
        self.assert_stored(fragments[0].replace("x" * 80, "x" * 70))
        self.assert_stored("<b xmlns='x:one'/>")

    def test_no_value_is_fetched_that_is_not_asked_for(self) -> None:
        kept = self.world.host("example.org").module(Private).kept
        self.assert_stored(EXODUS)
        got: list[str] = []
        get, self_all = kept.get, kept.all

        async def note(owner: str, key: str) -> Any:
            got.append(key)
            return await get(owner, key)

        async def never(owner: str) -> Any:
            got.append("all")
            return await self_all(owner)

        self.patch(kept, "get", note)
        self.patch(kept, "all", never)
        self.assert_stored("<a xmlns='x:one'>1</a>")
        self.assert_kept("<a xmlns='x:one'/><b xmlns='x:one'/>", "<a xmlns='x:one'>1</a><b xmlns='x:one'/>")
        self.assertEqual(got, ["{x:one}a"])


class RemovedAccountTests(Case):
    def test_what_was_still_being_stored_is_not_found_by_the_next_owner_of_the_name(self) -> None:
        kept, storage = self.world.host("example.org").module(Private).kept, self.world.server.storage
        put, forget = kept.put, storage.forget
        answers: list[Deferred[None]] = []

        async def put_slowly(*args: Any) -> None:
            await put(*args)
            answers.append(Deferred())
            await answers[-1]

        async def forget_in_its_turn(owner: str) -> None:
            """Behind what was written before."""
            if not answers[-1].called:
                answers[-1].callback(None)
            await forget(owner)

        self.patch(kept, "put", put_slowly)
        self.patch(storage, "forget", forget_in_its_turn)
        self.juliet.send(
            "<iq type='set' id='1'><query xmlns='jabber:iq:private'>"
            + "".join(f"<a xmlns='x:{number}'>1</a>" for number in range(5))
            + "</query></iq>"
        )
        self.world.run(self.world.host("example.org").accounts.remove("juliet"))
        while not answers[-1].called:
            answers[-1].callback(None)
        self.assertEqual(self.world.run(kept.sizes("juliet@example.org")), {})
