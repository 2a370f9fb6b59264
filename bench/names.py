"""Names that both the servers' accounts and the load go by. Without imports: the load stays small."""

from __future__ import annotations

from typing import Final

DOMAIN: Final = "localhost"
PASSWORD: Final = "a password for a benchmark"
#: SCRAM iterations of every account on every server.
ITERATIONS: Final = 10_000
#: Who sends presence, and to how many.
HUB: Final = "hub"
CONTACTS: Final = 100


def header(domain: str) -> bytes:
    """How a client of *domain* begins."""
    return (
        f"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
        f" to='{domain}' version='1.0' xml:lang='en'>"
    ).encode()


HEADER: Final = header(DOMAIN)


def user(number: int) -> str:
    """The local part of one of many."""
    return f"u{number}"


def contact(number: int) -> str:
    """The local part of one of the hub's contacts."""
    return f"c{number}"
