"""Before the samples count: what the server remembers is filled, or a cache that fills would look like a leak."""

from __future__ import annotations

from typing import Final

from bench.names import DOMAIN
from federix.xmpp import ns

from . import people
from .login import Manner, Ports, log_in

#: More addresses than the server remembers, as long as they get in the run, and how many are written to at a time.
ADDRESSES: Final = 12_000
AT_ONCE: Final = 200


async def fill_caches(ports: Ports) -> None:
    """Write to so many addresses that nobody has; the server ignores headlines for them (RFC 6121 §8.5.1)."""
    client = await log_in(ports, people.visitor(0), people.PASSWORD, Manner())
    for begin in range(0, ADDRESSES, AT_ONCE):
        for number in range(begin, begin + AT_ONCE):
            client.send(f"<message type='headline' to='nobody{number}@{DOMAIN}/{people.RESOURCE}{number:020}'/>")
        await client.result("get", f"<ping xmlns='{ns.PING}'/>", DOMAIN)
    await client.leave()
