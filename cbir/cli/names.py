"""Names of pictures from a list, while whoever writes the list may still be at it."""

from __future__ import annotations

import os
import queue
import select
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from cbir.errors import CbirError, reason_of

# Names that are read before they are asked for.
_AHEAD = 1024

# How long the next name may take, in seconds, until what came before it is worth an answer of its own.
_SOON = 0.005

_READ_BYTES = 1 << 16
_LONGEST_NAME = 1 << 20


class NameList:
    """The names in a list, a file or stdin, read by a thread as they are written; names end in NUL with `null`.

    However long the list is, only some names are in memory. CbirError, when the names are asked for, where the list
    cannot be read.
    """

    def __init__(self, file: Path, *, null: bool) -> None:
        self._file = file
        self._separator = b"\0" if null else b"\n"
        # a name, why there are no more, or None at the end
        self._arrived: queue.Queue[bytes | CbirError | None] = queue.Queue(_AHEAD)
        threading.Thread(target=self._read, name="names", daemon=True).start()

    @property
    def arrived(self) -> int:
        """About how many names have been read and not yet been asked for."""
        return self._arrived.qsize()

    def __iter__(self) -> Iterator[str | None]:
        """The names in order, once. None stands where the next has not been written yet."""
        while True:
            try:
                name = self._arrived.get(timeout=_SOON)
            except queue.Empty:
                yield None
                name = self._arrived.get()
            if isinstance(name, CbirError):
                raise name
            if name is None:
                return
            yield os.fsdecode(name)

    def _read(self) -> None:
        problem: CbirError | None = None
        try:
            rest = b""
            with self._open() as file:
                read: Callable[[int], bytes | None] = file.read
                while (data := read(_READ_BYTES)) != b"":
                    if data is None:  # another program has made stdin non-blocking
                        select.select([file], [], [])
                        continue
                    if b"\0" in data and self._separator != b"\0":
                        raise ValueError("it has NUL bytes. If they end its names, add -0")
                    *names, rest = (rest + data).split(self._separator)
                    self._take(names)
                    if len(rest) > _LONGEST_NAME:
                        end = "a NUL byte; without -0, a newline ends it" if self._separator == b"\0" else "a newline"
                        raise ValueError(f"it has no names that end in {end}")
            self._take([rest])
        except OSError as error:
            problem = CbirError(f"Cannot read the list {self._file}: {reason_of(error)}.")
        except ValueError as error:
            problem = CbirError(f"Cannot read the list {self._file}: {error}.")
        finally:  # nobody must wait for ever
            self._arrived.put(problem)

    def _take(self, names: list[bytes]) -> None:
        for name in names:
            if name.strip(b"\r"):
                self._arrived.put(name if self._separator == b"\0" else name.rstrip(b"\r"))

    def _open(self) -> IO[bytes]:
        """The list, without a buffer, which would wait until it is full."""
        if str(self._file) != "-":
            return self._file.open("rb", buffering=0)
        if sys.stdin is None:
            raise ValueError("stdin is closed")
        try:
            descriptor = sys.stdin.fileno()
        except (OSError, ValueError):  # what stands for stdin is no file of the system
            return sys.stdin.buffer
        return os.fdopen(descriptor, "rb", buffering=0, closefd=False)
