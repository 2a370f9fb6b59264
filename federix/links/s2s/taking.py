"""What a peer sends over a link: a stanza is taken for a pair that the stream is authorised for, checked, handed on.

Each is counted as settled (XEP-0198): at once where it ends here, and by its lane where it is handed on.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, NoReturn

from ...core import hooks
from ...core.chain import Handled
from ...xmpp.errors import StanzaError, StreamCondition, StreamError
from ...xmpp.jid import JID
from ...xmpp.stanza import IQ, Message, Stanza

if TYPE_CHECKING:
    from .link import Link


def take(link: Link, stanza: Stanza) -> Awaitable[None] | None:
    """A stanza from the peer: RFC 6120 §8.1.1.2, §8.1.2.2."""
    try:
        to, sender = stanza.to, stanza.sender
    except StanzaError as error:
        raise StreamError(StreamCondition.IMPROPER_ADDRESSING, error.text) from None
    if to is None or sender is None:
        raise StreamError(StreamCondition.IMPROPER_ADDRESSING, "a stanza between servers has 'from' and 'to'")
    remote = link.accepts.get((to.domain, sender.domain))  # type: ignore[call-overload]
    federation = link.federation
    is_known = remote is not None and not federation.serves(sender.domain)
    if isinstance(stanza, IQ) and (is_known or link.has_asked(stanza)):
        tell = federation.answered(stanza, to, sender)
        if tell is not None:
            # Counted first: who hears of it may close the stream, and that tells what is settled.
            link.received_count += 1
            _settled_at_once(link)
            tell()
            return None
    if remote is None or not is_known:
        _refuse(link, to.domain, sender.domain)
    link.received_count += 1
    if not between_servers(stanza, to, sender):
        link.active = link.heard
    host = federation.host_of(to.domain)
    if host is None or not host.chains.of_kind(hooks.s2s_receive_packet, stanza):
        return _hand_on(link, stanza, to, sender)
    try:
        outcome = hooks.s2s_receive_packet.run(host.chains, remote, stanza)
    except StanzaError as error:
        _settled_at_once(link)
        return federation.router.bounce(stanza, error)
    if isinstance(outcome, Handled):
        _settled_at_once(link)
        return None
    if isinstance(outcome, Stanza):
        return _hand_on(link, outcome, to, sender)
    return _take_later(link, stanza, outcome, to, sender)


async def _take_later(link: Link, stanza: Stanza, waiting: Awaitable[Stanza | Handled], to: JID, sender: JID) -> None:
    routing: Awaitable[None] | None = None
    try:
        outcome = await waiting
    except StanzaError as error:
        _settled_at_once(link)
        routing = link.federation.router.bounce(stanza, error)
    else:
        if isinstance(outcome, Stanza):
            routing = _hand_on(link, outcome, to, sender)
        else:
            _settled_at_once(link)
    if routing is not None:
        await routing


def _hand_on(link: Link, stanza: Stanza, to: JID, sender: JID) -> Awaitable[None] | None:
    settled = link.settled
    if settled is None or not isinstance(stanza, Message):
        return link.lanes.take(stanza, to)
    # The peer counts: what it does not know to have arrived when the stream breaks it sends again over another.
    return link.lanes.take(stanza, to, link.federation.recent.take(stanza, sender, settled))


def _settled_at_once(link: Link) -> None:
    if link.settled is not None:
        link.settled.at_once()


def _refuse(link: Link, local: str, remote: str) -> NoReturn:
    """A stanza for a pair that the peer has not been authorised for."""
    if not link.authorised:
        raise StreamError(StreamCondition.NOT_AUTHORIZED)
    if link.federation.serves(remote):
        raise StreamError(StreamCondition.INVALID_FROM, f"{remote} is served here")
    if not any(domains.remote == remote for domains in link.accepts):
        # RFC 6120 §4.9.3.9: "a 'from' attribute does not match … [a] validated domain as negotiated".
        raise StreamError(StreamCondition.INVALID_FROM, f"{remote} has not been authorised here")
    if not link.federation.serves(local):
        raise StreamError(StreamCondition.HOST_UNKNOWN, f"{local} is not served here")
    raise StreamError(StreamCondition.NOT_AUTHORIZED, f"{remote} has not been authorised to send to {local}")


def between_servers(stanza: Stanza, to: JID | None, sender: JID | None) -> bool:
    """Whether it is an iq of the servers themselves, such as a ping or its answer: a stream is not needed for that."""
    if not isinstance(stanza, IQ) or to is None or sender is None:
        return False
    return not (to.local or to.resource or sender.local or sender.resource)
