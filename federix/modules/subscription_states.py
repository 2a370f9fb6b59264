"""RFC 6121 appendix A: what a subscription stanza changes between a user and a contact. Pure: it decides nothing else.

The nine states of A.1 are four facts: whether the user sees the contact's presence ("To"), whether the contact sees
the user's ("From"), whether the user has asked for it ("Pending Out") and whether the contact has ("Pending In"). To
them comes the pre-approval of §3.4. All is told from the user's side: *outbound* is what the user sends, *inbound* what
the contact sends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from ..api import Contact, RosterItem

Kind = Literal["subscribe", "subscribed", "unsubscribe", "unsubscribed"]

_SUBSCRIPTIONS: Final[dict[tuple[bool, bool], Literal["none", "to", "from", "both"]]] = {
    (False, False): "none",
    (True, False): "to",
    (False, True): "from",
    (True, True): "both",
}


@dataclass(frozen=True, slots=True)
class Ties:
    """What is between a user and a contact."""

    #: "To" and "From".
    sees: bool = False
    is_seen: bool = False
    #: "Pending Out", and "Pending In" with the very stanza in which the contact asked.
    asks: bool = False
    request: bytes | None = None
    #: §3.4: a request of the contact is granted before it has come.
    approved: bool = False

    @classmethod
    def of(cls, known: Contact) -> Ties:
        item = known.item
        if item is None:
            return cls(request=known.request)
        sees, is_seen = item.subscription in ("to", "both"), item.subscription in ("from", "both")
        return cls(sees, is_seen, item.ask, known.request, item.approved)

    def put_into(self, known: Contact, contact: str) -> Contact:
        """*known* with these ties.

        §3.1.3: "Until and unless the contact approves the subscription request …, the contact's server MUST NOT add an
        item for the user": who has only asked gets none.
        """
        item = known.item
        if item is None and not (self.sees or self.is_seen or self.asks or self.approved):
            return Contact(None, self.request)
        subscription = _SUBSCRIPTIONS[self.sees, self.is_seen]
        item = replace(item or RosterItem(contact), subscription=subscription, ask=self.asks, approved=self.approved)
        return Contact(item, self.request)


class Step(NamedTuple):
    """What a stanza does."""

    after: Contact
    #: It goes on: to the contact (outbound), to the user's clients (inbound).
    passes: bool
    #: The answer which the server gives on the user's behalf.
    reply: Literal["subscribed", "unsubscribed"] | None = None


def outbound(kind: Kind, known: Contact, contact: str) -> Step:
    """What becomes of a stanza from the user (A.2). *contact* is the contact's bare JID."""
    ties = Ties.of(known)
    passes = True
    match kind:
        case "subscribe":  # Table 2
            ties = replace(ties, asks=not ties.sees)
        case "unsubscribe":  # Table 3
            ties = replace(ties, sees=False, asks=False)
        case "subscribed" if ties.request is not None:  # Table 4
            ties = replace(ties, is_seen=True, request=None, approved=False)
        case "subscribed":
            # §3.4.2: "MUST note the subscription pre-approval … However, the user's server MUST NOT route the presence
            # stanza"; where the contact is a subscriber already, it "MUST silently ignore the stanza".
            passes = False
            ties = replace(ties, approved=ties.approved or not ties.is_seen)
        case "unsubscribed":  # Table 5
            passes = ties.is_seen or ties.request is not None
            ties = replace(ties, is_seen=False, request=None, approved=False)
    return Step(ties.put_into(known, contact), passes)


def inbound(kind: Kind, known: Contact, contact: str, stanza: bytes) -> Step:
    """What becomes of a stanza from the contact (A.3); *stanza* is kept where it is a request that has to wait."""
    ties = Ties.of(known)
    match kind:
        case "subscribe" if ties.is_seen:  # Table 6
            # §3.1.3: "MUST auto-reply on behalf of the contact by sending a presence stanza of type 'subscribed'".
            return Step(known, False, "subscribed")
        case "subscribe" if ties.approved:
            # §3.4.2: "MUST NOT deliver … but instead MUST automatically respond"; the approval is used up by it.
            ties = replace(ties, is_seen=True, request=None, approved=False)
            return Step(ties.put_into(known, contact), False, "subscribed")
        case "subscribe" if ties.request is None:
            return Step(replace(ties, request=stanza).put_into(known, contact), True)
        case "unsubscribe" if ties.is_seen:  # Table 7
            ties = replace(ties, is_seen=False, request=None)
            return Step(ties.put_into(known, contact), True, "unsubscribed")
        case "unsubscribe" if ties.request is not None:
            # The table says that the server "SHOULD auto-reply". To who has never been approved that would tell that
            # there is such an account: of one that is not there the stanza is ignored (§8.5.1; RFC 6120 §13.11).
            return Step(replace(ties, request=None).put_into(known, contact), True)
        case "subscribed" if ties.asks:  # Table 8
            return Step(replace(ties, sees=True, asks=False).put_into(known, contact), True)
        case "unsubscribed" if ties.asks or ties.sees:  # Table 9
            return Step(replace(ties, sees=False, asks=False).put_into(known, contact), True)
    return Step(known, False)
