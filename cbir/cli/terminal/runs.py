"""Helpers of commands that run for long: a progress bar, one thread to multiply with, and one heap."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Of glibc's malloc.h.
_M_ARENA_MAX = -8


def use_one_blas_thread() -> None:
    """Have NumPy multiply on one core from now on; only before it is imported.

    The matrices of a search are too small to share. On a busy machine two threads wait for each other in each product:
    200 re-ranked queries took 15 seconds instead of one. OpenVINO and torch have threads of their own.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def use_one_heap() -> None:
    """Have glibc take the memory of all threads from one heap; only before they are started.

    With a heap for each, what one thread leaves free no other one uses: a server grew by 2 MB in 10,000 requests, and
    had 20 MB more from the first on. Other systems know no such thing.
    """
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


@contextmanager
def share(*, disable: bool) -> Iterator[Callable[[float], object]]:
    """Yield a function that is told which share of the work is done, and shows it if stderr is a terminal."""
    if disable or not sys.stderr.isatty():
        yield lambda share: None
        return
    from tqdm import tqdm

    with tqdm(total=100, unit="%", bar_format="{percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]") as bar:
        yield lambda share: bar.update(round(100 * share, 1) - bar.n)


def progress(*, disable: bool) -> Callable[..., Iterator[Any]]:
    """Return a function (items, total, what="") that passes items on, with a progress bar if stderr is a terminal."""

    def watch(items: Iterator[Any], total: int, what: str = "", *, unit: str = " pictures") -> Iterator[Any]:
        if disable or not total or not sys.stderr.isatty():
            return items
        from tqdm import tqdm

        return iter(tqdm(items, what or None, total, unit=unit))

    return watch
