"""Requests to servers: tried again where that may help, and told in a phrase where it does not."""

from __future__ import annotations

import errno
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

from cbir.utils import stopping
from cbir.utils.workers import Workers, result_of

Result = TypeVar("Result")
One = TypeVar("One")

logger = logging.getLogger("cbir")

#: Seconds between tries, each cut by up to a half by chance, so that many clients do not come back at once.
PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)

#: Requests that are under way at a time: a server far away answers each after a twentieth of a second or so.
AT_ONCE = 16

# Statuses of HTTP below 500 that say that another try may help: timed out, too early, too many.
_PASSING = (408, 425, 429)


class SourceError(OSError):
    """A source could not answer. `strerror` is a phrase, as for any OSError."""

    def __init__(self, reason: str, number: int = errno.EIO) -> None:
        super().__init__(number, reason)


class IncompleteError(OSError):
    """A server sent more or less than it said."""

    def __init__(self, got: int, wanted: int) -> None:
        super().__init__(errno.EIO, f"{got:,} bytes came where {wanted:,} were announced")


def patiently(request: Callable[[], Result]) -> Result:
    """Return what a request returns, which is tried again where it fails in passing.

    Raises FileNotFoundError or PermissionError where the server says so, SourceError for all else.
    """
    for pause in (*PAUSES, None):
        try:
            return request()
        except Exception as error:  # client libraries raise their own, which are no OSError
            if isinstance(error, SourceError):
                raise
            if isinstance(error, FileNotFoundError):
                raise FileNotFoundError(errno.ENOENT, "there is no such file") from error
            if isinstance(error, PermissionError):
                raise PermissionError(errno.EACCES, "its server does not allow it") from error
            if pause is None or not _may_pass(error):
                raise SourceError(_phrase(error)) from error
            logger.debug("Trying again: %s", _phrase(error))
        until = time.monotonic() + pause * random.uniform(0.5, 1)
        while (left := until - time.monotonic()) > 0:
            if stopping.is_over():
                raise SourceError("the run has ended")
            time.sleep(min(left, 0.1))
    raise AssertionError


def side_by_side(do: Callable[[One], Result], items: Iterable[One]) -> Iterator[Result]:
    """Yield what `do` makes of each item, in order, several at a time."""
    workers, waiting = Workers(AT_ONCE, "ask"), deque[Future[Result]]()
    try:
        for item in items:
            waiting.append(workers.submit(do, item))
            if len(waiting) > 2 * AT_ONCE:
                yield from result_of(waiting.popleft())
        while waiting:
            yield from result_of(waiting.popleft())
    finally:
        workers.stop()


def _may_pass(error: Exception) -> bool:
    """Tell whether the same request may go well in a moment."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return status >= 500 or status in _PASSING
    if "Credentials" in type(error).__name__:
        return False
    return not isinstance(error, (ImportError, ValueError, TypeError, NotImplementedError, AttributeError))


def _phrase(error: Exception) -> str:
    """Return an error as the inside of a sentence, on one line."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return f"its server answered with {status}"
    text = " ".join((getattr(error, "strerror", None) or str(error)).split())[:300]
    return text.rstrip(".") or type(error).__name__
