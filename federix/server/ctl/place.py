"""Where the server and `federixctl` meet: a socket in the data directory that only its owner can open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

#: Where the data is when nobody says otherwise: that of `start.py`, which takes a third of a second to import.
DATA: Final = Path("federix-data")

SOCKET: Final = "federixctl.sock"
#: Whoever holds this file locked is the server of the directory. The kernel lets go of it when the process dies.
LOCK: Final = "federixctl.lock"

#: Bytes of the name of a Unix socket: Linux has room for these and a zero.
MAX_PATH: Final = 107

#: Bytes of one request, and of one answer. Each is one line.
MAX_REQUEST: Final = 64 * 1024
MAX_ANSWER: Final = 16 * 1024 * 1024


class Unreachable(Exception):
    """There can be no socket there; the text says why and what to do."""


@contextmanager
def socket_path(directory: Path) -> Iterator[str]:
    """The name of the socket in *directory*, good for as long as the context lasts.

    A name that is too long for a socket is made short by way of the directory's file descriptor, where the system has
    such names; where it has not, raises `Unreachable`.
    """
    path = str(directory / SOCKET)
    if len(os.fsencode(path)) <= MAX_PATH:
        yield path
        return
    if not os.path.isdir("/proc/self/fd"):
        raise Unreachable(
            f"{path} is longer than the {MAX_PATH} bytes a socket's name may have:"
            " choose a shorter data directory (-d), or reach it through a symbolic link"
        )
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)
