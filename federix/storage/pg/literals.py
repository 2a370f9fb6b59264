"""Values as they stand in a statement for PostgreSQL, quoted by the driver where quoting is more than doubling quotes.

The driver's own way to put values into a statement (`mogrify`) looks up for each how it is written, which takes longer
than to write it; and bytes that are ASCII are twice as long that way.
"""

from __future__ import annotations

from functools import lru_cache
from math import isfinite
from typing import Any, Final

from psycopg2 import extensions

from ..sql.statement import Value

#: Of shorter texts the last are remembered, so many of them: addresses come again and again.
_SHORT: Final = 64
_REMEMBERED: Final = 4096
_adapt: Final[Any] = extensions.adapt


def literal(value: Value) -> bytes:
    """*value* as a constant, for a connection whose encoding is UTF-8. Raises ``ValueError`` for what cannot be kept.

    One that is quoted has the type of where it stands: a column, or what it is compared with.
    """
    if isinstance(value, str):
        return _remembered(value) if len(value) <= _SHORT else _quoted(value)
    if isinstance(value, int):
        return b"%d" % value
    if isinstance(value, bytes):
        return _plain(value) or b"E'\\\\x%b'" % value.hex().encode()
    if value is None:
        return b"NULL"
    return repr(value).encode() if isfinite(value) else bytes(_adapt(value).getquoted())


def _plain(value: bytes) -> bytes | None:
    """*value* between quotes where all of it stands for itself, whatever encoding the database has."""
    if value.isascii() and b"\\" not in value and b"\0" not in value:
        return b"'%b'" % value.replace(b"'", b"''")
    return None


def _quoted(text: str) -> bytes:
    plain = _plain(text.encode()) if text.isascii() else None
    if plain is not None:
        return plain
    if "\\" in text:
        # What they mean without the E is for each connection to say, and the driver does not know which one it will be.
        between = [_quoted_by_driver(part)[1:-1] for part in text.split("\\")]
        return b"E'%b'" % b"\\\\".join(between)
    return _quoted_by_driver(text)


def _quoted_by_driver(text: str) -> bytes:
    quoted: Any = extensions.QuotedString(text)
    quoted.encoding = "utf-8"
    return bytes(quoted.getquoted())


_remembered: Final = lru_cache(_REMEMBERED)(_quoted)
