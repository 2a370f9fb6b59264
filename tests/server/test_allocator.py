"""What glibc keeps of the memory that was freed."""

from __future__ import annotations

import mmap
import os
import platform
import subprocess
import sys
from pathlib import Path
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from federix.server.allocator import OWN_PAGES, hand_back

from .processes import ROOT

GLIBC = platform.libc_ver()[0] == "glibc"

#: A process whose threads all take memory, after it has freed a large block; it shows what malloc_info(3) says.
TAKE = """
import ctypes, sys, threading
from federix.server.allocator import settle_allocator

if sys.argv[1] == "settled":
    settle_allocator()
large = bytearray(8 * 1024 * 1024)
del large
kept = []
together = threading.Barrier(4)

def take():
    together.wait(10)
    for _ in range(100):
        kept.append(bytearray(2000))
    kept.append(bytearray(int(sys.argv[2])))
    together.wait(10)

threads = [threading.Thread(target=take) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


@skipUnless(GLIBC, "another allocator, which does as it likes")
class AllocatorTests(SynchronousTestCase):
    def figures(self, how: str) -> tuple[int, int]:
        """How many heaps such a process has, and how many blocks with pages of their own."""
        told = subprocess.run(
            [sys.executable, "-c", TAKE, how, str(OWN_PAGES + 1)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        own = next(line for line in told.splitlines() if line.startswith('<total type="mmap"'))
        return told.count("<heap nr="), int(own.split('"')[3])

    def test_all_threads_have_one_heap_and_large_blocks_pages_of_their_own(self) -> None:
        heaps, own = self.figures("settled")
        self.assertEqual(heaps, 1)
        self.assertGreaterEqual(own, 4)

    def test_without_it_each_thread_has_a_heap_and_large_blocks_lie_there(self) -> None:
        heaps, own = self.figures("as it is")
        self.assertGreater(heaps, 1)
        self.assertLess(own, 4)

    def test_holes_in_the_heap_go_back_to_the_system(self) -> None:
        """What is kept in between, and above, has the allocator keep all of it by itself."""
        taken = [bytes([number % 256]) * 4000 for number in range(16_000)]
        kept = taken[::64] + taken[-1:]
        del taken
        before = resident()
        hand_back()
        self.assertLess(resident(), before - 32 * 1024 * 1024)
        self.assertEqual(len(kept), 251)


def resident() -> int:
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * mmap.PAGESIZE
