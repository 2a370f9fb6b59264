"""What one client address may do: how many connections, how fast, and how many wrong passwords."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache, partial
from typing import Final, TypeVar

Value = TypeVar("Value")

MAX_REMEMBERED: Final = 65536
"""Addresses kept in each table. Past it the one longest unheard of is forgotten: a full table weighs some 12 MiB."""

KEYS_AT_HAND: Final = 1024
"""Addresses whose key is remembered: to read an address costs more than all the counting."""

LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
"""Exempt unless said otherwise: a proxy or a component on this machine speaks for many."""


class Refusal(Enum):
    """Why a connection is not accepted; the value is the sentence for the log."""

    BANNED = "too many failed logins from this address"
    TOO_MANY = "too many connections from this address"
    TOO_FAST = "connections from this address come too fast"


@dataclass(slots=True)
class _Bucket:
    tokens: float
    then: float


@dataclass(slots=True)
class _Failures:
    count: int
    since: float


@dataclass(frozen=True, slots=True)
class AddressLimits:
    """What one address may do; ``None`` means no such limit.

    *max_connections* at a time; *burst* connections at once and *rate* a second in the long run; *max_failures* failed
    logins within *window_seconds* and the address is banned for *ban_seconds*.
    """

    max_connections: int | None = None
    rate: float | None = None
    burst: int = 1
    max_failures: int | None = None
    window_seconds: float = 3600.0
    ban_seconds: float = 3600.0


class Addresses:
    """What each client address has done, and may: an IPv4 address, or an IPv6 network of /64, which is one customer.

    *exempt*: networks in CIDR form that have no limits. *seconds* is a monotonic clock. Addresses that are none (a Unix
    socket's) are exempt. What was counted is shared with those made by `beside`.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        limits: AddressLimits,
        *,
        exempt: Iterable[str] = LOOPBACK,
        max_remembered: int = MAX_REMEMBERED,
    ) -> None:
        self._seconds = seconds
        #: To be exchanged while it goes on: what was counted stays counted.
        self.limits = limits
        networks = tuple(ipaddress.ip_network(network) for network in exempt)
        #: Each connection asks for the same one several times.
        self._key = lru_cache(KEYS_AT_HAND)(partial(_key, networks))
        self._max_remembered = max_remembered
        # Never longer than the server has connections, and forgetting one would let its address have more.
        self._connections: dict[int, int] = {}
        self._buckets: OrderedDict[int, _Bucket] = OrderedDict()
        self._failures: OrderedDict[int, _Failures] = OrderedDict()
        self._bans: OrderedDict[int, float] = OrderedDict()

    def beside(self, limits: AddressLimits) -> Addresses:
        """Other limits for the same addresses, at another port: connections, failures and bans are one count."""
        other = copy(self)
        other.limits = limits
        return other

    def admit(self, ip: str) -> Refusal | None:
        """A connection from *ip* is here: ``None`` to take it (call `left` when it ends), or why it is refused."""
        key = self._key(ip)
        if key is None:
            return None
        if self._is_banned(key):
            return Refusal.BANNED
        count = self._connections.get(key, 0)
        if self.limits.max_connections is not None and count >= self.limits.max_connections:
            return Refusal.TOO_MANY
        if not self._take_token(key):
            return Refusal.TOO_FAST
        self._connections[key] = count + 1
        return None

    def left(self, ip: str) -> None:
        """A connection from *ip* that was admitted has ended."""
        key = self._key(ip)
        if key is None:
            return
        count = self._connections.get(key, 0)
        if count > 1:
            self._connections[key] = count - 1
        else:
            self._connections.pop(key, None)

    def login_failed(self, ip: str) -> bool:
        """A login from *ip* failed; returns whether the address is banned now, so that its stream can be ended."""
        key = self._key(ip)
        if key is None or self.limits.max_failures is None:
            return False
        now = self._seconds()
        failures = self._failures.get(key)
        if failures is None or now - failures.since >= self.limits.window_seconds:
            failures = self._failures[key] = _Failures(0, now)
        failures.count += 1
        self._remember(self._failures, key)
        if failures.count < self.limits.max_failures:
            return self._is_banned(key)
        del self._failures[key]
        self._bans[key] = now + self.limits.ban_seconds
        self._remember(self._bans, key)
        return True

    def login_succeeded(self, ip: str) -> None:
        """A login from *ip* succeeded: its failures are forgiven, as ejabberd does; a ban is not."""
        key = self._key(ip)
        if key is not None:
            self._failures.pop(key, None)

    def banned(self, ip: str) -> bool:
        """Whether *ip* is refused for failed logins at this moment."""
        key = self._key(ip)
        return key is not None and self._is_banned(key)

    def unban(self, ip: str) -> bool:
        """Let *ip* in again before its time; returns whether it was banned."""
        key = self._key(ip)
        if key is None or not self._is_banned(key):
            return False
        del self._bans[key]
        return True

    def _is_banned(self, key: int) -> bool:
        until = self._bans.get(key)
        if until is None:
            return False
        if self._seconds() < until:
            return True
        del self._bans[key]
        return False

    def _take_token(self, key: int) -> bool:
        if self.limits.rate is None:
            return True
        now = self._seconds()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(self.limits.burst, now)
        bucket.tokens = min(self.limits.burst, bucket.tokens + (now - bucket.then) * self.limits.rate)
        bucket.then = now
        self._remember(self._buckets, key)
        if bucket.tokens < 1.0:
            return False
        bucket.tokens -= 1.0
        return True

    def _remember(self, table: OrderedDict[int, Value], key: int) -> None:
        """Mark *key* as the one heard of last, and forget the one longest unheard of when there are too many."""
        table.move_to_end(key)
        if len(table) > self._max_remembered:
            table.popitem(last=False)


def customer(ip: str) -> int | None:
    """One number for all addresses of one customer: an IPv6 network of /64 is one; ``None`` for what is no address."""
    address = _address(ip)
    return None if address is None else _number(address)


def _key(exempt: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...], ip: str) -> int | None:
    """The customer's number; ``None`` for those in *exempt*."""
    address = _address(ip)
    if address is None or any(address in network for network in exempt):
        return None
    return _number(address)


def _address(ip: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _number(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    if isinstance(address, ipaddress.IPv4Address):
        return int(address)
    return 1 << 64 | int(address) >> 64  # above every IPv4 address
