"""Names of pictures from a list, while whoever writes the list may still be at it."""

from __future__ import annotations

import codecs
import os
import queue
import re
import select
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO
from urllib.parse import unquote_to_bytes

from cbir.errors import CbirError, reason_of
from cbir.utils.text import ENOUGH, as_western, utf16_of

# Names that are read before they are asked for.
_AHEAD = 1024

# How long the next name may take, in seconds, until what came before it is worth an answer of its own.
_SOON = 0.005

_READ_BYTES = 1 << 16
_LONGEST_NAME = 1 << 20

# What hardly a picture's own name has, but many a line of a list.
_ODD = re.compile(r"""^[\s\ufeff"']|\s$|[\\\r\udc80-\udcff]|^file:""", re.IGNORECASE)


class NameList:
    """The names in a list, a file or stdin, read by a thread as they are written; names end in NUL with `null`.

    However long the list is, only some names are in memory. Without `null` the lines may be as other programs write
    them (`as_meant`). CbirError, when the names are asked for, where the list cannot be read.
    """

    def __init__(self, file: Path, *, null: bool) -> None:
        self._file = file
        self._separator = b"\0" if null else b"\n"
        # a name, why there are no more, or None at the end
        self._arrived: queue.Queue[bytes | CbirError | None] = queue.Queue(_AHEAD)
        self._has_ended = self._is_read = False
        threading.Thread(target=self._read, name="names", daemon=True).start()

    @property
    def arrived(self) -> int:
        """About how many names have been read and not yet been asked for."""
        return max(0, self._arrived.qsize() - self._is_read)  # its last item is no name, but the end

    def __iter__(self) -> Iterator[str]:
        """Yield the names in order, once."""
        for batch in self.batches():
            yield from batch

    def batches(self) -> Iterator[Iterator[str]]:
        """Yield the names in order, once: a batch ends where the next name has not been written yet.

        Each is to be read to its end before the next is asked for, which waits for a name.
        """
        while not self._has_ended:
            yield self._batch(self._arrived.get())

    def _batch(self, name: bytes | CbirError | None) -> Iterator[str]:
        while name is not None:
            if isinstance(name, CbirError):
                self._has_ended = True
                raise name
            yield from [os.fsdecode(name)] if self._separator == b"\0" else names_in(os.fsdecode(name))
            try:
                name = self._arrived.get(timeout=_SOON)
            except queue.Empty:
                return
        self._has_ended = True

    def _read(self) -> None:
        problem: CbirError | None = None
        try:
            with self._open() as file:
                self._split(self._pieces(file))
        except OSError as error:
            problem = CbirError(f"Cannot read the list {self._file}: {reason_of(error)}.")
        except UnicodeError:
            problem = CbirError(f"Cannot read the list {self._file}: it begins as UTF-16 and does not go on so.")
        except ValueError as error:
            problem = CbirError(f"Cannot read the list {self._file}: {error}.")
        except MemoryError:
            problem = CbirError(f"Cannot read the list {self._file}: there is not enough memory.")
        finally:  # nobody must wait for ever
            self._is_read = True
            self._arrived.put(problem)

    def _split(self, pieces: Iterator[bytes]) -> None:
        """Take the names out of the list's bytes, as they come."""
        rest, empty = b"", 0
        for piece in pieces:
            if b"\0" in piece and self._separator != b"\0":
                raise ValueError("it has NUL bytes. If they end its names, add -0")
            *names, rest = (rest + piece).split(self._separator)
            empty = 0 if self._take(names) else empty + len(piece)
            if max(len(rest), empty) > _LONGEST_NAME:
                end = "a NUL byte; without -0, a newline ends it" if self._separator == b"\0" else "a newline"
                raise ValueError(f"it has no names that end in {end}")
        self._take([rest])

    def _pieces(self, file: IO[bytes]) -> Iterator[bytes]:
        """Yield the list's bytes as written, in UTF-8 where it is in UTF-16, as none that ends names in NUL is."""
        pieces = _read_from(file)
        if self._separator == b"\0":
            yield from pieces
            return
        start = b""
        for piece in pieces:
            start += piece
            # nobody who waits for an answer has to write more than two bytes of UTF-8, nor of what has a mark
            if len(start) >= ENOUGH or (len(start) > 1 and (b"\0" not in start[:2] or utf16_of(start))):
                break
        encoding = utf16_of(start)
        if encoding is None:
            yield start
            yield from pieces
            return
        decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        yield decoder.decode(start).removeprefix("\ufeff").encode("utf-8", "surrogatepass")
        for piece in pieces:
            yield decoder.decode(piece).encode("utf-8", "surrogatepass")
        decoder.decode(b"", final=True)

    def _take(self, names: list[bytes]) -> bool:
        """Hand on the names that are not empty; whether there was one."""
        found = False
        for name in names:
            if name.strip(b"\r"):
                self._arrived.put(name if self._separator == b"\0" else name.rstrip(b"\r"))
                found = True
        return found

    def _open(self) -> IO[bytes]:
        """Return the list, without a buffer, which would wait until it is full."""
        if str(self._file) != "-":
            return self._file.open("rb", buffering=0)
        if sys.stdin is None:
            raise ValueError("stdin is closed")
        try:
            descriptor = sys.stdin.fileno()
        except (OSError, ValueError):  # what stands for stdin is no file of the system
            return sys.stdin.buffer
        return os.fdopen(descriptor, "rb", buffering=0, closefd=False)


def _read_from(file: IO[bytes]) -> Iterator[bytes]:
    read: Callable[[int], bytes | None] = file.read
    while (data := read(_READ_BYTES)) != b"":
        if data is None:  # another program has made stdin non-blocking
            select.select([file], [], [])
        else:
            yield data


def names_in(line: str) -> list[str]:
    """Read a picture's name from a line of a list: as it stands if there is a file of that name, else as it is meant.

    Programs put quotes and blanks around names, a byte-order mark before the first, write them as `file://` addresses,
    with backslashes or in Windows-1252. Where no file has such a name either, the line is the name, without the mark.
    There is none in a blank line, and more than one where lines end as they did on old Macs.
    """
    if _ODD.search(line) is None or os.path.lexists(line):
        return [line]
    lines = line.removeprefix("\ufeff").split("\r")
    return [next(filter(os.path.lexists, _readings(one)), one) for one in lines if one.strip()]


def _readings(line: str) -> Iterator[str]:
    """Yield the possible meanings of a line, the likeliest first."""
    yield from _readings_of(line)
    if (western := as_western(line)) != line:
        yield from _readings_of(western)


def _readings_of(line: str) -> Iterator[str]:
    yield line
    name = line.strip()
    yield name
    if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'":
        name = name[1:-1]
        yield name
    if name.lower().startswith("file:"):
        # what follows // is the machine's name, this one's if any
        path = name[5:].partition("//")[2] if name[5:].startswith("//") else name[5:]
        name = os.fsdecode(unquote_to_bytes(path[max(path.find("/"), 0) :]))
        yield name
    yield name.replace("\\", "/")
