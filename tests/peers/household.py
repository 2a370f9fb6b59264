"""People with all that accounts have, on one server, and a look at whether they have it on another."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Final
from xml.etree import ElementTree as XML
from xml.etree.ElementTree import Element

from .client import Client
from .conftest import Account, Stage

NURSE, TYBALT = "nurse@verona.example", "tybalt@verona.example"
SAID: Final = ("What man art thou?", "I take thee at thy word: é ☂ 𝄞 <&>")
WAITING: Final = ("I know not how to tell thee", "who I am: “é” & <so>", "again")
BOOKMARKS: Final = (
    "<storage xmlns='storage:bookmarks'><conference name='The &amp; Globe' jid='globe@rooms.example' autojoin='true'>"
    "<nick>Julië</nick></conference></storage>"
)
NICK: Final = (
    "<publish node='http://jabber.org/protocol/nick'><item id='current'>"
    "<nick xmlns='http://jabber.org/protocol/nick'>Julië</nick></item></publish>"
)
VCARD: Final = "<vCard xmlns='vcard-temp'><FN>Juliet Capulet</FN></vCard>"


class Person:
    """Somebody who is logged in."""

    def __init__(self, stage: Stage, account: Account) -> None:
        self.account = account
        self._client: Client = stage.enter("slixmpp_asking", account, "starttls")
        self.jid = self._client.jid

    def send(self, xml: str) -> None:
        self._client.do("send", xml=xml)

    def ask(self, kind: str, payload: str) -> Element:
        """Send an IQ to the own server; its answer, which is no error."""
        self._client.do("ask", xml=f"<iq xmlns='jabber:client' type='{kind}'>{payload}</iq>")
        answer = XML.fromstring(str(self._client.expect("answer")["xml"]))
        assert answer.get("type") == "result", XML.tostring(answer, "unicode")
        return answer

    def expect(self, kind: str, **details: object) -> None:
        self._client.expect("heard", kind=kind, **details)

    def heard(self, name: str) -> list[Element]:
        """All stanzas of that name it has heard since it came."""
        self._client.do("recount")
        texts = self._client.expect("recount")["heard"]
        assert isinstance(texts, list)
        return [stanza for stanza in map(XML.fromstring, texts) if stanza.tag == f"{{jabber:client}}{name}"]

    def leave(self) -> None:
        self._client.quit()


@dataclass(frozen=True, slots=True)
class Picture:
    """What an account has, as its client sees it."""

    contacts: frozenset[tuple[str | None, str | None, str | None, str | None, frozenset[str | None]]]
    bookmarks: str
    blocked: frozenset[str | None]

    def without_blocks(self) -> Picture:
        """The same, but nobody is blocked."""
        return replace(self, blocked=frozenset())

    def without_asking(self) -> Picture:
        """The same, but it is forgotten whom the account has asked."""
        return replace(self, contacts=frozenset((*item[:3], None, item[4]) for item in self.contacts))


class Household:
    """Juliet with some of everything, Romeo who writes to her, Paris who asked her, and Rosaline whom she asked."""

    def __init__(self, stage: Stage) -> None:
        names = ("juliet", "romeo", "paris", "rosaline")
        self.juliet, self.romeo, self.paris, self.rosaline = map(stage.account, names)

    def populate(self, stage: Stage, *, has_cards: bool) -> Picture:
        """Live there for a while; what Juliet has then. *has_cards*: the server has vCards and personal eventing."""
        people = (self.juliet, self.romeo, self.paris, self.rosaline)
        juliet, romeo, paris, rosaline = (Person(stage, each) for each in people)
        for person in (juliet, romeo, paris, rosaline):
            person.ask("get", "<query xmlns='jabber:iq:roster'/>")
            person.send("<presence/>")
            person.expect("presence", sender=person.jid)
        self._add(juliet, self.romeo.jid, "Romeo &amp; Co.", "Friends", "Montagués")
        self._add(juliet, NURSE, "The &lt;Nurse&gt;", "House")
        self._befriend(juliet, romeo)
        self._befriend(romeo, juliet)
        juliet.send(f"<presence type='subscribe' to='{self.rosaline.jid}'/>")
        rosaline.expect("presence", type="subscribe", sender=self.juliet.jid)
        paris.send(f"<presence type='subscribe' to='{self.juliet.jid}'><status>Let me see thee</status></presence>")
        juliet.expect("presence", type="subscribe", sender=self.paris.jid)
        juliet.ask("set", f"<query xmlns='jabber:iq:private'>{BOOKMARKS}</query>")
        juliet.ask("set", f"<block xmlns='urn:xmpp:blocking'><item jid='{TYBALT}'/><item jid='c.example'/></block>")
        if has_cards:
            juliet.ask("set", VCARD)
            juliet.ask("set", f"<pubsub xmlns='http://jabber.org/protocol/pubsub'>{NICK}</pubsub>")
        juliet.send(_message(self.romeo.jid, SAID[0]))
        romeo.expect("message", sender=juliet.jid)
        romeo.send(_message(self.juliet.jid, SAID[1]))
        juliet.expect("message", sender=romeo.jid)
        picture = look(juliet)
        assert len(picture.contacts) == 3
        assert picture.blocked == {TYBALT, "c.example"}
        juliet.leave()
        romeo.expect("presence", type="unavailable")
        self.left = time.time()
        for words in WAITING:
            romeo.send(_message(self.juliet.jid, words))
        romeo.ask("get", "<query xmlns='jabber:iq:roster'/>")
        for person in (romeo, paris, rosaline):
            person.leave()
        self.ended = time.time()
        return picture

    def meet(self, stage: Stage, picture: Picture, *, waits: bool, has_archive: bool) -> None:
        """All are there with their old passwords, and Juliet has what she had; *waits*: also what waited for her."""
        people = (self.juliet, self.romeo, self.paris, self.rosaline)
        juliet, romeo, paris, rosaline = (Person(stage, each) for each in people)
        found = look(juliet)
        assert found == picture, f"{found}\nis not\n{picture}"
        juliet.send("<presence/>")
        if waits:
            self._hear(juliet)
        juliet.expect("presence", type="subscribe", sender=self.paris.jid)
        rosaline.send("<presence/>")
        rosaline.expect("presence", type="subscribe", sender=self.juliet.jid)
        if has_archive:
            self._remember(juliet)
        for person in (juliet, romeo, paris, rosaline):
            person.leave()

    def _hear(self, juliet: Person) -> None:
        """What waited for Juliet reaches her, in its order, with the time it came."""
        for _ in WAITING:
            juliet.expect("message")
        juliet.ask("get", "<query xmlns='jabber:iq:roster'/>")
        heard = [each for each in juliet.heard("message") if each.get("type") == "chat"]
        assert [each.findtext("{jabber:client}body") for each in heard] == list(WAITING)
        for message in heard:
            assert str(message.get("from")).startswith(f"{self.romeo.jid}/")
            delay = message.find("{urn:xmpp:delay}delay")
            assert delay is not None
            self._came_then(str(delay.get("stamp")))

    def _remember(self, juliet: Person) -> None:
        """Juliet's archive has all that was said, in its order."""
        juliet.ask("set", "<query xmlns='urn:xmpp:mam:2'/>")
        found = [each for each in juliet.heard("message") if each.find("{urn:xmpp:mam:2}result") is not None]
        bodies = [each.findtext(".//{jabber:client}body") for each in found]
        assert bodies == [*SAID, *WAITING], bodies

    def _came_then(self, stamp: str) -> None:
        assert stamp.endswith("Z")
        at = time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S")
        assert time.gmtime(self.left - 1) <= at <= time.gmtime(self.ended + 1), stamp

    def _add(self, who: Person, contact: str, name: str, *groups: str) -> None:
        inside = "".join(f"<group>{group}</group>" for group in groups)
        item = f"<item jid='{contact}' name='{name}'>{inside}</item>"
        who.ask("set", f"<query xmlns='jabber:iq:roster'>{item}</query>")

    def _befriend(self, one: Person, other: Person) -> None:
        one.send(f"<presence type='subscribe' to='{other.account.jid}'/>")
        other.expect("presence", type="subscribe", sender=one.account.jid)
        other.send(f"<presence type='subscribed' to='{one.account.jid}'/>")
        one.expect("presence", type="subscribed", sender=other.account.jid)


def look(person: Person) -> Picture:
    """What the account has, asked of its server."""
    roster = person.ask("get", "<query xmlns='jabber:iq:roster'/>")
    private = person.ask("get", "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>")
    blocked = person.ask("get", "<blocklist xmlns='urn:xmpp:blocking'/>")
    storage = private.find(".//{storage:bookmarks}storage")
    assert storage is not None
    return Picture(
        frozenset(
            (
                item.get("jid"),
                item.get("name"),
                item.get("subscription"),
                item.get("ask"),
                frozenset(group.text for group in item),
            )
            for item in roster.iter("{jabber:iq:roster}item")
        ),
        XML.canonicalize(XML.tostring(storage, "unicode")),
        frozenset(item.get("jid") for item in blocked.iter("{urn:xmpp:blocking}item")),
    )


def _message(to: str, words: str) -> str:
    escaped = words.replace("&", "&amp;").replace("<", "&lt;")
    return f"<message to='{to}' type='chat'><body>{escaped}</body></message>"
