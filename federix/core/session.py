"""A session: a bound resource, which may outlive the stream it speaks through."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from twisted.logger import Logger

from ..life.scope import Scope
from ..xmpp.errors import StanzaError, StreamError
from ..xmpp.jid import JID
from ..xmpp.stanza import Presence, Stanza
from . import hooks
from .intake import Intake
from .keys import Notes

if TYPE_CHECKING:
    from .host import Host
    from .managed import Managed

log = Logger()


class Attachment(Protocol):
    """What a session speaks through: a stream over TCP, TLS, WebSocket, …"""

    def send(self, stanza: Stanza) -> None:
        """Send it, or raise nothing: what cannot be sent is the attachment's to handle."""

    def write(self, data: bytes) -> None:
        """Send a whole element that is no stanza."""

    def write_soon(self, say: Callable[[], bytes]) -> None:
        """Send what *say* answers then, elements that are no stanzas, with what is sent next, or alone in a moment.

        It is asked once, and not where the stream is gone before. Until then it is the only one.
        """

    def close(self, error: StreamError | None = None) -> None:
        """End the stream with its closing handshake, with *error* first where there is one."""

    def abort(self) -> None:
        """End the stream at once: its peer is silent."""

    @property
    def paused(self) -> bool:
        """Whether it is not reading at the moment, because a stanza of its own waits."""

    @property
    def waiting(self) -> int:
        """Bytes that were sent through it and that its connection has not taken yet."""

    @property
    def peer(self) -> str:
        """The address of the other end, for people."""

    @property
    def secure(self) -> bool:
        """Whether it speaks TLS."""


class Candidate(Protocol):
    """A client's stream that has not authenticated."""

    @property
    def host(self) -> Host | None:
        """The host its stream is addressed to."""

    @property
    def stream(self) -> Attachment:
        """The stream itself: an answer is sent through it."""

    @property
    def secure(self) -> bool:
        """Whether it speaks TLS."""


class Session:
    """One connected resource of an account (RFC 6120 §7); *jid* is its full address, *host* where the account is.

    A module keeps what it knows of it in *notes*, under a `Key`, and what is to end with it in *scope*. *since* is when
    it began, in seconds since 1970. *attachment* is the stream it speaks through at present: send through the session.
    """

    __slots__ = (
        "attachment",
        "available",
        "catching_up",
        "ended",
        "heard",
        "host",
        "intake",
        "jid",
        "managed",
        "notes",
        "presence",
        "priority",
        "scope",
        "since",
    )

    def __init__(self, host: Host, jid: JID, attachment: Attachment) -> None:
        self.host = host
        self.jid = jid
        self.attachment = attachment
        self.scope = Scope(host.clock, str(jid))
        self.notes = Notes()
        #: What its client has sent and is not settled yet.
        self.intake = Intake()
        self.since = host.now()
        #: What its client was sent and has not acknowledged, where it manages its stream (XEP-0198).
        self.managed: Managed | None = None
        #: When its client last sent a stanza, in seconds on the clock.
        self.heard = host.clock.seconds()
        #: The last available presence broadcast; ``None`` until the first and after unavailable (RFC 6121 §4).
        self.presence: Presence | None = None
        #: Whether it has sent available presence, as mod_presence keeps it.
        self.available = False
        #: That of its presence, -128 to 127 (RFC 6121 §4.7.2.3).
        self.priority = 0
        #: Whether it is being handed what waited for it: messages are kept behind that, and follow in their order.
        self.catching_up = False
        #: Whether it is over. After each `await` look: what is sent to it then is lost.
        self.ended = False

    def __repr__(self) -> str:
        return f"<Session {self.jid}>"

    def send(self, stanza: Stanza) -> None:
        """Hand a stanza to this resource. What a handler does wrong stays here: the copy is dropped and logged."""
        try:
            outcome = hooks.user_receive_packet.run_now(self.host.chains, self, stanza)
        except StanzaError:
            return
        if isinstance(outcome, Stanza):
            self.pass_on(outcome)

    def pass_on(self, stanza: Stanza) -> None:
        """Hand a stanza to this resource past all handlers: who held it back from `send` sends it so."""
        managed = self.managed
        if managed is None:
            self.attachment.send(stanza)
        else:
            managed.send(stanza)

    @property
    def asleep(self) -> bool:
        """Whether it has no stream and waits for its client to resume it; what is sent to it meanwhile is kept."""
        managed = self.managed
        return managed is not None and managed.asleep

    def unacknowledged(self, most: int) -> list[Stanza]:
        """The last *most* stanzas that its client was sent, or waits for, and has not said that it has (XEP-0198)."""
        managed = self.managed
        return [] if managed is None else managed.unacknowledged(most)

    @property
    def sent(self) -> int | None:
        """How many stanzas it was sent so far, where its client says what it has received (XEP-0198)."""
        return None if self.managed is None else self.managed.sent

    @property
    def received(self) -> int:
        """How many of them its client has received."""
        return 0 if self.managed is None else self.managed.received

    @property
    def crowded(self) -> bool:
        """Whether much waits for its client to acknowledge it: what can wait is better sent later."""
        return self.managed is not None and self.managed.crowded

    def ask(self) -> bool:
        """Have its client say how much it has received (XEP-0198 §4); False where it cannot be asked so.

        The stream of one who does not answer is cut. One that is asleep is asked nothing, but its stream is gone.
        """
        managed = self.managed
        if managed is not None:
            managed.ask()
        return managed is not None

    def end(self, error: StreamError | None = None) -> None:
        """End the session, and its stream with *error*."""
        self.host.sessions.close(self)
        self.attachment.close(error)
