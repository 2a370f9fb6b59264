"""What holds registrations back: one at a time from one address, and passwords that are not too easy to guess."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from ..api import Condition, StanzaError

#: Sources remembered. Past it the one longest unheard of is forgotten: a full table weighs some 15 MiB.
MAX_SOURCES: Final = 65536
#: Failed attempts of one source until it has to wait: each would tell whether a name is taken.
MAX_FAILURES: Final = 10


class _Source:
    __slots__ = ("failures", "registered", "since")

    def __init__(self) -> None:
        self.since = 0.0
        self.failures = 0
        self.registered = False


class Sources:
    """Where registrations have come from lately; *seconds* is a monotonic clock."""

    def __init__(self, seconds: Callable[[], float], max_sources: int = MAX_SOURCES) -> None:
        self._seconds = seconds
        self._max = max_sources
        self._known: OrderedDict[str, _Source] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def begin(self, source: str, timeout: float) -> None:
        """A registration from *source* begins; raises `StanzaError` (resource-constraint) if it is too soon.

        It is too soon when one was made less than *timeout* seconds ago, or is being made; ``inf``: never.
        """
        if timeout == math.inf:
            return
        now = self._seconds()
        self._forget(now - timeout)
        known = self._known.get(source)
        if known is None:
            known = self._known[source] = _Source()
            if len(self._known) > self._max:
                self._known.popitem(last=False)
        elif known.registered or known.failures >= MAX_FAILURES:
            raise StanzaError(Condition.RESOURCE_CONSTRAINT, "registrations from your address come too fast")
        known.registered = True
        known.since = now
        self._known.move_to_end(source)

    def _forget(self, before: float) -> None:
        """Forget those who have not tried since then; the longest unheard of stand first."""
        while self._known:
            source, known = next(iter(self._known.items()))
            if known.since > before:
                return
            del self._known[source]

    def failed(self, source: str) -> None:
        """No account was made after all."""
        known = self._known.get(source)
        if known is not None:
            known.registered = False
            known.failures += 1


def network(ip: str) -> str:
    """One customer: an IPv4 address, or an IPv6 network of /64; what is no address stays as it is."""
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return ip
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


def is_loopback(ip: str) -> bool:
    """Whether *ip* is this machine; a Unix socket, which has no address, is."""
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return True
    return address.is_loopback


def entropy(password: str) -> float:
    """Bits that the password could hold, as ejabberd counts them.

    Its length times the logarithm of how many characters there are of all kinds that occur in it. Length is in bytes of
    UTF-8, and every byte beyond printable ASCII counts as one of 128.
    """
    kinds: set[int] = set()
    data = password.encode()
    for byte in data:
        if 0x61 <= byte <= 0x7A:
            kinds.add(1)
        elif 0x41 <= byte <= 0x5A:
            kinds.add(2)
        elif 0x30 <= byte <= 0x39:
            kinds.add(3)
        elif 0x21 <= byte <= 0x7E:
            kinds.add(4)
        else:
            kinds.add(5)
    sizes = {1: 26, 2: 26, 3: 9, 4: 33, 5: 128}
    return len(data) * math.log2(sum(sizes[kind] for kind in kinds)) if kinds else 0.0
