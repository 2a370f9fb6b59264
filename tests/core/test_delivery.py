"""RFC 6121 §8: who receives what, cell by cell of its tables, over real streams.

Where the RFC leaves a choice, ours is: what may be stored offline is offered to `offline_message` and bounced if
nobody keeps it, errors are returned rather than stanzas ignored, "most available" is all of the highest priority.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from federix.api import HANDLED, JID, Message, Module, Outcome, Presence, Stanza, hooks, option
from federix.testing import Client, World

from .support import WorldTestCase, condition, make_available

ACCOUNT = "juliet@example.org"
NOWHERE = "nowhere"

#: Juliet's: names and priorities.
Resources: TypeAlias = dict[str, int | None] | None
#: By the name of the row: her resources, and for each address an outcome for each type.
Table: TypeAlias = dict[str, tuple[Resources, dict[str, str]]]
Test: TypeAlias = Callable[["Cells"], None]


class Watching(Module):
    """Sees what is offered to offline storage and to the roster."""

    name = "mod_watching"

    @dataclass(frozen=True)
    class Options(Module.Options):
        keep: bool = option(False, "Keep messages.")

    async def on_start(self) -> None:
        self.offered: list[Stanza] = []
        self.subscriptions: list[Stanza] = []
        self.accounts: list[JID] = []

    @hooks.offline_message
    def offline(self, account: JID, message: Message) -> Outcome:
        self.accounts.append(account)
        self.offered.append(message)
        return HANDLED if self.options.keep else None

    @hooks.roster_in_subscription
    def subscription(self, account: JID, presence: Presence) -> Outcome:
        self.accounts.append(account)
        self.subscriptions.append(presence)
        return HANDLED


class Stage:
    """Romeo, and Juliet with some resources: name and priority, ``None`` for one that is not available.

    Without a dictionary she has no account.
    """

    def __init__(self, resources: Resources, keep: bool = False) -> None:
        self.world = World(modules={"mod_watching": {"keep": keep}}, own_modules={"mod_watching": Watching})
        self.romeo = self.world.client("romeo@example.org/orchard")
        if resources is not None:
            self.world.register(ACCOUNT)
        self.juliet: dict[str, Client] = {}
        for name, priority in (resources or {}).items():
            self.juliet[name] = self.world.client(f"{ACCOUNT}/{name}")
            if priority is not None:
                make_available(self.juliet[name], priority)
        self.watching = self.world.host("example.org").module(Watching)

    def clear(self) -> None:
        """Forget what has happened."""
        for client in (self.romeo, *self.juliet.values()):
            client.drain()
        for seen in (self.watching.offered, self.watching.subscriptions, self.watching.accounts):
            seen.clear()

    def send(self, xml: str, to: str) -> dict[str, str]:
        """Send; who has received it, by resource, and under "error" what came back. Checks what never differs."""
        self.romeo.send(xml)
        got: dict[str, str] = {}
        for name, client in self.juliet.items():
            for element in client.drain():
                assert name not in got, f"{name} received it twice"
                got[name] = element.get("type") or ""
                # RFC 6121 §8.5.2.1.1: "In all cases, the server MUST NOT rewrite the 'to' attribute".
                assert element.get("to") == to, element.to_xml()
                assert element.get("from") == "romeo@example.org/orchard", element.to_xml()
        for element in self.romeo.drain():
            assert "error" not in got, "it was answered twice"
            got["error"] = condition(element)
            assert (element.get("from"), element.get("id")) == (to, "s1"), element.to_xml()
        return got


class Cells(WorldTestCase):
    """The tests of one row, on one stage."""

    resources: ClassVar[Resources] = None
    keep: ClassVar[bool] = False
    stage: ClassVar[Stage]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.stage = Stage(cls.resources, cls.keep)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.stage.world.stop()
        super().tearDownClass()

    def setUp(self) -> None:
        self.stage.clear()


class Delivery(WorldTestCase):
    """A stage of its own for each test."""

    def arrange(self, resources: Resources, keep: bool = False) -> None:
        stage = self.stage = Stage(resources, keep)
        self.addCleanup(stage.world.stop)
        self.world, self.romeo, self.juliet, self.watching = stage.world, stage.romeo, stage.juliet, stage.watching

    def send(self, xml: str, to: str) -> dict[str, str]:
        return self.stage.send(xml, to)


# -- messages ---------------------------------------------------------------------------------------------------------

TYPES = ("normal", "chat", "groupchat", "headline", "error")

#: Rows of RFC 6121 §8.5.4 and some between them: Juliet's resources with their priorities; then for each address what
#: happens to each of TYPES. E: returned with an error. O: offered to offline storage, and returned if nobody keeps it.
#: S: ignored. Otherwise the resources that receive it.
#: Of type groupchat the server "MUST return an error" (§8.5.2.2.1); where nobody is there storage may take it all the
#: same, which is for an operator to decide. A normal message for a resource that is gone is not for storage: "the
#: server MUST either (a) silently ignore the stanza or (b) return an error stanza" (§8.5.3.2.1).
MESSAGES: Table = {
    "account_does_not_exist": (
        None,
        {"": "E E E S S", NOWHERE: "E E E E S"},
    ),
    "no_resources": (
        {},
        {"": "O O O S S", NOWHERE: "E O O E S"},
    ),
    "no_available_resources": (
        {"a": None},
        {"": "O O O S S", "a": "a a a a a", NOWHERE: "E O O E S"},
    ),
    "one_negative_resource": (
        {"n": -1},
        {"": "O O O S S", "n": "n n n n n", NOWHERE: "E O O E S"},
    ),
    "two_negative_resources": (
        {"n": -1, "m": -128},
        {"": "O O O S S", "m": "m m m m m", NOWHERE: "E O O E S"},
    ),
    "one_non_negative_resource": (
        {"a": 0},
        {"": "a a E a S", "a": "a a a a a", NOWHERE: "E a E E S"},
    ),
    "one_non_negative_resource_among_others": (
        {"n": -1, "u": None, "a": 3},
        {"": "a a E a S", "n": "n n n n n", "u": "u u u u u", NOWHERE: "E a E E S"},
    ),
    "several_of_equal_priority": (
        {"a": 5, "b": 5},
        {"": "ab ab E ab S", "b": "b b b b b", NOWHERE: "E ab E E S"},
    ),
    "several_of_different_priority": (
        {"a": 0, "b": 5, "c": 1, "n": -5},
        {"": "b b E abc S", "c": "c c c c c", NOWHERE: "E b E E S"},
    ),
    "two_of_the_highest_priority": (
        {"a": 7, "b": 1, "c": 7},
        {"": "ac ac E abc S", "b": "b b b b b", NOWHERE: "E ac E E S"},
    ),
}


def _address(resource: str) -> tuple[str, str]:
    """The address of that resource of Juliet's, and what to call it."""
    if not resource:
        return ACCOUNT, "bare"
    return f"{ACCOUNT}/{resource}", "full_no_match" if resource == NOWHERE else f"full_match_{resource}"


def _tests(title: str, table: Table, kinds: Sequence[str], make: Callable[[str, str, str], Test], keep: bool) -> None:
    """A class for each row of *table*, a test in it for each cell; with *keep*, for those offered to storage only."""
    for row, (resources, cells) in table.items():
        tests: dict[str, object] = {}
        for resource, outcomes in cells.items():
            to, called = _address(resource)
            for kind, outcome in zip(kinds, outcomes.split(), strict=True):
                if outcome == "O" or not keep:
                    tests[f"test_{called}__{kind}"] = make(to, kind, outcome)
        name = f"{title}_{row}{'__kept' if keep else ''}"
        if tests:
            members = {**tests, "resources": resources, "keep": keep, "__module__": __name__}
            globals()[name] = type(name, (Cells,), members)


def _message_test(to: str, kind: str, outcome: str) -> Test:
    def test(self: Cells) -> None:
        got = self.stage.send(f"<message id='s1' to='{to}' type='{kind}'><body>x</body></message>", to)
        if outcome == "S" or (outcome == "O" and self.keep):
            wanted = {}
        elif outcome in "EO":
            wanted = {"error": "service-unavailable"}
        else:
            wanted = dict.fromkeys(outcome, kind)
        self.assertEqual(got, wanted)
        self.assertEqual(len(self.stage.watching.offered), outcome == "O")

    return test


_tests("Message", MESSAGES, TYPES, _message_test, keep=False)
_tests("Message", MESSAGES, TYPES, _message_test, keep=True)


class OtherMessageTests(Delivery):
    def test_offline_storage_is_offered_the_message_for_the_account(self) -> None:
        self.arrange({}, keep=True)
        self.send(f"<message id='s1' to='{ACCOUNT}/{NOWHERE}' type='chat'><body>x</body></message>", "")
        self.assertEqual(self.watching.accounts, [JID.parse(ACCOUNT)])
        self.assertEqual(str(self.watching.offered[0].to), f"{ACCOUNT}/{NOWHERE}")

    def test_a_message_without_a_type_is_normal(self) -> None:
        self.arrange({"a": 0})
        self.assertEqual(self.send(f"<message id='s1' to='{ACCOUNT}'><body>x</body></message>", ACCOUNT), {"a": ""})

    def test_a_message_of_an_unknown_type_is_normal(self) -> None:
        # RFC 6121 §5.2.2: "… does not understand the value of the 'type' attribute provided, it MUST consider the
        # message to be of type "normal"".
        self.arrange({"a": 0})
        to = f"{ACCOUNT}/{NOWHERE}"
        self.assertEqual(self.send(f"<message id='s1' to='{to}' type='x'/>", to), {"error": "service-unavailable"})
        self.assertEqual(self.send(f"<message id='s1' to='{ACCOUNT}' type='x'/>", ACCOUNT), {"a": "x"})

    def test_a_message_without_an_address_is_for_ones_own_account(self) -> None:
        # RFC 6120 §10.3.1.
        self.arrange({})
        phone = self.world.client("romeo@example.org/phone")
        self.available(phone, 1)
        self.romeo.send("<message id='s1'><body>x</body></message>")
        phone.expect("<message from='romeo@example.org/orchard' to='romeo@example.org' id='s1'/>")
        self.romeo.nothing()

    def test_a_message_to_oneself_comes_back_as_to_anybody(self) -> None:
        self.arrange({})
        self.romeo.send("<message id='s1' to='romeo@example.org/orchard'><body>x</body></message>")
        self.romeo.expect("<message id='s1' from='romeo@example.org/orchard' to='romeo@example.org/orchard'/>")
        self.romeo.nothing()

    def test_an_address_is_compared_as_it_is_prepared(self) -> None:
        self.arrange({"a": 0})
        to = "JULIET@Example.ORG/a"
        self.assertEqual(self.send(f"<message id='s1' to='{to}'><body>x</body></message>", to), {"a": ""})

    def test_messages_of_one_sender_arrive_in_their_order(self) -> None:
        # RFC 6120 §10.1, though looking for an account that has no session takes the longer way.
        self.arrange({"a": 0})
        sent = []
        for n in range(30):
            to = ACCOUNT if n % 3 else "nobody@example.org"
            sent.append(f"<message id='m{n}' to='{to}'><body>x</body></message>")
        self.romeo.send("".join(sent))
        self.assertEqual([e.get("id") for e in self.juliet["a"].drain()], [f"m{n}" for n in range(30) if n % 3])
        self.assertEqual([e.get("id") for e in self.romeo.drain()], [f"m{n}" for n in range(0, 30, 3)])


#: Of her resources "a" and "c" are being handed what waited for them: name and priority, then for each address what
#: becomes of TYPES. Small letters: those who get it now. "+" and letters: storage, or these where nobody keeps it.
CATCHING_UP: Table = {
    "alone": (
        {"a": 0},
        {"": "+a +a E a S", "a": "+a +a +a +a a", NOWHERE: "E +a E E S"},
    ),
    "before_others": (
        {"a": 5, "b": 0},
        {"": "+a +a E ab S", "a": "+a +a +a +a a", "b": "b b b b b", NOWHERE: "E +a E E S"},
    ),
    "behind_others": (
        {"a": 0, "b": 5},
        {"": "b b E ab S", "a": "+a +a +a +a a", NOWHERE: "E b E E S"},
    ),
    "beside_others": (
        {"a": 5, "b": 5},
        {"": "ab ab E ab S", NOWHERE: "E ab E E S"},
    ),
    "both": (
        {"a": 5, "c": 5},
        {"": "+ac +ac E ac S", NOWHERE: "E +ac E E S"},
    ),
    "not_available": (
        {"a": None},
        {"": "O O O S S", NOWHERE: "E O O E S"},
    ),
}


class CatchingUpTests(Delivery):
    """RFC 6120 §10.1: what is sent later comes later, also behind what waited."""

    def check(self, keep: bool) -> None:
        for row, (resources, cells) in CATCHING_UP.items():
            self.arrange(resources, keep)
            for session in self.world.host("example.org").sessions.of("juliet"):
                session.catching_up = session.jid.resource in "ac"
            for resource, outcomes in cells.items():
                to, _ = _address(resource)
                for kind, outcome in zip(TYPES, outcomes.split(), strict=True):
                    self.stage.clear()
                    got = self.send(f"<message id='s1' to='{to}' type='{kind}'><body>x</body></message>", to)
                    stored = outcome[0] in "O+"
                    if outcome == "S" or (stored and keep):
                        wanted = {}
                    elif outcome in "EO":
                        wanted = {"error": "service-unavailable"}
                    else:
                        wanted = dict.fromkeys(outcome.removeprefix("+"), kind)
                    self.assertEqual((got, len(self.watching.offered)), (wanted, stored), (row, to, kind))

    def test_messages_are_offered_to_storage(self) -> None:
        self.check(keep=True)

    def test_what_nobody_keeps_is_delivered(self) -> None:
        self.check(keep=False)


# -- presence ---------------------------------------------------------------------------------------------------------

PRESENCES = ("available", "unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe")

#: §8.5.1, §8.5.2.1.2, §8.5.2.2.2, §8.5.3.1, §8.5.3.2.2. As above; R: for the roster (§3, §4.3).
PRESENCE: Table = {
    "account_does_not_exist": (
        None,
        {"": "S S S S S S S", NOWHERE: "S S S S S S S"},
    ),
    "no_resources": (
        {},
        {"": "S S R R R R R", NOWHERE: "S S R S S S R"},
    ),
    "no_available_resources": (
        {"a": None},
        {"": "S S R R R R R", "a": "a a R R R R R", NOWHERE: "S S R S S S R"},
    ),
    "one_negative_resource": (
        {"n": -1},
        {"": "n n R R R R R", "n": "n n R R R R R", NOWHERE: "S S R S S S R"},
    ),
    "several_resources": (
        {"a": 5, "b": 0, "n": -1, "u": None},
        {"": "abn abn R R R R R", "b": "b b R R R R R", NOWHERE: "S S R S S S R"},
    ),
}


class OtherPresenceTests(Delivery):
    def test_presence_of_type_error_is_never_answered(self) -> None:
        self.arrange({})
        for to in (ACCOUNT, f"{ACCOUNT}/{NOWHERE}", "nobody@example.org", "verona.example"):
            self.assertEqual(self.send(f"<presence id='s1' to='{to}' type='error'/>", to), {})

    def test_presence_of_type_error_reaches_the_resource_it_is_for(self) -> None:
        self.arrange({"a": 0, "b": 0})
        to = f"{ACCOUNT}/b"
        self.assertEqual(self.send(f"<presence id='s1' to='{to}' type='error'/>", to), {"b": "error"})

    def test_presence_without_an_address_goes_nowhere_where_nobody_keeps_rosters(self) -> None:
        self.arrange({"a": 0})
        self.assertEqual(self.send("<presence id='s1'/>", ""), {})


def _presence_test(to: str, kind: str, outcome: str) -> Test:
    def test(self: Cells) -> None:
        type_ = "" if kind == "available" else kind
        attribute = f" type='{type_}'" if type_ else ""
        got = self.stage.send(f"<presence id='s1' to='{to}'{attribute}/>", to)
        self.assertEqual(got, {} if outcome in "RS" else dict.fromkeys(outcome, type_))
        self.assertEqual(len(self.stage.watching.subscriptions), outcome == "R")
        self.assertEqual(self.stage.watching.accounts, [JID.parse(ACCOUNT)] if outcome == "R" else [])

    return test


_tests("Presence", PRESENCE, PRESENCES, _presence_test, keep=False)


# -- iq ---------------------------------------------------------------------------------------------------------------

#: §8.5.1, §8.5.2.1.3, §8.5.2.2.3, §8.5.3.1, §8.5.3.2.3.
IQS: Table = {
    "account_does_not_exist": (None, {"": "E E S S", NOWHERE: "E E S S"}),
    "no_resources": ({}, {"": "E E S S", NOWHERE: "E E S S"}),
    "no_available_resources": ({"a": None}, {"": "E E S S", "a": "a a a a", NOWHERE: "E E S S"}),
    "several_resources": ({"a": 5, "b": 0, "n": -1}, {"": "E E S S", "n": "n n n n", NOWHERE: "E E S S"}),
}


def _iq_test(to: str, kind: str, outcome: str) -> Test:
    def test(self: Cells) -> None:
        got = self.stage.send(f"<iq id='s1' to='{to}' type='{kind}'><query xmlns='urn:example:none'/></iq>", to)
        wanted = {"error": "service-unavailable"} if outcome == "E" else dict.fromkeys(outcome, kind)
        self.assertEqual(got, {} if outcome == "S" else wanted)

    return test


_tests("Iq", IQS, ("get", "set", "result", "error"), _iq_test, keep=False)


# -- the host itself, and others --------------------------------------------------------------------------------------


class Reception(Module):
    """Takes what is addressed to the host."""

    name = "mod_reception"

    async def on_start(self) -> None:
        self.got: list[Stanza] = []

    @hooks.local_receive_packet
    def take(self, to: JID, stanza: Stanza) -> Outcome:
        self.got.append(stanza)
        return HANDLED


class HostTests(WorldTestCase):
    """§8.4 and RFC 6120 §10.5.1, §10.5.2: the domain itself, with a resource or without."""

    def setUp(self) -> None:
        self.world = self.new_world(hosts=("example.org", "verona.example"))
        self.romeo = self.world.client("romeo@example.org/orchard")

    def refused(self, xml: str, why: str) -> None:
        self.romeo.send(xml)
        self.assertEqual(condition(self.romeo.receive()), why)
        self.romeo.nothing()

    def ignored(self, xml: str) -> None:
        self.romeo.send(xml)
        self.romeo.nothing()

    def test_a_message_to_the_host_comes_back(self) -> None:
        for to in ("example.org", "example.org/somewhere", "verona.example"):
            for kind in ("normal", "chat", "groupchat"):
                self.refused(f"<message to='{to}' type='{kind}'><body>x</body></message>", "service-unavailable")

    def test_a_headline_or_an_error_to_the_host_is_ignored(self) -> None:
        for to in ("example.org", "example.org/somewhere"):
            for kind in ("headline", "error"):
                self.ignored(f"<message to='{to}' type='{kind}'><body>x</body></message>")

    def test_presence_to_the_host_is_ignored(self) -> None:
        for to in ("example.org", "example.org/somewhere"):
            for kind in ("", "type='unavailable'", "type='subscribe'", "type='probe'", "type='error'"):
                self.ignored(f"<presence to='{to}' {kind}/>")

    def test_a_request_to_the_host_nobody_answers_is_refused(self) -> None:
        for to in ("example.org", "example.org/somewhere"):
            self.refused(f"<iq to='{to}' type='get' id='1'><q xmlns='urn:example:none'/></iq>", "service-unavailable")

    def test_an_answer_to_the_host_that_nobody_waits_for_is_ignored(self) -> None:
        for to in ("example.org", "example.org/somewhere", "romeo@example.org"):
            for kind in ("result", "error"):
                self.ignored(f"<iq to='{to}' type='{kind}' id='1'/>")

    def test_a_module_may_take_what_is_for_the_host(self) -> None:
        world = self.new_world(modules={"mod_reception": {}}, own_modules={"mod_reception": Reception})
        romeo = world.client("romeo@example.org/orchard")
        romeo.send("<message to='example.org'><body>x</body></message><presence to='example.org/x' type='probe'/>")
        romeo.nothing()
        got = world.host("example.org").module(Reception).got
        self.assertEqual([stanza.kind for stanza in got], ["message", "presence"])

    def test_another_host_of_the_server_is_no_detour(self) -> None:
        juliet = self.world.client("juliet@verona.example/balcony")
        self.romeo.send("<message to='juliet@verona.example/balcony'><body>x</body></message>")
        juliet.expect("<message from='romeo@example.org/orchard'/>")

    def test_an_account_of_one_host_is_none_of_another(self) -> None:
        self.world.register("juliet@example.org")
        self.world.client("juliet@example.org/balcony")
        to = "juliet@verona.example/balcony"
        self.refused(f"<message to='{to}'><body>x</body></message>", "service-unavailable")

    def test_a_domain_nobody_takes_cannot_be_found(self) -> None:
        # RFC 6120 §10.4.3: "the stanza error MUST be <remote-server-not-found/>".
        for to in ("elsewhere.example", "a@elsewhere.example", "a@elsewhere.example/x", "conference.example.org"):
            self.refused(f"<message to='{to}'><body>x</body></message>", "remote-server-not-found")
            self.refused(f"<iq to='{to}' type='get' id='1'><q xmlns='urn:x'/></iq>", "remote-server-not-found")
            self.refused(f"<presence to='{to}'/>", "remote-server-not-found")

    def test_what_is_for_a_domain_nobody_takes_is_not_answered_where_it_is_an_answer(self) -> None:
        self.ignored("<message to='a@elsewhere.example' type='error'/>")
        self.ignored("<presence to='a@elsewhere.example' type='error'/>")
        self.ignored("<iq to='a@elsewhere.example' type='result' id='1'/>")

    def test_an_address_that_is_none_is_refused(self) -> None:
        # RFC 6120 §8.3.3.8.
        for to in ("", "@example.org", "a@@example.org", "a@", "example.org/", "a b@example.org", "a@exa mple.org"):
            self.refused(f"<message to='{to}'><body>x</body></message>", "jid-malformed")
            self.refused(f"<presence to='{to}'/>", "jid-malformed")
            self.refused(f"<iq to='{to}' type='get' id='1'><q xmlns='urn:x'/></iq>", "jid-malformed")

    def test_an_address_that_is_none_is_ignored_where_it_is_an_answer(self) -> None:
        self.ignored("<message to='@example.org' type='error'/>")
        self.ignored("<iq to='@example.org' type='result' id='1'/>")
