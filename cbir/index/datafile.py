"""Data files of an index: opened as what `meta.json` says of them, and read at any place."""

from __future__ import annotations

import hashlib
import os
import threading
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cbir.errors import IndexDamagedError, reason_of
from cbir.index.entries import FileEntry
from cbir.utils.opening import OddFileError, open_regular

# A file of which a system keeps so little was made by setting its length: terabytes of zeros that cost their maker
# nothing. What compresses on its own saves much less, and small files are not worth the question.
_HOLLOW_BYTES, _HOLLOW_SHARE = 64 << 20, 64


class Identity(NamedTuple):
    """A file's name, and what the system knows it by; times are in nanoseconds."""

    name: str
    device: int
    number: int
    size: int
    modified: int
    changed: int


class DataFile:
    """A data file of an index, open for reading.

    Read and not mapped into memory: mapped pages count as the process's own as long as there is room, and one that
    another program has cut off would end the process. The file stays open, so it can be read after a writer that
    merges blocks has removed it. IndexDamagedError where it is another than it should be, or cannot be read; links are
    refused, since what they lead to is not the index's. Errors end in the `remedy`.
    """

    def __init__(self, directory: Path, entry: FileEntry, remedy: str | None = None) -> None:
        self.path = directory / entry.name
        self._remedy = remedy or how_to_repair(directory)
        self.size = entry.bytes
        try:
            with open_regular(self.path, follow=False) as file:
                status = os.fstat(file.fileno())
                if status.st_size != entry.bytes:
                    raise self.damaged(f"has {status.st_size} bytes instead of {entry.bytes}")
                stored = 512 * getattr(status, "st_blocks", 0)  # 0 where the file system does not tell
                if 0 < stored < status.st_size // _HOLLOW_SHARE and status.st_size > _HOLLOW_BYTES:
                    raise self.damaged(f"has {stored:,} bytes on the disk instead of {entry.bytes:,}")
                self.descriptor = os.dup(file.fileno())
        except FileNotFoundError as error:
            raise self.damaged("is missing") from error
        except OddFileError as error:
            raise self.damaged(str(error.strerror).removeprefix("it ")) from error
        except OSError as error:
            raise self.damaged(f"cannot be read ({reason_of(error)})") from error
        weakref.finalize(self, os.close, self.descriptor)

    @property
    def identity(self) -> Identity:
        """The identity of the open file as it is now: whoever writes to it changes its times."""
        status = os.fstat(self.descriptor)
        numbers = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        return Identity(self.path.name, *numbers)

    def read(self, position: int, count: int) -> bytes:
        """Read `count` bytes from a place in the file, fewer where it is to end before."""
        count = max(min(count, self.size - position), 0)
        if hasattr(os, "pread"):
            try:
                content = os.pread(self.descriptor, count, position)
            except OSError as error:
                raise self.damaged(f"cannot be read ({reason_of(error)})") from error
            if len(content) == count:
                return content
        parts = bytearray(count)  # a signal, more than the system reads at once, or Windows
        self.read_into(memoryview(parts), position)
        return bytes(parts)

    def whole(self, sha256: str) -> bytes:
        """Read all of it. IndexDamagedError where that is not what has this checksum."""
        content = self.read(0, self.size)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise self.damaged("is not what was written (its checksum differs)")
        return content

    def read_into(self, into: memoryview, position: int) -> None:
        """Fill memory with what is in the file from a place on."""
        try:
            count = _read_at(self.descriptor, into, position) if len(into) else 0
            while 0 < count < len(into):  # a signal, or more than the system reads at once
                more = _read_at(self.descriptor, into[count:], position + count)
                count = count + more if more else -1
        except OSError as error:
            raise self.damaged(f"cannot be read ({reason_of(error)})") from error
        if count < len(into):
            raise self.damaged("ends too early")

    def read_pieces(self, into: memoryview, pieces: Iterable[tuple[int, int, int]]) -> None:
        """Fill pieces of memory, each from a start to an end, with what is in the file from a place on.

        Of hundreds of pieces, `read_into` for each would take twice the time.
        """
        if not hasattr(os, "preadv"):
            for start, end, position in pieces:
                self.read_into(into[start:end], position)
            return
        read, descriptor = os.preadv, self.descriptor
        for start, end, position in pieces:
            piece = into[start:end]
            try:
                is_whole = read(descriptor, (piece,), position) == end - start
            except OSError as error:
                raise self.damaged(f"cannot be read ({reason_of(error)})") from error
            if not is_whole:  # a signal, more than the system reads at once, or the file's end
                self.read_into(piece, position)

    def damaged(self, problem: str) -> IndexDamagedError:
        """Return the error that says what is wrong with the file."""
        return IndexDamagedError(f"{self.path} {problem}. {self._remedy}")


def how_to_repair(directory: Path) -> str:
    """Say how to mend a damaged data file: only its block's pictures have to be read again."""
    return f"`cbir index --index {directory} --repair` reads its pictures again."


def how_to_replace(directory: Path, notion: str) -> str:
    """Say how to mend a damaged file of a notion, whose labels are nowhere else."""
    return (
        f"Searches without the notion {notion} go on. Put the file back from a copy, or learn it anew with "
        f"`cbir learn`; `cbir index --index {directory} --repair` takes it out."
    )


def how_to_replace_people(directory: Path) -> str:
    """Say how to mend a damaged file of people, of whom users said what is nowhere else."""
    return (
        f"The faces are all there, without names. Put the file back from a copy; `cbir index --index {directory} "
        "--repair` takes it out."
    )


def of_doubles(directory: Path, count: int) -> str:
    """Say what is wrong with an index that has so many files twice."""
    return f"{directory} is damaged (it has {count:,} files twice). {how_to_repair(directory)}"


def _read_at(descriptor: int, into: memoryview, position: int) -> int:
    """Read from a place in a file, and return how many bytes there were."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [into], position)
    with _SEEKING:  # Windows
        os.lseek(descriptor, position, os.SEEK_SET)
        data = os.read(descriptor, len(into))
    into[: len(data)] = data
    return len(data)


_SEEKING = threading.Lock()
