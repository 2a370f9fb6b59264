"""Wokkel, on the Twisted of today: the one place that knows what it lacks.

Wokkel 18 asks Twisted for names that are gone. They are put back before it is imported, and nothing else is changed.
Import this file before anything of wokkel's; what hosts handlers takes what it needs from here.
"""

from __future__ import annotations

import sys
import types
import warnings
from functools import lru_cache
from operator import methodcaller
from typing import Any, Final

import constantly
from twisted.python import compat
from twisted.words.protocols.jabber import error as _error
from twisted.words.protocols.jabber import jid as _jid
from twisted.words.xish import domish as _domish

#: How many addresses are remembered for wokkel's sake, the oldest forgotten first.
MAX_ADDRESSES: Final = 4096


def _put_back() -> None:
    """The names that Twisted no longer has: `_PY3` in its `compat`, and its `constants`, which became a package."""
    if not hasattr(compat, "_PY3"):
        compat._PY3 = True  # type: ignore[attr-defined]
    sys.modules.setdefault("twisted.python.constants", constantly)


_put_back()

with warnings.catch_warnings():
    # It takes `unicode` and others from Twisted, which still has them, and warns.
    warnings.simplefilter("ignore", DeprecationWarning)
    # `client`, `component` and `server` are left out: they would install the global reactor.
    from wokkel import (
        data_form,
        delay,
        disco,
        formats,
        generic,
        iwokkel,
        muc,
        ping,
        pubsub,
        shim,
        subprotocols,
        xmppim,
    )


def _bounded() -> Any:
    """Twisted's module for addresses, with an `internJID` that forgets: its own keeps every address for ever."""
    module = types.ModuleType(_jid.__name__, _jid.__doc__)
    vars(module).update(vars(_jid))
    module.internJID = lru_cache(MAX_ADDRESSES)(_jid.JID)  # type: ignore[attr-defined]
    return module


# What Twisted has for wokkel, and has no types for.
domish: Final[Any] = _domish
error: Final[Any] = _error
jid: Final = _bounded()
for _module in (generic, muc, pubsub):
    _module.jid = jid
# Twisted's own of these two warn whenever they are called.
for _module in (data_form, disco, pubsub, subprotocols, xmppim):
    _module.iteritems = methodcaller("items")
    _module.itervalues = methodcaller("values")

__all__ = [
    "MAX_ADDRESSES",
    "data_form",
    "delay",
    "disco",
    "domish",
    "error",
    "formats",
    "generic",
    "iwokkel",
    "jid",
    "muc",
    "ping",
    "pubsub",
    "shim",
    "subprotocols",
    "xmppim",
]
