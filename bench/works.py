"""All kinds of work, by the names that scenarios call them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .load import Loop
from .managed import ManagedPairs
from .paging import Pages
from .pairs import Paced, Pairs
from .sleepers import Sleepers
from .streams import StreamsIn, StreamsOut
from .work import Disco, Idle, Logins, Ping, Presence, Work

WORKS: Final[dict[str, Callable[[Loop], Work]]] = {
    "pairs": Pairs,
    "paced": Paced,
    "managed": ManagedPairs,
    "idle": Idle,
    "logins": Logins,
    "presence": Presence,
    "ping": Ping,
    "disco": Disco,
    "pages": Pages,
    "sleepers": Sleepers,
    "streams-in": StreamsIn,
    "streams-out": StreamsOut,
}
