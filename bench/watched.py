"""``twistd`` with somebody who notes the pauses of Python's garbage collector.

``python -m bench.watched FILE …`` is ``twistd …``; a line goes to FILE for each pass that took long: its generation (2:
a full one), when it ended by the clock that all processes share, and the processor time it took, in seconds.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Seconds below which a pause is not worth a line.
SHORT: Final = 0.001


@dataclass(frozen=True, slots=True)
class Pause:
    """The time in which the collector let nobody else do anything."""

    generation: int
    ended: float
    seconds: float

    def encode(self) -> str:
        return f"{self.generation} {self.ended:.6f} {self.seconds:.6f}\n"


def noting(
    write: Callable[[str], object],
    now: Callable[[], float] = time.monotonic,
    used: Callable[[], float] = time.thread_time,
) -> Callable[[str, dict[str, int]], None]:
    """What to give to `gc.callbacks`; *used* is the processor time so far, which other processes do not add to."""
    began = 0.0

    def passing(phase: str, told: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = used()
            return
        took = used() - began
        if took >= SHORT:
            write(Pause(told["generation"], now(), took).encode())

    return passing


def pauses(file: Path, since: float = 0.0) -> list[Pause]:
    """Those in *file* that ended after *since*."""
    if not file.exists():
        return []
    lines = (line.split() for line in file.read_text().splitlines())
    found = [Pause(int(generation), float(ended), float(seconds)) for generation, ended, seconds in lines]
    return [pause for pause in found if pause.ended >= since]


def main() -> None:
    file = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    gc.callbacks.append(noting(lambda line: os.write(file, line.encode())))
    sys.argv[0] = "twistd"
    from twisted.scripts.twistd import run

    run()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
