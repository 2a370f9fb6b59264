"""What residents do beside writing to each other: each asks something, and must get the right answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

from bench.names import DOMAIN
from federix.xmpp import ns

from . import people
from .client import Wrong, error_condition
from .residents import Resident

Everybody = dict[str, Resident]
Action = Callable[[Resident, Everybody, Random], Awaitable[None]]

_REFUSED_MESSAGES: Final = (
    (f"nobody-at-all@{DOMAIN}", "service-unavailable"),
    (f"nobody-at-all@{DOMAIN}/x", "service-unavailable"),
    ("@", "jid-malformed"),
    (f"a b@{DOMAIN}", "jid-malformed"),
    (f"{'x' * 1100}@{DOMAIN}", "jid-malformed"),
    (f"r1@{DOMAIN}/", "jid-malformed"),
)


async def refused_message(resident: Resident, everybody: Everybody, random: Random) -> None:
    """To nobody, to what is no address: it comes back. Who is offline finds it in the archive."""
    to, condition = random.choice(_REFUSED_MESSAGES)
    identifier = f"e{random.getrandbits(60):x}"
    error = resident.expect("error", identifier)
    resident.connected.send(f"<message to='{to}' type='chat' id='{identifier}'><body>{'? ' * 500}</body></message>")
    found = error_condition(await resident.due(error, f"the error from {to}"))
    if found != condition:
        raise Wrong(f"{resident.name}: a message to {to} gave {found}, not {condition}")


async def ask_server(resident: Resident, everybody: Everybody, random: Random) -> None:
    """Requests that every server answers."""
    name, namespace = random.choice(
        (
            ("query", ns.DISCO_INFO),
            ("query", ns.DISCO_ITEMS),
            ("ping", ns.PING),
            ("query", ns.VERSION),
            ("query", ns.LAST),
        )
    )
    await resident.connected.result("get", f"<{name} xmlns='{namespace}'/>", DOMAIN)


async def ask_time(resident: Resident, everybody: Everybody, random: Random) -> None:
    """The module for this comes and goes with the configuration."""
    answer = await resident.connected.iq("get", f"<time xmlns='{ns.TIME}'/>", DOMAIN)
    if answer.get("type") != "result" and error_condition(answer) != "service-unavailable":
        raise Wrong(f"{resident.name}: {answer.to_xml()[:300]}")


async def ask_refused(resident: Resident, everybody: Everybody, random: Random) -> None:
    """Requests that must be refused."""
    payload, to, condition = random.choice(
        (
            ("<query xmlns='urn:nothing:of:that:name'/>", DOMAIN, "service-unavailable"),
            (f"<query xmlns='{ns.LAST}'/>", people.bare(people.ABSENT), "forbidden"),
            (f"<ping xmlns='{ns.PING}'/>", f"{people.bare(people.ABSENT)}/gone", "service-unavailable"),
            (f"<query xmlns='{ns.ROSTER}'/>", people.bare(people.ABSENT), "forbidden"),
            ("<a xmlns='urn:a'/><b xmlns='urn:b'/>", DOMAIN, "bad-request"),
        )
    )
    await resident.connected.refusal("get", payload, condition, to)


async def ask_contact(resident: Resident, everybody: Everybody, random: Random) -> None:
    """A contact's client answers a ping; its account says how long it has been away."""
    other = everybody[random.choice(resident.contacts)]
    if not other.here:
        return
    other.uses += 1
    try:
        if random.random() < 0.5:
            await resident.connected.result("get", f"<ping xmlns='{ns.PING}'/>", other.jid)
        else:
            await resident.connected.result("get", f"<query xmlns='{ns.LAST}'/>", other.bare)
    finally:
        other.uses -= 1


async def keep_private(resident: Resident, everybody: Everybody, random: Random) -> None:
    """Private XML comes back as it was stored."""
    if resident.keeps_private:
        return
    resident.keeps_private = True
    try:
        name, text = f"urn:soak:{random.randrange(4)}", "x" * random.randint(1, 4000)
        note = f"<note xmlns='{name}'>{text}</note>"
        await resident.connected.result("set", f"<query xmlns='{ns.PRIVATE}'>{note}</query>")
        answer = await resident.connected.result("get", f"<query xmlns='{ns.PRIVATE}'><note xmlns='{name}'/></query>")
        query = answer.child(ns.PRIVATE, "query")
        if query is None or query.text_of(name, "note") != text:
            raise Wrong(f"{resident.name}: private XML is not what was stored: {answer.to_xml()[:300]}")
    finally:
        resident.keeps_private = False


async def change_roster(resident: Resident, everybody: Everybody, random: Random) -> None:
    """A contact is added, renamed, removed; and the names of real ones change."""
    jid = f"friend{random.randrange(10**9)}@elsewhere.example"
    for name in ("One", "Another"):
        item = f"<item jid='{jid}' name='{name}'><group>Friends</group></item>"
        await resident.connected.result("set", f"<query xmlns='{ns.ROSTER}'>{item}</query>")
    await _remove(resident, jid)


async def befriend(resident: Resident, everybody: Everybody, random: Random) -> None:
    """The whole handshake of a subscription, and its end."""
    others = [other for other in everybody.values() if other.here and not other.uses]
    other = random.choice(others) if others else resident
    if other is resident or other.name in resident.contacts or resident.uses > 1:
        return
    other.uses += 1
    # Nobody else does this with either of them meanwhile: `uses` says so.
    mutual = random.random() < 0.5
    try:
        for one, another in ((resident, other), (other, resident)) if mutual else ((resident, other),):
            asked = another.expect("subscribe", one.name)
            one.connected.send(f"<presence to='{another.bare}' type='subscribe'/>")
            await another.due(asked, f"the request of {one.name}")
            granted, seen = one.expect("subscribed", another.name), one.expect("available", another.name)
            another.connected.send(f"<presence to='{one.bare}' type='subscribed'/>")
            await one.due(granted, f"the approval of {another.name}")
            await one.due(seen, f"the presence of {another.name}")
        ended = other.expect("unavailable", resident.name) if mutual else None
        await _remove(resident, other.bare)
        if ended is not None:
            await other.due(ended, f"the end of the presence of {resident.name}")
        await _remove(other, resident.bare)
    finally:
        other.uses -= 1


async def direct_presence(resident: Resident, everybody: Everybody, random: Random) -> None:
    """Presence to somebody who is no contact, and taken back."""
    others = [other for other in everybody.values() if other.here and not other.uses]
    other = random.choice(others) if others else resident
    if other is resident or other.name in resident.contacts:
        return
    other.uses += 1
    try:
        for kind, attribute in (("available", ""), ("unavailable", " type='unavailable'")):
            seen = other.expect(kind, resident.name)
            resident.connected.send(f"<presence to='{other.jid}'{attribute}/>")
            await other.due(seen, f"directed presence ({kind}) of {resident.name}")
    finally:
        other.uses -= 1


async def _remove(resident: Resident, jid: str) -> None:
    item = f"<item jid='{jid}' subscription='remove'/>"
    await resident.connected.result("set", f"<query xmlns='{ns.ROSTER}'>{item}</query>")


#: What is done, and how often in comparison with the others.
ACTIONS: Final[dict[Action, int]] = {
    refused_message: 4,
    ask_server: 6,
    ask_time: 1,
    ask_refused: 3,
    ask_contact: 4,
    keep_private: 2,
    change_roster: 2,
    befriend: 3,
    direct_presence: 2,
}
