"""Address space that can still be had. Where native libraries find none they fault, or wait for good."""

from __future__ import annotations

import mmap
import sys

from cbir.utils.workers import usable_cores

# Of a thread: its stack, and the heap that the C library sets aside for it.
_OF_A_THREAD = 80 << 20


def check_room(needed: int, *, on_all_cores: bool = False) -> None:
    """Raise MemoryError where this process cannot have so many bytes more: `ulimit -v`, or a system that lends none.

    `needed` is for two threads; with `on_all_cores` there is to be room for as many more as there are cores.
    """
    if not sys.platform.startswith("linux"):
        return
    if on_all_cores:
        needed += max(0, usable_cores() - 2) * _OF_A_THREAD
    try:
        mmap.mmap(-1, needed, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError as error:
        raise MemoryError from error
