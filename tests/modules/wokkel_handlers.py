"""Handlers for wokkel, and modules that host them: what the tests of hosting share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.protocols.jabber.xmlstream import toResponse
from zope.interface import implementer

from federix._wokkel import data_form, disco, domish, iwokkel, jid, subprotocols, xmppim
from federix.modules.wokkel_host import HandlerModule

ECHO = "urn:example:echo"


class EchoHandler(xmppim.MessageProtocol):  # type: ignore[misc]
    """Says again what was said."""

    def onMessage(self, message: Any) -> None:
        answer = domish.Element((None, "message"))
        answer["to"], answer["from"] = message["from"], message["to"]
        answer["type"] = "chat"
        answer.addElement("body", content=str(message.body))
        self.send(answer)


@implementer(iwokkel.IDisco)
class OddHandler(subprotocols.XMPPHandler, subprotocols.IQHandlerMixin):  # type: ignore[misc]
    """Does what handlers may do, and what they should not."""

    iqHandlers = {  # noqa: RUF012
        f"/iq[@type='get']/answer[@xmlns='{ECHO}']": "onAnswer",
        f"/iq[@type='get']/later[@xmlns='{ECHO}']": "onLater",
        f"/iq[@type='get']/refuse[@xmlns='{ECHO}']": "onRefuse",
        f"/iq[@type='get']/crash[@xmlns='{ECHO}']": "onCrash",
    }

    def __init__(self) -> None:
        super().__init__()
        self.waiting: Deferred[Any] = Deferred()
        self.heard: list[Any] = []
        self.lost: list[Any] = []

    def connectionInitialized(self) -> None:
        for query in self.iqHandlers:
            self.xmlstream.addObserver(query, self.handleRequest)
        self.xmlstream.addObserver(f"/iq/raw[@xmlns='{ECHO}']", self.onRaw)
        self.xmlstream.addObserver(f"/iq/silent[@xmlns='{ECHO}']", self.heard.append)
        self.xmlstream.addObserver(f"/iq/break[@xmlns='{ECHO}']", self.onBreak)
        self.xmlstream.addObserver("/presence", self.heard.append)

    def connectionLost(self, reason: Any) -> None:
        super().connectionLost(reason)
        self.lost.append(reason.value)

    def onAnswer(self, iq: Any) -> Any:
        return domish.Element((ECHO, "answered"))

    def onLater(self, iq: Any) -> Any:
        return self.waiting

    def onRefuse(self, iq: Any) -> None:
        raise StanzaError("forbidden", text="not today")

    def onCrash(self, iq: Any) -> None:
        raise KeyError("crash")

    def onRaw(self, iq: Any) -> None:
        """Answers, and forgets to say that it did."""
        self.xmlstream.send(toResponse(iq, "result"))

    def onBreak(self, iq: Any) -> None:
        raise KeyError("break")

    def getDiscoInfo(self, requestor: Any, target: Any, nodeIdentifier: str = "") -> Any:
        if nodeIdentifier:
            return succeed([disco.DiscoFeature(f"{ECHO}#{nodeIdentifier}")] if nodeIdentifier == "room" else [])
        form = data_form.Form("result", formNamespace=ECHO)
        form.addField(data_form.Field(var="size", value="3"))
        return [disco.DiscoIdentity("automation", "echo", "An echo"), disco.DiscoFeature(ECHO), form]

    def getDiscoItems(self, requestor: Any, target: Any, nodeIdentifier: str = "") -> Any:
        return succeed([] if nodeIdentifier else [disco.DiscoItem(jid.JID("room.example.org"), "room", "A room")])


class Unable(subprotocols.XMPPHandler):  # type: ignore[misc]
    """Cannot begin."""

    def connectionInitialized(self) -> None:
        raise KeyError("begin")


class NoHandler:
    """Provides nothing."""


class Hosting(HandlerModule):
    """As somebody would write it."""

    name = "mod_hosting"

    def make_handlers(self) -> Iterable[Any]:
        self.odd = OddHandler()
        return [EchoHandler(), self.odd]


class Failing(HandlerModule):
    name = "mod_failing"

    def make_handlers(self) -> Iterable[Any]:
        return [object()]


def message_from(sender: str) -> Any:
    """A message to romeo."""
    message = domish.Element((None, "message"))
    message["from"], message["to"] = sender, "romeo@example.org/orchard"
    message.addElement("body", content="hello")
    return message


def with_question(iq: Any) -> Any:
    """The same, asking something."""
    iq.addElement((ECHO, "question"))
    return iq
