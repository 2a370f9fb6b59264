"""Server dialback (XEP-0220): a domain proves itself by being asked back where the DNS says that it lives.

What is said on the wire (`Dialback`), and the keys (`DialbackKeys`). Who says what to whom, and when, is told in
``federix/links/s2s``.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

from . import ns
from .element import Element, escape_text, escape_value
from .errors import Condition, StreamCondition, StreamError
from .jid import InvalidJID, prepare_domain
from .stanza import error_element

Name = Literal["result", "verify"]
Type = Literal["valid", "invalid", "error"]

MAX_KEY: Final = 1024
"""Characters of a key, and of the identifier of a stream: XEP-0185's has 64, and some servers sign theirs."""

_CONDITIONS: Final = {condition.tag: condition for condition in Condition} | {
    # §2.5 names it among the conditions of stanzas, but RFC 6120 has it for streams only.
    "remote-connection-failed": Condition.REMOTE_SERVER_TIMEOUT,
}


class DialbackKeys:
    """Makes keys and knows them again, without keeping any (XEP-0185).

    All servers that speak for the same domains need the same *secret*, which "MUST either be set up in a configuration
    option […] or generated as a random string when starting".
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        # "The output of the SHA256 hashing algorithm MUST be provided in the hexadecimal representation", here, too.
        self._secret = sha256(secret).hexdigest().encode()

    def key(self, receiving: str, originating: str, stream_id: str) -> str:
        """The key with which *originating* proves itself on the stream that *receiving* gave *stream_id*."""
        text = f"{receiving} {originating} {stream_id}"
        return hmac.new(self._secret, text.encode(), sha256).hexdigest()

    def matches(self, key: str, receiving: str, originating: str, stream_id: str) -> bool:
        """Whether *key* is that one; takes the same time whatever it is."""
        return hmac.compare_digest(key.encode(), self.key(receiving, originating, stream_id).encode())


@dataclass(frozen=True, slots=True)
class Dialback:
    """A ``<db:result/>`` or ``<db:verify/>``, from the domain *sender* to the domain *to*.

    Without a *type* it asks, and *key* is what to check; with one it answers, and *error* says what went wrong where
    the type is "error". *id* is the identifier of the stream whose key is verified, and belongs to "verify" alone.
    """

    name: Name
    sender: str
    to: str
    type: Type | None = None
    key: str = ""
    id: str | None = None
    error: Condition | None = None

    def answer(self, type: Type, error: Condition | None = None) -> Dialback:
        """The answer to this request: "valid", "invalid", or "error" with what went wrong."""
        return Dialback(self.name, self.to, self.sender, type, id=self.id, error=error)

    def element(self) -> Element:
        """As an element; on a stream it is written by `to_bytes`."""
        # §2.5: "the element MUST contain an <error/> element (implicitly qualified by the 'jabber:server' namespace)".
        error = None if self.error is None else error_element(self.error).in_namespace(ns.CLIENT, ns.SERVER)
        return Element(self.name, ns.DIALBACK, error, text=self.key, attrs=self._attrs())

    def to_bytes(self) -> bytes:
        """As it is written on a stream whose header declares ``xmlns:db`` and the default namespace jabber:server.

        The prefix is written, although XML would allow others: ejabberd knows the element by ``db:`` alone.
        """
        name = f"db:{self.name}"
        written = "".join(
            f" {key}='{escape_value(value)}'" for key, value in self._attrs().items() if value is not None
        )
        inside = escape_text(self.key)
        if self.error is not None:
            inside += error_element(self.error).to_xml(ns.CLIENT)
        return f"<{name}{written}>{inside}</{name}>".encode() if inside else f"<{name}{written}/>".encode()

    def _attrs(self) -> dict[str, str | None]:
        return {"from": self.sender, "to": self.to, "id": self.id, "type": self.type}


def read(element: Element) -> Dialback:
    """What *element* says, its domains prepared.

    Raises `StreamError`: improper-addressing where a domain is missing or is none, bad-format for all else that is
    wrong. Whether an answer was asked for is to be seen by who asks (§3.1).
    """
    if element.ns != ns.DIALBACK or element.name not in ("result", "verify"):
        raise _bad_format("not an element of dialback")
    name: Name = "result" if element.name == "result" else "verify"
    kind = _type(element.get("type"))
    key = element.text.strip() if kind is None else ""
    id = element.get("id") if name == "verify" else None
    if name == "verify" and not id:
        raise _bad_format("a key to verify for no stream")
    if kind is None and not key:
        raise _bad_format("no key")
    if len(key) > MAX_KEY or len(id or "") > MAX_KEY:
        raise _bad_format("too long a key")
    return Dialback(
        name,
        _domain(element.get("from")),
        _domain(element.get("to")),
        kind,
        key,
        id,
        _error(element) if kind == "error" else None,
    )


def feature() -> Element:
    """What offers dialback and says that its errors are understood (§2.4.2)."""
    return Element("dialback", ns.DIALBACK_FEATURE, Element("errors", ns.DIALBACK_FEATURE))


def understands_errors(features: Element) -> bool:
    """Whether who sent these ``<stream:features/>`` understands errors, so that one stream can serve many pairs."""
    offered = features.child(ns.DIALBACK_FEATURE, "dialback")
    return offered is not None and offered.child(ns.DIALBACK_FEATURE, "errors") is not None


def _type(text: str | None) -> Type | None:
    match text:
        case None | "valid" | "invalid" | "error":
            return text
    raise _bad_format("not a type of dialback")


def _domain(text: str | None) -> str:
    try:
        if text is not None:
            return prepare_domain(text)
    except InvalidJID:
        pass
    raise StreamError(StreamCondition.IMPROPER_ADDRESSING, "dialback needs two domains")


def _error(element: Element) -> Condition:
    """What went wrong; undefined-condition where it is not said, or by a word that is not known."""
    for child in element.elements():
        if child.name == "error" and (child.ns in ns.CONTENT or child.ns == ns.DIALBACK):
            for said in child.elements():
                if said.ns == ns.STANZA_ERROR and said.name in _CONDITIONS:
                    return _CONDITIONS[said.name]
    return Condition.UNDEFINED_CONDITION


def _bad_format(text: str) -> StreamError:
    return StreamError(StreamCondition.BAD_FORMAT, text)
