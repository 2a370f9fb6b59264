"""Hooks and their chains: the three shapes in which modules meet the core.

A hook is a typed constant (all stand in `hooks`). It is a decorator for the methods of a module, and what fires it
runs the chain of one host. What a chain holds is known when the modules are loaded, so firing is a loop over a tuple.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeAlias, TypeVar

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from ..life.scope import Scope
from ..storage.storage import StoreError
from ..xmpp.errors import Condition, StanzaError
from ..xmpp.stanza import KINDS, Stanza
from .unfinished import Unfinished, module_of

log = Logger()

#: How many handlers of events may go on in the background, for one host.
MAX_BACKGROUND: Final = 10_000
#: How many items one handler may add to a list.
MAX_ITEMS: Final = 100_000


class TooMuch(Exception):
    """A handler has a bug: it never ends, or what it returns does not."""


class HandlerCrashed(StanzaError):
    """A filter's handler has a bug, which is logged already; the stanza is refused."""

    def __init__(self) -> None:
        super().__init__(Condition.INTERNAL_SERVER_ERROR)


P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")
K = TypeVar("K", bound=Stanza)
H = TypeVar("H", bound=Callable[..., Any])


class Slot(IntEnum):
    """Where in a chain a handler stands: those that refuse, those that change, the others, those that take the rest.

    Within a slot handlers stand in the order in which their modules were loaded.
    """

    CHECK = 0
    CHANGE = 1
    NORMAL = 2
    FALLBACK = 3


class Handled:
    """The type of `HANDLED`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "HANDLED"


#: What a filter's handler returns when the stanza is its own and goes no further.
HANDLED: Final = Handled()

#: What a filter's handler returns: the stanza goes on as it is (``None``), ends here, or is replaced.
Outcome = Handled | Stanza | None

#: The attribute under which a decorated method remembers the chains it belongs in.
_PLACES: Final = "__federix_places__"


@dataclass(frozen=True, slots=True)
class Place:
    """A handler's place: its hook, its slot, the modules it must stand behind, and the stanzas it is called for."""

    hook: Hook
    slot: Slot
    after: tuple[str, ...]
    kind: type[Stanza] = Stanza


class Hook:
    """What all three shapes share. *doc* says who fires it, what is already true, and what the result means."""

    #: event, filter or collect.
    shape = ""

    def __init__(self, name: str, doc: str) -> None:
        self.name = name
        self.doc = doc
        #: What the log says of where a handler stands.
        self.where: Final = {"hook": name}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def _failed(self, handler: Callable[..., Any]) -> None:
        """Log the exception that is being handled."""
        log.failure("handler failed", hook=self.name, module=module_of(handler))

    def _mark(self, handler: H, slot: Slot, after: tuple[str, ...], kind: type[Stanza] = Stanza) -> H:
        places: list[Place] = getattr(handler, _PLACES, [])
        setattr(handler, _PLACES, [*places, Place(self, slot, after, kind)])
        return handler


#: What a handler of an event returns: nobody asks for an outcome.
Heard: TypeAlias = Awaitable[None] | None


class Event(Hook, Generic[P]):
    """All hear it; results are ignored. A handler that raises is logged, and the others still hear it.

    ``Event[[Session, Presence]]`` is taken by ``def heard(self, session: Session, presence: Presence) -> None``. One
    that is `async def` goes on in the background.
    """

    shape = "event"

    def __call__(self, handler: Callable[Concatenate[Any, P], Heard]) -> Callable[Concatenate[Any, P], Heard]:
        return self._mark(handler, Slot.NORMAL, ())

    def at(
        self, slot: Slot, after: tuple[str, ...] = ()
    ) -> Callable[[Callable[Concatenate[Any, P], Heard]], Callable[Concatenate[Any, P], Heard]]:
        """Take it in another place: in that *slot*, and behind the modules of the names *after*."""
        return lambda handler: self._mark(handler, slot, after)

    def run(self, chains: Chains, *args: P.args, **kwargs: P.kwargs) -> None:
        """Tell all now. A handler that must wait goes on in the background."""
        self._tell_now(chains.of(self), chains, *args, **kwargs)

    def _tell_now(
        self, handlers: tuple[Callable[..., Any], ...], chains: Chains, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        for handler in handlers:
            try:
                waiting = handler(*args, **kwargs)
                if waiting is not None and inspect.isawaitable(waiting):
                    self._go_on(chains, handler, waiting)
            except Exception:
                self._failed(handler)

    def _go_on(self, chains: Chains, handler: Callable[..., Any], waiting: Awaitable[object]) -> None:
        if len(chains.scope) >= MAX_BACKGROUND:
            if isinstance(waiting, Coroutine):
                waiting.close()
            raise TooMuch("too many handlers go on in the background")
        chains.scope.spawn(self._finish(chains, handler, waiting))

    async def _finish(self, chains: Chains, handler: Callable[..., Any], waiting: Awaitable[object]) -> None:
        try:
            await chains.unfinished.wait_for(waiting, handler, self.where)
        except CancelledError:
            raise
        except Exception:
            self._failed(handler)

    async def tell(self, chains: Chains, *args: P.args, **kwargs: P.kwargs) -> StoreError | None:
        """Tell one after the other and wait for each; the first `StoreError` of them, if there was one."""
        away: StoreError | None = None
        for handler in chains.of(self):
            try:
                waiting = handler(*args, **kwargs)
                if waiting is not None and inspect.isawaitable(waiting):
                    await chains.unfinished.wait_for(waiting, handler, self.where)
            except CancelledError:
                if chains.scope.closed:
                    raise
                # Its module was taken out while it worked; the others are still to hear it.
            except Exception as error:
                self._failed(handler)
                if isinstance(error, StoreError):
                    away = away or error
        return away


class Watch(Event[[S, Stanza]], Generic[S]):
    """An event about a stanza, with the *subject* it is about.

    ``Watch[Session]`` is taken by ``def heard(self, session: Session, stanza: Stanza) -> None``.
    """

    def only(
        self, kind: type[K], slot: Slot = Slot.NORMAL, after: tuple[str, ...] = ()
    ) -> Callable[[Callable[[Any, S, K], Heard]], Callable[[Any, S, K], Heard]]:
        """Take it for stanzas of one *kind*: ``@hooks.user_sent_packet.only(Message)``."""
        return lambda handler: self._mark(handler, slot, after, kind)

    def watch(self, chains: Chains, subject: S, stanza: Stanza) -> None:
        """As `run`, for those whom this stanza concerns."""
        handlers = chains.of_kind(self, stanza)
        if handlers:
            self._tell_now(handlers, chains, subject, stanza)


class Filter(Hook, Generic[S]):
    """A stanza on its way, with the *subject* it is about.

    A handler returns ``None`` to go on, `HANDLED` to end, or a stanza of the same kind that takes its place; `async
    def` may do so later, and the stanza waits. `StanzaError` ends it as well. Whatever else is raised is a bug: it is
    logged and the stanza is refused, since a check that crashed has not allowed it.

    ``Filter[JID]`` is taken by ``def check(self, account: JID, stanza: Stanza) -> Outcome``.
    """

    shape = "filter"

    def __call__(
        self, handler: Callable[[Any, S, Any], Outcome | Awaitable[Outcome]]
    ) -> Callable[[Any, S, Any], Outcome | Awaitable[Outcome]]:
        return self._mark(handler, Slot.NORMAL, ())

    def at(
        self, slot: Slot, after: tuple[str, ...] = ()
    ) -> Callable[
        [Callable[[Any, S, Any], Outcome | Awaitable[Outcome]]],
        Callable[[Any, S, Any], Outcome | Awaitable[Outcome]],
    ]:
        """Take it in another place: in that *slot*, and behind the modules of the names *after*."""
        return lambda handler: self._mark(handler, slot, after)

    def only(
        self, kind: type[K], slot: Slot = Slot.NORMAL, after: tuple[str, ...] = ()
    ) -> Callable[
        [Callable[[Any, S, K], Outcome | Awaitable[Outcome]]], Callable[[Any, S, K], Outcome | Awaitable[Outcome]]
    ]:
        """Take it for stanzas of one *kind*, ``@hooks.user_send_packet.only(Message)``; the others pass by."""
        return lambda handler: self._mark(handler, slot, after, kind)

    def run(self, chains: Chains, subject: S, stanza: Stanza) -> Stanza | Handled | Awaitable[Stanza | Handled]:
        """The stanza as it goes on, or `HANDLED`; an awaitable of it where a handler waits.

        Raises `StanzaError`, and nothing else.
        """
        following = iter(chains.by_kind[stanza.kind].get(self, ()))  # `of_kind`, without a call for each message
        try:
            for handler in following:
                outcome = handler(subject, stanza)
                if outcome is None:
                    continue
                if isinstance(outcome, Stanza):
                    stanza = _in_place_of(stanza, outcome)
                elif isinstance(outcome, Handled):
                    return HANDLED
                else:
                    return self._go_on(chains, outcome, handler, following, subject, stanza)
        except StanzaError:
            raise
        except Exception:
            raise self._crashed(handler) from None
        return stanza

    def run_now(self, chains: Chains, subject: S, stanza: Stanza) -> Stanza | Handled:
        """As `run`, where no handler may wait; one that does is a bug and costs the stanza."""
        outcome: Any
        try:
            for handler in chains.by_kind[stanza.kind].get(self, ()):
                outcome = handler(subject, stanza)
                if outcome is None:
                    continue
                if isinstance(outcome, Stanza):
                    stanza = _in_place_of(stanza, outcome)
                elif isinstance(outcome, Handled):
                    return HANDLED
                else:
                    if isinstance(outcome, Coroutine):
                        outcome.close()
                    raise TypeError(f"{self.name} is fired in the middle of things: its handlers cannot wait")
        except StanzaError:
            raise
        except Exception:
            raise self._crashed(handler) from None
        return stanza

    async def _go_on(
        self,
        chains: Chains,
        waiting: Awaitable[Outcome],
        handler: Callable[..., Any],
        remaining: Iterator[Callable[..., Any]],
        subject: S,
        stanza: Stanza,
    ) -> Stanza | Handled:
        """It is *handler* that waits; the *remaining* come after it."""
        try:
            outcome = await chains.unfinished.wait_for(waiting, handler, self.where)
            while True:
                if isinstance(outcome, Stanza):
                    stanza = _in_place_of(stanza, outcome)
                elif isinstance(outcome, Handled):
                    return HANDLED
                elif outcome is not None:
                    raise TypeError(f"a handler of {self.name} returned {outcome!r}")
                following = next(remaining, None)
                if following is None:
                    return stanza
                handler = following
                outcome = handler(subject, stanza)
                if inspect.isawaitable(outcome):
                    outcome = await chains.unfinished.wait_for(outcome, handler, self.where)
        except StanzaError:
            raise
        except CancelledError:
            if chains.scope.closed:
                raise
            # Its module was taken out while it worked; a check that did not end has not allowed the stanza.
            raise HandlerCrashed from None
        except Exception:
            raise self._crashed(handler) from None

    def _crashed(self, handler: Callable[..., Any]) -> HandlerCrashed:
        self._failed(handler)
        return HandlerCrashed()


def _in_place_of(stanza: Stanza, other: Stanza) -> Stanza:
    """*other*, which takes the place of *stanza*: those behind take it for one of that kind."""
    if other.kind != stanza.kind:
        raise TypeError(f"{other.kind} cannot take the place of {stanza.kind}")
    return other


class Collect(Hook, Generic[P, T]):
    """Each handler returns items; they are joined. What a handler that raises would have added is missing.

    ``Collect[[JID, str], Element]`` is taken by ``def items(self, who: JID, node: str) -> list[Element]``.
    """

    shape = "collect"

    def __call__(
        self, handler: Callable[Concatenate[Any, P], Iterable[T] | Awaitable[Iterable[T]]]
    ) -> Callable[Concatenate[Any, P], Iterable[T] | Awaitable[Iterable[T]]]:
        return self._mark(handler, Slot.NORMAL, ())

    async def gather(self, chains: Chains, *args: P.args, **kwargs: P.kwargs) -> list[T]:
        """Ask one after the other and wait for each; a `StanzaError` of theirs is raised."""
        items: list[T] = []
        for handler in chains.of(self):
            try:
                found = handler(*args, **kwargs)
                if inspect.isawaitable(found):
                    found = await chains.unfinished.wait_for(found, handler, self.where)
                items += _all_of(found)
            except StanzaError:
                raise
            except CancelledError:
                if chains.scope.closed:
                    raise
                # Its module was taken out while it worked; what it would have added is missing.
            except Exception:
                self._failed(handler)
        return items

    def gather_now(self, chains: Chains, *args: P.args, **kwargs: P.kwargs) -> list[T]:
        """As `gather`, where no handler may wait; one that does is a bug, logged, and its items are missing."""
        items: list[T] = []
        for handler in chains.of(self):
            try:
                found = handler(*args, **kwargs)
                if isinstance(found, Coroutine):
                    found.close()
                    raise TypeError(f"{self.name} is asked for in the middle of things: its handlers cannot wait")
                items += _all_of(found)
            except Exception:
                self._failed(handler)
        return items


def _all_of(found: Iterable[T]) -> list[T]:
    items = list(islice(found, MAX_ITEMS + 1))
    if len(items) > MAX_ITEMS:
        raise TooMuch("the list has no end")
    return items


@dataclass(frozen=True, slots=True)
class Entry:
    """A handler as a chain holds it."""

    handler: Callable[..., Any]
    place: Place
    owner: str


class Chains:
    """The chains of one host."""

    def __init__(self, scope: Scope, unfinished: Unfinished) -> None:
        self.scope = scope
        #: Those of the handlers, of requests as well, who are waited for.
        self.unfinished = unfinished
        self._entries: dict[Hook, list[Entry]] = {}
        self._handlers: dict[Hook, tuple[Callable[..., Any], ...]] = {}
        #: For each kind of stanza, by hook, those who take it. A hook that is not there need not be fired.
        self.by_kind: dict[str, dict[Hook, tuple[Callable[..., Any], ...]]] = {kind: {} for kind in KINDS}

    def of(self, hook: Hook) -> tuple[Callable[..., Any], ...]:
        return self._handlers.get(hook, ())

    def of_kind(self, hook: Hook, stanza: Stanza) -> tuple[Callable[..., Any], ...]:
        """Those of *hook* who take stanzas of this one's kind."""
        return self.by_kind[stanza.kind].get(hook, ())

    def entries(self, hook: Hook) -> tuple[Entry, ...]:
        """The chain of *hook* in its order."""
        return tuple(self._entries.get(hook, ()))

    def hooks(self) -> list[Hook]:
        return list(self._entries)

    def add(self, handler: Callable[..., Any], place: Place, owner: str) -> Callable[[], None]:
        """Put *handler* in its place; the answer takes it out again."""
        entry = Entry(handler, place, owner)
        self._order([*self._entries.get(place.hook, ()), entry], place.hook)

        def undo() -> None:
            self._order([e for e in self._entries.get(place.hook, ()) if e is not entry], place.hook)

        return undo

    def _order(self, entries: list[Entry], hook: Hook) -> None:
        """By slot, then as loaded; one that must stand behind another moves behind it."""
        ordered = sorted(entries, key=lambda entry: entry.place.slot)
        for entry in [entry for entry in ordered if entry.place.after]:
            behind = [e for e in ordered if e.owner in entry.place.after]
            if behind and ordered.index(entry) < (last := max(ordered.index(e) for e in behind)):
                ordered.remove(entry)
                ordered.insert(last, entry)
        if not ordered:
            self._entries.pop(hook, None)
            self._handlers.pop(hook, None)
        else:
            self._entries[hook] = ordered
            self._handlers[hook] = tuple(entry.handler for entry in ordered)
        for name, kind in KINDS.items():
            takers = tuple(entry.handler for entry in ordered if issubclass(kind, entry.place.kind))
            if takers:
                self.by_kind[name][hook] = takers
            else:
                self.by_kind[name].pop(hook, None)


def places_of(function: object) -> list[Place]:
    """Where a decorated method belongs."""
    places: list[Place] = getattr(function, _PLACES, [])
    return places
