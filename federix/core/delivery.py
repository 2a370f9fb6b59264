"""RFC 6121 §8.5: to which of an account's resources a stanza goes. Pure: it decides, `Host` acts.

Where the RFC leaves a choice: offline storage is tried, errors are bounced, and "most available" is every resource of
the highest priority.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Final, TypeAlias

from ..xmpp.stanza import IQ, Message, Presence, Stanza
from .session import Session


class Fate(Enum):
    """What becomes of a stanza."""

    DELIVER = auto()  # to the sessions named
    OFFLINE = auto()  # to offline storage; where nobody keeps it, to the sessions named, or bounced if there are none
    BOUNCE = auto()  # service-unavailable
    IGNORE = auto()
    ANSWER = auto()  # the server answers this iq for the account
    SUBSCRIPTION = auto()  # the rules of RFC 6121 §3 and §4.3


#: A fate, and the sessions where it is to deliver.
Verdict: TypeAlias = tuple[Fate, Sequence[Session]]

#: In CPython 3.11 to find a member of an enumeration takes longer than a call.
DELIVER: Final = Fate.DELIVER
_OFFLINE: Final[Verdict] = (Fate.OFFLINE, ())
_BOUNCE: Final[Verdict] = (Fate.BOUNCE, ())
_IGNORE: Final[Verdict] = (Fate.IGNORE, ())
_ANSWER: Final[Verdict] = (Fate.ANSWER, ())
_SUBSCRIPTION: Final[Verdict] = (Fate.SUBSCRIPTION, ())

#: Presence that is about a subscription, not about availability.
SUBSCRIPTION_TYPES = frozenset(("subscribe", "subscribed", "unsubscribe", "unsubscribed"))


def decide(stanza: Stanza, resource: str, sessions: Mapping[str, Session]) -> Verdict:
    """What becomes of *stanza* for *resource* ("" for the bare JID) of an account that has *sessions*, by resource."""
    match = sessions.get(resource)
    if isinstance(stanza, Message):
        if match is None:
            return _message(stanza, resource, sessions)
        # An error is not kept; and it tells of what is acknowledged next, so it does not wait.
        return (Fate.OFFLINE if match.catching_up and stanza.type != "error" else DELIVER), (match,)
    if isinstance(stanza, Presence):
        return _presence(stanza, resource, match, sessions)
    assert isinstance(stanza, IQ)
    if not resource:
        return _ANSWER
    return (DELIVER, (match,)) if match else _BOUNCE


def nobody(stanza: Stanza, resource: str) -> Verdict:
    """What becomes of a stanza for an account that does not exist (§8.5.1)."""
    if isinstance(stanza, Presence):
        return _IGNORE
    if isinstance(stanza, Message) and (stanza.type == "error" or (stanza.type == "headline" and not resource)):
        return _IGNORE
    return _BOUNCE


def _message(stanza: Message, resource: str, sessions: Mapping[str, Session]) -> Verdict:
    """For no resource, or one that is not there."""
    kind = stanza.type
    if kind == "error":
        return _IGNORE
    if resource and kind in ("normal", "headline"):
        # §8.5.3.2.1: "the server MUST either (a) silently ignore the stanza or (b) return an error stanza": a normal
        # message is no exception, only one of type "chat" may be stored.
        return _BOUNCE
    willing = [s for s in sessions.values() if s.available and s.priority >= 0]
    if kind == "groupchat":
        # §8.5.2.1.1: "MUST NOT deliver … but instead MUST return a stanza error". Offline storage is asked nevertheless
        # where there is nobody: an operator may want such messages kept.
        return _BOUNCE if willing else _OFFLINE
    if kind == "headline":
        return (DELIVER, willing) if willing else _IGNORE
    if not willing:
        return _OFFLINE
    highest = max(s.priority for s in willing)
    chosen = [s for s in willing if s.priority == highest]
    # RFC 6120 §10.1: what was sent later arrives later, also behind what waited.
    return (Fate.OFFLINE if all(s.catching_up for s in chosen) else DELIVER), chosen


def _presence(stanza: Presence, resource: str, match: Session | None, sessions: Mapping[str, Session]) -> Verdict:
    kind = stanza.type
    if kind in SUBSCRIPTION_TYPES:
        # §8.5.3.2.2: of these only "subscribe" means something for a resource that is not there. §3.1.3 and its like
        # treat a full JID as the bare one.
        return _IGNORE if resource and match is None and kind != "subscribe" else _SUBSCRIPTION
    if kind == "probe":
        return _SUBSCRIPTION
    if resource:
        return (DELIVER, (match,)) if match else _IGNORE
    available = [s for s in sessions.values() if s.available]
    return (DELIVER, available) if available else _IGNORE
