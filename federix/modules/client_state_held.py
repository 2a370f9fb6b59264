"""What can wait for a client that nobody looks at, and where it waits. Pure."""

from __future__ import annotations

from typing import Final

from ..api import JID, Element, Message, Presence, Stanza, delay, ns

#: How much waits for one client, in stanzas and bytes; with one more all of it is sent.
MOST_HELD: Final = 500
MOST_BYTES: Final = 128 * 1024

#: What a stanza waits under: its sort, and whom or what it is about.
Name = tuple[str | None, ...]

#: Beside a chat state these say nothing themselves.
_ASIDE: Final = frozenset((ns.CHAT_STATES, ns.DELAY, ns.HINTS, ns.SID, ns.OCCUPANT_ID))
#: Nodes about what somebody is or does at present: of several items only the last counts. Elsewhere each item does.
_AT_PRESENT: Final = frozenset(
    (
        "http://jabber.org/protocol/activity",
        "http://jabber.org/protocol/geoloc",
        "http://jabber.org/protocol/mood",
        "http://jabber.org/protocol/nick",
        "http://jabber.org/protocol/tune",
        "urn:xmpp:avatar:metadata",
    )
)


class Held:
    """What waits for one client, in the order in which it goes when it goes."""

    __slots__ = ("_size", "_stanzas")

    def __init__(self) -> None:
        self._stanzas: dict[Name, tuple[Stanza, float, int]] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._stanzas)

    @property
    def size(self) -> int:
        """Of what waits, in bytes."""
        return self._size

    @property
    def is_full(self) -> bool:
        return len(self._stanzas) > MOST_HELD or self._size > MOST_BYTES

    def put(self, name: Name, stanza: Stanza, now: float) -> None:
        """Have *stanza* wait, in place of what has waited under that *name*."""
        before = self._stanzas.pop(name, None)
        if before is not None:
            self._size -= before[2]
        stanza = _lean(stanza)
        size = len(stanza.to_bytes())
        self._stanzas[name] = stanza, now, size
        self._size += size

    def taken(self, host: JID) -> list[Stanza]:
        """All that waits, each with since when; nothing waits any more.

        It does not say why: what the client does not acknowledge may go to others (XEP-0352 §6: "servers MUST NOT
        reveal the clients active/inactive state to other entities on the network").
        """
        stanzas, self._stanzas, self._size = self._stanzas, {}, 0
        return [stanza.appending(delay.delay(host, since)) for stanza, since, _ in stanzas.values()]


def _lean(stanza: Stanza) -> Stanza:
    """The same without its tree, which takes many times the room of its bytes, and which nobody reads any more."""
    element = stanza.element
    return type(stanza)(Element(element.name, element.ns, attrs=element.attrs), stanza.to_bytes())


def presence_name(presence: Presence) -> Name | None:
    """Availability waits for each full JID, but not what tells a client whether it is in a room itself."""
    sender = presence.element.get("from")
    if presence.type not in (None, "unavailable") or sender is None:
        return None
    room = presence.child(ns.MUC_USER, "x")
    if room is not None and any(child.name == "status" and child.get("code") == "110" for child in room.elements()):
        return None  # XEP-0045 §7.2.2, §9.1: it has entered, or was thrown out
    return "presence", sender


def chat_state_name(message: Message, account: JID) -> Name | None:
    """A message that holds a chat state (XEP-0085) and nothing else waits for each sender.

    One that the user sent from another client does not: it may tell that a conversation was read there.
    """
    element = message.element
    if message.sender is not None and message.sender.bare == account:
        received = message.child(ns.CARBONS, "received")
        forwarded = None if received is None else received.child(ns.FORWARD, "forwarded")
        original = None if forwarded is None else forwarded.child(ns.CLIENT, "message")
        if original is None:
            return None
        element = original
    if element.get("type") == "error":
        return None
    found = False
    for child in element.elements():
        if child.ns == ns.CHAT_STATES:
            found = True
        elif not _is_aside(child):
            return None
    return ("chat state", element.get("from")) if found else None


def _is_aside(child: Element) -> bool:
    if child.ns == ns.MUC_USER:
        return child.first() is None  # that it comes from an occupant, not an invitation
    return child.ns in _ASIDE or (child.name, child.ns) == ("thread", ns.CLIENT)


def event_name(message: Message, account: JID) -> Name | None:
    """What a contact publishes (XEP-0163) waits for each item, or for the node where only the last can be of interest.

    Of what the user's own other clients publish only the latter waits: with the rest they agree with each other.
    """
    sender, event = message.sender, message.child(ns.PUBSUB_EVENT, "event")
    if event is None or sender is None or sender.resource or not sender.local or message.type == "error":
        return None
    what = event.first()
    node = None if what is None else what.get("node")
    if what is None or node is None or message.child(ns.CLIENT, "body") is not None:
        return None
    if node in _AT_PRESENT:
        return "event", sender.text, node, what.name
    items = [item.get("id") for item in what.elements()]
    if sender == account or None in items:
        return None
    return "event", sender.text, node, what.name, *items
