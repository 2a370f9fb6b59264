"""Names as expat tells them, ``namespace local``, and as a tree has them.

They come again and again, so what is made of a short one is remembered.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from . import ns
from .errors import StreamCondition, StreamError

#: How long a name may be with its namespace, in characters: four bytes of markup repeat the whole of it in the tree.
MAX_NAME: Final = 512
#: Longer names are looked at anew each time: with room for some thousands of them, long ones would fill the memory.
MAX_REMEMBERED: Final = 128
REMEMBERED: Final = 4096
#: Headers whose declarations are remembered: most declare the same.
HEADERS: Final = 32
#: XML Namespaces §2.1, RFC 3986 §2: what no namespace contains. With one of them a stanza that is passed on could end
#: the whole stream to the next server: most parsers put such a character between namespace and name, and refuse it.
_NO_URI: Final = re.compile(r'[\x00-\x20\x7f<>"{}|\\^`]')
#: A name is kept twice, by us and by expat; beyond ASCII a character of it takes four bytes.
_COST: Final = 2
_WIDE_COST: Final = 8


def known(name: str) -> tuple[str, str, int]:
    """Namespace, local name, and its `cost`; raises `StreamError` where one of them cannot be."""
    return remembered(name) if len(name) <= MAX_REMEMBERED else _known(name)


def _known(name: str) -> tuple[str, str, int]:
    namespace, local = _split(name)
    return namespace, local, cost(name)


def _split(name: str) -> tuple[str, str]:
    if len(name) > MAX_NAME:
        raise StreamError(StreamCondition.POLICY_VIOLATION, "the name is too long")
    namespace, _, local = name.rpartition(" ")
    if _NO_URI.search(namespace):
        raise StreamError(StreamCondition.NOT_WELL_FORMED, "a namespace is a URI")
    return namespace, local


#: As `known`, for names of at most `MAX_REMEMBERED` characters.
remembered: Final = lru_cache(maxsize=REMEMBERED)(_known)


@lru_cache(HEADERS)
def declared(namespaces: tuple[tuple[str, str], ...]) -> tuple[str, frozenset[bytes], frozenset[str]]:
    """What *namespaces* of a header, by prefix, mean for a stream: its content namespace, the prefixes as names begin
    with them, and the namespaces that have one.
    """
    prefixes = frozenset(f"{prefix}:".encode() for prefix, _ in namespaces if prefix not in ("", "xml"))
    return dict(namespaces).get("", ""), prefixes, frozenset((ns.XML, *(uri for prefix, uri in namespaces if prefix)))


def spelt(attrs: dict[str, str]) -> dict[str, str]:
    """Attributes in `Element`'s spelling; raises `StreamError`."""
    return {_attribute(name) if " " in name else name: value for name, value in attrs.items()}


def _attribute(name: str) -> str:
    return _remembered_attribute(name) if len(name) <= MAX_REMEMBERED else _spell(name)


def _spell(name: str) -> str:
    uri, local = _split(name)
    return f"xml:{local}" if uri == ns.XML else f"{{{uri}}}{local}"


_remembered_attribute: Final = lru_cache(maxsize=REMEMBERED)(_spell)


def cost(name: str) -> int:
    """About how many bytes one use of *name* takes in memory."""
    return (_COST if name.isascii() else _WIDE_COST) * len(name)
