"""Moments in which Ctrl-C, or the end that a terminal or cron demands, has to wait."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

from cbir.utils.stopping import SIGNALS

_Handler = Callable[[int, FrameType | None], Any] | int | None


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
    try:
        for number in handlers:
            signal.signal(number, lambda number, frame: came.append((number, frame)))
        yield
    finally:
        try:
            _put_back(handlers)
        finally:
            _put_back(handlers)  # those that are left where one that was back already raised
            for which, frame in came:
                handler = handlers[signal.Signals(which)]
                if callable(handler):
                    handler(which, frame)


def _put_back(handlers: Mapping[signal.Signals, _Handler]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
