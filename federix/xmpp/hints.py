"""What a sender wishes a server to do with a message, beside delivering it (XEP-0334).

They are wishes: whoever keeps or copies messages asks here first, and may have reasons of his own.
"""

from __future__ import annotations

from . import ns
from .stanza import Message


def no_store(message: Message) -> bool:
    """§4.2: it "should not be stored by a server either permanently … or temporarily", as for who is offline."""
    return _has(message, "no-store")


def no_permanent_store(message: Message) -> bool:
    """§4.1: it is not for archives and logs; `no_store` says so as well."""
    return _has(message, "no-permanent-store") or no_store(message)


def no_copy(message: Message) -> bool:
    """§4.3: it is not to be "copied to addresses other than the one to which it is addressed".

    That of a bare JID with several resources goes to them all nevertheless (RFC 6121 §8.5.2).
    """
    return _has(message, "no-copy")


def store(message: Message) -> bool:
    """§4.4: it "SHOULD be stored", whatever it holds. Beside `no_store` it does not count."""
    return _has(message, "store") and not no_store(message)


def _has(message: Message, hint: str) -> bool:
    # §5: "Hints contained within a stanza of type 'error' SHOULD be ignored": they are those of what failed.
    return message.child(ns.HINTS, hint) is not None and message.type != "error"
