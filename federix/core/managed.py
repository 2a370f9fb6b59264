"""What a client is sent and has not acknowledged: the outgoing half of XEP-0198, for one session.

The stanzas wait here as bytes, from when they are sent, or would be if the client had a stream, until it says that it
has them. It is asked after `ASK_AFTER` of them, or `ASK_IN` seconds after the first, and again only when it has
answered: in a busy hour an acknowledgement is shared by many, and in a quiet one it follows while the radio is awake.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from ..xmpp import ns
from ..xmpp.delay import delay, is_delayed_by
from ..xmpp.element import Element
from ..xmpp.errors import StreamCondition, StreamError
from ..xmpp.reading import read_stanza
from ..xmpp.stanza import KINDS, Message, Stanza
from . import hooks
from .settled import MODULUS, reaches

if TYPE_CHECKING:
    from ..life.scope import Timer
    from .session import Attachment, Session
    from .stream_management import StreamManagement

log = Logger()

#: The client is asked after so many stanzas, or so many seconds after the first.
ASK_AFTER: Final = 50
ASK_IN: Final = 1.0
#: Answers that leave together at most.
MOST_ANSWERS: Final = 16
#: How much is on its way at most of what is sent again to a session that was resumed, in stanzas and bytes; the rest
#: follows as that is acknowledged.
AGAIN_STANZAS: Final = 500
AGAIN_BYTES: Final = 128 * 1024

Sent = tuple[bytes, float]
"""A stanza, and when it was first sent (seconds since 1970)."""


class Asleep:
    """In place of the stream of a session that has none: nothing is written, for it is kept elsewhere."""

    __slots__ = ("peer", "secure")

    paused = False
    waiting = 0

    def __init__(self, before: Attachment) -> None:
        self.peer = before.peer
        self.secure = before.secure

    def send(self, stanza: Stanza) -> None: ...
    def write(self, data: bytes) -> None: ...
    def write_soon(self, say: Callable[[], bytes]) -> None: ...
    def close(self, error: StreamError | None = None) -> None: ...
    def abort(self) -> None: ...


class Managed:
    """The outgoing half of a session whose client manages its stream.

    *id* is what the client may resume it by, "" where it may not; *timeout* is for how many seconds it is kept without
    a stream.
    """

    __slots__ = (
        "_acknowledged",
        "_answers",
        "_asked",
        "_asked_first",
        "_asked_last",
        "_direct",
        "_more",
        "_now",
        "_owed",
        "_session",
        "_since",
        "_tells",
        "_waking",
        "_weighed",
        "_written",
        "asleep",
        "finished",
        "id",
        "namespace",
        "queue",
        "rules",
        "timeout",
        "timer",
    )

    def __init__(self, session: Session, rules: StreamManagement, namespace: str, id: str, timeout: float) -> None:
        self._session = session
        self._now = session.host.now
        self.rules = rules
        self.namespace = namespace
        self.id = id
        self.timeout = timeout
        #: Whether it has no stream at present.
        self.asleep = False
        #: A stream has taken the place of another, and its client does not know it yet.
        self._waking = False
        #: Whether its client has closed its stream as one should: it will not come back.
        self.finished = False
        #: What was sent, or waits to be, and is not acknowledged, the oldest first; and since when.
        self.queue: list[bytes] = []
        self._since: list[float] = []
        # The bytes of it that are counted, and those that came since.
        self._weighed = self._more = 0
        #: How many the client has acknowledged in all.
        self._acknowledged = 0
        #: Whether stanzas are sent as they come: not while there is no stream, or earlier ones are still to be sent
        #: again. Then so many of those in the queue were sent over the present stream, or the last one.
        self._direct = True
        self._written = 0
        #: A question is out.
        self._asked = False
        #: When it is to ask, or must have the answer; while it sleeps, for its end.
        self.timer: Timer | None = None
        #: So many questions of the client have no answer; how many stanzas had come when the first came, and the last;
        #: and whether the answer is about to leave. Where it tells of less than the last was about, it is told again of
        #: these.
        self._answers = 0
        self._asked_first = 0
        self._asked_last = 0
        self._tells = False
        self._owed: int | None = None

    def __repr__(self) -> str:
        return f"<Managed {self._session.jid} {len(self.queue)}>"

    @property
    def resumable(self) -> bool:
        """Whether the session may outlive its stream."""
        return bool(self.id)

    @property
    def sent(self) -> int:
        """How many stanzas it was sent, or would have been, in all."""
        return self._acknowledged + len(self.queue)

    @property
    def received(self) -> int:
        """How many of these its client has acknowledged."""
        return self._acknowledged

    @property
    def crowded(self) -> bool:
        """Whether half of what may wait here does."""
        rules = self.rules
        return 2 * len(self.queue) >= rules.most_stanzas or 2 * self.size >= rules.most_bytes

    # -- sending --------------------------------------------------------------------------------------------------

    def send(self, stanza: Stanza) -> None:
        """Keep a stanza until it is acknowledged, and send it where there is a stream."""
        raw = stanza.raw
        if raw is None:
            self._send_new(stanza)
            return
        queue = self.queue
        if not queue and self._direct and not self._asked:
            self._wait(ASK_IN)
        queue.append(raw)
        self._since.append(self._now())
        self._more = more = self._more + len(raw)
        if more > self.rules.little or len(queue) >= self.rules.few:
            self._send_and_look(stanza)
        elif self._direct:
            self._session.attachment.send(stanza)

    def _send_new(self, stanza: Stanza) -> None:
        """Send one that the server has just made."""
        self.send(stanza.rendered())
        if self.id and isinstance(stanza, Message) and stanza.type == "error":
            # What its client sent has come back. It is to say soon that it knows.
            self._session.intake.refusal = self.sent
            if self._direct:
                self.ask()

    def _send_and_look(self, stanza: Stanza) -> None:
        """Send the last of the queue, unless it is too much, and ask when it is time."""
        rules, count = self.rules, len(self.queue)
        self.weigh()
        if self._weighed > rules.most_bytes or count > rules.most_stanzas:
            self.overflow()
        elif self._direct:
            self._session.attachment.send(stanza)
            if count >= ASK_AFTER and not self._asked:
                self.ask()
        if rules.held > rules.most_held:
            rules.relieve()

    @property
    def size(self) -> int:
        """The bytes of what is not acknowledged."""
        return self._weighed + self._more

    def weigh(self) -> None:
        """Count all of that with what others hold. For each stanza it would cost as much as to keep it."""
        self.rules.held += self._more
        self._weighed += self._more
        self._more = 0

    def overflow(self) -> None:
        """Too much waits for the client: the session ends, and what waits goes back to delivery."""
        session = self._session
        log.info("too much is not acknowledged: session ended", session=str(session.jid), stanzas=len(self.queue))
        session.end(StreamError(StreamCondition.POLICY_VIOLATION, "too many stanzas are not acknowledged"))

    def unacknowledged(self, most: int) -> list[Stanza]:
        """The last *most* of those that the client has not acknowledged, in their order."""
        return [read_stanza(raw) for raw in self.queue[-most:]] if most > 0 else []

    def left(self) -> list[Sent]:
        """All that the client has not acknowledged, in its order."""
        return list(zip(self.queue, self._since, strict=True))

    # -- asking ---------------------------------------------------------------------------------------------------

    def ask(self) -> None:
        """Have the client say how much it has; if it says nothing, its stream is cut."""
        if self._asked or self.asleep or self._waking:
            return
        self._asked = True
        self._session.attachment.write(f"<r xmlns='{self.namespace}'/>".encode())
        self._wait(self.rules.options.ack_timeout)

    def _wait(self, seconds: float) -> None:
        """Look after the client in so many *seconds*, and no earlier."""
        if self.asleep:
            return  # what was just written was too much for its stream; the timer is for the end of the session now
        if self.timer is None:
            self.timer = self._session.scope.later(seconds, self._look)
        else:
            self.timer.reset(seconds)

    def _look(self) -> None:
        self.timer = None
        if self._asked:
            self._unanswered()
        elif self.queue:
            self.ask()

    def _unanswered(self) -> None:
        session = self._session
        if session.attachment.paused:
            # Its answer may be among what we have not read.
            self._wait(self.rules.options.ack_timeout)
            return
        log.info("client acknowledges nothing: connection cut", session=str(session.jid))
        session.attachment.abort()

    def _rest(self) -> None:
        timer, self.timer = self.timer, None
        if timer is not None:
            timer.cancel()

    def acknowledged(self, h: int) -> None:
        """The client has so many stanzas since it began to count; raises `StreamError`."""
        self.check(h)
        self._forget(h)
        self._asked = False
        if self.asleep:
            return
        if not self._direct:
            self._write_on()
        if self._session.intake.holds:
            self.ask()  # it was asked before the error was sent
        self._wait(self.rules.options.ack_timeout if self._asked else ASK_IN)

    def check(self, h: int) -> None:
        """Whether it may have *h* of them. Raises `StreamError`."""
        written = len(self.queue) if self._direct else self._written
        count = (h - self._acknowledged) % MODULUS
        if count > written and MODULUS - count > self._acknowledged:
            # §6: "the local entity SHOULD generate an undefined-condition stream error that includes a
            # <handled-count-too-high/> element, and close the stream".
            sent = (self._acknowledged + written) % MODULUS
            raise StreamError(
                StreamCondition.UNDEFINED_CONDITION,
                f"You acknowledged {h} stanzas, but I only sent you {sent} so far.",
                Element("handled-count-too-high", ns.SM, attrs={"h": str(h), "send-count": str(sent)}),
            )

    def _forget(self, h: int) -> None:
        count = (h - self._acknowledged) % MODULUS
        queue = self.queue
        if count > len(queue):
            return  # it has said more before
        size = sum(map(len, queue[:count]))
        del queue[:count], self._since[:count]
        self.weigh()
        self._weighed -= size
        self.rules.held -= size
        self._acknowledged += count
        self._written -= count
        self._session.intake.has_errors(self._acknowledged)

    # -- answering ------------------------------------------------------------------------------------------------

    def answer(self) -> None:
        """The client asks how much of what it sent is settled.

        §4: the answer "SHOULD be sent as soon as possible … and MUST NOT be withheld for any condition other than a
        timeout". So it waits until all that had come is settled, but not long, and follows once more then. A write of
        its own would cost more than all else about it: it rides with another one if there is one in a moment.
        """
        session = self._session
        self._answers += 1
        self._asked_last = session.intake.come
        if self._answers == 1:
            self._asked_first = self._asked_last
        if self._answers >= MOST_ANSWERS:
            session.attachment.write(self._say())
        elif reaches(session.intake.handled, self._asked_first):
            self._tell()
        elif self._answers == 1:
            self.rules.late.wait(self)

    def moved(self) -> None:
        """More of what the client sent is settled."""
        self.rules.late.settled()
        wanted = self._asked_first if self._answers else self._owed
        if wanted is not None and reaches(self._session.intake.handled, wanted):
            self._answers = self._answers or 1
            self._tell()

    def last_words(self) -> bytes:
        """What is still to be said when the stream is closed."""
        return self._say()

    def answer_late(self) -> None:
        """Answer, although not all is settled that the client asked about."""
        self._session.attachment.write(self._say())

    def _tell(self) -> None:
        if not self._tells:
            self._tells = True
            self._session.attachment.write_soon(self._say)

    def _say(self) -> bytes:
        """An answer for each question; all tell what is settled now."""
        self._tells = False
        answers, self._answers = self._answers, 0
        if not answers:
            return b""  # they have left already
        self.rules.late.done(self)
        handled = self._session.intake.handled
        if self._owed is None or reaches(handled, self._owed):
            self._owed = None if reaches(handled, self._asked_last) else self._asked_last
        return f"<a xmlns='{self.namespace}' h='{handled}'/>".encode() * answers

    # -- without a stream -----------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Send nothing from now on: the stream is gone, or another takes its place."""
        if self._direct:
            self._direct = False
            self._written = len(self.queue)
        self._rest()
        self._asked = self._tells = False
        self._owed = None
        self._answers = 0
        self.rules.late.done(self)

    def sleep(self) -> None:
        """The stream is lost. What is sent from now on waits."""
        session = self._session
        self.hold()
        self._waking = False
        self.asleep = True
        session.attachment = Asleep(session.attachment)
        self.timer = session.scope.later(self.timeout, self._expired)
        log.info("client session waits to be resumed", session=str(session.jid), seconds=self.timeout)
        hooks.session_detached.run(session.host.chains, session)

    def _expired(self) -> None:
        self.timer = None
        log.info("client session was not resumed", session=str(self._session.jid))
        self._session.host.sessions.close(self._session)

    def wake(self, attachment: Attachment, h: int) -> None:
        """Speak through *attachment* from now on, whose client has *h* stanzas; `go_on` follows."""
        session, old = self._session, self._session.attachment
        self.hold()
        session.attachment = attachment
        # §5: "If … the server still has the stream for the previously-identified session open at this time, the server
        # SHOULD send a 'conflict' stream error and close that stream."
        old.close(StreamError(StreamCondition.CONFLICT, "resumed on another stream"))
        self.asleep = False
        self._waking = True
        self._forget(h)

    def go_on(self) -> None:
        """§5: "after processing it MUST re-send to the peer any stanzas that are still marked as unhandled"."""
        self._waking = False
        self._written = 0
        self._write_on()
        session = self._session
        session.heard = session.host.clock.seconds()
        hooks.session_resumed.run(session.host.chains, session)

    def _write_on(self) -> None:
        """Send some more of what is to be sent again; the rest when the client has these.

        Some clients acknowledge each stanza: they get as much more as they have taken.
        """
        session, size = self._session, sum(map(len, self.queue[: self._written]))
        following = slice(self._written, AGAIN_STANZAS)
        for raw, since in zip(self.queue[following], self._since[following], strict=True):
            if size >= AGAIN_BYTES:
                break
            session.attachment.send(again(raw, since, session))
            self._written += 1
            size += len(raw)
        if self._written == len(self.queue):
            self._direct = True
        if self.queue:
            self.ask()


def again(raw: bytes, since: float, session: Session) -> Stanza:
    """A stanza as it is sent another time: with when it was sent first (XEP-0203), unless our host has said so."""
    kind = _KIND[raw[1]]
    stanza = KINDS[kind](Element(kind, ns.CLIENT), raw)
    host = session.host.jid
    if kind == "iq" or (_DELAY in raw and is_delayed_by(read_stanza(raw).element, host)):
        return stanza
    return stanza.appending(delay(host, since))


#: The kind of a stanza by the first letter of its name.
_KIND: Final = {ord(kind[0]): kind for kind in KINDS}
_DELAY: Final = ns.DELAY.encode()
