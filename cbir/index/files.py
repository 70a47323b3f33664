"""A block's `files-….json`: which file each row belongs to.

The file is one JSON array with one row a line, `["path", size, mtime_ns, "sha256"]`. Any JSON reader reads it; a
search, which wants a handful of rows out of a hundred thousand, finds their lines without parsing the others.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cbir.errors import IndexDamagedError


class FileRecord(NamedTuple):
    """A file as it was when it was indexed. `path` is relative to the root, with forward slashes."""

    path: str
    size: int
    mtime_ns: int
    sha256: str


class Columns(NamedTuple):
    """What `FileRecord` says of one file, for many: item i of each belongs to row i."""

    paths: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    mtimes_ns: tuple[int, ...] = ()
    sha256s: tuple[str, ...] = ()

    def records(self) -> Iterator[FileRecord]:
        """Row by row."""
        return map(FileRecord, *self)


def dump_records(records: Iterable[FileRecord]) -> bytes:
    """The content of a `files-….json`. Pure ASCII: bytes of a name that are no UTF-8 become `\\udcXX`."""
    return b"[\n" + b",\n".join(json.dumps(record).encode("ascii") for record in records) + b"\n]\n"


class FileTable:
    """A read-only view of a `files-….json` of `rows` rows; IndexDamagedError where a row cannot be read."""

    def __init__(self, path: Path, rows: int) -> None:
        self._path = path
        self._rows = rows
        try:
            with path.open("rb") as file:
                # a mapping and not a copy: it outlives the file's removal by a writer that merges blocks
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # gone since it was looked at, or empty
            raise self._damaged(str(error)) from error
        self._newlines: npt.NDArray[np.int64] | None = None

    def record(self, row: int) -> FileRecord:
        """The record of one row."""
        ends = self._line_ends()
        line = self._data[ends[row] + 1 : ends[row + 1]].rstrip(b",")
        return self._parse(line, row)

    def columns(self) -> Columns:
        """All rows. They are checked column by column, which is ten times as fast as row by row."""
        try:
            content = json.loads(self._data[:])
        except (ValueError, RecursionError) as error:
            raise self._damaged("it is no JSON") from error
        if not isinstance(content, list) or len(content) != self._rows:
            raise self._damaged(f"it should hold {self._rows} rows")
        if not content:
            return Columns()
        if set(map(type, content)) == {list} and set(map(len, content)) == {4}:
            columns = Columns(*zip(*content, strict=True))
            if [set(map(type, column)) for column in columns] == [{str}, {int}, {int}, {str}]:
                odd = (path for path in columns.paths if ".." in path or path[:1] in ("", "/") or "\0" in path)
                if all(map(is_inside, odd)):
                    return columns
        for row, values in enumerate(content):
            self._check(values, row)
        raise self._damaged("a row is no path, size, time and SHA-256")

    def find(self, sha256: str) -> list[int]:
        """The rows whose content has that hash."""
        rows = []
        needle = f'"{sha256}"]'.encode()
        position = self._data.find(needle)
        while position >= 0:
            row = int(np.searchsorted(self._line_ends(), position)) - 1
            if 0 <= row < self._rows and self.record(row).sha256 == sha256:
                rows.append(row)
            position = self._data.find(needle, position + 1)
        return rows

    def _line_ends(self) -> npt.NDArray[np.int64]:
        if self._newlines is None:
            ends = np.flatnonzero(np.frombuffer(self._data, dtype=np.uint8) == ord("\n"))
            if len(ends) != self._rows + 2:
                raise self._damaged(f"it should hold {self._rows} rows, one a line")
            self._newlines = ends
        return self._newlines

    def _parse(self, line: bytes, row: int) -> FileRecord:
        try:
            return self._check(json.loads(line), row)
        except (ValueError, RecursionError) as error:
            raise self._damaged(f"row {row} is no JSON") from error

    def _check(self, values: object, row: int) -> FileRecord:
        match values:
            case [str(path), int(size), int(mtime_ns), str(sha256)] if is_inside(path):
                return FileRecord(path, size, mtime_ns, sha256)
        raise self._damaged(f"row {row} is no path, size, time and SHA-256")

    def _damaged(self, detail: str) -> IndexDamagedError:
        return IndexDamagedError(f"{self._path} is damaged ({detail}). {how_to_repair(self._path.parent)}")


def how_to_repair(directory: Path) -> str:
    """What a user does about a damaged data file: only its block's pictures have to be read again."""
    return f"`cbir index --index {directory} --repair` reads its pictures again."


def is_inside(path: str) -> bool:
    """Whether a relative path stays below the root, so that a forged index cannot name files elsewhere."""
    return bool(path) and not path.startswith("/") and "\0" not in path and ".." not in path.split("/")
