"""One writer at a time: the operating system's lock on an index directory."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import filelock

from cbir.errors import IndexLockedError, IndexWriteError, reason_of
from cbir.index.rights import Rights, create
from cbir.index.values import read_json, whole
from cbir.utils.interrupts import uninterrupted
from cbir.utils.opening import read_regular
from cbir.utils.printable import printable
from cbir.utils.stopping import at_forced_end

LOCK = "lock"

#: The file that names the lock's holder, beside the lock and not in it: taking a lock may empty the locked file.
HOLDER = "lock.json"

# Bytes of HOLDER at most, and characters of what it says that are told.
_MOST_BYTES, _MOST_TOLD = 64 << 10, 80


@contextlib.contextmanager
def exclusive(directory: Path, wait: float = 0, rights: Rights | None = None) -> Iterator[None]:
    """Hold the lock of an index directory, waiting at most `wait` seconds for it.

    The operating system lets go of it when the process ends, however it ends. Files are made with `rights`. Raises
    IndexLockedError, which says who holds it, or IndexWriteError where there can be no lock.
    """
    rights = rights or Rights()
    _check(directory / LOCK)
    lock = filelock.FileLock(directory / LOCK, timeout=wait, mode=rights.of_files & _of_writers(directory))

    def forget_holder() -> None:
        with contextlib.suppress(OSError):
            (directory / HOLDER).unlink(missing_ok=True)

    try:
        _acquire(lock, directory)
        try:
            _say_who_holds_it(directory / HOLDER, rights)
            with at_forced_end(forget_holder):
                yield
        finally:
            with uninterrupted():
                forget_holder()
                lock.release()
    finally:
        # for an interrupt that came between: a process that lives on, as a server does, would hold it for good
        lock.release()


def now() -> str:
    """Return the present moment for people and for files: ISO 8601, UTC, seconds."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _check(path: Path) -> None:
    """Refuse a lock that is no file of its own: with a link, another file would be locked, and perhaps emptied."""
    try:
        status = path.lstat()
    except OSError:  # there is none yet, or the attempt to make it tells
        return
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        raise IndexWriteError(
            f"Cannot lock {path.parent}: {path} is no file that cbir made, but a link or something else. Delete it if "
            "you do not know what it is for."
        )


def _acquire(lock: filelock.BaseFileLock, directory: Path) -> None:
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


def _of_writers(directory: Path) -> int:
    """Return the rights of a file that whoever may write to the folder may lock; filelock passes over the umask."""
    try:
        return 0o644 | directory.stat().st_mode & 0o022
    except OSError:
        return 0o644


def _say_who_holds_it(path: Path, rights: Rights) -> None:
    holder = {"process": os.getpid(), "host": socket.gethostname(), "since": now()}
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)  # whatever is there is of no use: a killed run's, or a link to another's file
        with create(path, rights) as file:
            file.write((json.dumps(holder) + "\n").encode("ascii"))


def _describe_holder(directory: Path) -> str:
    """Say who holds the lock, by its own account."""
    try:
        content = read_regular(directory / HOLDER, most=_MOST_BYTES, follow=False)
        holder = read_json(content.decode("ascii"))
        process, host, since = whole(holder["process"]), str(holder["host"]), str(holder["since"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return f" (process {process} on {_told(host)}, since {_told(since)})"


def _told(name: str) -> str:
    """Return a name that anybody may have written, harmless for a terminal."""
    return printable(name[:_MOST_TOLD])
