"""Wokkel's protocol handlers, unchanged, as modules.

``mod_wokkel`` hosts handlers that the configuration names. Whoever makes handlers in Python subclasses `HandlerModule`.
Import this file before anything of wokkel's: it sees to it that wokkel finds the Twisted it knows.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.ijabber import IXMPPHandler

from .._wokkel import data_form, disco, iwokkel, jid
from ..api import (
    HANDLED,
    IQ,
    JID,
    Condition,
    Element,
    HostPattern,
    Message,
    Module,
    Outcome,
    Slot,
    Stanza,
    StanzaError,
    caps,
    check_iq,
    forms,
    hooks,
    ns,
    option,
)
from .wokkel_elements import from_domish
from .wokkel_slot import Slot as HandlerSlot

log = Logger()

T = TypeVar("T")


class HandlerModule(Module):
    """Hosts the wokkel handlers that `make_handlers` makes, at an address of their own or at the host's."""

    name = "mod_wokkel_handlers"

    @dataclass(frozen=True)
    class Options(Module.Options):
        """Settings of a module that hosts handlers."""

        host: HostPattern | None = option(
            None,
            "The domain they answer at, as echo.@HOST@; none: the host itself, where they get what its modules leave.",
        )

    options: Any

    def make_handlers(self) -> Iterable[Any]:
        """The handlers (`IXMPPHandler`); called at the start, and again when the options have changed."""
        raise NotImplementedError

    # -- life -----------------------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        self._open(list(self.make_handlers()))

    async def on_stop(self) -> None:
        self._close()

    def reconfigure(self, old: Any, new: Any) -> None:
        """Others take their place; where that fails, those that were there go on under the old options."""
        try:
            handlers = list(self.make_handlers())
        except BaseException:
            self.options = old
            raise
        before = list(self._slot)
        self._close()
        try:
            self._open(handlers)
        except BaseException:
            self.options = old
            self._open(before)  # to them it is as if their connection had been lost, and is there again
            raise

    @property
    def address(self) -> JID:
        """Where the handlers are."""
        own: HostPattern | None = self.options.host
        return self.host.jid if own is None else JID("", own.of(self.host.name))

    @property
    def own_domain(self) -> bool:
        return self.address != self.host.jid

    def _open(self, handlers: list[Any]) -> None:
        """Begin; where one of *handlers* cannot, nothing stays."""
        for handler in handlers:
            if not IXMPPHandler.providedBy(handler):
                raise TypeError(f"{handler!r} is no handler: it does not provide IXMPPHandler")
        address = self.address
        self._unregister: Callable[[], None] = _nothing
        self._slot = HandlerSlot(address, self.scope, self.host.route, self._may_speak_for)
        if self.own_domain:
            if not any(isinstance(handler, disco.DiscoHandler) for handler in handlers):
                handlers = [*handlers, Discovery(self.name)]
            router = self.host.server.router
            router.register(address.domain, self)
            self._unregister = lambda: router.unregister(address.domain)
        try:
            for handler in handlers:
                # The parent is to be known when the handler begins, which `addHandler` alone does not see to.
                handler.setHandlerParent(self._slot)
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        unregister, self._unregister = self._unregister, _nothing  # others may have the domain then
        unregister()
        self._slot.close()

    def _may_speak_for(self, sender: JID) -> bool:
        # The host's accounts are not the handlers'; below a domain of their own every address is.
        return sender.domain == self.address.domain and (self.own_domain or not sender.local)

    # -- stanzas to a domain of their own -------------------------------------------------------------------------

    def deliver(self, stanza: Stanza) -> Awaitable[None] | None:
        """Take a stanza for their domain, as the router's destination."""
        _check_sender(stanza)
        if isinstance(stanza, IQ):
            check_iq(stanza)
        if not self._slot.deliver(stanza) and isinstance(stanza, IQ | Message):
            raise StanzaError(Condition.SERVICE_UNAVAILABLE)
        return None

    # -- stanzas to the host, where its own modules come first ----------------------------------------------------

    @hooks.local_receive_packet.at(Slot.FALLBACK)
    def message_or_presence(self, to: JID, stanza: Stanza) -> Outcome:
        return self._take(stanza)

    @hooks.local_iq.at(Slot.FALLBACK)
    def iq(self, to: JID, stanza: Stanza) -> Outcome:
        return self._take(stanza)

    def _take(self, stanza: Stanza) -> Outcome:
        if self.own_domain:
            return None
        _check_sender(stanza)
        return HANDLED if self._slot.deliver(stanza) else None

    # -- what they say about themselves ---------------------------------------------------------------------------

    @hooks.disco_local_identity
    def identities(self, who: JID, node: str) -> Iterable[caps.Identity] | Awaitable[Iterable[caps.Identity]]:
        return self._information(who, node, _identities)

    @hooks.disco_local_features
    def disco_features(self, who: JID, node: str) -> Iterable[str] | Awaitable[Iterable[str]]:
        return self._information(who, node, _features)

    @hooks.disco_info
    def extensions(self, who: JID, node: str) -> Iterable[forms.Form] | Awaitable[Iterable[forms.Form]]:
        return self._information(who, node, _forms)

    @hooks.disco_local_items
    async def items(self, who: JID, node: str) -> list[Element]:
        found: list[Element] = []
        for asked in self._ask("getDiscoItems", who, node):
            found += [from_domish(item.toElement(), ns.DISCO_ITEMS) for item in await asked]
        return found

    def _information(
        self, who: JID, node: str, pick: Callable[[Iterable[Any]], list[T]]
    ) -> list[T] | Awaitable[list[T]]:
        asking = self._ask("getDiscoInfo", who, node)
        if node:
            return _later(asking, pick)
        # The host's own features are asked for in the middle of things: who is slow is left out.
        return [item for asked in asking for item in pick(_known_now(asked))]

    def _ask(self, question: str, who: JID, node: str) -> Iterator[Deferred[Any]]:
        if self.own_domain:
            return
        for handler in list(self._slot):
            if iwokkel.IDisco.providedBy(handler):
                ask = getattr(handler, question)
                yield maybeDeferred(ask, jid.JID(str(who)), jid.JID(str(self.host.jid)), node)


class Wokkel(HandlerModule):
    """Hosts wokkel handlers named in the configuration."""

    name = "mod_wokkel"

    @dataclass(frozen=True)
    class Options(HandlerModule.Options):
        """Settings of mod_wokkel."""

        handlers: dict[str, dict[str, str]] = option(
            {},
            "The handlers: the dotted path of each one's class (or of a function that makes it), and what it is called"
            " with, by name.",
        )

        def check(self) -> Iterable[tuple[str, str]]:
            for path, arguments in self.handlers.items():
                try:
                    inspect.signature(_found(path)).bind(**arguments)
                except Exception as problem:
                    yield "handlers", f"{path}: {problem}"

    def make_handlers(self) -> Iterable[Any]:
        return [_found(path)(**arguments) for path, arguments in self.options.handlers.items()]


def _found(path: str) -> Callable[..., Any]:
    """What that dotted path leads to; raises where there is nothing that can be called."""
    module, _, name = path.rpartition(".")
    if not module:
        raise ValueError("must be the dotted path of a class, as wokkel.ping.PingHandler")
    found = getattr(importlib.import_module(module), name)
    if not callable(found):
        raise ValueError("must be a class or a function")
    made: Callable[..., Any] = found
    return made


class Discovery(disco.DiscoHandler):  # type: ignore[misc]
    """Answers for handlers at a domain of their own, and adds what XEP-0030 §3.1 demands of everybody."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def info(self, requestor: Any, target: Any, nodeIdentifier: str) -> Deferred[list[Any]]:
        found: Deferred[list[Any]] = super().info(requestor, target, nodeIdentifier)
        return found if nodeIdentifier else found.addCallback(self._complete)

    def _complete(self, found: list[Any]) -> list[Any]:
        if not any(isinstance(item, disco.DiscoIdentity) for item in found):
            found = [disco.DiscoIdentity("component", "generic", self._name), *found]
        missing = {ns.DISCO_INFO, ns.DISCO_ITEMS}.difference(_features(found))
        return [*found, *map(disco.DiscoFeature, sorted(missing))]


def _nothing() -> None: ...


def _check_sender(stanza: Stanza) -> None:
    """Handlers read addresses in their own way; what is none to them ends here, and not in their log."""
    try:
        jid.internJID(stanza.element.attrs.get("from", ""))
    except jid.InvalidFormat:
        raise StanzaError(Condition.JID_MALFORMED) from None


async def _later(asking: Iterable[Deferred[Any]], pick: Callable[[Iterable[Any]], list[T]]) -> list[T]:
    return [item for asked in asking for item in pick(await asked)]


def _known_now(asked: Deferred[Any]) -> Iterable[Any]:
    """Its result; nothing where it fails, or is not there yet."""
    results: list[Any] = []
    asked.addBoth(results.append)
    if not results:
        return ()
    if isinstance(results[0], Failure):
        log.failure("handler failed", results[0], hook="getDiscoInfo")
        return ()
    found: Iterable[Any] = results[0]
    return found


def _identities(found: Iterable[Any]) -> list[caps.Identity]:
    return [
        caps.Identity(item.category, item.type, name=item.name or "")
        for item in found
        if isinstance(item, disco.DiscoIdentity)
    ]


def _features(found: Iterable[Any]) -> list[str]:
    return [str(item) for item in found if isinstance(item, disco.DiscoFeature)]


def _forms(found: Iterable[Any]) -> list[forms.Form]:
    return [
        forms.Form.parse(from_domish(item.toElement(), ns.FORM)) for item in found if isinstance(item, data_form.Form)
    ]
