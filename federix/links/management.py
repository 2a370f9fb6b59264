"""Stream management for clients (XEP-0198): the elements a client and its server say to each other, and what they do.

Enabling and resuming are functions apart from how the stream frames them, so that a login which does either at once
(XEP-0386, XEP-0388) can call the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from ..core.host import Host
from ..core.session import Attachment, Session
from ..core.stream_management import STREAM_MANAGEMENT
from ..storage.storage import StoreError
from ..streams.feature import Facts
from ..streams.owner import State
from ..streams.stream import XmppStream
from ..xmpp import ns
from ..xmpp.element import Element
from ..xmpp.errors import Condition, StreamCondition, StreamError
from ..xmpp.jid import JID

if TYPE_CHECKING:
    from ..core.managed import Managed
    from .c2s import ClientLink

log = Logger()

#: Versions of the protocol that are spoken; they differ in nothing but their name.
NAMESPACES: Final = (ns.SM, ns.SM_2)
#: What a client says.
ELEMENTS: Final = frozenset(product(NAMESPACES, ("enable", "resume", "r", "a")))
#: How often one stream may ask in vain for a session to be resumed.
MOST_ATTEMPTS: Final = 10
#: Seconds that a client which resumes its session waits for what it sent before to be settled.
SETTLED_IN: Final = 5.0
#: An unsignedInt, as XML Schema has it; and a positiveInteger that is of any use here.
_NUMBER: Final = re.compile(r"\s*\+?0*([0-9]{1,10})\s*", re.ASCII)
#: Names that we gave are shorter.
_MOST_ID: Final = 200
#: With these errors a stream ends although its client did nothing against the rules: it may come back.
_FORGIVEN: Final = frozenset((StreamCondition.CONNECTION_TIMEOUT, StreamCondition.RESOURCE_CONSTRAINT))


class NotResumed(Exception):
    """There is no session to resume; *answer* says so to the client, which may bind a resource instead."""

    def __init__(self, answer: Element) -> None:
        super().__init__(answer.name)
        self.answer = answer


# -- how a stream says it ---------------------------------------------------------------------------------------------


def offer(link: ClientLink) -> Sequence[Element]:
    """§2: "the server returns … stream features … including an <sm/> element", once the client has authenticated."""
    host = link.host
    if Facts.AUTHENTICATED not in link.facts or host is None or STREAM_MANAGEMENT not in host.notes:
        return ()
    return [Element("sm", namespace) for namespace in NAMESPACES]


def said(managed: Managed, element: Element) -> bool:
    """A client whose stream is managed has said something; whether it asks, or acknowledges. Raises `StreamError`."""
    if element.ns not in NAMESPACES:
        return False
    if element.name == "r":
        managed.answer()
        return True
    if element.name != "a":
        return False
    h = _number(element.get("h"))
    if h is None:
        # §4: "An <a/> element MUST possess an 'h' attribute."
        raise StreamError(StreamCondition.BAD_FORMAT, "an <a/> needs an 'h'")
    managed.acknowledged(h)
    return True


def take(link: ClientLink, element: Element) -> Awaitable[None] | None:
    """A client says something else of stream management."""
    session, host = link.session, link.host
    managed = session.managed if session is not None else None
    if host is not None and session is None and element.name == "resume" and Facts.AUTHENTICATED in link.facts:
        # Where the module does not run, too: who comes back and looks at no features is to bind a resource instead.
        return _resume(link, host, element)
    if host is None or (managed is None and STREAM_MANAGEMENT not in host.notes):
        raise StreamError(StreamCondition.UNSUPPORTED_STANZA_TYPE)
    match element.name:
        case "enable" if session is not None:
            link.stream.send_element(enable(session, element))
            if managed is not None:
                # §3: "If a server receives a second <enable/> element it SHOULD respond with a stream error".
                raise StreamError(StreamCondition.POLICY_VIOLATION, "stream management is enabled already")
        case _:
            # §3: "The server SHALL enforce this order and return a <failed/> element".
            link.stream.send_element(failed(element.ns, Condition.UNEXPECTED_REQUEST))
    return None


async def _resume(link: ClientLink, host: Host, request: Element) -> None:
    stream = link.stream
    try:
        session = await find(host, JID(link.username, host.name), request)
    except NotResumed as refusal:
        # §5: "the server SHOULD allow the client to bind a resource at this point".
        stream.send_element(refusal.answer)
        link.not_resumed += 1
        if link.not_resumed >= MOST_ATTEMPTS:
            raise StreamError(StreamCondition.POLICY_VIOLATION, "too many sessions that are not there") from None
        return
    if stream.state is not State.OPEN:
        return
    take_over(session, stream, request)
    link.speaks_for(session)
    answer = await resumed(session, stream, request)
    if answer is not None and session.managed is not None:
        stream.send_element(answer)
        log.info("client session resumed", session=str(session.jid), peer=stream.peer)
        session.managed.go_on()


def survives(session: Session, stream: XmppStream, error: StreamError | None) -> bool:
    """Whether *session* outlives its *stream*, which has ended, with *error* or without.

    §7: "If the stream is not cleanly closed then the server SHOULD consider the stream to be unfinished … and SHOULD
    maintain the session on behalf of the client for a limited amount of time."
    """
    lost = stream.state is State.GONE if error is None else error.condition in _FORGIVEN
    if not lost and error is None and session.managed is not None:
        session.managed.finished = True
        if session.intake.known is not None:
            session.host.resending.closed(session.jid, session.host.server.archive_id())
    management = session.host.notes.get(STREAM_MANAGEMENT)
    return lost and management is not None and not session.ended and management.may_sleep(session)


def sleep(session: Session) -> None:
    """The stream of *session*, which survives it, has ended."""
    session.host.notes[STREAM_MANAGEMENT].sleep(session)


# -- what is done, whatever frames it ---------------------------------------------------------------------------------


def enable(session: Session, request: Element) -> Element:
    """Manage the stream of *session* as ``<enable/>`` asks; the answer is to be sent before anything else is."""
    management = session.host.notes.get(STREAM_MANAGEMENT)
    if session.managed is not None:
        return failed(request.ns, Condition.UNEXPECTED_REQUEST)
    if management is None:
        return failed(request.ns, Condition.FEATURE_NOT_IMPLEMENTED)
    # §3: "a boolean 'resume' attribute, which defaults to false", and "implementations MUST support both styles".
    resume = (request.get("resume") or "false").strip()
    wanted = _number(request.get("max")) if "max" in request.attrs else 0
    if resume not in ("true", "1", "false", "0") or wanted is None:
        return failed(request.ns, Condition.BAD_REQUEST)
    managed = management.manage(session, request.ns, resume=resume in ("true", "1"), wanted=wanted or None)
    if not managed.resumable:
        return Element("enabled", request.ns)
    # §5: "it MUST include a 'resume' attribute … and MUST include an 'id' attribute".
    attrs = {"id": managed.id, "max": str(int(managed.timeout)), "resume": "true"}
    return Element("enabled", request.ns, attrs=attrs)


async def find(host: Host, account: JID, request: Element) -> Session:
    """The session of *account* that ``<resume/>`` names. Raises `NotResumed`."""
    previd, h = request.get("previd"), _number(request.get("h"))
    management = host.notes.get(STREAM_MANAGEMENT)
    if management is None:
        raise NotResumed(failed(request.ns, Condition.FEATURE_NOT_IMPLEMENTED))
    if not previd or h is None:
        raise NotResumed(failed(request.ns, Condition.BAD_REQUEST))
    session = management.find(account, previd)
    if session is not None:
        return session
    handled = None
    if len(previd) <= _MOST_ID:
        try:
            handled = await management.memory.recall(account, previd)
        except StoreError:
            log.failure("could not look for a session that is over")
    # §5: if the server "does not support session resumption, it MUST return a <failed/> element, which SHOULD include
    # an error condition of <feature-not-implemented/>"; if it "does not recognize the 'previd' …, it MUST return a
    # <failed/> element, which SHOULD include an error condition of <item-not-found/>", and where it timed out it "MAY
    # also include a 'h' attribute".
    condition = Condition.ITEM_NOT_FOUND if management.resumes else Condition.FEATURE_NOT_IMPLEMENTED
    raise NotResumed(failed(request.ns, condition, handled))


def take_over(session: Session, attachment: Attachment, request: Element) -> None:
    """Have *session* speak through *attachment*, and nothing more through its old stream.

    Nothing is sent to it until `Managed.go_on`. Raises `StreamError` where the client says that it has what was never
    sent; the session stays as it was then.
    """
    managed, h = session.managed, _number(request.get("h"))
    assert managed is not None and h is not None
    managed.check(h)
    managed.wake(attachment, h)


async def resumed(session: Session, attachment: Attachment, request: Element) -> Element | None:
    """What the client is told: how much of what it sent has arrived. The rest it sends again.

    ``None`` where *session* is over meanwhile, or has lost *attachment*: nobody is told, and all counts on.
    """
    intake = session.intake
    await intake.settled(session.host.scope, SETTLED_IN)
    if session.ended or session.attachment is not attachment:
        return None
    # §5: it "MUST include a 'previd' attribute … and MUST also include an 'h' attribute".
    attrs = {"previd": request.get("previd"), "h": str(intake.resume())}
    return Element("resumed", request.ns, attrs=attrs)


def failed(namespace: str, condition: Condition, handled: int | None = None) -> Element:
    """§6: ``<failed/>`` with a condition, "which MUST be one of the stanza error conditions defined in RFC 6120"."""
    attrs = {"h": None if handled is None else str(handled)}
    return Element("failed", namespace, Element(condition.tag, ns.STANZA_ERROR), attrs=attrs)


def _number(text: str | None) -> int | None:
    """What an unsignedInt says; ``None`` where it is none."""
    match = _NUMBER.fullmatch(text or "")
    number = int(match[1]) if match else None
    return number if number is not None and number < 1 << 32 else None
