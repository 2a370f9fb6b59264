"""Federix: a federated XMPP server, and the framework to build one with.

What an embedder needs: ``Server(config, reactor)``, ``Config`` and ``load_config``.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .server.config import Config
    from .server.server import Server
    from .server.start import load_config

#: The version of Federix.
__version__ = "0.1.0"

__all__ = ["Config", "Server", "__version__", "load_config"]


def __getattr__(name: str) -> object:
    # Imported when asked for: a tool that only wants the version, or the language, does not load a server.
    if name == "Server":
        from .server.server import Server

        return Server
    if name == "Config":
        from .server.config import Config

        return Config
    if name == "load_config":
        from .server.start import load_config

        return load_config
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
