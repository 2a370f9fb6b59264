"""What a stanza goes through that a bound client sends: stamped, checked, offered to the modules, routed."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from ..core import hooks
from ..core.chain import Handled
from ..core.host import Host
from ..core.iq import check_iq
from ..core.session import Session
from ..core.settled import Mark
from ..xmpp import ns
from ..xmpp.errors import Condition, StanzaError, StreamCondition, StreamError
from ..xmpp.stanza import IQ, Message, Presence, Stanza
from .sending import send_behind, send_message

_BINDING: Final = frozenset(((ns.BIND, "bind"), (ns.SESSION, "session")))


def submit(session: Session, stanza: Stanza, lang: str | None) -> Awaitable[None] | None:
    """Send *stanza* on its way; the next one of this session waits for what is returned, if anything is.

    *lang* is the language of its stream. Raises `StreamError` (invalid-from); what else is wrong goes back as an error.
    """
    if "from" in stanza.element.attrs:
        _check_from(session, stanza)
    host = session.host
    mark = session.intake.arrive() if isinstance(stanza, Message) else None
    stanza.stamp(session.jid, lang)
    try:
        # Whoever comes next may read the address: it is known here to be one, or the stanza goes back.
        to = stanza.to
        if isinstance(stanza, IQ):
            check_iq(stanza)
            if (to is None or to == host.jid) and _is_about_binding(stanza):
                return _bind_again(host, stanza)
            if to is None:
                # RFC 6120 §8.1.1.1, §10.3.3: without 'to' it is for the account itself.
                stanza = stanza.addressed(session.jid.bare)
        elif to is None and isinstance(stanza, Message):
            stanza = stanza.addressed(session.jid.bare)
        session.heard = host.clock.seconds()
        hooks.user_sent_packet.watch(host.chains, session, stanza)
        outcome = hooks.user_send_packet.run(host.chains, session, stanza)
    except StanzaError as error:
        return host.server.router.bounce(stanza, error, mark)
    if isinstance(outcome, Stanza):
        return _send_on(session, outcome, mark)
    if isinstance(outcome, Handled):
        return None
    return _submit_later(session, stanza, outcome, mark)


async def _submit_later(
    session: Session, stanza: Stanza, waiting: Awaitable[Stanza | Handled], mark: Mark | None
) -> None:
    routing: Awaitable[None] | None
    try:
        outcome = await waiting
    except StanzaError as error:
        routing = session.host.server.router.bounce(stanza, error, mark)
    else:
        routing = _send_on(session, outcome, mark) if isinstance(outcome, Stanza) else None
    if routing is not None:
        await routing


def _check_from(session: Session, stanza: Stanza) -> None:
    """RFC 6120 §4.9.3.9: <invalid-from/> where "a 'from' attribute does not match an authorized JID … as negotiated".

    These are the full JID and its bare one; §8.1.2.1 would let us override any other.
    """
    try:
        sender = stanza.sender
    except StanzaError:
        sender = None
    if sender != session.jid and sender != session.jid.bare:
        raise StreamError(StreamCondition.INVALID_FROM)


def _is_about_binding(iq: IQ) -> bool:
    payload = iq.payload
    return payload is not None and iq.type == "set" and (payload.ns, payload.name) in _BINDING


def _bind_again(host: Host, request: IQ) -> Awaitable[None] | None:
    """Binding opened the session: RFC 3921's own way to open one changes nothing, and a second bind is not done."""
    payload = request.payload
    if payload is not None and payload.ns == ns.BIND:
        raise StanzaError(Condition.NOT_ALLOWED, "a resource is bound already")
    return host.server.router.route(request.result())


def _send_on(session: Session, stanza: Stanza, mark: Mark | None) -> Awaitable[None] | None:
    """What has passed all checks goes its way, behind what is on the way to the same recipient already."""
    router = session.host.server.router
    to = stanza.to
    if to is None:
        # A presence is a broadcast, and no module knows to whom; the router refuses what else has lost its address.
        return None if isinstance(stanza, Presence) else router.route(stanza)
    if isinstance(stanza, Message):
        return send_message(session, stanza, to, mark)
    before = session.intake.latest(to.bare)
    return router.route(stanza) if before is None else send_behind(session, stanza, to, before)
