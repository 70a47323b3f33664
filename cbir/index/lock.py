"""One writer at a time: the operating system's lock on an index directory."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import filelock

from cbir.errors import IndexLockedError, IndexWriteError, reason_of
from cbir.utils.stopping import at_forced_end

LOCK = "lock"

#: Who holds the lock, beside it and not in it: taking a lock empties the file that is locked.
HOLDER = "lock.json"


@contextlib.contextmanager
def exclusive(directory: Path, wait: float = 0) -> Iterator[None]:
    """Hold the lock of an index directory, waiting at most `wait` seconds for it.

    The operating system lets go of it when the process ends, however it ends. Raises IndexLockedError, which
    says who holds it, or IndexWriteError where there can be no lock.
    """
    lock = filelock.FileLock(directory / LOCK, timeout=wait)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise IndexLockedError(
            f"Another run is writing to {directory}{_describe_holder(directory)}. "
            "Try again when it has ended, or wait for it with --wait SECONDS."
        ) from error
    except (OSError, NotImplementedError) as error:
        detail = reason_of(error)
        raise IndexWriteError(
            f"Cannot lock {directory} ({detail}): it must be a folder that you may write to."
        ) from error

    def forget_holder() -> None:
        with contextlib.suppress(OSError):
            (directory / HOLDER).unlink(missing_ok=True)

    try:
        holder = {"process": os.getpid(), "host": socket.gethostname(), "since": now()}
        with contextlib.suppress(OSError):
            (directory / HOLDER).write_text(json.dumps(holder) + "\n", encoding="ascii")
        with at_forced_end(forget_holder):
            yield
    finally:
        forget_holder()
        lock.release()


def now() -> str:
    """The present moment for people and for files: ISO 8601, UTC, seconds."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _describe_holder(directory: Path) -> str:
    try:
        holder = json.loads((directory / HOLDER).read_text(encoding="ascii"))
        return f" (process {holder['process']} on {holder['host']}, since {holder['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
