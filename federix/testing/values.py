"""What a dialogue remembers: ``{name}`` stands for a value in what is received, and for the same in what is sent."""

from __future__ import annotations

import re
from typing import Final

from ..xmpp.element import Element, escape_value
from .match import mismatch

#: A name in the place of a value.
NAMED: Final = re.compile(r"\{([^\W\d_][\w-]*)\}")


class Values:
    """Values by name."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def __setitem__(self, name: str, value: str) -> None:
        self._values[name] = value

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def fill(self, xml: str, *, unknown: bool = False) -> str:
        """*xml* with values in the place of their names; those *unknown* may stay, else AssertionError."""

        def value(match: re.Match[str]) -> str:
            known = self._values.get(match[1])
            if known is not None:
                return escape_value(known)
            if unknown:
                return match[0]
            raise AssertionError(f"nothing is remembered as {match[0]}")

        return NAMED.sub(value, xml)

    def match(self, pattern: Element, got: Element, *, exact: bool = False) -> str | None:
        """As `mismatch`; where it fits, the names in *pattern* stand for what *got* has from now on."""
        problem = mismatch(_opened(pattern), got, exact=exact)
        found: dict[str, str] = {}
        problem = problem or _differing(pattern, got, found)
        if problem is None:
            self._values |= found
        return problem


def checked(pattern: Element) -> Element:
    """*pattern*, unless a name in it is only part of a value, which could not be told: AssertionError."""
    for value in (*pattern.attrs.values(), pattern.text.strip()):
        if NAMED.search(value) and not NAMED.fullmatch(value):
            raise AssertionError(f"{value!r}: only a whole value or text can be remembered")
    for child in pattern.elements():
        checked(child)
    return pattern


def _opened(pattern: Element) -> Element:
    """*pattern* with ``*`` in the place of names."""
    opened = Element(pattern.name, pattern.ns)
    opened.attrs = {name: "*" if NAMED.fullmatch(value) else value for name, value in pattern.attrs.items()}
    text = pattern.text.strip()
    opened.children = ["*" if NAMED.fullmatch(text) else text, *map(_opened, pattern.elements())]
    return opened


def _differing(pattern: Element, got: Element, found: dict[str, str]) -> str | None:
    """Note in *found* what names stand for, children paired as `mismatch` does; a name that stands for two things."""
    pairs = [(written, got.attrs.get(name, "")) for name, written in pattern.attrs.items()]
    for written, value in (*pairs, (pattern.text.strip(), got.text.strip())):
        name = NAMED.fullmatch(written)
        if name and found.setdefault(name[1], value) != value:
            return f"{name[0]} is both {found[name[1]]!r} and {value!r}"
    rest = list(got.elements())
    for wanted in pattern.elements():
        child = next(child for child in rest if mismatch(_opened(wanted), child) is None)
        rest = [other for other in rest if other is not child]
        problem = _differing(wanted, child, found)
        if problem is not None:
            return problem
    return None
