"""Between our elements and domish's, which is what wokkel's handlers take and give."""

from __future__ import annotations

from typing import Any, Final

from .._wokkel import domish, generic
from ..api import Element, ns

_XML: Final = "http://www.w3.org/XML/1998/namespace"
#: What handlers may say instead of ``jabber:client``, or of nothing at all.
_CONTENT: Final = frozenset((None, "", ns.CLIENT, ns.SERVER, "jabber:component:accept"))


def to_domish(element: Element) -> Any:
    """A domish element that says the same."""
    twin = domish.Element((element.ns, element.name), element.ns)
    for name, value in element.attrs.items():
        if name.startswith("xml:"):
            twin.attributes[_XML, name[4:]] = value
        elif name[0] == "{":
            uri, _, local = name[1:].rpartition("}")
            twin.attributes[uri, local] = value
        else:
            twin.attributes[name] = value
    for child in element.children:
        if isinstance(child, str):
            twin.addContent(child)
        else:
            twin.addChild(to_domish(child))
    return twin


def stanza_from_domish(element: Any) -> Element:
    """A stanza of ours that says the same; handlers may leave its namespace out, or take that of another stream."""
    written = element.defaultUri if element.uri is None else element.uri
    return _converted(element, ns.CLIENT, written if written in _CONTENT else ns.CLIENT)


def from_domish(element: Any, inherited: str) -> Element:
    """An element of ours that says the same, inside one of the namespace *inherited*.

    As domish would write it: an element without a namespace is in the one around it.
    """
    return _converted(element, inherited, inherited)


def _converted(element: Any, inherited: str, content: str | None) -> Element:
    """*content* is what the namespace *inherited* is called there."""
    around = content if element.defaultUri is None else element.defaultUri
    namespace = around if element.uri is None else element.uri
    here = inherited if namespace == content else str(namespace)
    twin = Element(element.name, here)
    for name, value in element.attributes.items():
        if isinstance(name, tuple):
            name = f"xml:{name[1]}" if name[0] == _XML else f"{{{name[0]}}}{name[1]}"
        twin.attrs[name] = str(value)
    if around != content:
        # A child without a namespace is in another one, and so is all below it.
        inherited, content = str(around), around
    for child in element.children:
        if isinstance(child, domish.SerializedXML):
            twin.children += _parsed(child, inherited)
        elif isinstance(child, str):
            twin.children.append(str(child))
        else:
            twin.children.append(_converted(child, inherited, content))
    return twin


def _parsed(xml: str, around: str) -> list[Element | str]:
    """What a handler has written itself, inside an element of the namespace *around*."""
    outer = domish.Element((around, "outer"), around)
    outer.addElement("inner").addRawXml(xml)
    inner = from_domish(generic.parseXml(outer.toXml().encode()), "").first()
    assert inner is not None
    return inner.children
