"""The way of a component into a server (XEP-0114), for tests."""

from __future__ import annotations

from hashlib import sha1
from typing import TYPE_CHECKING

from twisted.trial.unittest import FailTest

from ..xmpp import ns
from ..xmpp.jid import JID

if TYPE_CHECKING:
    from .client import Client


def open_stream(client: Client, domain: str, attrs: str = "") -> None:
    """Send a component's stream header; the server's answer is `client.header`."""
    client.send(
        f"<?xml version='1.0'?><stream:stream xmlns='{ns.COMPONENT}' xmlns:stream='{ns.STREAMS}' to='{domain}' {attrs}>"
    )


def handshake(client: Client, password: str) -> str:
    """What a component shows that knows the password, on the stream that is open."""
    if client.header is None:
        raise FailTest("the server has not opened a stream")
    proof = sha1(f"{client.header.get('id')}{password}".encode()).hexdigest()
    return f"<handshake>{proof}</handshake>"


def log_in(client: Client, domain: str, password: str) -> None:
    """Open a stream and shake hands; what comes instead of a handshake fails."""
    open_stream(client, domain)
    client.send(handshake(client, password))
    answer = client.receive()
    if (answer.ns, answer.name) != (ns.CLIENT, "handshake"):
        raise FailTest(f"the component {domain} was refused: {answer.to_xml()}")
    client.jid = JID("", domain)
