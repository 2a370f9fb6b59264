"""What every storage back end promises. A back end's test class mixes the contracts in and says how it is made."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, gatherResults

from federix.storage.storage import Storage

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as Base
else:
    Base = object

T = TypeVar("T")

ROMEO = "romeo@example.org"
JULIET = "juliet@example.org"
ODD_TEXTS = ("", "a'b\"c%_\\", "né \N{SNOWMAN}", "\U0001f600", "line\nbreak\t\r", "ﬃ", "\N{COMBINING ACUTE ACCENT}")


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Start all, wait for all."""
    return await gatherResults([Deferred.fromCoroutine(coroutine) for coroutine in coroutines])


class Contract(Base):
    """Starts a storage for each test and stops it afterwards."""

    storage: Storage

    def make_storage(self) -> Storage:
        raise NotImplementedError

    async def setUp(self) -> None:  # type: ignore[override]
        self.storage = self.make_storage()
        # Not tearDown: trial runs that after the clean-ups, when the executor is gone already.
        self.addCleanup(self.storage.stop)
        await self.storage.start()

    async def assert_raises(self, error: type[Exception], coroutine: Coroutine[Any, Any, object]) -> None:
        try:
            await coroutine
        except error:
            return
        self.fail(f"{error.__name__} was not raised")
