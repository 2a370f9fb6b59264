"""Readers of single values: truth, numbers, durations, sizes, secrets, names made from the host's.

All take a node and the path to name in an error, and raise ConfigError.
"""

from __future__ import annotations

import hmac
import math
import re
from dataclasses import dataclass

from federix.core.options.node import Node, Scalar
from federix.core.options.problems import ConfigError

INFINITY_WORDS = frozenset({"infinity", "infinite", "unlimited"})

_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{0,18})?([eE][+-]?[0-9]{1,2})?")
_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?) *([A-Za-z]*)")

_SECONDS = {
    "ms": 0.001,
    "millisecond": 0.001,
    "milliseconds": 0.001,
    "": 1.0,
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "m": 60.0,
    "min": 60.0,
    "minute": 60.0,
    "minutes": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "hours": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
    "days": 86400.0,
}

_BYTES = {
    "": 1,
    "b": 1,
    "byte": 1,
    "bytes": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "k": 1024,
    "m": 1024**2,
    "g": 1024**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}


def word(node: Node, path: str, wanted: str) -> str:
    """The text of *node*, which must be a single value; *wanted* says what was hoped for."""
    if not isinstance(node, Scalar) or node.is_null:
        raise ConfigError(path, f"must be {wanted}, not {node.kind}", node.place)
    return node.text


def read_truth(node: Node, path: str) -> bool:
    """true or false; also yes, no, on, off."""
    text = word(node, path, "true or false")
    truth = _TRUTH.get(text.lower())
    if truth is None:
        raise ConfigError(path, f"must be true or false, not {node.kind}", node.place)
    return truth


def read_integer(node: Node, path: str) -> int:
    """A whole number, in decimal and without leading zeros (YAML would read those as octal)."""
    text = word(node, path, "a whole number")
    if not _INTEGER.fullmatch(text):
        raise ConfigError(path, f"must be a whole number, not {node.kind}", node.place)
    return int(text)


def read_number(node: Node, path: str) -> float:
    """A finite number."""
    text = word(node, path, "a number")
    if not _NUMBER.fullmatch(text):
        raise ConfigError(path, f"must be a number, not {node.kind}", node.place)
    return float(text)


def read_duration(node: Node, path: str) -> float:
    """Seconds: `90`, `1.5`, `5 min`, `1 hour`, `500 ms`."""
    wanted = "a duration such as '30 s', '5 min' or '1 hour'"
    text = word(node, path, wanted)
    if _NUMBER.fullmatch(text):
        return float(text)
    found = _QUANTITY.fullmatch(text)
    if not found or found[2].lower() not in _SECONDS:
        raise ConfigError(path, f"must be {wanted}, not {node.kind}", node.place)
    return float(found[1]) * _SECONDS[found[2].lower()]


def read_size(node: Node, path: str) -> int:
    """Bytes: `65536`, `64 KiB`, `10 MiB`, `1 MB`."""
    wanted = "a size such as '65536', '64 KiB' or '10 MiB'"
    found = _QUANTITY.fullmatch(word(node, path, wanted))
    if not found or found[2].lower() not in _BYTES:
        raise ConfigError(path, f"must be {wanted}, not {node.kind}", node.place)
    factor = _BYTES[found[2].lower()]
    if "." not in found[1]:
        return int(found[1]) * factor
    size = float(found[1]) * factor
    if not size.is_integer():
        raise ConfigError(path, "must be a whole number of bytes", node.place)
    return int(size)


def is_infinity(node: Node) -> bool:
    """Whether *node* is one of the words for "no limit"."""
    return isinstance(node, Scalar) and node.text.lower() in INFINITY_WORDS


def plain_number(value: float) -> str:
    """*value* as a person would write it."""
    if value == math.inf:
        return "infinity"
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else str(value)


class Secret:
    """A password or key: compared in constant time, and never shown unless one asks by `reveal()`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    @classmethod
    def from_node(cls, node: Node, path: str) -> Secret:
        """Read it; the reason of an error never quotes it."""
        if not isinstance(node, Scalar) or node.is_null:
            raise ConfigError(path, "must be a string", node.place)
        return cls(node.text)

    def reveal(self) -> str:
        """The secret itself."""
        return self._text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return "Secret(hidden)"


@dataclass(frozen=True, slots=True)
class HostPattern:
    """A domain that may be made from the host's, as an option: its *text* is `conference.@HOST@`, or a plain domain."""

    text: str

    @classmethod
    def from_node(cls, node: Node, path: str) -> HostPattern:
        """Read it; case does not count in a domain."""
        text = word(node, path, "a domain, which may hold @HOST@")
        lowered = text.replace("@HOST@", "\0").lower().replace("\0", "@HOST@")
        bare = lowered.replace("@HOST@", "host")
        if not bare or len(bare) > 1023 or any(mark in bare for mark in "@/ \t\n"):
            raise ConfigError(path, f"must be a domain, which may hold @HOST@, not {node.kind}", node.place)
        return cls(lowered)

    def of(self, host: str) -> str:
        """The domain for *host*."""
        return self.text.replace("@HOST@", host)

    def __str__(self) -> str:
        return self.text


class FileMode(int):
    """The permissions of a file, written in octal: `0660`."""

    @classmethod
    def from_node(cls, node: Node, path: str) -> FileMode:
        """Read three or four octal digits."""
        wanted = "an octal file mode such as '0660'"
        text = word(node, path, wanted)
        if not re.fullmatch("[0-7]{3,4}", text):
            raise ConfigError(path, f"must be {wanted}, not {node.kind}", node.place)
        return cls(int(text, 8))

    def written(self) -> str:
        return f"{self:04o}"
