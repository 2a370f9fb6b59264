"""A folder of which there is only so much: a small file system in memory, which can be filled up. Needs root."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MIB: Final = 1024 * 1024
#: Bytes of it: enough for all that a run writes.
SIZE: Final = 512 * MIB


class Room:
    """A folder that can be filled up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Leave nothing of it."""
        with self._filler.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            block = bytes(MIB)
            while True:
                # What is left in the end is less than a page.
                if filler.write(block) < MIB:
                    block = bytes(4096)

    def empty(self) -> None:
        """Give it back."""
        self._filler.unlink(missing_ok=True)


@contextlib.contextmanager
def room(folder: Path) -> Iterator[Room | None]:
    """A new one at *folder*, which is made; ``None`` where it cannot be mounted."""
    folder.mkdir(parents=True)
    if os.geteuid() != 0:
        yield None
        return
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=711", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        yield None
        return
    try:
        yield Room(folder)
    finally:
        # Lazily: a server that is just ending may still have files in it.
        subprocess.run(["umount", "--lazy", folder], capture_output=True, check=False)
