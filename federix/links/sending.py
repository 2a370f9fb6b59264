"""What becomes of a client's message when nothing speaks against it: its archive notes it, and it goes on its way.

The stream is read on meanwhile (`core/intake.py`). A message that is sent again, by a client that does not know whether
it arrived, is known again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from twisted.internet.defer import Deferred

from ..core import hooks
from ..core.passage import Keeping, Passage, fingerprint, unclaimed, with_id
from ..core.session import Session
from ..core.settled import Mark
from ..xmpp.errors import StanzaError
from ..xmpp.jid import JID
from ..xmpp.stanza import Message, Stanza

#: Microseconds for which a message is known again, and how many of those that an account sent last.
KNOWN_FOR: Final = 24 * 3600 * 1_000_000
MOST_KNOWN: Final = 256


def send_message(session: Session, message: Message, to: JID, mark: Mark | None) -> Awaitable[None] | None:
    """Send *message* on its way, which came with that *mark*. A `Keeping` where that takes time."""
    host, intake = session.host, session.intake
    recipient = to.bare
    before = intake.latest(recipient)
    router = host.server.router
    try:
        if before is None:
            if host.archive is None and not host.chains.of(hooks.user_accepted_message):
                going = router.route(message)
            else:
                going = _go(session, message, to, None, mark)
        elif before.placed:
            going = _go(session, message, to, before, mark)
        else:
            going = _behind(before, lambda: _go(session, message, to, None, mark))
    except StanzaError as error:
        going = router.bounce(message, error)
    if going is None:
        return None
    keeping = going if isinstance(going, Keeping) else Keeping.of(router.guarded(message, going), host.scope)
    if not keeping.called:
        intake.fly(recipient, keeping)
    return keeping


def send_behind(session: Session, stanza: Stanza, to: JID, before: Keeping) -> Keeping:
    """Send what is no message when *before*, which goes to the same recipient, is settled."""
    router = session.host.server.router
    keeping = Keeping.of(_behind(before, lambda: router.route(stanza)), session.host.scope)
    if not keeping.called:
        session.intake.fly(to.bare, keeping)
    return keeping


async def _behind(before: Keeping, go: Callable[[], Awaitable[None] | None]) -> None:
    await before
    going = go()
    if going is not None:
        await going


def _go(
    session: Session, message: Message, to: JID, before: Keeping | None, mark: Mark | None
) -> Awaitable[None] | None:
    host = session.host
    passage = Passage(host.server, before, mark)
    account = session.jid.bare
    archive = host.archive
    if archive is not None:
        message = unclaimed(message, account)
    if host.chains.of(hooks.user_accepted_message):
        passage.accepted = lambda id_: hooks.user_accepted_message.run(
            host.chains, session, message if id_ is None else with_id(message, account, id_)
        )
    if archive is None:
        return host.server.router.send(message, passage)
    wanted = archive.wants(account, to.bare, message, True)
    if not isinstance(wanted, bool):
        return _go_later(session, message, to, passage, wanted)
    return _note(session, message, to, passage) if wanted else host.server.router.send(message, passage)


async def _go_later(session: Session, message: Message, to: JID, passage: Passage, wanted: Awaitable[bool]) -> None:
    send = session.host.server.router.send
    going = _note(session, message, to, passage) if await wanted else send(message, passage)
    if going is not None:
        await going


def _note(session: Session, message: Message, to: JID, passage: Passage) -> Awaitable[None] | None:
    """The sender's archive keeps it, unless it has it."""
    said = fingerprint(message, session.jid)
    if not said:
        return _send(session, message, to, passage, said)
    on_their_way = session.host.on_their_way
    key = (session.jid.local, said)
    if key in on_their_way:
        return _when_known(session, message, to, passage, said)
    going = _look_up_and_send(session, message, to, passage, said)
    if going is None:
        return None
    waiting: list[Deferred[None]] = []
    on_their_way[key] = waiting

    def landed(_: object = None) -> None:
        del on_their_way[key]
        for other in waiting:
            other.callback(None)

    if isinstance(going, Keeping):
        if going.called:
            landed()
        else:
            going.addCallback(landed)
        return going
    return _until(going, landed)


async def _until(going: Awaitable[None], landed: Callable[[], None]) -> None:
    try:
        await going
    finally:
        landed()


async def _when_known(session: Session, message: Message, to: JID, passage: Passage, said: str) -> None:
    """The same message is on its way, from a session before this one: what became of it is known when it is settled."""
    key = (session.jid.local, said)
    while (waiting := session.host.on_their_way.get(key)) is not None:
        settled: Deferred[None] = Deferred()
        waiting.append(settled)
        await settled
    session.intake.known = None
    going = _note(session, message, to, passage)
    if going is not None:
        await going


def _look_up_and_send(
    session: Session, message: Message, to: JID, passage: Passage, said: str
) -> Awaitable[None] | None:
    if session.intake.known is None:
        return _look_up(session, message, to, passage, said)
    return _send(session, message, to, passage, said)


async def _look_up(session: Session, message: Message, to: JID, passage: Passage, said: str) -> None:
    server, account = session.host.server, session.jid.bare
    since = int(server.now() * 1_000_000) - KNOWN_FOR
    session.intake.known = await server.storage.archives.fingerprints(account.text, since, MOST_KNOWN)
    going = _send(session, message, to, passage, said)
    if going is not None:
        await going


def _send(session: Session, message: Message, to: JID, passage: Passage, said: str) -> Awaitable[None] | None:
    server, account, known = session.host.server, session.jid.bare, session.intake.known
    passage.known = known.get(said) if known else None
    passage.count = partial(session.intake.counted, account)
    if passage.known is not None and passage.known >= server.first_archive_id:
        # It was kept and delivered by this very server.
        passage.accepted = None
        return passage.go(message, lambda _: None)
    passage.note(account, to, message, sent=True, fingerprint=said)
    return server.router.send(message, passage)
