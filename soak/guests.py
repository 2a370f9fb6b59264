"""Visits as they should be: each does what clients do, and leaves, politely or not."""

from __future__ import annotations

import asyncio

from bench.names import DOMAIN
from federix.xmpp import ns
from federix.xmpp.element import Element

from . import people
from .client import Ended, Wrong
from .login import authenticate
from .visit import Visit, with_account


@with_account
async def chat(visit: Visit, name: str) -> None:
    """Log in, look around, have messages answered, and go."""
    client = await visit.log_in(name)
    client.send("<presence><priority>1</priority></presence>")
    await client.result("get", f"<query xmlns='{ns.ROSTER}'/>")
    await client.result("get", f"<query xmlns='{ns.DISCO_INFO}'/>", DOMAIN)
    await client.result("get", f"<query xmlns='{ns.LAST}'/>", people.bare(name))
    for turn in range(visit.random.randint(0, 4)):
        resident = visit.anybody_here()
        if resident is None:
            break
        resident.uses += 1
        try:
            identifier, body = f"v{visit.number}-{turn}", "x" * visit.random.randint(1, 4000)
            client.send(
                f"<message to='{resident.jid}' type='chat' id='{identifier}'><body>{body}</body></message>",
            )
            answer = await client.until(_is_message)
            if answer.get("id") != identifier or answer.text_of(ns.CLIENT, "body") != body:
                raise Wrong(f"{client.jid}: the answer to {identifier} is {answer.to_xml()[:200]}")
        finally:
            resident.uses -= 1
    await visit.go(client)


@with_account
async def pipeline(visit: Visit, name: str) -> None:
    """Many requests at once; all are answered."""
    client = await visit.log_in(name)
    count = visit.random.randint(10, 100)
    await asyncio.gather(*(client.result("get", f"<ping xmlns='{ns.PING}'/>", DOMAIN) for _ in range(count)))
    await visit.go(client)


@with_account
async def directed(visit: Visit, name: str) -> None:
    """Presence to somebody who is no contact; when the visitor vanishes it is taken back."""
    client = await visit.log_in(name)
    resident = visit.anybody_here()
    if resident is not None:
        resident.uses += 1
        try:
            seen = resident.expect("available", name)
            client.send(f"<presence to='{resident.jid}'/>")
            await resident.due(seen, f"directed presence of {name}")
            gone = resident.expect("unavailable", name)
            await visit.go(client)
            await resident.due(gone, f"the end of the presence of {name}")
        finally:
            resident.uses -= 1


@with_account
async def replaced(visit: Visit, name: str) -> None:
    """Two logins to one resource: the first must go."""
    first = await visit.log_in(name)
    first.send("<presence/>")
    second = await visit.log_in(name)
    await first.ended("conflict")
    await second.result("get", f"<ping xmlns='{ns.PING}'/>")
    await visit.go(second)


@with_account
async def kicked(visit: Visit, name: str) -> None:
    """The operator ends the session."""
    client = await visit.log_in(name)
    client.send("<presence/>")
    answer = await asyncio.to_thread(
        visit.server.command, "kick_session", user=name, host=DOMAIN, resource=visit.resource, reason="soaked"
    )
    await client.ended()
    if client.condition is None:
        raise Wrong(f"{name} was kicked without a stream error ({answer})")


@with_account
async def reads_slowly(visit: Visit, name: str) -> None:
    """Messages to itself that it does not read for a while: few enough to wait, or too many."""
    client = await visit.log_in(name, receive_buffer=4096)
    assert client.transport is not None
    few = visit.random.random() < 0.7
    count = visit.random.randint(5, 30) if few else 400
    client.transport.pause_reading()
    body = "x" * 10_000
    for turn in range(count):
        client.send(f"<message to='{client.jid}' type='chat' id='{turn}'><body>{body}</body></message>")
        await asyncio.sleep(0)
    await asyncio.sleep(visit.random.uniform(0.5, 4))
    client.transport.resume_reading()
    try:
        for turn in range(count):
            answer = await client.until(_is_message)
            if answer.get("id") != str(turn):
                raise Wrong(f"{client.jid}: message {turn} is due, not {answer.get('id')}")
    except Ended:
        # Past `max_queue_size` the server may put it out.
        if few:
            raise
        return
    await visit.go(client)


async def register(visit: Visit) -> None:
    """In-band: make an account, use it, give it another password, remove it."""
    name, password = f"new{visit.number}", "a first password"
    client = await visit.secured(visit.random.choice(("starttls", "tls")))
    await client.result("get", f"<query xmlns='{ns.REGISTER}'/>")
    await client.result("set", _registration(name, password))
    client.cut()
    client = await visit.log_in(name, password)
    client.send("<presence/>")
    item = f"<item jid='{people.bare('r0')}' name='R'/>"
    await client.result("set", f"<query xmlns='{ns.ROSTER}'>{item}</query>")
    await client.result("set", f"<query xmlns='{ns.PRIVATE}'><a xmlns='urn:a'>{'x' * 1000}</a></query>")
    if visit.random.random() < 0.5:
        password = "a second password"
        await client.result("set", _registration(name, password), DOMAIN)
        client.cut()
        client = await visit.log_in(name, password)
    if visit.random.random() < 0.7:
        await client.result("set", f"<query xmlns='{ns.REGISTER}'><remove/></query>")
    else:
        await asyncio.to_thread(visit.server.command, "unregister", user=name, host=DOMAIN)
    await client.ended("not-authorized")
    client = await visit.secured("starttls")
    if await authenticate(client, name, password, "SCRAM-SHA-256") != "not-authorized":
        raise Wrong(f"{name} is removed, and logs in")
    await client.leave()


def _registration(name: str, password: str) -> str:
    return f"<query xmlns='{ns.REGISTER}'><username>{name}</username><password>{password}</password></query>"


def _is_message(element: Element) -> bool:
    return element.name == "message"
