"""What glibc keeps of the memory that a process has freed.

Buffers of OpenSSL, expat and Python come and go in all sizes, small ones settle in the holes that large ones leave, and
large ones need new memory: with two hundred busy sessions as much as ever in use, the heap still grew by a mebibyte a
minute. Three things hold it down; on another C library they do nothing.
"""

from __future__ import annotations

import ctypes
from typing import Final

#: The parameters of mallopt(3), as malloc.h has them.
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8

#: Bytes from which on a block has pages of its own, which go back to the system as soon as it is freed. glibc begins
#: with half as much, but takes the size of each such block it sees freed for the new bound, up to 32 MiB.
OWN_PAGES: Final = 256 * 1024
#: Free bytes at the end of the heap that are kept for what comes next.
KEPT_AT_THE_END: Final = 1024 * 1024


def settle_allocator() -> None:
    """Have one heap for all threads, and large blocks apart from it; to be called before threads are begun.

    Each thread of a storage would have a heap of its own with holes of its own. They hardly ever wait for each other:
    Python runs one at a time.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(M_ARENA_MAX, 1)
        set_option(M_MMAP_THRESHOLD, OWN_PAGES)
        set_option(M_TRIM_THRESHOLD, KEPT_AT_THE_END)


def hand_back() -> None:
    """Give the system the pages that the C library keeps and nobody uses: malloc_trim(3).

    By itself it gives back only what lies at the very end. It takes a millisecond where there is little to give, 20 in
    a heap of 600 MiB, and up to 0.7 s for each GiB that goes.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
