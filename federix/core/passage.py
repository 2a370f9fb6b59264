"""The way of a message through the server: both archives note it, it is kept in one step, and then it is delivered.

A message is acknowledged only when it is kept, and its sender's stream is read on meanwhile. So the way has two halves:
up to where its place among what is kept is taken, at once and in order; and from where it is kept for good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Generator, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, fail, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..life.scope import Scope
from ..storage.archive import ArchiveRow
from ..xmpp import ns
from ..xmpp.element import Element, escape_value
from ..xmpp.errors import Condition, StanzaError
from ..xmpp.jid import JID, InvalidJID, parse
from ..xmpp.stanza import Message

if TYPE_CHECKING:
    from .host import Surroundings
    from .intake import Intake
    from .settled import Mark

log = Logger()

Deliver = Callable[[str | None], Awaitable[None] | None]
"""Delivers a message; it is given the id that both archives tell it by, if they keep it."""


class Archiver(Protocol):
    """Decides what a host's archives keep: a module that runs there."""

    @property
    def assumes_usage(self) -> bool:
        """Whether clients are expected to fetch what they missed: what is kept is not delivered a second time."""

    def wants(self, account: JID, peer: JID, message: Message, sent: bool) -> bool | Awaitable[bool]:
        """Whether *account* keeps this message to or from *peer* (bare JIDs); it has *sent* it, or receives it."""


class Keeping(Deferred[None]):
    """Fires when a message is settled: kept and delivered, or bounced. It never fails.

    Where its *place* is taken, what comes later to the same recipient may be handed on: it stays behind by itself.
    """

    def __init__(self, *, placed: bool) -> None:
        super().__init__()
        self.placed = placed
        self._task: Deferred[None] | None = None
        self._heard: list[Callable[[], object]] = []

    def then(self, heard: Callable[[], object]) -> None:
        """Call *heard* when it is settled, before all that await it; now where it is. A callback would cost thrice."""
        if self.called:
            heard()
        else:
            self._heard.append(heard)

    def __await__(self) -> Generator[Deferred[None], None, None]:
        # Who waits for it may be cancelled; others wait for it, too.
        return _after(self).__await__()

    @classmethod
    def of(cls, going: Awaitable[None], scope: Scope) -> Keeping:
        """One for a message that goes on in its own time, and no longer than *scope*."""
        keeping = cls(placed=False)
        task: Deferred[None] = ensureDeferred(going)  # type: ignore[arg-type]
        if not task.called:
            keeping._task = task
            forget = scope.add(task.cancel)
            task.addBoth(_having(forget))
        task.addBoth(keeping.end)
        return keeping

    def give_up(self) -> None:
        """Wait no longer for what goes on in its own time."""
        if self._task is not None:
            self._task.cancel()

    def end(self, result: object = None) -> None:
        """It is settled, whatever became of it."""
        self._task = None
        if isinstance(result, Failure) and not isinstance(result.value, CancelledError):
            log.failure("could not hand on a message", result)
        self.callback(None)

    def callback(self, result: Failure | None) -> None:
        for heard in self._heard:
            try:
                heard()
            except Exception:
                log.failure("could not go on after a message")
        self._heard.clear()
        super().callback(result)


def _having(forget: Callable[[], object]) -> Callable[[object], object]:
    def forgotten(result: object) -> object:
        forget()
        return result

    return forgotten


class Passage:
    """One message on its way.

    *before* is what its sender has on the way to the same recipient, *mark* what its intake knows it by.
    """

    __slots__ = ("_before", "_notes", "_server", "accepted", "delivered", "intake", "known", "mark")

    def __init__(self, server: Surroundings, before: Keeping | None = None, mark: Mark | None = None) -> None:
        self.mark = mark
        self._server = server
        self._before = before
        #: By the account whose archive is to keep it.
        self._notes: dict[str, tuple[JID, Message, bool, str]] = {}
        #: What tells how far its stream is settled when this is kept.
        self.intake: Intake | None = None
        #: Its id where the archives have it already, because it is sent again.
        self.known: int | None = None
        #: Called when it is kept.
        self.accepted: Callable[[str | None], object] | None = None
        #: Called when it is delivered, not where it is bounced.
        self.delivered: Callable[[], object] | None = None

    def note(self, owner: JID, peer: JID, message: Message, *, sent: bool, fingerprint: str = "") -> None:
        """The archive of *owner* is to keep it. Who writes to himself keeps it once."""
        if self.known is None and owner.text not in self._notes:
            self._notes[owner.text] = (peer, message, sent, fingerprint)

    def go(self, message: Message, deliver: Deliver) -> Awaitable[None] | None:
        """Keep what was noted, then *deliver*. A `Keeping` where that takes time; what fails then is bounced."""
        before, id_ = self._before, self.known
        if self._notes or (id_ is not None and self.intake is not None):
            # What is sent again is counted again, though nothing of it is kept.
            id_ = self._server.archive_id() if id_ is None else id_
            rows = [
                ArchiveRow(owner, id_, peer.bare.text, peer.resource, sent, fingerprint, copy.to_bytes(ns.CLIENT))
                for owner, (peer, copy, sent, fingerprint) in self._notes.items()
            ]
            kept: Deferred[Any] = self._keep(rows)
            if not rows:
                kept.addErrback(_untold)
        elif before is None or before.called:
            return self._deliver(id_, deliver)
        else:
            kept = succeed(None)
        keeping = Keeping(placed=True)
        # One pair, for it is the dearest part of waiting.
        kept.addCallbacks(self._go_on, self._go_back, (message, id_, deliver, keeping), errbackArgs=(message, keeping))
        return keeping

    def _go_on(self, _: object, message: Message, id_: int | None, deliver: Deliver, keeping: Keeping) -> None:
        before = self._before
        if before is None or before.called:
            self._hand_on(message, id_, deliver, keeping)
        else:
            # What was submitted first is mostly kept first, and over by now.
            before.then(partial(self._hand_on, message, id_, deliver, keeping))

    def _hand_on(self, message: Message, id_: int | None, deliver: Deliver, keeping: Keeping) -> None:
        try:
            going = self._deliver(id_, deliver)
        except Exception:
            self._return(Failure(), message, keeping)  # type: ignore[no-untyped-call]
            return
        if going is None:
            keeping.end()
        else:
            done: Deferred[None] = ensureDeferred(going)  # type: ignore[arg-type]
            done.addErrback(self._bounce, message).addBoth(keeping.end)

    def _go_back(self, failure: Failure, message: Message, keeping: Keeping) -> None:
        before = self._before
        if before is None or before.called:
            self._return(failure, message, keeping)
            return
        if self.mark is not None:
            self.mark.refuse()
        # Not earlier: what came later waits for this one alone.
        before.then(partial(self._return, failure, message, keeping))

    def _return(self, failure: Failure, message: Message, keeping: Keeping) -> None:
        maybeDeferred(self._bounce, failure, message).addBoth(keeping.end)

    def _keep(self, rows: Sequence[ArchiveRow]) -> Deferred[Any]:
        intake = self.intake
        counted = None if intake is None else intake.counted(self.mark, 0.0 if rows else self._server.now())
        if not rows and counted is None:
            return succeed(None)
        try:
            kept: Deferred[Any] = ensureDeferred(self._server.storage.archives.keep(rows, counted))  # type: ignore[arg-type]
        except StanzaError:
            if self.mark is not None and self.mark.link is not None:
                self.mark.link.lose()
            return fail()
        if self.mark is not None:
            self.mark.placed = True
        return kept

    def _deliver(self, id_: int | None, deliver: Deliver) -> Awaitable[None] | None:
        told = None if id_ is None else self._server.archive_ids.encode(id_)
        if self.accepted is not None:
            self.accepted(told)
        going = deliver(told)
        return going if self.delivered is None else telling(going, self.delivered)

    def _bounce(self, failure: Failure, message: Message) -> Deferred[None] | None:
        error = failure.value
        if self.mark is not None:
            self.mark.refuse()
        if isinstance(error, CancelledError):
            return None
        if not isinstance(error, StanzaError):
            log.failure("could not deliver", failure, kind=message.kind)
            error = StanzaError(Condition.INTERNAL_SERVER_ERROR)
        return _done(self._server.router.bounce(message, error))


def telling(going: Awaitable[None] | None, done: Callable[[], object]) -> Awaitable[None] | None:
    """*going*, and *done* is called when that has come to a good end."""
    if going is None:
        done()
        return None
    return _tell(going, done)


async def _tell(going: Awaitable[None], done: Callable[[], object]) -> None:
    await going
    done()


def _done(waiting: Awaitable[None] | None) -> Deferred[None] | None:
    return None if waiting is None else ensureDeferred(waiting)  # type: ignore[arg-type]


def _untold(failure: Failure) -> Failure | None:
    """The archives have it. That it came again could not be kept alone: that is made up for (`catching_up`)."""
    return None if isinstance(failure.value, StanzaError) else failure


def _after(before: Keeping) -> Deferred[None]:
    waiting: Deferred[None] = Deferred()

    def go_on(_: object) -> None:
        waiting.callback(None)

    before.addCallback(go_on)
    return waiting


# -- what the archives put into a message, and how they know it again -------------------------------------------------

#: Bytes of the digest that a fingerprint is.
_DIGEST: Final = 9


def with_id(message: Message, account: JID, id_: str | None) -> Message:
    """The copy for *account* of a message that is `unclaimed`, with the id its archive gave it, if it did.

    XEP-0359 §3, rule 7: "The value of the 'by' attribute MUST be the XMPP address of the entity assigning the unique
    and stable stanza ID."
    """
    if id_ is None:
        return message
    given = Element("stanza-id", ns.SID, attrs={"by": account.text, "id": id_})
    return message.appending(given, written=_given_by(account.text) + b" id='%b'/>" % id_.encode())


@lru_cache(maxsize=4096)
def _given_by(account: str) -> bytes:
    """How a stanza-id begins that the archive of *account* gives; what it is has no character to be escaped."""
    return f"<stanza-id xmlns='{ns.SID}' by='{escape_value(account)}'".encode()


def unclaimed(message: Message, account: JID) -> Message:
    """*message* without ids that claim to be given by the archive of *account*: it has given none yet.

    XEP-0359 §3, rule 2: "Stanza ID generating entities, which encounter a <stanza-id/> element where the 'by' attribute
    matches the 'by' attribute they would otherwise set, MUST delete that element even if they are not adding their own
    stanza ID."
    """
    for child in message.element.children:
        if not isinstance(child, str) and child.ns == ns.SID and _claims(child, account):
            return message.dropping(lambda child: _claims(child, account))
    return message


def has_id(message: Message, account: JID) -> bool:
    """Whether the archive of *account* has given it an id, and so keeps it."""
    return any(_claims(child, account) for child in message.element.elements())


def _claims(child: Element, account: JID) -> bool:
    if child.name != "stanza-id" or child.ns != ns.SID:
        return False
    by = child.get("by") or ""
    if by == account.text:
        return True
    try:
        # "Note that XMPP addresses are normalized": whoever compares them so is not deceived either.
        return parse(by) == account
    except InvalidJID:
        return False


def origin_id(message: Message) -> str:
    """The id that its sender gave *message* and no other (XEP-0359 §2); "" where there is none."""
    origin = message.child(ns.SID, "origin-id")
    return "" if origin is None else origin.get("id") or ""


def identity(message: Message, sender: JID) -> tuple[str, str, str] | None:
    """What the `fingerprint` of *message* is made of; nothing where it has no id."""
    given = origin_id(message)
    own = f"o {given}" if given else f"i {sender.resource} {message.id}" if message.id else ""
    if not own:
        return None
    said = message.body
    return own, message.element.get("to") or "", said if said is not None else message.element.to_xml(ns.CLIENT)


def fingerprint(message: Message, sender: JID) -> str:
    """What *message* has in common with itself sent again, and with nothing else; "" where it has no id.

    An origin-id (XEP-0359) is unique; an `id` alone only for that client, and some begin anew each time. So what the
    message says is part of it.
    """
    parts = identity(message, sender)
    if parts is None:
        return ""
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=_DIGEST).hexdigest()
