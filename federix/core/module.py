"""What a module is: one XEP, or chapter of an RFC, declared once.

A module is a class. It says in this order: docstring, `name`, `implements`, `Options`, `requires`, features that no
handler implies, stores, handlers in the order of the specification. Disco features, the settings reference, the
XEP table, the start order and the undoing are derived from that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from ..life.scope import Scope
from ..life.tree import Node
from ..storage.shapes import expect
from ..storage.storage import Storage
from .chain import places_of
from .commands import is_command
from .iq import requests_of
from .options import Options as BaseOptions
from .portable import Portable

if TYPE_CHECKING:
    from .host import Host

M = TypeVar("M", bound="Module")
H = TypeVar("H", bound=Callable[..., Any])

#: The attribute under which a method remembers that it is there on demand.
_ON_DEMAND: Final = "__federix_on_demand__"


@dataclass(frozen=True, slots=True)
class Xep:
    """A XEP that a module implements: its *number*, the *version* of the text that was followed, and a *status*.

    The table in ``docs/xeps.md`` is made of these. The status says in a word or two what is there, if not all.
    """

    number: int
    version: str
    status: str = "complete"


@dataclass(frozen=True, slots=True)
class Rfc:
    """Chapters of an RFC that a module implements: its *number*, the *sections* (``"2-7, 10"``) and a *status*."""

    number: int
    sections: str
    status: str = "complete"


class Module(Node):
    """A feature of one host: subclass it, name it, decorate its methods.

    There is one object for each host the module runs on: *host* is that host, *options* what its configuration says,
    an object of `Options`. So that type checkers know its type, a module with options declares ``options: Options``
    below them. Coroutines to override are `on_start`, before which nothing of the module is called and after which
    its handlers are in their chains, and `on_stop`; `self.scope` owns what is to end with the module.
    """

    #: As in the configuration, ``mod_…`` by custom.
    name: str = ""
    #: The specifications it follows.
    implements: ClassVar[tuple[Xep | Rfc, ...]] = ()
    #: Modules that must run before this one.
    requires: ClassVar[tuple[type[Module], ...]] = ()
    #: Disco features of the host that no iq handler implies.
    features: ClassVar[tuple[str, ...]] = ()

    @dataclass(frozen=True)
    class Options(BaseOptions):
        """Its settings: a frozen dataclass that derives from this one, each field made by `option`."""

    def __init__(self, host: Host, options: Any) -> None:
        super().__init__(type(self).name, host.clock)
        self.host = host
        self.options = options
        #: The scope in which its handlers are in their chains.
        self._registered: Scope | None = None

    @property
    def storage(self) -> Storage:
        """What the declared shapes are kept in."""
        return self.host.storage

    def listen(self, *handlers: Callable[..., Any]) -> Callable[[], None]:
        """Put methods that are marked `on_demand` into their chains; the answer takes them out again.

        In a slot they stand behind those that are there already.
        """
        undo = [
            self.scope.add(self.host.chains.add(handler, place, self.name))
            for handler in handlers
            for place in places_of(handler)
        ]

        def stop_listening() -> None:
            for take_out in undo:
                take_out()

        return stop_listening

    # -- to be overridden -----------------------------------------------------------------------------------------

    def reconfigure(self, old: Any, new: Any) -> None:
        """The options changed on reload; `self.options` is *new* already. What lives, lives on."""

    def portables(self) -> Sequence[Portable]:
        """What of its accounts' data moves with them to another server (XEP-0227); asked while the module runs."""
        return ()

    # -- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Called by the host: `on_start`, then the decorated methods are put where they belong."""
        await super().start()
        if self._registered is self.scope:
            return  # it ran, or somebody else has waited for the same start
        try:
            expect(self)
            self._register()
        except BaseException:
            await self.stop()
            raise
        self._registered = self.scope

    def _register(self) -> None:
        for attribute in declared(type(self)):
            function = getattr(type(self), attribute)
            handler: Callable[..., Any] = getattr(self, attribute)
            for place in () if hasattr(function, _ON_DEMAND) else places_of(function):
                self.scope.add(self.host.chains.add(handler, place, self.name))
            for request in requests_of(function):
                self.scope.add(self.host.iqs.add(request, handler))
            if is_command(function):
                self.scope.add(self.host.server.commands.add(handler, self.host.name))


def on_demand(handler: H) -> H:
    """Mark a handler that stands in its chains only while its module says so (`Module.listen`).

    While nobody needs it, it costs nothing: it stands before the decorators of the hooks, as ``@on_demand``.
    """
    setattr(handler, _ON_DEMAND, True)
    return handler


def declared(cls: type[Module]) -> list[str]:
    """The decorated methods of a module, in the order they were written, its base classes' first."""
    names: dict[str, None] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if places_of(value) or requests_of(value) or is_command(value):
                names[name] = None
    return list(names)
