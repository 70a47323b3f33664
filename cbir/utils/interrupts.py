"""Moments in which Ctrl-C, or the end that a terminal or cron demands, has to wait."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from cbir.utils.stopping import SIGNALS


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Signals that come within this are handled at its end. For moments only: a user waits for it.

    Python handles signals in its main thread alone, so elsewhere there is nothing to put off.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    # a handler that is not Python's own cannot be put back, and raises nothing here
    handlers = {number: signal.getsignal(number) for number in SIGNALS if callable(signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for which, frame in came:
            handler = handlers[signal.Signals(which)]
            if callable(handler):
                handler(which, frame)
