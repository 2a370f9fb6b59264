"""A whole server in virtual time, for tests: ours, and yours.

``World`` holds a server, a clock and wires to clients; reading begins in `world.py`.
"""

from .client import Client
from .wire import Wire
from .world import World

__all__ = ["Client", "Wire", "World"]
