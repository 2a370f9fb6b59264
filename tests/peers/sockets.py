"""Which TCP connections there are between servers, as the kernel sees them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .domains import DIRECT_TLS_PORT, SERVER_PORT

_ESTABLISHED: Final = "01"
_TABLE: Final = Path("/proc/net/tcp")


@dataclass(frozen=True, slots=True)
class Connection:
    """An established connection between servers; whoever connected is known by its port alone."""

    address: str
    """Where it was accepted."""
    port: int
    client_port: int


def connections(addresses: Collection[str]) -> list[Connection]:
    """All that were accepted on the ports for servers of *addresses* and still stand."""
    found = []
    for line in _TABLE.read_text().splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        address, port = _endpoint(local)
        if state == _ESTABLISHED and port in (SERVER_PORT, DIRECT_TLS_PORT) and address in addresses:
            found.append(Connection(address, port, _endpoint(remote)[1]))
    return found


def settled(addresses: Collection[str], expected: Callable[[list[Connection]], bool], timeout: float = 10.0) -> None:
    """Wait until the connections to *addresses* are as *expected*: some serve for a key and are closed again."""
    deadline = time.monotonic() + timeout
    while not expected(found := connections(addresses)):
        assert time.monotonic() < deadline, f"these connections stand: {found}"
        time.sleep(0.05)


def _endpoint(text: str) -> tuple[str, int]:
    address, _, port = text.partition(":")
    octets = bytes.fromhex(address)[::-1]
    return ".".join(map(str, octets)), int(port, 16)
