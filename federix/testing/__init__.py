"""A whole server, for tests: ours, and yours.

``World`` holds a server in virtual time, a clock and wires to clients; reading begins in `world.py`. ``ServerProcess``
is a real server for clients that connect to a port. With pytest both come as fixtures, see `pytest.py`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import Client
    from .process import ServerFailed, ServerProcess
    from .wire import Wire
    from .world import World

__all__ = ["Client", "ServerFailed", "ServerProcess", "Wire", "World"]

# Imported when asked for: who only connects to a `ServerProcess` needs neither Twisted nor the server.
_HOMES = {"Client": "client", "ServerFailed": "process", "ServerProcess": "process", "Wire": "wire", "World": "world"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
