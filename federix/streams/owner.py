"""Where a stream stands, who owns it, and what all streams of a server count together."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

from ..xmpp.element import Element
from ..xmpp.errors import StreamError
from ..xmpp.events import Header
from ..xmpp.stanza import Stanza


class State(IntEnum):
    """Where a stream stands."""

    OPEN = 0  # both sides may send
    CLOSING = 1  # we have closed; the peer has not
    DROPPED = 2  # the connection is being closed
    GONE = 3


#: In CPython 3.11 to find a member of an enumeration takes longer than a call.
OPEN: Final = State.OPEN


class Owner(Protocol):
    """What a stream asks of the link that owns it."""

    def opened(self, header: Header) -> None:
        """The peer's stream header is here. Raises `StreamError`."""

    def header(self) -> Mapping[str, str | None]:
        """The attributes of our own header, where an error comes before the peer's could be read."""

    def received(self, event: Stanza | Element) -> Awaitable[None] | None:
        """A stanza or another top-level element; reading pauses until the answer is done. Raises `StreamError`."""

    def secured(self) -> None:
        """The TLS handshake is done."""

    def last_words(self) -> bytes:
        """What is to be said before an open stream is closed, be it with an error; nothing, mostly."""

    def ended(self, error: StreamError | None) -> None:
        """Nothing more will be received or sent: called once, before `disconnected`."""

    def disconnected(self) -> None:
        """The connection is gone."""


@dataclass(slots=True)
class Counters:
    """What all streams of a server count together."""

    received: int = 0
    reused: int = 0  # stanzas sent in the bytes they came in
    rendered: int = 0  # stanzas sent that had to be written anew
