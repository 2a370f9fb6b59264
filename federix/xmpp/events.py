"""What a stream is made of, in the order it comes: a header, stanzas and other elements, a footer or an error."""

from __future__ import annotations

from dataclasses import dataclass

from .element import Element
from .errors import StreamError
from .stanza import Stanza


@dataclass(frozen=True, slots=True)
class Header:
    """The stream header (RFC 6120 §4.7): the root element's attributes and what it declared."""

    name: str
    ns: str
    attrs: dict[str, str]
    content: str
    prefixes: dict[str, str]

    def get(self, name: str) -> str | None:
        return self.attrs.get(name)


class Footer:
    """The peer closed its stream: ``</stream:stream>``."""

    __slots__ = ()


#: What `StreamParser.feed` answers with. After a footer or an error there is nothing more.
Event = Header | Stanza | Element | Footer | StreamError
