"""Changes to an input: of its bytes, or of the elements it consists of.

Chance comes from a `Random` that is passed in, so that a run can be repeated.
"""

from __future__ import annotations

import re
from random import Random
from typing import Final

from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.limits import Limits
from federix.xmpp.parser import StreamParser
from federix.xmpp.stanza import Stanza

from . import vocabulary

HEADER: Final = f"<stream:stream xmlns='jabber:client' xmlns:stream='{ns.STREAMS}'>".encode()
#: For what is not to fail because of its size.
WIDE: Final = Limits(stanza_bytes=1 << 24, elements=100_000, depth=10_000, attributes=10_000, tag_bytes=1 << 24)

_INTERESTING: Final = (
    *(b"<", b">", b"/", b"</", b"/>", b"&", b"&amp;", b"&#0;", b"&#x10FFFF;", b"'", b'"', b"]]>", b"<![CDATA["),
    *(b"<!--", b"<?", b"=", b":", b"xmlns=", b"xml:", b",", b"@", b".", b"*", b"-", b"!", b" ", b"\n", b"\0", b"\xff"),
    *(b"\x7f", b"\xc3\xa9", b"\xe2\x80\xae", b"\xf0\x9f\x98\x80", b"\xef\xbf\xbf", b"\xed\xa0\x80", b"\xef\xbb\xbf"),
    *(b"-1", b"0", b"4294967296", b"9999999999999999999"),
)


def bytes_changed(data: bytes, random: Random, most: int) -> bytes:
    """*data* with one to four places changed, at most *most* bytes."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(changed) + 1)
        end = min(at + random.choice((1, 1, 2, 4, 16, 64)), len(changed))
        choice = random.randrange(5)
        if choice == 0:
            del changed[at:end]
        elif choice == 1:
            changed[at:at] = changed[at:end]
        elif choice == 2:
            changed[at:at] = random.choice(_INTERESTING)
        elif choice == 3 and at < len(changed):
            changed[at] = random.randrange(256)
        else:
            start = random.randrange(len(changed) + 1)
            changed[at:at] = changed[start : start + 64]
    return bytes(changed[:most])


def elements_changed(data: bytes, random: Random, most: int) -> bytes:
    """*data*, a row of elements, with some of them changed as elements; its bytes are changed where it is none."""
    elements = elements_of(data)
    if not elements or random.random() < 0.05:
        return bytes_changed(data, random, most)
    for _ in range(random.choice((1, 1, 1, 2, 3, 5))):
        _change(elements, random)
    written = [element.to_bytes(ns.CLIENT) for element in elements]
    while len(written) > 1 and sum(map(len, written)) > most:
        del written[random.randrange(len(written))]
    return b"\n".join(written)[:most]


def elements_of(data: bytes) -> list[Element]:
    """The top-level elements of *data* up to the first mistake."""
    parser = StreamParser(WIDE)
    parser.feed(HEADER)
    events = parser.feed(data)
    parser.close()
    found = (event.element if isinstance(event, Stanza) else event for event in events)
    return [element for element in found if isinstance(element, Element)]


def _change(top: list[Element], random: Random) -> None:
    element = random.choice(list(_all(random.choice(top)))) if top else None
    choice = random.randrange(12)
    if element is None or choice == 0:
        top.insert(random.randint(0, len(top)), _stanza(random))
    elif choice == 1:
        del top[random.randrange(len(top))]
    elif choice == 2:
        top.insert(random.randint(0, len(top)), random.choice(top).copy())
    elif choice == 3:
        top.insert(random.randint(0, len(top)), top.pop(random.randrange(len(top))))
    elif choice in (4, 5, 6):
        _change_attribute(element, random)
    elif choice == 7:
        name, space = random.choice(vocabulary.ELEMENTS)
        element.name, element.ns = name, space or element.ns
    elif choice == 8:
        element.children = [child for child in element.children if not isinstance(child, str)]
        element.children.append(_text(random))
    elif choice == 9 and element.children:
        del element.children[random.randrange(len(element.children))]
    elif choice == 10:
        other = random.choice(list(_all(random.choice(top)))).copy()  # of another stanza, or of its own
        element.children.insert(random.randint(0, len(element.children)), other)
    else:
        name, space = random.choice(vocabulary.ELEMENTS)
        element.children.insert(random.randint(0, len(element.children)), Element(name, space or element.ns))


def _change_attribute(element: Element, random: Random) -> None:
    known = list(element.attrs)
    name = random.choice(known) if known and random.random() < 0.6 else random.choice(vocabulary.ATTRIBUTES)
    if random.random() < 0.2:
        element.attrs.pop(name, None)
        return
    values = vocabulary.VALUES.get(name)
    element.attrs[name] = random.choice(values) if values and random.random() < 0.7 else _text(random)


def _stanza(random: Random) -> Element:
    name, space = random.choice(vocabulary.ELEMENTS)
    kind = random.choice(("iq", "iq", "message", "presence"))
    attrs = {name: random.choice(vocabulary.VALUES[name]) for name in ("to", "type", "id") if random.random() < 0.8}
    return Element(kind, ns.CLIENT, Element(name, space or ns.CLIENT), attrs=attrs)


def _text(random: Random) -> str:
    text = random.choice(vocabulary.TEXTS)
    choice = random.randrange(8)
    if choice == 0:
        return text * random.choice((2, 10, 300))
    if choice == 1:
        return text + random.choice(vocabulary.TEXTS)
    if choice == 2:
        return re.sub(".", lambda match: chr(random.choice((32, 64, 0x3A3, 0x661, 0x1F600, ord(match[0])))), text)
    return text


def _all(element: Element) -> list[Element]:
    found = [element]
    for each in found:
        found.extend(each.elements())
    return found
