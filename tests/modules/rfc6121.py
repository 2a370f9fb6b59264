"""The tables of RFC 6121 appendix A, typed out once more, and somebody elsewhere to talk to."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from federix.api import Contact, Element, Presence, RosterItem, Stanza
from federix.testing import Client, World
from federix.testing.match import mismatch, parse

ROMEO, MERCUTIO = "romeo@example.org", "mercutio@remote.example"
REQUEST: Final = f"<presence xmlns='jabber:client' from='{MERCUTIO}' to='{ROMEO}' type='subscribe'/>".encode()

NONE, NONE_OUT, NONE_IN, NONE_OUT_IN = "None", "None + Pending Out", "None + Pending In", "None + Pending Out+In"
TO, TO_IN, FROM, FROM_OUT, BOTH = "To", "To + Pending In", "From", "From + Pending Out", "Both"

#: subscription, ask, and whether a request waits.
STATES: Final[dict[str, tuple[Any, bool, bool]]] = {
    NONE: ("none", False, False),
    NONE_OUT: ("none", True, False),
    NONE_IN: ("none", False, True),
    NONE_OUT_IN: ("none", True, True),
    TO: ("to", False, False),
    TO_IN: ("to", False, True),
    FROM: ("from", False, False),
    FROM_OUT: ("from", True, False),
    BOTH: ("both", False, False),
}
#: States in which the contact sees the user's presence.
SEEN: Final = (FROM, FROM_OUT, BOTH)
#: "pre-approval [1]" in table 4.
APPROVED: Final = "pre-approval"


class Row(NamedTuple):
    """Whether the stanza goes on, and the new state; ``None``: no state change."""

    passes: bool
    new: str | None = None
    reply: str | None = None


#: A.2, tables 2 to 5.
OUTBOUND: Final[dict[str, dict[str, Row]]] = {
    "subscribe": {
        NONE: Row(True, NONE_OUT),
        NONE_OUT: Row(True),
        NONE_IN: Row(True, NONE_OUT_IN),
        NONE_OUT_IN: Row(True),
        TO: Row(True),
        TO_IN: Row(True),
        FROM: Row(True, FROM_OUT),
        FROM_OUT: Row(True),
        BOTH: Row(True),
    },
    "unsubscribe": {
        NONE: Row(True),
        NONE_OUT: Row(True, NONE),
        NONE_IN: Row(True),
        NONE_OUT_IN: Row(True, NONE_IN),
        TO: Row(True, NONE),
        TO_IN: Row(True, NONE_IN),
        FROM: Row(True),
        FROM_OUT: Row(True, FROM),
        BOTH: Row(True, FROM),
    },
    "subscribed": {
        NONE: Row(False, APPROVED),
        NONE_OUT: Row(False, APPROVED),
        NONE_IN: Row(True, FROM),
        NONE_OUT_IN: Row(True, FROM_OUT),
        TO: Row(False, APPROVED),
        TO_IN: Row(True, BOTH),
        FROM: Row(False),
        FROM_OUT: Row(False),
        BOTH: Row(False),
    },
    "unsubscribed": {
        NONE: Row(False),
        NONE_OUT: Row(False),
        NONE_IN: Row(True, NONE),
        NONE_OUT_IN: Row(True, NONE_OUT),
        TO: Row(False),
        TO_IN: Row(True, TO),
        FROM: Row(True, NONE),
        FROM_OUT: Row(True, NONE_OUT),
        BOTH: Row(True, TO),
    },
}

#: A.3, tables 6 to 9.
INBOUND: Final[dict[str, dict[str, Row]]] = {
    "subscribe": {
        NONE: Row(True, NONE_IN),
        NONE_OUT: Row(True, NONE_OUT_IN),
        NONE_IN: Row(False),
        NONE_OUT_IN: Row(False),
        TO: Row(True, TO_IN),
        TO_IN: Row(False),
        FROM: Row(False, reply="subscribed"),
        FROM_OUT: Row(False, reply="subscribed"),
        BOTH: Row(False, reply="subscribed"),
    },
    "unsubscribe": {
        NONE: Row(False),
        NONE_OUT: Row(False),
        # "[1] Server SHOULD auto-reply", but here it would tell strangers that there is such an account.
        NONE_IN: Row(True, NONE),
        NONE_OUT_IN: Row(True, NONE_OUT),
        TO: Row(False),
        TO_IN: Row(True, TO),
        FROM: Row(True, NONE, "unsubscribed"),
        FROM_OUT: Row(True, NONE_OUT, "unsubscribed"),
        BOTH: Row(True, TO, "unsubscribed"),
    },
    "subscribed": {
        NONE: Row(False),
        NONE_OUT: Row(True, TO),
        NONE_IN: Row(False),
        NONE_OUT_IN: Row(True, TO_IN),
        TO: Row(False),
        TO_IN: Row(False),
        FROM: Row(False),
        FROM_OUT: Row(True, BOTH),
        BOTH: Row(False),
    },
    "unsubscribed": {
        NONE: Row(False),
        NONE_OUT: Row(True, NONE),
        NONE_IN: Row(False),
        NONE_OUT_IN: Row(True, NONE_IN),
        TO: Row(True, NONE),
        TO_IN: Row(True, NONE_IN),
        FROM: Row(False),
        FROM_OUT: Row(True, FROM),
        BOTH: Row(True, FROM),
    },
}


def contact_in(state: str, contact: str = MERCUTIO, *, approved: bool = False) -> Contact:
    """What is kept of a contact in that state, with an item in the roster."""
    subscription, ask, waits = STATES[state]
    item = RosterItem(contact, subscription=subscription, ask=ask, approved=approved)
    return Contact(item, REQUEST if waits else None)


def state_of(contact: Contact) -> str:
    """The name of the state; whoever is in no roster is in "None", or in "None + Pending In"."""
    item = contact.item or RosterItem("")
    facts = (item.subscription, item.ask, contact.request is not None)
    return next(name for name, state in STATES.items() if state == facts)


def method_name(*parts: str) -> str:
    """A test's name."""
    words = " ".join(parts).lower()
    return "test_" + "".join(letter if letter.isalnum() else "_" for letter in words).replace("___", "_")


class Elsewhere:
    """A server that others reach through the router, and that only listens."""

    def __init__(self, world: World, domain: str = "remote.example") -> None:
        self.world = world
        self.got: list[Element] = []
        world.server.router.register(domain, self)

    def deliver(self, stanza: Stanza) -> None:
        self.got.append(stanza.element)

    def expect(self, *patterns: str) -> None:
        """Just these have come, in this order."""
        got, self.got = self.got, []
        texts = [element.to_xml("jabber:client") for element in got]
        if len(got) != len(patterns):
            raise AssertionError(f"{len(patterns)} stanzas were to come, and came {texts}")
        for pattern, element in zip(patterns, got, strict=True):
            problem = mismatch(parse(pattern), element)
            if problem is not None:
                raise AssertionError(f"{element.to_xml('jabber:client')} is not {pattern}: {problem}")

    def send(self, xml: str) -> None:
        """Have a presence from here come in."""
        self.world.run(_route(self.world, Presence(parse(xml))))

    def send_later(self, xml: str) -> None:
        """Have it come in, and not wait until it is dealt with."""
        self.world.server.scope.spawn(_route(self.world, Presence(parse(xml))))


async def _route(world: World, stanza: Stanza) -> None:
    waiting = world.server.router.route(stanza)
    if waiting is not None:
        await waiting


def keep(world: World, owner: str, contact: str, kept: Contact) -> None:
    """Have *owner* know *contact* so. To be used before *owner* has logged in."""
    world.run(world.server.storage.rosters.transition(owner, contact, lambda _: kept))


def kept(world: World, owner: str, contact: str) -> Contact:
    """What is kept of the contact."""
    result: Contact = world.run(world.server.storage.rosters.transition(owner, contact, lambda known: known)).after
    return result


def befriend(world: World, one: str, other: str) -> None:
    """Have both see each other; before they log in."""
    for owner, contact in ((one, other), (other, one)):
        keep(world, owner, contact, Contact(RosterItem(contact, subscription="both")))


def ask_for_roster(client: Client, ver: str | None = None) -> Element:
    """The answer to a roster get."""
    attribute = "" if ver is None else f" ver='{ver}'"
    return client.request(f"<iq type='get' id='{client.new_id()}'><query xmlns='jabber:iq:roster'{attribute}/></iq>")


def set_item(client: Client, items: str) -> Element:
    """The answer to a roster set."""
    return client.request(f"<iq type='set' id='{client.new_id()}'><query xmlns='jabber:iq:roster'>{items}</query></iq>")


def arrive(world: World, jid: str, *, interested: bool = True, presence: str | None = "<presence/>") -> Client:
    """A client that is logged in, has its roster and is available; what it heard on the way is forgotten."""
    client = world.client(jid)
    if interested:
        ask_for_roster(client)
    if presence is not None:
        client.send(presence)
    client.drain()
    return client
