"""Whatever users do about each other: what storage, memory and each client know of rosters and presence agrees.

They come and go, lose connections and resume them, ask, grant, refuse, remove and block each other, on two hosts of one
server, while storage is slow or fails. When all is quiet, each client sees whom it may see, and nobody else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from federix.api import JID, Contact, Element, Module, Session, StoreError, ns
from federix.modules.blocking import Blocking
from federix.modules.directed import DIRECTED
from federix.modules.last import Last
from federix.modules.roster import Roster
from federix.modules.subscription_states import Ties
from federix.testing import Client, World
from federix.testing.login import scram_sha_1
from federix.testing.world import PASSWORD

ACCOUNTS = tuple(map(JID.parse, ("romeo@a.example", "juliet@a.example", "nurse@b.example")))
HOSTS = ("a.example", "b.example")
RESOURCES = ("x", "y")
KINDS = ("subscribe", "subscribed", "unsubscribe", "unsubscribed")
SM = f"xmlns='{ns.SM}'"
MODULES: dict[str, Any] = {"mod_roster": {}, "mod_blocking": {}, "mod_stream_mgmt": {}, "mod_last": {}}
#: What users do, as often as it stands here; what storage does; and what may leave rosters that do not agree.
STEPS = (*("come", "come", "leave", "away", "cut", "end", "direct"), *("about",) * 6, *("add", "remove", "ask"))
STORAGE = ("slow", "quick", "one", "one", "one", "fail", "heal")
BLOCKS = ("block", "unblock")
#: After so many steps all becomes quiet, and is looked at.
STEPS_TO_QUIET = 12
GET_ROSTER = "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>"
GET_BLOCKED = f"<iq type='get' id='b'><blocklist xmlns='{ns.BLOCKING}'/></iq>"


class Device:
    """One client of a user, and what it believes."""

    def __init__(self, course: Course, jid: JID) -> None:
        self.course, self.world, self.jid = course, course.world, jid
        self.client: Client | None = None
        self.key = ""
        self.begin_anew()

    def begin_anew(self) -> None:
        self.got = 0
        self.available = False
        #: The resources that are there, by account; and the roster, once it has come.
        self.there: dict[JID, set[str]] = defaultdict(set)
        self.roster: dict[str, tuple[str | None, str | None]] | None = None

    def here(self) -> Client:
        """Its connection, made where there is none: a session that is asleep goes on."""
        if self.client is not None:
            return self.client
        client = self.client = self.world.connect()
        client.open(self.jid.domain)
        scram_sha_1(client, self.jid.local, PASSWORD)
        client.open(self.jid.domain)
        if self.key:
            self.course.let_go()  # it is answered when all is settled that it has sent
            client.send(f"<resume {SM} previd='{self.key}' h='{self.got}'/>")
            if client.receive().name == "resumed":
                return client
        self.begin_anew()
        client.bind(self.jid)
        client.send(f"<enable {SM} resume='true'/>")
        self.key = client.receive().get("id") or ""
        client.send(GET_ROSTER + GET_BLOCKED)
        return client

    def gone(self) -> None:
        if self.client is not None:
            self.listen()
            self.client.cut()
            self.client = None

    def session(self) -> Session | None:
        return self.world.host(self.jid.domain).sessions.find(self.jid.local, self.jid.resource)

    def listen(self) -> None:
        for element in self.client.drain() if self.client is not None else ():
            if element.ns == ns.CLIENT:
                self.got += 1
                self.hear(element)

    def hear(self, element: Element) -> None:
        query, block = element.child(ns.ROSTER, "query"), element.child(ns.BLOCKING, "block")
        if query is not None and element.get("type") != "error":
            self.hear_roster(element, query)
        elif block is not None and element.get("type") == "set":
            # Who is blocked is not heard any more.
            for item in block.elements():
                for account, resources in self.there.items():
                    if item.get("jid") in (account.text, account.domain) and account != self.jid.bare:
                        resources.clear()
        elif element.name == "presence" and element.get("type") in (None, "unavailable"):
            self.hear_presence(JID.parse(element.get("from") or ""), element.get("type") is None)

    def hear_roster(self, element: Element, query: Element) -> None:
        if element.get("type") == "result":
            self.roster = {}
        elif self.roster is None:
            return
        for item in query.elements():
            self.roster[item.get("jid") or ""] = item.get("subscription"), item.get("ask")
            if item.get("subscription") == "remove":
                del self.roster[item.get("jid") or ""]

    def hear_presence(self, who: JID, is_there: bool) -> None:
        if is_there:
            self.there[who.bare].add(who.resource)
        elif who == self.jid:
            self.there.clear()
        elif who.resource:
            self.there[who.bare].discard(who.resource)
        else:
            self.there[who.bare].clear()


class Course:
    """What happens to all of them. Where neither storage nor blocks are in the way, rosters must agree as well."""

    def __init__(self, test: SynchronousTestCase, seed: int, *more: str) -> None:
        self.test, self.random, self.steps = test, Random(seed), (*STEPS, *more)
        self.rosters_agree = not more
        self.world = World(modules=MODULES, hosts=HOSTS)
        test.addCleanup(self.world.stop)
        for account in ACCOUNTS:
            self.world.register(account.text)
        self.devices = [Device(self, account.with_resource(r)) for account in ACCOUNTS for r in RESOURCES]
        self.held: list[Deferred[None]] = []
        self.is_slow = self.fails = False
        self.said = [f"seed {seed}"]
        self.delay(self.world.server.storage.rosters, "transition", "relations", "item", "requests", "changes")
        self.delay(self.world.server.storage.accounts, "exists")
        for host in HOSTS:
            self.delay(self.module(Blocking, host).kept, "get", "update")
            self.delay(self.module(Last, host).kept, "get")

    def module(self, cls: type[Module], host: str) -> Any:
        return self.world.host(host).module(cls)

    def delay(self, store: Any, *names: str) -> None:
        for name in names:
            self.test.patch(store, name, self.delayed(getattr(store, name)))

    def delayed(self, method: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def later(*args: object) -> object:
            if self.is_slow:
                self.held.append(Deferred())
                await self.held[-1]
            if self.fails and self.random.random() < 0.5:
                raise StoreError("it is gone")
            return await method(*args)

        return later

    def run(self, steps: int) -> None:
        for number in range(1, steps + 1):
            step, device = self.random.choice(self.steps), self.random.choice(self.devices)
            other = self.random.choice([account for account in ACCOUNTS if account != device.jid.bare])
            self.said.append(f"{step} {device.jid} {other}")
            getattr(self, step)(device, other)
            self.world.pump()
            for each in self.devices:
                each.listen()
            if number % STEPS_TO_QUIET == 0:
                self.be_quiet()
                self.check()

    # -- steps --------------------------------------------------------------------------------------------------------

    def say(self, device: Device, xml: str) -> None:
        self.said.append(f"  {xml}")
        device.here().send(xml)

    def come(self, device: Device, other: JID) -> None:
        self.say(device, "<presence/>")

    def away(self, device: Device, other: JID) -> None:
        session = device.session()
        if session is not None and session.available:
            self.say(device, "<presence><show>away</show><priority>-1</priority></presence>")

    def leave(self, device: Device, other: JID) -> None:
        self.say(device, "<presence type='unavailable'/>")

    def direct(self, device: Device, other: JID) -> None:
        self.say(device, f"<presence to='{other}'/>")

    def cut(self, device: Device, other: JID) -> None:
        device.gone()

    def end(self, device: Device, other: JID) -> None:
        if device.client is not None:
            device.client.close()
            device.gone()
            device.key = ""

    def about(self, device: Device, other: JID) -> None:
        self.say(device, f"<presence type='{self.random.choice(KINDS)}' to='{other}'/>")

    def add(self, device: Device, other: JID) -> None:
        self.set(device, f"<query xmlns='jabber:iq:roster'><item jid='{other}'/></query>")

    def remove(self, device: Device, other: JID) -> None:
        self.set(device, f"<query xmlns='jabber:iq:roster'><item jid='{other}' subscription='remove'/></query>")

    def ask(self, device: Device, other: JID) -> None:
        self.say(device, GET_ROSTER)

    def block(self, device: Device, other: JID) -> None:
        jid = self.random.choice((other.text, other.domain))
        self.set(device, f"<block xmlns='{ns.BLOCKING}'><item jid='{jid}'/></block>")

    def unblock(self, device: Device, other: JID) -> None:
        jid = self.random.choice((other.text, other.domain))
        self.set(device, f"<unblock xmlns='{ns.BLOCKING}'><item jid='{jid}'/></unblock>")

    def set(self, device: Device, payload: str) -> None:
        self.say(device, f"<iq type='set' id='s'>{payload}</iq>")

    def slow(self, device: Device, other: JID) -> None:
        self.is_slow = True

    def quick(self, device: Device, other: JID) -> None:
        self.is_slow = False
        self.let_go()

    def one(self, device: Device, other: JID) -> None:
        if self.held:
            self.held.pop(self.random.randrange(len(self.held))).callback(None)

    def fail(self, device: Device, other: JID) -> None:
        self.fails = True

    def heal(self, device: Device, other: JID) -> None:
        self.fails = False

    def let_go(self) -> None:
        while self.held:
            self.held.pop(0).callback(None)
            self.world.pump()

    # -- what must be true --------------------------------------------------------------------------------------------

    def be_quiet(self) -> None:
        """Storage is well, and some of those who are asleep are back."""
        self.said.append("quiet")
        self.is_slow = self.fails = False
        self.let_go()
        for device in self.devices:
            if device.client is None and device.key and self.random.random() < 0.5:
                device.here()
            device.listen()
            if device.client is not None and device.roster is None:
                device.client.send(GET_ROSTER + GET_BLOCKED)
        self.world.advance(1)
        for device in self.devices:
            device.listen()

    def check(self) -> None:
        rosters, run = self.world.server.storage.rosters, self.world.run
        self.contacts: dict[tuple[JID, JID], Contact] = {
            (one, other): run(rosters.transition(one.text, other.text, lambda known: known)).after
            for one in ACCOUNTS
            for other in ACCOUNTS
            if one != other
        }
        self.ties = {pair: Ties.of(contact) for pair, contact in self.contacts.items()}
        self.blocked = {account: run(self.module(Blocking, account.domain).lists.get(account)) for account in ACCOUNTS}
        for one, other in self.contacts:
            self.check_memory(one, other)
            if self.rosters_agree:
                ours, theirs = self.ties[one, other], self.ties[other, one]
                self.same((ours.sees, ours.asks), (theirs.is_seen, theirs.request is not None), "rosters", one, other)
        for device in self.devices:
            if device.client is not None:
                self.check_device(device)

    def check_memory(self, one: JID, other: JID) -> None:
        circle, ties = self.module(Roster, one.domain).contacts.circle_now(one), self.ties[one, other]
        if circle is not None:
            known = (other in circle.publishers, other in circle.subscribers, other in circle.requesters)
            self.same(known, (ties.sees, ties.is_seen, ties.request is not None), "memory", one, other)

    def check_device(self, device: Device) -> None:
        me, session = device.jid.bare, device.session()
        items = [self.contacts[me, other].item for other in ACCOUNTS if other != me]
        roster = {item.jid: (item.subscription, "subscribe" if item.ask else None) for item in items if item}
        self.same(device.roster, roster, "roster", device.jid)
        if session is None or not session.available:
            return
        for other in ACCOUNTS:
            sessions = self.world.host(other.domain).sessions
            there = {each.jid.resource for each in sessions.available(other.local)}
            if other == me:
                self.same(device.there[me], there, "own resources", device.jid)
            elif not self.blocked[me].blocks(other):
                told = {each.jid.resource for each in sessions.of(other.local) if _has_told(each, me)}
                hidden = self.blocked[other].blocks(me) or not self.ties[other, me].is_seen
                if hidden:
                    self.same(device.there[other] - told, set(), "sees too much", device.jid, other)
                elif self.ties[me, other].sees:
                    self.same(device.there[other] - told, there - told, "presence", device.jid, other)

    def same(self, got: object, wanted: object, *what: object) -> None:
        if got != wanted:
            self.test.fail("\n".join([self.said[0], *self.said[-100:], f"{what}: {got!r} is not {wanted!r}"]))


def _has_told(session: Session, who: JID) -> bool:
    directed = session.notes.get(DIRECTED)
    return directed is not None and directed.knows(who)


class CoursesTests(SynchronousTestCase):
    def test_rosters_agree(self) -> None:
        for seed in range(6):
            Course(self, seed).run(120)

    def test_while_storage_is_slow_or_fails(self) -> None:
        for seed in (*range(7), 157):
            Course(self, seed, *STORAGE).run(120)

    def test_while_they_block_each_other(self) -> None:
        for seed in (*range(7), 97):
            Course(self, seed, *STORAGE, *BLOCKS).run(120)
