"""An XML element: a small slotted tree, without magic.

Attributes without a namespace are keyed by their name, `xml:lang` and its like by ``xml:name``, all others by
``{namespace}name``. Text stands among the children as ``str``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from . import ns as namespaces

# What XML 1.0 §2.2 cannot carry: one such character, and the recipient ends its stream.
_IMPOSSIBLE = "\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
_TEXT = re.compile(f"[&<>\r{_IMPOSSIBLE}]")
_VALUE = re.compile(f"[&<>'\"\t\n\r{_IMPOSSIBLE}]")
_ENTITIES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "'": "&apos;",
    '"': "&quot;",
    "\t": "&#9;",
    "\n": "&#10;",
    "\r": "&#13;",
}


def _entity(match: re.Match[str]) -> str:
    return _ENTITIES.get(match[0], "\ufffd")


def escape_text(text: str) -> str:
    """*text* as character data; U+FFFD stands for each character that XML cannot carry."""
    return _TEXT.sub(_entity, text)


def escape_value(text: str) -> str:
    """*text* as an attribute value, for either kind of quotes; U+FFFD as in `escape_text`."""
    return _VALUE.sub(_entity, text)


class Element:
    """One element: ``Element("query", VERSION, Element("name", VERSION, text="Federix"))``.

    *name* and *ns* say what it is, *attrs* are its attributes (``xml:lang`` and the like by that name, those of other
    namespaces as ``{namespace}name``), *children* its elements and texts in their order. What arrived in a stanza is
    shared by all who see it: `copy` before changing. Equal means equal XML, whatever the order of attributes.
    """

    __slots__ = ("attrs", "children", "name", "ns")

    def __init__(
        self,
        name: str,
        ns: str,
        *children: Element | str | None,
        text: str | None = None,
        attrs: Mapping[str, str | None] | None = None,
    ) -> None:
        """Children and attribute values that are ``None`` are left out."""
        self.name = name
        self.ns = ns
        self.attrs: dict[str, str] = {k: v for k, v in attrs.items() if v is not None} if attrs else {}
        self.children: list[Element | str] = [child for child in children if child is not None]
        if text:
            self.children.append(text)

    def __repr__(self) -> str:
        return f"<Element {self.to_xml()}>"

    def __eq__(self, other: object) -> bool:
        """Equal in meaning: names, attributes and children, with neighbouring text joined."""
        if not isinstance(other, Element):
            return NotImplemented
        return (
            self.name == other.name
            and self.ns == other.ns
            and self.attrs == other.attrs
            and self._joined() == other._joined()
        )

    __hash__ = None  # type: ignore[assignment]

    def _joined(self) -> list[Element | str]:
        joined: list[Element | str] = []
        for child in self.children:
            if isinstance(child, str):
                if not child:
                    continue
                if joined and isinstance(joined[-1], str):
                    joined[-1] += child
                    continue
            joined.append(child)
        return joined

    # -- reading --------------------------------------------------------------------------------------------------

    def get(self, name: str) -> str | None:
        """The value of an attribute; ``None`` where it is not there."""
        return self.attrs.get(name)

    def elements(self) -> Iterator[Element]:
        """The children that are elements, without the text between them."""
        for child in self.children:
            if not isinstance(child, str):
                yield child

    def first(self) -> Element | None:
        """The first child element, whatever it is."""
        return next(self.elements(), None)

    def child(self, ns: str, name: str) -> Element | None:
        """The first child of that namespace and name; ``None`` where there is none."""
        for child in self.children:
            if not isinstance(child, str) and child.name == name and child.ns == ns:
                return child
        return None

    def children_of(self, ns: str, name: str) -> list[Element]:
        """All children of that namespace and name, in their order."""
        return [child for child in self.elements() if child.name == name and child.ns == ns]

    @property
    def text(self) -> str:
        """The character data directly inside, joined."""
        return "".join(child for child in self.children if isinstance(child, str))

    def text_of(self, ns: str, name: str) -> str | None:
        """The text of the first such child; ``None`` where there is none."""
        child = self.child(ns, name)
        return None if child is None else child.text

    def sharing(self, attrs: dict[str, str]) -> Element:
        """The same name and the very same children, with other attributes. Not for those who change children."""
        twin = Element.__new__(Element)
        twin.name = self.name
        twin.ns = self.ns
        twin.attrs = attrs
        twin.children = self.children
        return twin

    # -- building -------------------------------------------------------------------------------------------------

    def copy(self) -> Element:
        """A deep copy."""
        twin = Element(self.name, self.ns)
        twin.attrs = dict(self.attrs)
        twin.children = [child if isinstance(child, str) else child.copy() for child in self.children]
        return twin

    def in_namespace(self, old: str, new: str) -> Element:
        """A copy whose elements in *old* are in *new*, down to the first element of another namespace.

        That is what it means for a stanza to leave on a stream with another content namespace (RFC 6120 §4.8.3): what
        a foreign element holds (a forwarded stanza, XEP-0297 §3.2) is its own and stays.
        """
        if self.ns != old:
            return self.copy()
        twin = Element(self.name, new)
        twin.attrs = dict(self.attrs)
        twin.children = [child if isinstance(child, str) else child.in_namespace(old, new) for child in self.children]
        return twin

    # -- writing --------------------------------------------------------------------------------------------------

    def to_xml(self, default: str = "") -> str:
        """This element as XML inside an element whose default namespace is *default*.

        One of the streams namespace is written with the prefix ``stream``, as every stream header declares it. Names
        and namespaces are written as they are; text and values may hold anything.
        """
        parts: list[str] = []
        self._write(parts, default, prefixed=self.ns == namespaces.STREAMS)
        return "".join(parts)

    def to_bytes(self, default: str = "") -> bytes:
        """As `to_xml`, in UTF-8."""
        return self.to_xml(default).encode()

    def _write(self, parts: list[str], default: str, prefixed: bool = False) -> None:
        name = f"stream:{self.name}" if prefixed else self.name
        if self.ns == namespaces.XML:
            # XML Namespaces §3: it must not be declared as the default, and its prefix needs no declaration.
            name = f"xml:{self.name}"
            prefixed = True
            if default:
                default = namespaces.XML  # what it holds declares its own: the default around may become another one
        parts.append(f"<{name}")
        if not prefixed and self.ns != default:
            parts.append(f" xmlns='{escape_value(self.ns)}'")
            default = self.ns
        for count, (key, value) in enumerate(self.attrs.items()):
            if key[0] == "{":
                uri, _, local = key[1:].rpartition("}")
                prefix = f"a{count}"
                parts.append(f" xmlns:{prefix}='{escape_value(uri)}' {prefix}:{local}='{escape_value(value)}'")
            else:
                parts.append(f" {key}='{escape_value(value)}'")
        if not self.children:
            parts.append("/>")
            return
        parts.append(">")
        for child in self.children:
            if isinstance(child, str):
                parts.append(_TEXT.sub(_entity, child))
            else:
                child._write(parts, default)
        parts.append(f"</{name}>")
