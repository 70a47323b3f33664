"""A block's `files-….json`: which file each row belongs to.

The file is one JSON array with one row a line, `["path", size, mtime_ns, "sha256"]`. Any JSON reader reads it; a
search, which wants a handful of rows out of a hundred thousand, finds their lines without parsing the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cbir.errors import IndexDamagedError
from cbir.index.datafile import DataFile
from cbir.index.entries import FileEntry
from cbir.index.folders import Folders, of_lines, of_paths
from cbir.index.values import LARGEST
from cbir.utils.paths import LONGEST_PATH, are_inside

#: Bytes that are read at a time, where all are looked through.
_PART_BYTES = 1 << 18

#: The last time that a file may have, in nanoseconds: some file systems count seconds in 64 bits.
FURTHEST_NS = 2**63 * 10**9

#: Bytes of a row: of the shortest path, and at most.
_LEAST_BYTES, _LONGEST_LINE = 76, 12 * LONGEST_PATH + 256

# Rows that were read last, which are kept: some MB of each table.
_RECENT = 4096


# Rows that are written at a time.
_DUMPED = 1024

# Rows whose hashes are read at a time, digits of a hash, and those that are read.
_HASHED, _HASH_DIGITS, _PREFIX_DIGITS = 4096, 64, 16

# What each byte is worth as a hexadecimal digit.
_DIGITS = np.zeros(256, dtype=np.uint8)
_DIGITS[[*b"0123456789abcdef"]] = np.arange(16)


class FileRecord(NamedTuple):
    """A file as it was when it was indexed. `path` is relative to the root, with forward slashes."""

    path: str
    size: int
    mtime_ns: int
    sha256: str


class Files(NamedTuple):
    """The fields of many `FileRecord`s, each as a list: item i belongs to row i."""

    paths: Sequence[str] = ()
    sizes: Sequence[int] = ()
    mtimes_ns: Sequence[int] = ()
    sha256s: Sequence[str] = ()

    def records(self) -> Iterator[FileRecord]:
        """Row by row."""
        return map(FileRecord, *self)


def dump_records(records: Iterable[FileRecord]) -> Iterator[bytes]:
    """Yield the content of a `files-….json`. Pure ASCII: bytes of a name that are no UTF-8 become `\\udcXX`."""
    yield b"["
    start = "\n"
    remaining = iter(records)
    while some := list(islice(remaining, _DUMPED)):
        yield (start + ",\n".join(map(json.dumps, some))).encode("ascii")
        start = ",\n"
    yield b"\n]\n"


class FileTable:
    """A read-only view of a `files-….json` of `rows` rows; IndexDamagedError where a row cannot be read."""

    def __init__(self, directory: Path, entry: FileEntry, rows: int) -> None:
        self._data = DataFile(directory, entry)
        self._rows = rows
        self._newlines: npt.NDArray[np.int64] | None = None
        self._recent: dict[int, FileRecord] = {}
        size = self._data.size
        if size < _LEAST_BYTES * rows or self._data.read(0, 2) != b"[\n" or self._data.read(size - 3, 3) != b"\n]\n":
            raise self._damaged(f"it should hold {rows} rows")

    def record(self, row: int) -> FileRecord:
        """Return the record of one row: a search asks for those of its matches several times."""
        if (found := self._recent.get(row)) is not None:
            return found
        if len(self._recent) >= _RECENT:
            self._recent.clear()
        found = self._recent[row] = self._parse(self._line(row), row)
        return found

    def some(self, rows: Sequence[int]) -> list[FileRecord]:
        """Return the records of some rows, in their order; those that are not known yet are parsed together."""
        found = {row: known for row in rows if (known := self._recent.get(row)) is not None}
        new = [row for row in dict.fromkeys(rows) if row not in found]
        if new:
            found.update(zip(new, self._parse_all(new), strict=True))
            if len(self._recent) + len(new) > _RECENT:
                self._recent.clear()
            self._recent.update((row, found[row]) for row in new[:_RECENT])
        return [found[row] for row in rows]

    def _parse_all(self, rows: Sequence[int]) -> list[FileRecord]:
        lines = [self._line(row) for row in rows]
        try:
            content = json.loads(b"[%b]" % b",".join(lines))
            if len(content) == len(rows) and all(isinstance(values, list) and len(values) == 4 for values in content):
                files = Files(*zip(*content, strict=True))
                if _are_sound(files):
                    return [*files.records()]
        except (ValueError, RecursionError):
            pass  # the row that is damaged is named below
        return [self._parse(line, row) for line, row in zip(lines, rows, strict=True)]

    def _line(self, row: int) -> bytes:
        ends = self._line_ends()
        start, stop = int(ends[row]) + 1, int(ends[row + 1])
        if stop - start > _LONGEST_LINE:
            raise self._damaged(f"row {row} is too long")
        return self._data.read(start, stop - start).rstrip(b",")

    def all(self) -> Files:
        """All rows. They are checked list by list, which is ten times as fast as row by row."""
        try:
            content = json.loads(self._data.read(0, self._data.size))
        except (ValueError, RecursionError) as error:
            raise self._damaged("it is no JSON") from error
        except MemoryError as error:
            raise self._damaged("it does not fit into memory") from error
        if not isinstance(content, list) or len(content) != self._rows:
            raise self._damaged(f"it should hold {self._rows} rows")
        if not content:
            return Files()
        if set(map(type, content)) == {list} and set(map(len, content)) == {4}:
            files = Files(*zip(*content, strict=True))
            if _are_sound(files):
                return files
        for row, values in enumerate(content):
            self._check(values, row)
        raise self._damaged("a row is no path, size, time and SHA-256")

    def folders(self) -> Folders:
        """Return the folders that its files are in."""
        try:
            found = of_lines(self._data.read(0, self._data.size), self._rows)
        except MemoryError as error:
            raise self._damaged("it does not fit into memory") from error
        return of_paths(self.all().paths) if found is None else found

    def find(self, sha256: str) -> list[int]:
        """Return the rows whose content has that hash."""
        rows = []
        needle = f'"{sha256}"]'.encode()
        for start, part, count in self._parts(len(needle) - 1):
            position = part.find(needle, 0, count)
            while position >= 0:
                row = int(np.searchsorted(self._line_ends(), start + position)) - 1
                if 0 <= row < self._rows and self.record(row).sha256 == sha256:
                    rows.append(row)
                position = part.find(needle, position + 1, count)
        return rows

    def hashes(self) -> npt.NDArray[np.uint64]:
        """Read the first 64 bits of each row's SHA-256, shape (rows,), without parsing; of a damaged row anything."""
        ends = self._line_ends()[:-1]  # of the opening bracket, and of each row
        hashes = np.empty(self._rows, dtype=np.uint64)
        for first in range(0, self._rows, _HASHED):
            its = ends[first : first + _HASHED + 1]
            text = np.frombuffer(self._data.read(int(its[0]), int(its[-1] - its[0])), dtype=np.uint8)
            # a line ends with the hash, a quotation mark, a bracket and, but for the last one, a comma
            begins = its[1:] - its[0] - (_HASH_DIGITS + 3)
            if first + len(begins) == self._rows:
                begins[-1] += 1
            places = np.maximum(begins, 0)[:, np.newaxis] + np.arange(_PREFIX_DIGITS)
            digits = _DIGITS[text.take(places, mode="clip")]
            pairs = digits[:, ::2] << 4 | digits[:, 1::2]
            hashes[first : first + len(begins)] = pairs.view(">u8")[:, 0]
        return hashes

    def _line_ends(self) -> npt.NDArray[np.int64]:
        if self._newlines is None:
            found = [np.empty(0, dtype=np.int64)]
            lines = 0
            for start, part, count in self._parts():
                ends = np.flatnonzero(np.frombuffer(part, dtype=np.uint8, count=count) == ord("\n")) + start
                lines += len(ends)
                if lines > self._rows + 2:
                    break
                found.append(ends)
            if lines != self._rows + 2:
                raise self._damaged(f"it should hold {self._rows} rows, one a line")
            self._newlines = np.concatenate(found)
        return self._newlines

    def _parts(self, overlap: int = 0) -> Iterator[tuple[int, bytearray, int]]:
        """Yield the file in parts: where each starts, and its bytes, which are so many of those in a buffer.

        It is the same buffer each time, which stays in the processor's cache. Each part repeats `overlap` bytes of the
        one before it.
        """
        buffer = bytearray(min(self._data.size, _PART_BYTES + overlap))
        for start in range(0, self._data.size, _PART_BYTES):
            first = max(start - overlap, 0)
            count = min(start + _PART_BYTES, self._data.size) - first
            self._data.read_into(memoryview(buffer)[:count], first)
            yield first, buffer, count

    def _parse(self, line: bytes, row: int) -> FileRecord:
        try:
            return self._check(json.loads(line), row)
        except (ValueError, RecursionError) as error:
            raise self._damaged(f"row {row} is no JSON") from error

    def _check(self, values: object, row: int) -> FileRecord:
        if isinstance(values, list) and len(values) == 4 and _are_sound(Files(*([value] for value in values))):
            return FileRecord(*values)
        raise self._damaged(f"row {row} is no path, size, time and SHA-256")

    def _damaged(self, detail: str) -> IndexDamagedError:
        return self._data.damaged(f"is damaged ({detail})")


class FilesBelow(FileTable):
    """The same table of files, seen from a folder further up: `folder/` stands before their paths."""

    def __init__(self, files: FileTable, folder: str) -> None:
        self._files = files
        self._prefix = f"{folder}/"

    def record(self, row: int) -> FileRecord:
        """Return the record of one row."""
        return self._below(self._files.record(row))

    def some(self, rows: Sequence[int]) -> list[FileRecord]:
        """Return the records of some rows, in their order."""
        return list(map(self._below, self._files.some(rows)))

    def all(self) -> Files:
        """All rows, as `FileTable.all`."""
        files = self._files.all()
        return files._replace(paths=tuple(self._prefix + path for path in files.paths))

    def folders(self) -> Folders:
        """Return the folders that its files are in."""
        return self._files.folders().below(self._prefix[:-1])

    def find(self, sha256: str) -> list[int]:
        """Return the rows whose content has that hash."""
        return self._files.find(sha256)

    def hashes(self) -> npt.NDArray[np.uint64]:
        """Read the first 64 bits of each row's SHA-256, as `FileTable.hashes`."""
        return self._files.hashes()

    def _below(self, record: FileRecord) -> FileRecord:
        return record._replace(path=self._prefix + record.path)


def _are_sound(files: Files) -> bool:
    """Tell whether these are paths below the root, sizes, times and SHA-256s."""
    if [set(map(type, values)) for values in files] != [{str}, {int}, {int}, {str}]:
        return False
    sizes, times, contents = files.sizes, files.mtimes_ns, "".join(files.sha256s)
    return (
        0 <= min(sizes) <= max(sizes) <= LARGEST
        and -FURTHEST_NS <= min(times) <= max(times) <= FURTHEST_NS
        and set(map(len, files.sha256s)) == {64}
        and contents.isascii()
        and not contents.encode("ascii").translate(None, b"0123456789abcdef")
        and are_inside(files.paths)
    )
