"""Drafts: files that are written under a name of their own and become what they are meant to be when they are whole.

A draft's name tells which process writes it, so that what a killed one left can be swept by the next.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import functools
import os
import re
import time
from pathlib import Path
from types import TracebackType
from typing import IO

from cbir.utils.opening import NO_LINK, PLAIN

_NAME = re.compile(r"\.cbir-([0-9a-f]{8})-([0-9]{1,10})-[0-9a-f]{12}\.part")

# A draft of another machine, or of a process whose number another has now, is swept when it is as old as this.
_SECONDS_OF_A_DAY = 86_400

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK | PLAIN

# Drafts that this process has begun and not ended, and folders that it has swept.
_begun: set[str] = set()
_swept: set[str] = set()


class Draft:
    """A draft in `folder`, which is there: a context with `file` to be written to. Unless it `become`s a file, it goes.

    `rights` are the most that it gets: of 0o666 what the user's mask, or the folder's defaults, leave.
    """

    file: IO[bytes]

    def __init__(self, folder: Path, rights: int = 0o666) -> None:
        self._path = os.path.join(folder, f".cbir-{_machine()}-{os.getpid()}-{os.urandom(6).hex()}.part")
        self._rights = rights

    def __enter__(self) -> Draft:
        _begun.add(self._path)  # before it is there: an interrupt may come at any moment
        self.file = os.fdopen(os.open(self._path, _FLAGS, self._rights), "wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # what a full disk did not take is told already
            self.file.close()
        self._remove()

    def finish(self, *, synced: bool = True) -> None:
        """Bring all that was written to the disk, or at least to the system, unless it is there already."""
        if not self.file.closed:
            self.file.flush()
            if synced:
                os.fsync(self.file.fileno())
            self.file.close()

    def become_new(self, path: Path) -> None:
        """Become a file that is not there yet; FileExistsError where another was quicker. Call `finish` before."""
        try:
            os.link(self._path, path)  # unlike renaming, it never replaces a file
        except FileExistsError:
            raise
        except OSError:  # no links on this file system, as on memory cards
            os.close(os.open(path, _FLAGS, 0o600))
            try:
                os.replace(self._path, path)
            except BaseException:
                os.unlink(path)
                raise

    def take_back(self, path: Path) -> None:
        """Be a draft again, after it has become the new file `path`."""
        if os.path.lexists(self._path):
            os.unlink(path)
        else:
            os.replace(path, self._path)

    def replace(self, path: Path) -> None:
        """Become `path` in the place of the file that is there, with no more rights than that. Call `finish` before."""
        there = os.lstat(path).st_mode
        mine = os.lstat(self._path).st_mode
        if mine & ~there & 0o777:
            with contextlib.suppress(OSError):  # a file system without rights
                os.chmod(self._path, mine & there & 0o777)
        os.replace(self._path, path)

    def _remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        _begun.discard(self._path)


def sweep(folder: Path) -> None:
    """Remove the drafts that killed processes left in a folder; once in a process for each."""
    place = os.path.realpath(folder)
    if place in _swept:
        return
    _swept.add(place)
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            parts = _NAME.fullmatch(entry.name)
            if parts is None or entry.path in _begun or not entry.is_file(follow_symlinks=False):
                continue
            is_old = time.time() - entry.stat(follow_symlinks=False).st_mtime > _SECONDS_OF_A_DAY
            if is_old or (parts[1] == _machine() and not _is_running(int(parts[2]))):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def _is_running(number: int) -> bool:
    if number == os.getpid():
        return False  # it knows its own drafts
    if os.name != "posix":
        return True  # elsewhere the question would end it
    try:
        os.kill(number, 0)
    except OSError as error:
        return error.errno != errno.ESRCH
    except OverflowError:
        return False
    return True


@functools.cache
def _machine() -> str:
    """Return a short name that tells this machine or container, with process numbers of its own, from others."""
    name = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")
    with contextlib.suppress(OSError):
        name += os.readlink("/proc/self/ns/pid")
    import hashlib

    return hashlib.sha256(os.fsencode(name)).hexdigest()[:8]


@atexit.register
def remove_drafts() -> None:
    """Remove what this process has begun, before it ends; not what belongs to the one that it was forked from."""
    mine = f"-{os.getpid()}-"
    for path in list(_begun):
        if mine in os.path.basename(path):
            with contextlib.suppress(OSError):
                os.unlink(path)
