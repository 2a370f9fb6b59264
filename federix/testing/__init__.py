"""A whole server, for tests: ours, and yours.

``World`` holds a server in virtual time, a clock and wires to clients; reading begins in `world.py`. ``Federation``
holds several that speak with each other over a ``Network``, and a ``Peer`` is another server there that says what a
script tells it to. ``ServerProcess`` is a real server for clients that connect to a port. With pytest both kinds come
as fixtures, see `pytest.py`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import Client
    from .federation import Federation
    from .network import Network
    from .peer import Peer
    from .peer_stream import PeerStream
    from .process import ServerFailed, ServerProcess
    from .transcript import Transcript
    from .wire import Wire
    from .world import World

# Imported when asked for: who only connects to a `ServerProcess` needs neither Twisted nor the server.
_HOMES = {
    "Client": "client",
    "Federation": "federation",
    "Network": "network",
    "Peer": "peer",
    "PeerStream": "peer_stream",
    "ServerFailed": "process",
    "ServerProcess": "process",
    "Transcript": "transcript",
    "Wire": "wire",
    "World": "world",
}

__all__ = [
    "Client",
    "Federation",
    "Network",
    "Peer",
    "PeerStream",
    "ServerFailed",
    "ServerProcess",
    "Transcript",
    "Wire",
    "World",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
