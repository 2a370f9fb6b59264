"""RFC 6120 §8.3.3.8: who writes to what is no address is told, whatever modules look at the answer."""

from __future__ import annotations

from federix.modules import MODULES
from federix.testing import Client
from tests.core.support import WorldTestCase

#: What a client has asked for before, each of which has some module look closer at what it is sent.
WISHES = (
    "",
    "<iq type='set' id='w'><block xmlns='urn:xmpp:blocking'><item jid='x@example.net'/></block></iq>",
    "<iq type='set' id='w'><enable xmlns='urn:xmpp:carbons:2'/></iq>",
    "<inactive xmlns='urn:xmpp:csi:0'/>",
    "<enable xmlns='urn:xmpp:sm:3' resume='true'/>",
)
SAID = {
    "message": "<message to='{to}' type='chat' id='m'><body>hark</body></message>",
    "presence": "<presence to='{to}' id='m'/>",
    "iq": "<iq to='{to}' type='get' id='m'><query xmlns='jabber:iq:version'/></iq>",
}
WRONG = ("juliet@", "@example.org", "juliet@example.org/", "a b@example.org")


class MalformedTests(WorldTestCase):
    def test_each_kind_of_stanza_is_answered_whatever_the_client_has_asked_for(self) -> None:
        modules = {name: {} for name in MODULES if name not in ("mod_wokkel", "mod_wokkel_handler")}
        for wish in WISHES:
            world = self.new_world(modules=modules)
            other = world.client("romeo@example.org/other")
            other.send(WISHES[2] + "<presence/>")
            romeo = world.client("romeo@example.org/orchard")
            romeo.send(wish + "<presence/>")
            for kind, said in SAID.items():
                for to in WRONG:
                    with self.subTest(wish=wish, kind=kind, to=to):
                        self.assertEqual(self.answer(romeo, said.format(to=to)), (kind, to, "jid-malformed"))

    def answer(self, client: Client, said: str) -> tuple[str, str | None, str]:
        client.drain()
        client.send(said)
        answers = [element for element in client.drain() if element.get("type") == "error"]
        self.assertEqual(len(answers), 1)
        (condition,) = (each.name for each in answers[0].first().elements() if each.name != "text")
        return answers[0].name, answers[0].get("from"), condition
