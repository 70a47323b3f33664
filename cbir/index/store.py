"""Reading an index directory: one committed state, and nothing of it before it is asked for."""

from __future__ import annotations

import math
import os
import re
import threading
import weakref
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from cbir.errors import IndexDamagedError, reason_of
from cbir.index.classes import COUNT, RECORD, BlockClasses, Records, RowClasses
from cbir.index.files import Columns, FileRecord, FileTable, how_to_repair
from cbir.index.format import BlockEntry, FileEntry, Meta, load_meta
from cbir.index.half import to_float32
from cbir.index.shortlist import Shortlist, open_shortlist

Rows = npt.NDArray[np.int64]

#: What a scan has of the features at a time, in float32. More is no faster, and counts in each run's memory.
SCAN_BYTES = 8_000_000

# What NumPy writes before a C-ordered array of two dimensions; how many spaces end it differs between its versions.
_NPY_HEADER = re.compile(
    rb"\{'descr': ('<f[24]'|\[\('class', '<u2'\), \('probability', '<f2'\)\]), "
    rb"'fortran_order': False, 'shape': \((\d{1,12}), (\d{1,12})\), \} *\n"
)
_NPY_TYPES: dict[bytes, np.dtype[Any]] = {b"'<f2'": np.dtype("<f2"), b"'<f4'": np.dtype("<f4")}  # all others are RECORD


class Index:
    """One committed state of an index directory, read-only.

    Rows are numbered through all blocks, invalid ones included. Features are float16 on disk, read when they are asked
    for, and float32 from here on; each row has length 1. Errors are IndexDamagedError, which names the file.
    """

    def __init__(self, directory: Path, meta: Meta) -> None:
        self.directory = directory
        self.meta = meta
        self._blocks = [_Block(directory, entry, meta.dimension) for entry in meta.blocks]
        self._starts = np.cumsum([0, *(block.rows for block in meta.blocks)])
        self._valid: npt.NDArray[np.bool_] | None = None
        self._shortlist: Shortlist | None = None
        self._shortlist_is_gone = False

    @classmethod
    def open(cls, directory: Path) -> Index:
        """The last committed state of `directory`.

        A writer may replace it, and remove files that the new state does not need, while this one is being
        opened; then the newer state is opened.
        """
        meta = load_meta(directory)
        while True:
            problem = None
            try:
                index = cls(directory, meta)
                if not index.has_damaged_classes:
                    return index
            except IndexDamagedError as error:
                problem = error
            newer = load_meta(directory)
            if newer == meta:
                if problem:
                    raise problem
                return index
            meta = newer

    @property
    def model(self) -> dict[str, Any]:
        """What made the features."""
        return self.meta.model

    @property
    def root(self) -> Path:
        """The folder that paths are relative to."""
        return Path(self.meta.root)

    @property
    def rows(self) -> int:
        """All rows, invalid ones included."""
        return self.meta.rows

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Which rows count, shape (rows,)."""
        if self._valid is None:
            self._valid = np.ones(self.rows, dtype=np.bool_)
            for start, block in zip(self._starts, self.meta.blocks, strict=False):
                for first, stop in block.invalid:
                    self._valid[start + first : start + stop] = False
        return self._valid

    def __len__(self) -> int:
        """The number of files in the index."""
        return int(self.valid.sum())

    def features(self, rows: Sequence[int] | Rows) -> npt.NDArray[np.float32]:
        """Features of `rows`, shape (len(rows), dimension)."""
        wanted = np.asarray(rows, dtype=np.int64)
        halves = np.empty((len(wanted), self.meta.dimension), dtype=np.float16)
        numbers = np.searchsorted(self._starts, wanted, side="right") - 1
        for number in set(numbers.tolist()):  # `np.unique` would load NumPy's masked arrays, which takes 5 ms
            chosen = numbers == number
            halves[chosen] = self._blocks[number].features.take(wanted[chosen] - self._starts[number])
        return to_float32(halves)

    def chunks(self, first: int = 0) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """All features from row `first` on, in order, as pairs of the chunk's first row and the chunk."""
        step = max(1, SCAN_BYTES // (4 * self.meta.dimension))
        for start, block in zip(self._starts, self._blocks, strict=False):
            for offset in range(max(0, first - int(start)), len(block.features), step):
                yield int(start) + offset, to_float32(block.features.between(offset, offset + step))

    def classes(self) -> RowClasses:
        """The most probable classes of all rows, as the network saw them, in the rows' order; read when asked for.

        Rows have none (zeros) where the network knows no classes, an older cbir wrote them, or the picture could not
        be read any more. IndexDamagedError where a block's are unsound: nothing else than they needs their file.
        """
        parts = [block.classes.checked() for block in self._blocks]
        if len(parts) == 1:
            return parts[0]
        numbers = np.empty((self.rows, COUNT), dtype=np.uint16)
        probabilities = np.empty((self.rows, COUNT), dtype=np.float16)
        for start, part in zip(self._starts, parts, strict=False):
            numbers[start : start + len(part.numbers)] = part.numbers
            probabilities[start : start + len(part.numbers)] = part.probabilities
        return RowClasses(numbers, probabilities)

    def without_classes(self, *, in_vain_too: bool = False) -> npt.NDArray[np.bool_]:
        """Which rows nobody has looked for classes of, shape (rows,); all of a block whose classes are damaged.

        With `in_vain_too`, those for which that was in vain are among them.
        """
        nothing = np.zeros(0, dtype=np.bool_)
        return np.concatenate([nothing, *(block.classes.missing(in_vain_too=in_vain_too) for block in self._blocks)])

    @property
    def has_damaged_classes(self) -> bool:
        """Whether the structure of a block's classes is unsound; their numbers are looked at when they are read."""
        return any(block.classes.are_damaged for block in self._blocks)

    def class_records(self, rows: Sequence[int] | Rows) -> Records:
        """The classes of `rows` as they are stored, shape (len(rows), COUNT)."""
        wanted = np.asarray(rows, dtype=np.int64)
        records = np.zeros((len(wanted), COUNT), dtype=RECORD)
        numbers = np.searchsorted(self._starts, wanted, side="right") - 1
        for number in set(numbers.tolist()):  # `np.unique` would load NumPy's masked arrays, which takes 5 ms
            chosen = numbers == number
            records[chosen] = self._blocks[number].classes.take(wanted[chosen] - self._starts[number])
        return records

    def class_chunks(self) -> Iterator[tuple[int, Records]]:
        """The classes of all rows as they are stored, in order, as pairs of the chunk's first row and the chunk."""
        step = SCAN_BYTES // (COUNT * RECORD.itemsize)
        for start, block in zip(self._starts, self._blocks, strict=False):
            for offset in range(0, len(block.features), step):
                yield int(start) + offset, block.classes.between(offset, offset + step)

    def record(self, row: int) -> FileRecord:
        """The file that a row belongs to."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._blocks[number].files.record(row - int(self._starts[number]))

    def records(self) -> Iterator[tuple[int, FileRecord]]:
        """All rows and their files in order, invalid rows too: their features can still be used again."""
        return enumerate(self.columns().records())

    def columns(self) -> Columns:
        """What `records` tells, column by column."""
        if len(self._blocks) == 1:
            return self._blocks[0].files.columns()
        parts = [block.files.columns() for block in self._blocks]
        return Columns(*(tuple(chain.from_iterable(column)) for column in zip(*parts, strict=True)))

    def find(self, sha256: str) -> list[int]:
        """The valid rows of files with that content."""
        found = [
            int(start) + row
            for start, block in zip(self._starts, self._blocks, strict=False)
            for row in block.files.find(sha256)
        ]
        return [row for row in found if self.valid[row]]

    def shortlist(self) -> Shortlist | None:
        """The approximate index over the first rows, where there is one; IndexDamagedError where it is unsound.

        There is none either where a writer has replaced it since this state was opened.
        """
        if self._shortlist is None and self.meta.shortlist is not None and not self._shortlist_is_gone:
            try:
                self._shortlist = open_shortlist(self.directory, self.meta.shortlist, self.meta.dimension)
            except IndexDamagedError:
                if load_meta(self.directory).shortlist == self.meta.shortlist:
                    raise
                self._shortlist_is_gone = True
        return self._shortlist


class _Block:
    """The files of one block, opened and their structure checked."""

    def __init__(self, directory: Path, entry: BlockEntry, dimension: int) -> None:
        self.features = RowFile(directory, entry.features, (entry.rows, dimension), np.dtype(np.float16))
        self.files = FileTable(checked_path(directory, entry.files), entry.rows)
        # opened now, like the others, since a writer may remove it once there is a newer state
        self.classes = open_classes(directory, entry)


def open_classes(directory: Path, entry: BlockEntry) -> BlockClasses:
    """The classes of a block. What is wrong with their file is told when they are asked for, and not now."""
    file: RowFile | IndexDamagedError | None = None
    if entry.classes is not None:
        try:
            file = RowFile(directory, entry.classes, (entry.rows, COUNT), RECORD)
        except IndexDamagedError as error:
            file = error
    return BlockClasses(file, entry.rows)


def checked_path(directory: Path, entry: FileEntry) -> Path:
    """The path of a data file, after a look at whether it is one and has the right length.

    Raises IndexDamagedError; links are refused, since what they lead to is not the index's.
    """
    path = directory / entry.name
    try:
        problem = None
        if path.is_symlink() or not path.is_file():
            problem = "is missing" if not path.exists() else "is not a regular file"
        elif path.stat().st_size != entry.bytes:
            problem = f"has {path.stat().st_size} bytes instead of {entry.bytes}"
    except OSError as error:
        problem = f"cannot be read ({reason_of(error)})"
    if problem:
        raise IndexDamagedError(f"{path} {problem}. {how_to_repair(directory)}")
    return path


class RowFile:
    """An `.npy` file of two dimensions whose rows are read when they are asked for.

    Read and not mapped into memory: mapped pages count as the process's own as long as there is room, and one that
    another program has cut off would end the process. The file stays open, so it can be read after a writer that
    merges blocks has removed it. IndexDamagedError where it is another than it should be, or cannot be read.
    """

    def __init__(self, directory: Path, entry: FileEntry, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self._path = checked_path(directory, entry)
        self._dtype = dtype
        self.shape = shape
        self._row_bytes = shape[1] * dtype.itemsize
        try:
            with self._path.open("rb") as file:
                found = _npy_header(file)
                self._start, size = file.tell(), os.fstat(file.fileno()).st_size
                self._descriptor = os.dup(file.fileno())
            weakref.finalize(self, os.close, self._descriptor)
        except (OSError, ValueError, OverflowError) as error:
            raise self.damaged(f"is damaged ({error})") from error
        if found != (shape, dtype) or size != self._start + math.prod(shape) * dtype.itemsize:
            raise self.damaged(f"holds something else instead of {shape} numbers of type {dtype}")

    def __len__(self) -> int:
        return self.shape[0]

    def between(self, first: int, stop: int) -> npt.NDArray[Any]:
        """Rows [first, stop), as many as there are of them; shape (n, dimension)."""
        stop = min(stop, len(self))
        rows = np.empty((max(stop - first, 0), self.shape[1]), dtype=self._dtype)
        if rows.size:
            self._read(_bytes_of(rows), first)
        return rows

    def take(self, wanted: Rows) -> npt.NDArray[Any]:
        """The rows `wanted`, shape (n,), in that order; shape (n, dimension)."""
        rows = np.empty((len(wanted), self.shape[1]), dtype=self._dtype)
        if rows.size:
            into, length = _bytes_of(rows), self._row_bytes
            for place, row in zip(range(0, len(into), length), wanted.tolist(), strict=True):
                self._read(into[place : place + length], row)
        return rows

    def _read(self, into: memoryview, row: int) -> None:
        position = self._start + row * self._row_bytes
        try:
            count = _read_at(self._descriptor, into, position)
            while 0 < count < len(into):  # a signal, or more than the system reads at once
                more = _read_at(self._descriptor, into[count:], position + count)
                count = count + more if more else -1
        except OSError as error:
            raise self.damaged(f"cannot be read ({reason_of(error)})") from error
        if count < len(into):
            raise self.damaged("ends too early")

    def damaged(self, problem: str) -> IndexDamagedError:
        """The error that says what is wrong with the file."""
        return IndexDamagedError(f"{self._path} {problem}. {how_to_repair(self._path.parent)}")


def _bytes_of(rows: npt.NDArray[Any]) -> memoryview:
    """The memory of an array, to be written into."""
    return rows.reshape(-1).view(np.uint8).data


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


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, int], np.dtype[Any]] | None:
    """Shape and type of the numbers in an `.npy` file, read up to the first of them; None for another kind of file.

    Not `np.load`: it evaluates whatever expression stands in the header, and some exhaust memory or the stack.
    """
    magic = file.read(10)
    header = file.read(int.from_bytes(magic[8:], "little"))
    match = _NPY_HEADER.fullmatch(header)
    if magic[:8] != b"\x93NUMPY\x01\x00" or match is None:
        return None
    return (int(match[2]), int(match[3])), _NPY_TYPES.get(match[1], RECORD)
