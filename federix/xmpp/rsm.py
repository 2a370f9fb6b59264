"""Result set management (XEP-0059): long answers, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .element import Element
from .errors import Condition, StanzaError

#: The namespace of XEP-0059.
RSM = "http://jabber.org/protocol/rsm"

#: The largest number on the wire (§8: xs:int); what is larger counts as this.
MAX_NUMBER = 2**31 - 1
#: Characters of an item's identifier: room for a full JID, the longest in use.
MAX_UID = 3071

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """Which page somebody wants: all parts are optional.

    *max* is how many items at most (0 asks for the count alone, §2.7). *after* and *before* are identifiers of items
    next to the page; *before* = "" asks for the last page (§2.5). *index* is the place of the page's first item.
    """

    max: int | None = None
    after: str | None = None
    before: str | None = None
    index: int | None = None

    @classmethod
    def find(cls, parent: Element) -> Request | None:
        """The request inside *parent*, if there is one; raises `StanzaError` (bad-request)."""
        element = parent.child(RSM, "set")
        return None if element is None else cls.parse(element)

    @classmethod
    def parse(cls, element: Element) -> Request:
        """The request that *element* is; raises `StanzaError` (bad-request)."""
        request = cls(
            _number(element.text_of(RSM, "max")),
            # §2.2: without <after/> the page begins "before the first item", and an empty one names no item either.
            _uid(element.text_of(RSM, "after")) or None,
            _uid(element.text_of(RSM, "before")),
            _number(element.text_of(RSM, "index")),
        )
        if request.index is not None and (request.after is not None or request.before is not None):
            raise StanzaError(Condition.BAD_REQUEST, "a page by index and by item")
        return request

    def to_element(self) -> Element:
        """As ``<set/>``."""
        return Element(
            "set",
            RSM,
            _child("max", self.max),
            _child("after", self.after),
            _child("before", self.before),
            _child("index", self.index),
        )

    @property
    def is_backwards(self) -> bool:
        """Whether the page is the end of what stands before *before*, and not the beginning of something."""
        return self.before is not None

    def size(self, default: int, most: int) -> int:
        """How many items to give: what is asked, *default* if nothing is, never more than *most*."""
        return min(default if self.max is None else self.max, most)


@dataclass(frozen=True, slots=True)
class Page:
    """Which page it is: its *first* and *last* item, the place (*index*) of the first, the *count* of all items."""

    first: str | None = None
    last: str | None = None
    index: int | None = None
    count: int | None = None

    @classmethod
    def parse(cls, element: Element) -> Page:
        """The description that *element* is; raises `StanzaError` (bad-request)."""
        first = element.child(RSM, "first")
        return cls(
            None if first is None else _uid(first.text),
            _uid(element.text_of(RSM, "last")),
            None if first is None else _number(first.get("index")),
            _number(element.text_of(RSM, "count")),
        )

    def to_element(self) -> Element:
        """As ``<set/>``."""
        first = _child("first", self.first)
        if first is not None and self.index is not None:
            first.attrs["index"] = str(self.index)
        return Element("set", RSM, first, _child("last", self.last), _child("count", self.count))


def cut(items: Sequence[T], uid: Callable[[T], str], request: Request, size: int) -> tuple[Sequence[T], Page]:
    """The page of *items* that is asked for, at most *size* of them, and its description.

    For what is at hand in order; *uid* names an item. Raises `StanzaError` (item-not-found) where the item that the
    page is to stand next to is not among them (§2.4).
    """
    start, end = 0, len(items)
    if request.index is not None:
        start = min(request.index, end)
    if request.after is not None:
        start = _place(items, uid, request.after) + 1
    if request.before:
        end = _place(items, uid, request.before)
    if request.is_backwards:
        start = max(start, end - size)
    end = min(end, start + size)
    page = items[start:end]
    # §2.2: "If there are no items in the page, then the <first/> and <last/> elements MUST NOT be included."
    if not page:
        return page, Page(count=len(items))
    return page, Page(uid(page[0]), uid(page[-1]), start, len(items))


def _place(items: Sequence[T], uid: Callable[[T], str], wanted: str) -> int:
    for place, item in enumerate(items):
        if uid(item) == wanted:
            return place
    raise StanzaError(Condition.ITEM_NOT_FOUND)


def _child(name: str, value: str | int | None) -> Element | None:
    return None if value is None else Element(name, RSM, text=str(value))


def _uid(text: str | None) -> str | None:
    if text is not None and len(text) > MAX_UID:
        raise StanzaError(Condition.BAD_REQUEST, "an identifier that is too long")
    return text


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit()):
        raise StanzaError(Condition.BAD_REQUEST, "not a number")
    # int() takes time for very many digits, and from 4300 on refuses them.
    return MAX_NUMBER if len(digits.lstrip("0")) > 10 else min(int(digits[-20:]), MAX_NUMBER)
