"""Does this stanza have what that pattern asks for?

A pattern is XML in ``jabber:client``: every attribute and child it names must be there. An attribute value, a text or
an ``xmlns`` of ``*`` stands for anything, an attribute value of ``-`` for its absence. Text, where the pattern has any,
must be equal.
"""

from __future__ import annotations

from ..xmpp import ns
from ..xmpp.element import Element
from ..xmpp.errors import StreamError
from ..xmpp.limits import Limits
from ..xmpp.parser import StreamParser
from ..xmpp.stanza import Stanza

_HEADER = "<stream:stream xmlns='{}' xmlns:stream='{}' xmlns:db='{}'>"
_LIMITS = Limits(stanza_bytes=1 << 24, elements=100_000, depth=1000, attributes=1000)


def parse(xml: str, content: str = ns.CLIENT) -> Element:
    """One element, its namespace *content* unless it says otherwise; ValueError for what is none.

    The prefixes ``stream`` and ``db`` (dialback) are known.
    """
    parser = StreamParser(_LIMITS)
    header = _HEADER.format(content, ns.STREAMS, ns.DIALBACK)
    events = [*parser.feed(header.encode()), *parser.feed(xml.strip().encode())][1:]
    if len(events) != 1 or isinstance(events[0], StreamError):
        raise ValueError(f"not one element: {xml!r}")
    event = events[0]
    if isinstance(event, Stanza):
        return event.element
    if isinstance(event, Element):
        return event
    raise ValueError(f"not an element: {xml!r}")


def mismatch(pattern: Element, got: Element, *, exact: bool = False) -> str | None:
    """What *got* lacks of *pattern* (or, with *exact*, has too much); ``None`` where it fits."""
    if pattern.name != got.name or pattern.ns not in ("*", got.ns):
        return f"<{got.name} xmlns='{got.ns}'> is not <{pattern.name} xmlns='{pattern.ns}'>"
    for name, value in pattern.attrs.items():
        actual = got.get(name)
        if value == "-":
            if actual is not None:
                return f"{name}='{actual}' is there"
        elif actual is None:
            return f"{name} is missing"
        elif value not in ("*", actual):
            return f"{name} is '{actual}', not '{value}'"
    if exact and (extra := set(got.attrs) - set(pattern.attrs)):
        return f"too many attributes: {', '.join(sorted(extra))}"
    text = pattern.text.strip()
    if text and text != "*" and got.text.strip() != text:
        return f"<{got.name}> says {got.text!r}, not {text!r}"
    rest = list(got.elements())
    for wanted in pattern.elements():
        problems = [mismatch(wanted, child, exact=exact) for child in rest]
        if None in problems:
            rest.pop(problems.index(None))
            continue
        close = [p for p, child in zip(problems, rest, strict=True) if child.name == wanted.name]
        return (close[0] if close else None) or f"<{wanted.name} xmlns='{wanted.ns}'> is missing in <{got.name}>"
    if exact and rest:
        return f"too much in <{got.name}>: {rest[0].to_xml()}"
    return None
