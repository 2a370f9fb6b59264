"""A stanza: its tree, and the very bytes it came in.

The tree is what modules read. The bytes are what leaves again: forwarding, archiving and clustering reuse them, and
small changes (an address, an appended child) are splices. Inside the server every stanza stands in ``jabber:client``;
the bytes of a stanza that is `reusable` mean the same under any content namespace, so they may leave on any stream.
A stanza is never changed, what changes one returns another; only whoever has just read one may `stamp` it as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import ClassVar, Final, Self

from . import ns
from .element import Element, escape_value
from .errors import Condition, ErrorType, StanzaError
from .jid import JID, InvalidJID, parse

#: One attribute of a start tag that expat has accepted.
_ATTRIBUTE: Final = re.compile(rb"""\s+([^\s=]+)\s*=\s*("[^"]*"|'[^']*')""")
_CONTENT: Final = tuple(content.encode() for content in ns.CONTENT)
_AMPERSAND: Final = ord("&")
UNREAD: Final = JID("", "unread.invalid")


class Stanza:
    """A message, presence or iq (RFC 6120 §8): *element* is its tree, *raw* the bytes it came in, if they can be used.

    Which of the three it is says its class (`Message`, `Presence`, `IQ`) and its *kind*: message, presence, iq.
    """

    __slots__ = ("_from", "_to", "element", "raw")

    kind: ClassVar[str] = ""

    def __init__(self, element: Element, raw: bytes | None = None) -> None:
        """*element* stands in ``jabber:client``; *raw* are bytes that mean the same under any content namespace."""
        self.element = element
        self.raw = raw
        self._to: JID | None = UNREAD
        self._from: JID | None = UNREAD

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.element.to_xml(ns.CLIENT)}>"

    # -- reading --------------------------------------------------------------------------------------------------

    @property
    def reusable(self) -> bool:
        """Whether the bytes it came in can leave as they are."""
        return self.raw is not None

    @property
    def to(self) -> JID | None:
        """Where it goes; raises `StanzaError` (jid-malformed)."""
        if self._to is UNREAD:
            self._to = self._address("to")
        return self._to

    @property
    def sender(self) -> JID | None:
        """Its `from`; raises `StanzaError` (jid-malformed)."""
        if self._from is UNREAD:
            self._from = self._address("from")
        return self._from

    def _address(self, name: str) -> JID | None:
        text = self.element.attrs.get(name)
        if text is None:
            return None
        try:
            return parse(text)
        except InvalidJID as error:
            raise StanzaError(Condition.JID_MALFORMED, f"invalid '{name}': {error}") from None

    @property
    def type(self) -> str | None:
        """The attribute as it stands there."""
        return self.element.attrs.get("type")

    @property
    def id(self) -> str | None:
        """The attribute; a request and its answer have the same."""
        return self.element.attrs.get("id")

    def child(self, namespace: str, name: str) -> Element | None:
        """The first child of that namespace and name; ``None`` where there is none."""
        return self.element.child(namespace, name)

    # -- changing -------------------------------------------------------------------------------------------------

    def with_attrs(self, attrs: Mapping[str, str | None]) -> Self:
        """The same with these attributes set, or taken away where the value is ``None``."""
        old = self.element
        changed = {name: value for name, value in attrs.items() if old.attrs.get(name) != value}
        if not changed:
            return self
        element = old.sharing(dict(old.attrs))
        for name, value in changed.items():
            if value is None:
                del element.attrs[name]
            else:
                element.attrs[name] = value
        raw = self.raw
        if any(name[0] == "{" for name in changed):
            raw = None  # its prefix in the bytes is not known here
        if raw is not None:
            replaced = [name for name in changed if name in old.attrs]
            if replaced:
                raw = _without_attrs(raw, replaced)
            added = b"".join([_attribute(n, v) for n, v in changed.items() if v is not None])
            raw = _with_start(raw, old.name, added)
        return type(self)(element, raw)

    def _adding(self, name: str, value: str) -> Self:
        """The same with one more attribute: what many copies of a presence go through, so spelt out."""
        old = self.element
        attrs = old.attrs.copy()
        attrs[name] = value
        raw = self.raw
        if raw is not None:
            added = _remembered(name, value) if len(value) <= _SHORT else _attribute(name, value)
            raw = _with_start(raw, old.name, added)
        return type(self)(old.sharing(attrs), raw)

    def rendered(self) -> Self:
        """The same with its bytes at hand, so that many copies to many addresses are splices, not renderings."""
        return self if self.raw is not None else self._between_the_same(self.element, self.element.to_bytes(ns.CLIENT))

    def stamped(self, sender: JID, lang: str | None = None) -> Self:
        """The same from its true sender (RFC 6120 §8.1.2.1), with its stream's language if it has none (§4.7.4)."""
        old = self.element
        stanza = type(self)(old.sharing(old.attrs.copy()), self.raw)
        stanza._to = self._to
        stanza.stamp(sender, lang)
        return stanza

    def stamp(self, sender: JID, lang: str | None) -> None:
        """As `stamped`, but this very one: for its stream's owner alone, before anybody else has seen it."""
        if "from" in self.element.attrs:
            stanza = self.with_attrs({"from": None})
            self.element, self.raw = stanza.element, stanza.raw
        element = self.element
        attrs = element.attrs
        attrs["from"] = text = sender.text
        if lang is not None:
            if "xml:lang" in attrs:
                lang = None
            else:
                attrs["xml:lang"] = lang
        raw = self.raw
        if raw is not None:
            name = element.name
            opening = _remembered_opening(name, text, lang) if len(text) <= _SHORT else _opening(name, text, lang)
            self.raw = opening + raw[1 + len(name) :]
        self._from = sender

    def addressed(self, to: JID) -> Self:
        """The same to someone else."""
        stanza = self.with_attrs({"to": str(to)}) if "to" in self.element.attrs else self._adding("to", str(to))
        stanza._to = to
        stanza._from = self._from
        return stanza

    def appending(self, *children: Element, written: bytes | None = None) -> Self:
        """The same with *children* at its end. *written*: they as they stand there, where that is known."""
        old = self.element
        element = Element(old.name, old.ns)
        element.attrs = old.attrs
        element.children = [*old.children, *children]
        raw = self.raw
        if written is None and any(child.ns == ns.STREAMS for child in children):
            raw = None  # alone it would be written with the stream's prefix
        if raw is not None:
            if written is None:
                written = b"".join(child.to_bytes(ns.CLIENT) for child in children)
            if raw.endswith(b"/>"):
                raw = raw[:-2].rstrip() + b">" + written + f"</{old.name}>".encode()
            else:
                at = raw.rindex(b"</")
                raw = raw[:at] + written + raw[at:]
        return self._between_the_same(element, raw)

    def dropping(self, unwanted: Callable[[Element], bool]) -> Self:
        """The same without the children that are *unwanted*; rendered anew when one was there."""
        old = self.element
        kept = [child for child in old.children if isinstance(child, str) or not unwanted(child)]
        if len(kept) == len(old.children):
            return self
        element = Element(old.name, old.ns)
        element.attrs = old.attrs
        element.children = kept
        return self._between_the_same(element, None)

    def _between_the_same(self, element: Element, raw: bytes | None) -> Self:
        stanza = type(self)(element, raw)
        stanza._to, stanza._from = self._to, self._from
        return stanza

    # -- leaving --------------------------------------------------------------------------------------------------

    def to_bytes(self, content: str = ns.CLIENT) -> bytes:
        """The stanza for a stream whose default namespace is *content*."""
        if self.raw is not None:
            return self.raw
        if content == ns.CLIENT:
            return self.element.to_bytes(ns.CLIENT)
        return self.element.in_namespace(ns.CLIENT, content).to_bytes(content)

    def standalone(self) -> bytes:
        """The stanza with its own ``xmlns='jabber:client'``: for WebSocket (RFC 7395 §3.3.3) and ``<forwarded/>``."""
        raw = self.raw
        if raw is None:
            return self.element.to_bytes()
        at = 1 + len(self.element.name)
        return raw[:at] + b" xmlns='jabber:client'" + raw[at:]

    # -- answering ------------------------------------------------------------------------------------------------

    @property
    def is_answer(self) -> bool:
        """Whether no error may answer it (RFC 6120 §8.3.1): it is one itself, or the result of an iq."""
        return self.type == "error" or (self.kind == "iq" and self.type == "result")

    def bounced(self, condition: Condition, text: str = "", kind: ErrorType | None = None) -> Self | None:
        """Itself as an error to its sender (RFC 6120 §8.3); ``None`` for what must not be answered (§8.3.1).

        Neither an error nor an iq result is ever answered with an error.
        """
        if self.is_answer:
            return None
        attrs = self.element.attrs
        element = Element(
            self.element.name,
            ns.CLIENT,
            error_element(condition, text, kind),
            attrs={"from": attrs.get("to"), "to": attrs.get("from"), "id": attrs.get("id"), "type": "error"},
        )
        error = type(self)(element)
        try:
            error._from = self.to
        except StanzaError:
            # §8.3.3.8: its 'from' is no address then, and nobody's: it comes from whoever found that.
            error._from = None
        return error


class Message(Stanza):
    """A message (RFC 6121 §5); its *kind* is "message"."""

    __slots__ = ()
    kind = "message"

    #: RFC 6121 §5.2.2: what is not one of these is a normal message.
    TYPES: ClassVar[frozenset[str]] = frozenset(("chat", "error", "groupchat", "headline", "normal"))

    @property
    def type(self) -> str:
        """One of `TYPES`; "normal" where it has none, or one that nobody knows."""
        kind = self.element.attrs.get("type", "normal")
        return kind if kind in self.TYPES else "normal"

    @property
    def body(self) -> str | None:
        """The text of its (first) body; ``None`` where there is no body."""
        return self.element.text_of(ns.CLIENT, "body")


class Presence(Stanza):
    """A presence (RFC 6121 §4); no type means available. Its *kind* is "presence"."""

    __slots__ = ()
    kind = "presence"

    @property
    def priority(self) -> int:
        """The priority it gives its resource, 0 where it says none (RFC 6121 §4.7.2.3).

        Raises `StanzaError` (bad-request) when it is no integer from -128 to 127.
        """
        text = self.element.text_of(ns.CLIENT, "priority")
        if text is None or not text.strip():
            return 0
        if re.fullmatch(r"\s*[+-]?[0-9]{1,3}\s*", text, re.ASCII) and -128 <= (priority := int(text)) <= 127:
            return priority
        raise StanzaError(Condition.BAD_REQUEST, "the priority must be an integer from -128 to 127")


class IQ(Stanza):
    """A request or an answer (RFC 6120 §8.2.3); its *kind* is "iq"."""

    __slots__ = ()
    kind = "iq"

    @property
    def payload(self) -> Element | None:
        """The one child of a request, or the first of an answer."""
        return self.element.first()

    def result(self, payload: Element | None = None) -> IQ:
        """The answer to this request, with the addresses turned round; *payload* is left out where it is ``None``."""
        attrs = self.element.attrs
        answer = {"from": attrs.get("to"), "to": attrs.get("from"), "id": attrs.get("id"), "type": "result"}
        return IQ(Element("iq", ns.CLIENT, payload, attrs=answer))


KINDS: Final[Mapping[str, type[Stanza]]] = {"message": Message, "presence": Presence, "iq": IQ}


def iq(kind: str, payload: Element | None, *, id: str, to: JID | None = None, sender: JID | None = None) -> IQ:
    """A new iq of type *kind*: get, set, result, error. An answer has the *id* of its request."""
    attrs = {"from": str(sender) if sender else None, "to": str(to) if to else None, "id": id, "type": kind}
    return IQ(Element("iq", ns.CLIENT, payload, attrs=attrs))


def message(
    kind: str | None,
    *children: Element,
    body: str | None = None,
    to: JID | None = None,
    sender: JID | None = None,
    id: str | None = None,
) -> Message:
    """A new message of that type (``None``: normal), its *body* before its other *children*."""
    attrs = {"from": str(sender) if sender else None, "to": str(to) if to else None, "id": id, "type": kind}
    said = None if body is None else Element("body", ns.CLIENT, text=body)
    return Message(Element("message", ns.CLIENT, said, *children, attrs=attrs))


def presence(
    kind: str | None, *children: Element, to: JID | None = None, sender: JID | None = None, id: str | None = None
) -> Presence:
    """A new presence of type *kind* (``None``: available)."""
    attrs = {"from": str(sender) if sender else None, "to": str(to) if to else None, "id": id, "type": kind}
    return Presence(Element("presence", ns.CLIENT, *children, attrs=attrs))


def error_element(condition: Condition, text: str = "", kind: ErrorType | None = None) -> Element:
    """``<error/>``, as a child of a stanza of type error (RFC 6120 §8.3.2). See `Stanza.bounced`."""
    return Element(
        "error",
        ns.CLIENT,
        Element(condition.tag, ns.STANZA_ERROR),
        Element("text", ns.STANZA_ERROR, text=text, attrs={"xml:lang": "en"}) if text else None,
        attrs={"type": str(kind or condition.kind)},
    )


def reusable_bytes(raw: bytes, name: str, prefixes: frozenset[bytes]) -> bytes | None:
    """The slice of a stanza in a form that means the same under any content namespace; ``None`` where there is none.

    *prefixes* are those the stream header declared, each with its colon. The checks err on the side of ``None``:
    they look at bytes, and a text that only resembles a prefix or a namespace costs a rendering, nothing else.
    """
    if not raw.startswith(name.encode(), 1) or raw[1 + len(name)] not in b" \t\r\n/>":
        return None  # a prefixed stanza name
    for prefix in prefixes:
        if prefix in raw:
            return None
    if b"xmlns:" in raw or b"<xml:" in raw:
        return None  # what a prefix stands for has been looked at only where it is used; <xml:x/> declares no default
    if _AMPERSAND in raw and b"&#" in raw and b"xmlns" in raw:
        return None  # a namespace may be spelt with character references
    if b"xmlns" in raw[: raw.index(b">")]:
        raw = _without_attrs(raw, ("xmlns",))
    # An explicit content namespace below would stay behind when the stanza changes its own.
    if b"jabber:" in raw and any(content in raw for content in _CONTENT):
        return None
    return raw


def _attribute(name: str, value: str) -> bytes:
    """An attribute as it is written."""
    return f" {name}='{escape_value(value)}'".encode()


def _opening(name: str, sender: str, lang: str | None) -> bytes:
    """How a stanza begins that is stamped."""
    return f"<{name}".encode() + _attribute("from", sender) + (b"" if lang is None else _attribute("xml:lang", lang))


#: Addresses come again and again.
_remembered: Final = lru_cache(maxsize=4096)(_attribute)
_remembered_opening: Final = lru_cache(maxsize=4096)(_opening)
#: How long a value may be that is remembered, in characters.
_SHORT: Final = 200


def _with_start(raw: bytes, name: str, added: bytes) -> bytes:
    """*raw* with *added* attributes behind the name of its start tag."""
    at = 1 + len(name)
    return b"%b%b%b" % (raw[:at], added, raw[at:])


def _without_attrs(raw: bytes, names: tuple[str, ...] | list[str]) -> bytes:
    """*raw* without these attributes of its start tag."""
    unwanted = {name.encode() for name in names}
    at = 1
    while raw[at] not in b" \t\r\n/>":
        at += 1
    parts = [raw[:at]]
    while match := _ATTRIBUTE.match(raw, at):
        if match[1] not in unwanted:
            parts.append(match[0])
        at = match.end()
    parts.append(raw[at:])
    return b"".join(parts)
