"""What is kept of a message for somebody who is not there: its own bytes, behind one line about them.

The line says what must be known without reading the message: when it came, when it expires, who sent it, and where the
archive keeps it, if its bytes are not here as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from ..api import JID, STANZA, ArchiveIds, Codec, Element, Message, delay, ns

_MICROSECONDS: Final = 1_000_000
#: Digits of a lifetime in seconds: of more it is for ever.
_MOST_DIGITS: Final = 10


Sign: TypeAlias = tuple[float, str, str | None, str | None]
"""By which a message is known again: when it came, to the microsecond, who sent it, its id and its body."""


@dataclass(frozen=True, slots=True)
class Record:
    """A message as it is kept: it came *at* so many seconds since 1970, *expires* then (or never), *sender* sent it.

    *stanza* are its bytes, or none where they are in the archive of the account, *archived* under that id.
    """

    at: float
    expires: float | None
    sender: str
    stanza: bytes
    archived: int | None = None

    @classmethod
    def of(cls, message: Message, at: float) -> Record:
        """What is kept of *message*, which has come *at* that time."""
        return cls(at, _expiry(message, at), str(message.sender or ""), STANZA.encode(message))

    def in_archive(self, id_: int) -> Record:
        """The same, of which the archive keeps the bytes."""
        return replace(self, stanza=b"", archived=id_)

    def has_expired(self, now: float) -> bool:
        return self.expires is not None and self.expires <= now

    def sign(self, message: Message) -> Sign:
        """What *message*, which it keeps, has in common with no other."""
        return self.at, self.sender, message.id, message.body

    def delivered(self, host: JID, owner: str, ids: ArchiveIds, *more: Element) -> Message:
        """The message as its recipient, *owner*, gets it, with *more* children; archives tell it by *ids*.

        XEP-0160 §2: "it is RECOMMENDED for the server to add a Delayed Delivery (XEP-0203) extension".
        """
        message = STANZA.decode(self.stanza)
        assert isinstance(message, Message)
        if self.archived is not None:
            # XEP-0359 §3.1; the archive keeps it without.
            more = (Element("stanza-id", ns.SID, attrs={"by": owner, "id": ids.encode(self.archived)}), *more)
        return message.appending(delay.delay(host, self.at), *more)


def _encode(record: Record) -> bytes:
    at, expires = (-1 if time is None else round(time * _MICROSECONDS) for time in (record.at, record.expires))
    archived = -1 if record.archived is None else record.archived
    return b"%d %d %d %b\n%b" % (at, expires, archived, record.sender.encode(), record.stanza)


def _decode(stored: bytes) -> Record:
    line, _, stanza = stored.partition(b"\n")
    *numbers, sender = line.split(b" ", 3)
    at, expires, archived = map(int, numbers)
    return Record(
        at / _MICROSECONDS,
        None if expires < 0 else expires / _MICROSECONDS,
        sender.decode(),
        stanza,
        None if archived < 0 else archived,
    )


#: How it is written down.
RECORD: Final[Codec[Record]] = Codec(_encode, _decode)


def _expiry(message: Message, at: float) -> float | None:
    """XEP-0023 §2: "a 'seconds' attribute that contains a value representing the stanza's TTL, in seconds"."""
    element = message.child(ns.EXPIRE, "x")
    seconds = "" if element is None else (element.get("seconds") or "").strip()
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= _MOST_DIGITS):
        return None
    return at + int(seconds)
