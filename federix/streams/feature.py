"""Stream features as data (RFC 6120 §4.3): when each is offered, and what takes it up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Flag, auto
from typing import Generic, TypeVar

from ..xmpp import ns
from ..xmpp.element import Element
from ..xmpp.stanza import IQ, Stanza

L = TypeVar("L")


class Facts(Flag):
    """What is true of a stream."""

    NONE = 0
    SECURE = auto()
    AUTHENTICATED = auto()
    BOUND = auto()


@dataclass(frozen=True, slots=True)
class StreamFeature(Generic[L]):
    """One feature of a kind of link L.

    Offered while all of *needs* and none of *forbids* is true, if *offer* then has something to offer. The elements
    in *takes*, by namespace and name, are handed to *take* under the same conditions.
    """

    name: str
    needs: Facts
    forbids: Facts
    offer: Callable[[L], Sequence[Element]]
    takes: frozenset[tuple[str, str]] = frozenset()
    take: Callable[[L, Element], Awaitable[None] | None] | None = None

    def possible(self, facts: Facts) -> bool:
        return self.needs in facts and not self.forbids & facts


class StreamFeatures(Generic[L]):
    """All features of a kind of link, in the order they are offered."""

    def __init__(self, *features: StreamFeature[L]) -> None:
        self._features = features
        #: Those that are possible, for each of the few combinations of facts.
        self._possible: dict[Facts, Sequence[StreamFeature[L]]] = {}

    def __iter__(self) -> Iterator[StreamFeature[L]]:
        return iter(self._features)

    def possible(self, facts: Facts) -> Sequence[StreamFeature[L]]:
        """Those whose conditions hold."""
        known = self._possible.get(facts)
        if known is None:
            known = self._possible[facts] = [feature for feature in self._features if feature.possible(facts)]
        return known

    def offer(self, link: L, facts: Facts) -> Element:
        """``<stream:features/>`` as things stand."""
        element = Element("features", ns.STREAMS)
        for feature in self.possible(facts):
            element.children += feature.offer(link)
        return element

    def taker(self, facts: Facts, element: Element | Stanza) -> Callable[[L, Element], Awaitable[None] | None] | None:
        """What takes *element*, as things stand; of an iq its payload decides, and no other stanza is taken."""
        if isinstance(element, Stanza):
            payload = element.element.first() if isinstance(element, IQ) else None
            if payload is None:
                return None
            key = (payload.ns, payload.name)
        else:
            key = (element.ns, element.name)
        for feature in self.possible(facts):
            if key in feature.takes:
                return feature.take
        return None
