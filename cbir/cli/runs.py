"""What commands that run for long share: a progress bar, and an end when they are told to stop."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any


def use_one_blas_thread() -> None:
    """Have NumPy multiply on one core from now on; only before it is imported.

    The matrices of a search are too small to share. On a busy machine two threads wait for each other in each product:
    200 re-ranked queries took 15 seconds instead of one. OpenVINO and torch have threads of their own.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def progress(*, disable: bool) -> Callable[..., Iterator[Any]]:
    """A function (items, total, what="") that passes items on, with a progress bar on stderr if that is a terminal."""

    def watch(items: Iterator[Any], total: int, what: str = "", *, unit: str = " pictures") -> Iterator[Any]:
        if disable or not total or not sys.stderr.isatty():
            return items
        from tqdm import tqdm

        return iter(tqdm(items, what or None, total, unit=unit))

    return watch


def stop_on_terminate() -> None:
    """Let SIGTERM end a run as Ctrl-C does: what was done is committed, or tidied away, first."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    sys.unraisablehook = _stop_after_all


def _stop_after_all(unraisable: sys.UnraisableHookArgs) -> None:
    """Where a signal came in the middle of a finaliser, Python drops what its handler raises, and the run would go on.

    So it is raised again in a moment. From a thread: within this function it would be dropped, too.
    """
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
        return
    again = threading.Timer(0.01, _thread.interrupt_main, [signal.SIGTERM])
    again.daemon = True
    again.start()
