"""One target per file: ``check(data)``, and ``changed`` where an input is not changed byte by byte."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from random import Random
from typing import Final, NamedTuple

from ..mutation import bytes_changed

#: In the order in which they run; each is a module of this package, and a folder of the corpus.
NAMES: Final = ("parser", "element", "jid", "sasl", "codecs", "configuration", "client", "stranger", "server")


class Target(NamedTuple):
    """*check* raises for what breaks a rule; *changed* is *data* changed at random, at most so many bytes."""

    name: str
    check: Callable[[bytes], None]
    changed: Callable[[bytes, Random, int], bytes]


def load(name: str) -> Target:
    """The target of that name."""
    module = import_module(f"{__name__}.{name}")
    return Target(name, module.check, getattr(module, "changed", bytes_changed))
