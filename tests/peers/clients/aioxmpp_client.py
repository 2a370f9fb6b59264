"""aioxmpp as a client a test can command (see `console.py`)."""

import asyncio
import logging
import sys

import aioxmpp
import aioxmpp.connector
import aioxmpp.dispatcher
from aioxmpp.security_layer import CertificateVerifier
from OpenSSL import SSL, crypto
from service_identity.pyopenssl import verify_hostname

from tests.peers.clients.console import Login, arriving_commands, read_login, tell


class DomainVerifier(CertificateVerifier):
    """Demands a good certificate for the server's domain.

    COMPAT(aioxmpp 0.13): its own verifier needs `X509.get_extension`, which pyOpenSSL no longer has.
    """

    def verify_callback(
        self, _connection: SSL.Connection, _certificate: crypto.X509, _error: int, _depth: int, is_good: int
    ) -> bool:
        return bool(is_good)

    async def post_handshake(self, transport: asyncio.Transport) -> None:
        verify_hostname(transport.get_extra_info("ssl_object"), transport.get_extra_info("server_hostname"))


def make_client(login: Login) -> aioxmpp.PresenceManagedClient:
    """Prepare a client that trusts the test's authority alone and connects nowhere else."""

    def context() -> SSL.Context:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.load_verify_locations(str(login.authority))
        return context

    async def password(_jid: aioxmpp.JID, attempt: int) -> str | None:
        return login.password if attempt == 0 else None

    security = aioxmpp.make_security_layer(password)
    security = security._replace(ssl_context_factory=context, certificate_verifier_factory=DomainVerifier)
    kind = aioxmpp.connector.XMPPOverTLSConnector if login.is_direct_tls else aioxmpp.connector.STARTTLSConnector
    return aioxmpp.PresenceManagedClient(
        aioxmpp.JID.fromstr(login.jid),
        security,
        override_peer=[("127.0.0.1", login.port, kind())],
        max_initial_attempts=1,
    )


class Conversation:
    """Follows the test's commands with one client, and tells what that client hears."""

    def __init__(self, client: aioxmpp.PresenceManagedClient) -> None:
        self._client = client
        self._roster = client.summon(aioxmpp.RosterClient)
        self._roster.on_entry_added.connect(self._hear_item)
        self._roster.on_entry_name_changed.connect(self._hear_item)
        self._roster.on_entry_added_to_group.connect(lambda item, _group: self._hear_item(item))
        self._roster.on_subscribe.connect(lambda stanza: tell("subscribe", sender=str(stanza.from_)))
        self._roster.on_subscribed.connect(lambda stanza: tell("subscribed", sender=str(stanza.from_)))
        presence = client.summon(aioxmpp.PresenceClient)
        presence.on_available.connect(lambda jid, _stanza: tell("available", sender=str(jid)))
        presence.on_unavailable.connect(lambda jid, _stanza: tell("unavailable", sender=str(jid)))
        messages = client.summon(aioxmpp.dispatcher.SimpleMessageDispatcher)
        messages.register_callback(aioxmpp.MessageType.CHAT, None, self._hear_message)
        client.on_failure.connect(lambda reason: tell("offline", reason=str(reason)))

    async def obey(self) -> None:
        """Follow commands until the test says to quit."""
        async for command in arriving_commands():
            match command["do"]:
                case "message":
                    message = aioxmpp.Message(to=aioxmpp.JID.fromstr(command["to"]), type_=aioxmpp.MessageType.CHAT)
                    message.body[None] = command["body"]
                    await self._client.send(message)
                case "subscribe":
                    self._roster.subscribe(aioxmpp.JID.fromstr(command["to"]))
                case "approve":
                    self._roster.approve(aioxmpp.JID.fromstr(command["to"]))
                case "roster":
                    await self._roster.set_entry(
                        aioxmpp.JID.fromstr(command["contact"]), name=command["name"], add_to_groups={command["group"]}
                    )

    def _hear_message(self, message: aioxmpp.Message) -> None:
        if message.body:
            tell("message", sender=str(message.from_), body=message.body.any())

    def _hear_item(self, item: aioxmpp.roster.Item) -> None:
        group = (sorted(item.groups) or [""])[0]
        tell("roster", contact=str(item.jid), name=item.name or "", group=group)


async def main() -> None:
    client = make_client(read_login())
    conversation = Conversation(client)
    async with client.connected():
        # The server takes what we send in order: when this is answered it has our presence, and messages reach us.
        await aioxmpp.ping.ping(client, client.local_jid.replace(localpart=None, resource=None))
        tell("online", jid=str(client.local_jid))
        await conversation.obey()
    tell("offline", reason="")


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG)
    asyncio.run(main())
