"""The configuration that somebody named, or the one for who has none."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ..core.module import Module
from .config import Config

#: Where the data goes when nobody says otherwise.
DATA: Final = Path("federix-data")

_NO_MODULES: Final[Mapping[str, type[Module]]] = MappingProxyType({})


def load_config(
    source: Path | str | Mapping[str, object] | None = None,
    directory: Path | str | None = None,
    *,
    own_modules: Mapping[str, type[Module]] = _NO_MODULES,
) -> Config:
    """A configuration as `twistd federix` reads it, for a server whose data is in *directory* (`federix-data`).

    *source* is a file (a `Path`), a text in YAML, or the same as a mapping; without one the server has `localhost` on
    loopback. *own_modules* are classes of modules beside Federix's own, by the name they have in the configuration.
    Macros may come from the environment. Raises `ConfigErrors` with everything that is wrong.
    """
    data = Path(directory or DATA).absolute()
    if source is None:
        return Config.default(data, own_modules=own_modules, ipv6=has_ipv6())
    return Config.load(source, own_modules=own_modules, environ=os.environ, directory=data)


def has_ipv6() -> bool:
    """Whether this machine has an IPv6 loopback address: containers often have none."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
