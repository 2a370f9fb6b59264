"""What two people at two servers do, whatever the servers and however these found each other.

All tests of one case share the connections that their meeting opened. The last one ends it.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections import Counter

from federix.xmpp.element import Element

from .domains import DIRECT_TLS_PORT, SERVER_PORT
from .federation import Federation, Meeting
from .sockets import Connection, settled
from .talker import Talker

LINES = 20
#: One pixel, PNG.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PIXEL_ID = hashlib.sha1(PIXEL.encode()).hexdigest()
FEATURES = (
    "http://jabber.org/protocol/caps",
    "http://jabber.org/protocol/disco#info",
    "urn:xmpp:avatar:metadata+notify",
)


class Conversations:
    """Inherit these, with a fixture `met` of module scope that gives a `Meeting`."""

    def test_messages_arrive_in_both_directions_and_in_order(self, met: Meeting) -> None:
        romeo, juliet = met.romeo, met.juliet
        lines = [f"line {number} &lt; ☀" for number in range(LINES)]
        for line in lines:
            romeo.say(juliet.jid, line)
            juliet.say(romeo.jid, line)
        for hears, speaks in ((juliet, romeo), (romeo, juliet)):
            hears.expect(f"<message from='{speaks.jid}'><body>{lines[-1]}</body></message>")
            assert hears.bodies(speaks.name) == [line.replace("&lt;", "<") for line in lines[:-1]]

    def test_subscriptions_both_ways_bring_presence_and_stand_in_both_rosters(self, met: Meeting) -> None:
        romeo, juliet = met.romeo, met.juliet
        befriended(met)
        for speaks, hears in ((romeo, juliet), (juliet, romeo)):
            speaks.send("<presence><show>away</show></presence>")
            hears.expect(f"<presence type='-' from='{speaks.jid}'><show>away</show></presence>")
            speaks.send("<presence/>")
            assert _subscription(speaks, hears.name) == "both"

    def test_servers_and_clients_answer_queries_from_the_other_side(self, met: Meeting) -> None:
        romeo, juliet, pair = met.romeo, met.juliet, met.pair
        befriended(met)
        for asks, domain in ((romeo, pair.theirs.name), (juliet, pair.ours.name)):
            version = asks.request(f"<iq type='get' to='{domain}' id='*'><query xmlns='jabber:iq:version'/></iq>")
            assert version.get("type") == "result", version.to_xml()
            assert any(child.name == "version" and child.text for child in _only(version).elements())
        # Clients answer those who may see their presence; a server keeps away what others ask (RFC 6121 §8.5.3.1).
        for asks, answers in ((romeo, juliet), (juliet, romeo)):
            asks.send(f"<iq type='get' to='{answers.jid}' id='c1'><query xmlns='jabber:iq:version'/></iq>")
            answers.expect(f"<iq type='get' from='{asks.jid}' id='c1'/>")
            answers.send(
                f"<iq type='error' to='{asks.jid}' id='c1'><error type='cancel'><feature-not-implemented"
                " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
            )
            asks.expect(f"<iq type='error' from='{answers.jid}' id='c1'/>")

    def test_servers_and_clients_answer_pings_from_the_other_side(self, met: Meeting) -> None:
        romeo, juliet, pair = met.romeo, met.juliet, met.pair
        befriended(met)
        for asks, other, domain in ((romeo, juliet, pair.theirs.name), (juliet, romeo, pair.ours.name)):
            answer = asks.request(f"<iq type='get' to='{domain}' id='*'><ping xmlns='urn:xmpp:ping'/></iq>")
            assert answer.get("type") == "result", answer.to_xml()
            asks.send(f"<iq type='get' to='{other.jid}' id='p1'><ping xmlns='urn:xmpp:ping'/></iq>")
            other.expect(f"<iq type='get' from='{asks.jid}' id='p1'><ping xmlns='urn:xmpp:ping'/></iq>")
            other.send(f"<iq type='result' to='{asks.jid}' id='p1'/>")
            asks.expect(f"<iq type='result' from='{other.jid}' id='p1'/>")

    def test_the_card_of_somebody_at_the_peer_can_be_read(self, met: Meeting) -> None:
        met.juliet.request("<iq type='set' id='*'><vCard xmlns='vcard-temp'><FN>Juliet Capulet</FN></vCard></iq>")
        card = met.romeo.request(f"<iq type='get' to='{met.juliet.name}' id='*'><vCard xmlns='vcard-temp'/></iq>")
        assert [child.text for child in _only(card).elements() if child.name == "FN"] == ["Juliet Capulet"]

    def test_the_avatar_of_somebody_at_the_peer_comes_by_itself_and_can_be_fetched(self, met: Meeting) -> None:
        romeo, juliet = met.romeo, met.juliet
        befriended(met)
        # A client nobody has seen before, or nobody would ask about it: XEP-0115 §5.1.
        client = f"client of {met.pair.ours.name}"
        version = b64encode(hashlib.sha1(f"client/pc//{client}<{'<'.join(FEATURES)}<".encode()).digest()).decode()
        romeo.send(
            "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://federix.test'"
            f" ver='{version}'/></presence>"
        )
        features = "".join(f"<feature var='{feature}'/>" for feature in FEATURES)
        # Her server asks his client what it wants to know of; so may his own.
        asks = "<iq type='get'><query xmlns='http://jabber.org/protocol/disco#info' node='*'/></iq>"
        while met.pair.theirs.name not in (asked := romeo.expect(asks)).attrs["from"]:
            pass
        romeo.send(
            f"<iq type='result' to='{asked.get('from')}' id='{asked.get('id')}'>"
            f"<query xmlns='http://jabber.org/protocol/disco#info' node='https://federix.test#{version}'>"
            f"<identity category='client' type='pc' name='{client}'/>{features}</query></iq>"
        )
        # Until her server has read that, it knows nobody who wants to hear of her avatar.
        romeo.request(f"<iq type='get' to='{met.pair.theirs.name}' id='*'><ping xmlns='urn:xmpp:ping'/></iq>")
        for node, item in (
            ("data", f"<data xmlns='urn:xmpp:avatar:data'>{PIXEL}</data>"),
            (
                "metadata",
                "<metadata xmlns='urn:xmpp:avatar:metadata'>"
                f"<info bytes='70' id='{PIXEL_ID}' type='image/png' height='1' width='1'/></metadata>",
            ),
        ):
            published = juliet.request(
                "<iq type='set' id='*'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
                f"<publish node='urn:xmpp:avatar:{node}'><item id='{PIXEL_ID}'>{item}</item></publish></pubsub></iq>"
            )
            assert published.get("type") == "result", published.to_xml()
        romeo.expect(
            f"<message from='{juliet.name}'><event xmlns='http://jabber.org/protocol/pubsub#event'>"
            f"<items node='urn:xmpp:avatar:metadata'><item id='{PIXEL_ID}'/></items></event></message>"
        )
        fetched = romeo.request(
            f"<iq type='get' to='{juliet.name}' id='*'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
            f"<items node='urn:xmpp:avatar:data'><item id='{PIXEL_ID}'/></items></pubsub></iq>"
        )
        assert PIXEL in fetched.to_xml(), fetched.to_xml()

    def test_what_cannot_be_delivered_comes_back_as_an_error(self, met: Meeting) -> None:
        for asks, domain in ((met.romeo, met.pair.theirs.name), (met.juliet, met.pair.ours.name)):
            asks.send(f"<message type='chat' to='nobody@{domain}' id='e1'><body>Who's there?</body></message>")
            asks.expect(f"<message type='error' from='nobody@{domain}' id='e1'><error/></message>")
            refused = asks.request(f"<iq type='get' to='{domain}' id='*'><query xmlns='urn:nothing'/></iq>")
            assert refused.get("type") == "error", refused.to_xml()

    def test_the_operator_sees_how_the_two_servers_know_each_other(self, federation: Federation, met: Meeting) -> None:
        case, pair = met.case, met.pair
        rows = json.loads(federation.ours.ask("s2s", domain=pair.theirs.name))
        seen = {(row["direction"], row["proof"]) for row in rows if row["peer"]}
        proof = "dialback" if case.kind == "dialback" else "certificate"
        assert ("out" if case.first == "ours" else "in") in {direction for direction, _ in seen}, rows
        assert {by for _, by in seen} == {proof}, rows
        assert {row["bidi"] for row in rows} == {case.bidi}, rows
        assert all(row["tls"].startswith("TLSv1.") for row in rows), rows

    def test_federix_finds_nothing_wrong_with_the_peer_and_is_answered_its_own_ping(
        self, federation: Federation, met: Meeting
    ) -> None:
        steps = json.loads(federation.ours.ask("why_s2s", domain=met.pair.theirs.name, host=met.pair.ours.name))
        assert any(step.startswith("It answers a ping") for step in steps), steps
        assert steps[-1] == "All is well", steps
        # A certificate that is good for servers alone is good enough for Federix, and not for ejabberd.
        assert ("Dialback succeeded" in steps) == (met.case.kind in ("dialback", "servers-only")), steps

    def test_there_are_as_few_connections_as_the_two_servers_can_do_with(self, met: Meeting) -> None:
        case, ours, theirs = met.case, met.pair.ours.address, met.pair.theirs.address
        there, here = (theirs, ours) if case.first == "ours" else (ours, theirs)
        # Without bidi each server opens one for what it sends. With it, all goes over the one that was opened first;
        # but a key of dialback must be verified over another (XEP-0288), and Prosody keeps that one.
        expected = [{there: 1}] if case.bidi else [{there: 1, here: 1}]
        if case.bidi and case.kind == "dialback":
            expected.append({there: 1, here: 1})
        port = DIRECT_TLS_PORT if case.kind == "direct" else SERVER_PORT

        def as_expected(found: list[Connection]) -> bool:
            return Counter(c.address for c in found) in expected and {c.port for c in found} == {port}

        settled({ours, theirs}, as_expected)

    def test_a_room_of_the_peer_can_be_joined_and_tells_what_was_said_before(self, met: Meeting) -> None:
        romeo, juliet = met.romeo, met.juliet
        hall = f"hall@{met.pair.theirs.rooms}"
        joins = "<presence to='{}/{}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        juliet.send(joins.format(hall, "juliet"))
        juliet.expect(_present(f"{hall}/juliet", "110"))
        juliet.send(f"<message type='groupchat' to='{hall}' id='g1'><body>before he came</body></message>")
        juliet.expect(f"<message type='groupchat' from='{hall}/juliet'><body>before he came</body></message>")
        romeo.send(joins.format(hall, "romeo"))
        romeo.expect(f"<presence type='-' from='{hall}/juliet'/>")
        romeo.expect(_present(f"{hall}/romeo", "110"))
        romeo.expect(
            f"<message type='groupchat' from='{hall}/juliet'><body>before he came</body>"
            "<delay xmlns='urn:xmpp:delay'/></message>"
        )
        romeo.expect("<message type='groupchat' from='*'><subject/></message>")
        juliet.expect(f"<presence type='-' from='{hall}/romeo'/>")
        for speaks, nick in ((romeo, "romeo"), (juliet, "juliet")):
            speaks.send(f"<message type='groupchat' to='{hall}' id='g2'><body>I am {nick}</body></message>")
            for hears in (romeo, juliet):
                hears.expect(f"<message type='groupchat' from='{hall}/{nick}'><body>I am {nick}</body></message>")
        # XEP-0410: he asks himself through the room whether he is still in it.
        pinged = romeo.request(f"<iq type='get' to='{hall}/romeo' id='*'><ping xmlns='urn:xmpp:ping'/></iq>")
        assert pinged.get("type") == "result" or "service-unavailable" in pinged.to_xml(), pinged.to_xml()
        romeo.send(f"<presence type='unavailable' to='{hall}/romeo'/>")
        romeo.expect(f"<presence type='unavailable' from='{hall}/romeo'/>")
        juliet.expect(f"<presence type='unavailable' from='{hall}/romeo'/>")

    def test_who_hangs_up_is_seen_to_leave_on_the_other_side(self, met: Meeting) -> None:
        befriended(met)
        met.romeo.close()
        met.juliet.expect(f"<presence type='unavailable' from='{met.romeo.jid}'/>")


def befriended(met: Meeting) -> None:
    """Let each have the other's presence, if they do not have it yet: asked for, granted, pushed and shown."""
    romeo, juliet = met.romeo, met.juliet
    if _subscription(romeo, juliet.name) == "both":
        return
    for asks, grants, state, counter_state in ((romeo, juliet, "to", "from"), (juliet, romeo, "both", "both")):
        asks.send(f"<presence type='subscribe' to='{grants.name}'/>")
        grants.expect(f"<presence type='subscribe' from='{asks.name}'/>")
        grants.send(f"<presence type='subscribed' to='{asks.name}'/>")
        asks.expect(f"<presence type='subscribed' from='{grants.name}'/>")
        asks.expect(_pushed(grants.name, state))
        grants.expect(_pushed(asks.name, counter_state))
        asks.expect(f"<presence type='-' from='{grants.jid}'/>")


def _subscription(owner: Talker, contact: str) -> str | None:
    roster = owner.request("<iq type='get' id='*'><query xmlns='jabber:iq:roster'/></iq>")
    items = (item for query in roster.elements() for item in query.elements())
    return next((item.get("subscription") for item in items if item.get("jid") == contact), None)


def _only(iq: Element) -> Element:
    return next(iter(iq.elements()))


def _pushed(contact: str, subscription: str) -> str:
    item = f"<item jid='{contact}' subscription='{subscription}'/>"
    return f"<iq type='set'><query xmlns='jabber:iq:roster'>{item}</query></iq>"


def _present(occupant: str, status: str) -> str:
    return (
        f"<presence type='-' from='{occupant}'><x xmlns='http://jabber.org/protocol/muc#user'>"
        f"<status code='{status}'/></x></presence>"
    )
