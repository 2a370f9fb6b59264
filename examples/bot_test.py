"""A bot, and a test of it against a real server: ``pytest examples/bot_test.py``.

The fixture `federix_server` comes with Federix. The bot is written with slixmpp; any other library does as well.
"""

import asyncio

from slixmpp import ClientXMPP


class EchoBot(ClientXMPP):
    """Says again what is said to it."""

    def __init__(self, jid, password):
        super().__init__(jid, password)
        self.add_event_handler("session_start", lambda _: self.send_presence())
        self.add_event_handler("message", self.answer)

    def answer(self, message):
        if message["type"] in ("chat", "normal"):
            message.reply(f"You said: {message['body']}").send()


async def online(client, server):
    """Connect *client* to *server*, whose certificate it verifies."""
    client.ca_certs = server.ca_file
    client.enable_direct_tls = False  # on this port TLS begins after a question (STARTTLS)
    started = client.wait_until("session_start", timeout=10)
    client.connect(server.host, server.port)
    await started
    return client


async def conversation(server):
    bot = await online(EchoBot(server.register("echo", "secret"), "secret"), server)
    romeo = await online(ClientXMPP(server.register("romeo", "secret"), "secret"), server)
    answer = romeo.wait_until("message", timeout=10)
    romeo.send_message(mto=bot.boundjid.bare, mbody="hello", mtype="chat")
    said = (await answer)["body"]
    await romeo.disconnect()
    await bot.disconnect()
    return said


def test_the_bot_says_again_what_is_said_to_it(federix_server):
    assert asyncio.run(conversation(federix_server)) == "You said: hello"
