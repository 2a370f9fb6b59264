"""How a value is written down as bytes and read back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from ..xmpp.element import Element
from ..xmpp.events import Header
from ..xmpp.limits import Limits
from ..xmpp.parser import StreamParser
from ..xmpp.reading import read_stanza
from ..xmpp.stanza import Stanza

T = TypeVar("T")
U = TypeVar("U")

_WITHOUT_LIMITS = Limits(
    stanza_bytes=2**31, elements=2**31, depth=2**31, attributes=2**31, tag_bytes=2**31, tree_bytes=2**31
)
"""What is read here was within the limits of a stream when it came, or was written by the server itself."""

#: What JSON can hold; ``None`` in it is JSON's null.
Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """How a value becomes bytes (*encode*) and a value again (*decode*).

    A pair of pure functions; ``decode(encode(value)) == value``. They may run in another thread.
    """

    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]

    def through(self, write: Callable[[U], T], read: Callable[[T], U]) -> Codec[U]:
        """A codec for another type that is written as a ``T``: ``JSON.through(asdict, Settings.from_json)``."""
        encode, decode = self.encode, self.decode
        return Codec(lambda value: encode(write(value)), lambda stored: read(decode(stored)))


def _write_json(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def _read_json(stored: bytes) -> Json:
    value: Json = json.loads(stored)
    return value


def _write_stanza(stanza: Stanza) -> bytes:
    return stanza.to_bytes()


def _write_element(element: Element) -> bytes:
    return element.to_bytes()


def _read_element(stored: bytes) -> Element:
    parser = StreamParser(_WITHOUT_LIMITS)
    events = parser.feed(b"<stored xmlns:stream='http://etherx.jabber.org/streams'>" + stored)
    parser.close()
    match events:
        case [Header(), Element() as element]:
            return element
        case [Header(), Stanza() as stanza]:
            return stanza.element
    raise ValueError("what is stored is not one XML element")


#: Bytes, as they are.
BYTES: Codec[bytes] = Codec(bytes, bytes)
#: Text, in UTF-8.
TEXT: Codec[str] = Codec(str.encode, bytes.decode)
#: Plain data, as JSON; tuples come back as lists.
JSON: Codec[Json] = Codec(_write_json, _read_json)
#: A stanza, in the bytes it came in: it comes back with them, and they leave again as they are.
STANZA: Codec[Stanza] = Codec(_write_stanza, read_stanza)
#: An XML element.
ELEMENT: Codec[Element] = Codec(_write_element, _read_element)
