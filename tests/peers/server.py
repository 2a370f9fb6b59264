"""What the tests ask of the server under test."""

import contextlib
import socket
from typing import Protocol

HOST = "localhost"
"""The one domain served: its certificate must also please clients that check the name they connected to."""


class Server(Protocol):
    """A server for `HOST` that runs as a process of its own."""

    starttls_port: int
    """Accepts clients that must ask for STARTTLS before anything else."""
    tls_port: int
    """Accepts clients that speak TLS from the first byte."""

    def start(self) -> None:
        """Start it and return when both ports accept connections."""

    def register(self, user: str, password: str) -> None:
        """Make an account while the server runs."""

    def kill(self) -> None:
        """End it at once, without a chance to tidy up."""

    def stop(self) -> None:
        """Ask it to end and wait; do nothing when it does not run."""


def free_ports(count: int, address: str = "127.0.0.1") -> list[int]:
    """Return *count* different TCP ports that nobody uses on *address* at this moment."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket(family)) for _ in range(count)]
        for held_socket in sockets:
            held_socket.bind((address, 0))
        return [held_socket.getsockname()[1] for held_socket in sockets]
