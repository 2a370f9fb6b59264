"""Visits that go wrong: connections lost at every stage, wrong passwords, bad XML, forged senders, silence."""

from __future__ import annotations

import ssl
from typing import Final

from bench.names import DOMAIN, HEADER
from federix.xmpp import ns

from . import people
from .client import Wrong, context
from .login import Manner, authenticate
from .server import MAX_STANZA
from .visit import Visit, with_account


async def drop_at_once(visit: Visit) -> None:
    await visit.abandon(await visit.connect())


async def drop_in_header(visit: Visit) -> None:
    client = await visit.connect()
    client.send(HEADER[: visit.random.randrange(1, len(HEADER))])
    await visit.abandon(client)


async def drop_after_header(visit: Visit) -> None:
    client = await visit.connect()
    if visit.random.random() < 0.5:
        client.send(HEADER)
    else:
        await client.open()
    await visit.abandon(client)


async def drop_in_handshake(visit: Visit) -> None:
    """After half a ClientHello, or with something that is none."""
    client = await visit.connect()
    await client.open()
    client.send(f"<starttls xmlns='{ns.TLS}'/>")
    await client.next("proceed")
    if visit.random.random() < 0.3:
        client.send(b"GET / HTTP/1.0\r\n\r\n" * 4)
        await client.ended()
        return
    hello = _client_hello()
    client.send(hello[: visit.random.randrange(1, len(hello) + 1)])
    await visit.abandon(client)


async def drop_after_handshake(visit: Visit) -> None:
    client = await visit.secured(visit.random.choice(("starttls", "tls")))
    await visit.abandon(client)


async def drop_in_login(visit: Visit) -> None:
    """After the challenge."""
    client = await visit.secured(Manner.any(visit.random).security)
    client.send(f"<auth xmlns='{ns.SASL}' mechanism='SCRAM-SHA-256'>biwsbj12MSxyPWFiYw==</auth>")
    if visit.random.random() < 0.7:
        await client.next("challenge")
    await visit.abandon(client)


@with_account
async def drop_in_stanza(visit: Visit, name: str) -> None:
    client = await visit.log_in(name)
    if visit.random.random() < 0.5:
        client.send("<presence/>")
    stanza = f"<message to='{people.bare('r0')}' type='chat' id='half'><body>{'x' * 10_000}</body></message>"
    client.send(stanza[: visit.random.randrange(1, len(stanza) - 1)])
    await visit.abandon(client)


async def say_nothing(visit: Visit) -> None:
    """Be silent, at one stage or another, until the server has enough of it."""
    client = await visit.connect()
    match visit.random.randrange(3):
        case 0:
            pass
        case 1:
            await client.open()
        case _:
            await client.open()
            client.send(f"<starttls xmlns='{ns.TLS}'/>")
            await client.next("proceed")
            await client.ended()  # it cannot say a stream error in the middle of a handshake
            return
    await client.ended("connection-timeout", "policy-violation")


@with_account
async def wrong_password(visit: Visit, name: str) -> None:
    manner = Manner.any(visit.random)
    client = await visit.secured(manner.security)
    for _ in range(visit.random.randint(1, 2)):
        refused = await authenticate(client, name, "not the password", manner.mechanism)
        if refused != "not-authorized":
            raise Wrong(f"{name} with a wrong password: {refused}")
    await visit.go(client)


async def unknown_user(visit: Visit) -> None:
    manner = Manner.any(visit.random)
    client = await visit.secured(manner.security)
    refused = await authenticate(client, f"nobody{visit.number}", people.PASSWORD, manner.mechanism)
    if refused != "not-authorized":
        raise Wrong(f"nobody{visit.number} logs in: {refused}")
    await visit.go(client)


async def odd_login(visit: Visit) -> None:
    """Logins that break the rules of SASL."""
    text, conditions = visit.random.choice(
        (
            ("<auth xmlns='{0}' mechanism='X-NONE'>AA==</auth>", {"invalid-mechanism"}),
            ("<auth xmlns='{0}' mechanism='SCRAM-SHA-256'>!?</auth>", {"incorrect-encoding"}),
            ("<auth xmlns='{0}' mechanism='SCRAM-SHA-256'>AAAA</auth>", {"malformed-request", "not-authorized"}),
        )
    )
    client = await visit.secured("none")
    client.send(text.format(ns.SASL))
    failure = await client.next("failure")
    child = failure.first()
    if child is None or child.name not in conditions:
        raise Wrong(f"{conditions} due, not {failure.to_xml()}")
    await visit.go(client)


_XML_ERRORS: Final = ("not-well-formed", "restricted-xml", "invalid-xml", "bad-format")
_BAD_XML: Final[tuple[tuple[str | bytes, tuple[str, ...]], ...]] = (
    ("<message><body></message>", _XML_ERRORS),
    ("<message to='a' to='b'/>", _XML_ERRORS),
    (b"<message><body>\xff\xfe</body></message>", (*_XML_ERRORS, "unsupported-encoding")),
    ("<!-- comment -->", _XML_ERRORS),
    ("<?php echo ?>", _XML_ERRORS),
    ("<message><body>&nothing;</body></message>", _XML_ERRORS),
    ("<x:message/>", (*_XML_ERRORS, "bad-namespace-prefix")),
    ("some text", (*_XML_ERRORS, "bad-format")),
    ("<unknown/>", ("unsupported-stanza-type", "not-authorized")),
    ("<message xmlns='urn:other'/>", ("unsupported-stanza-type", "not-authorized", "invalid-namespace")),
    ("<message>" + "<a>" * 100, ("policy-violation",)),
    ("<message " + " ".join(f"a{n}=''" for n in range(200)) + "/>", ("policy-violation",)),
)


@with_account
async def bad_xml(visit: Visit, name: str) -> None:
    """After the login, or before."""
    text, conditions = visit.random.choice(_BAD_XML)
    if visit.random.random() < 0.7:
        client = await visit.log_in(name)
        client.send("<presence/>")
    else:
        client = await visit.secured(Manner.any(visit.random).security)
        conditions = (*conditions, "not-authorized", "policy-violation")
    client.send(text)
    try:
        await client.ended(*conditions)
    except Wrong as wrong:
        raise Wrong(f"{wrong} (sent: {text[:60]!r})") from None


@with_account
async def oversized(visit: Visit, name: str) -> None:
    """A stanza that is larger than allowed."""
    client = await visit.log_in(name)
    client.send(f"<message to='{people.bare('r0')}'><body>{'x' * (MAX_STANZA + 1000)}</body></message>")
    # The reset that follows may overtake the error where it is still being written to.
    await client.ended("policy-violation", None)


@with_account
async def forged_sender(visit: Visit, name: str) -> None:
    client = await visit.log_in(name)
    client.send(f"<message from='{people.full('r1')}' to='{people.full('r2')}'><body>1 false</body></message>")
    await client.ended("invalid-from")


async def wrong_host(visit: Visit) -> None:
    client = await visit.connect()
    client.send(HEADER.replace(DOMAIN.encode(), b"elsewhere.example"))
    await client.ended("host-unknown")


def _client_hello() -> bytes:
    out = ssl.MemoryBIO()
    try:
        context().wrap_bio(ssl.MemoryBIO(), out, server_hostname=DOMAIN).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()
