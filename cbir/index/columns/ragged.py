"""Columns of which each row has any number of records, as many as another column counts.

Their file has the records of a block's rows one after the other, with nothing between them: an array of shape (records,
width). Where those of a row begin follows from the counts of all rows before it, which the block's file of the counting
column has. So one of them says nothing without the other, and both are written, dropped and made anew together.

In memory the records of one row have the shape (n, width), and those of several rows are an array of objects, shape
(rows,), of which each is one row's, or None where nobody has filled that in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from cbir.errors import IndexDamagedError
from cbir.index.columns.column import CHUNK_BYTES, Column, ColumnReader, Mask, Records
from cbir.index.datafile import DataFile
from cbir.index.entries import ColumnEntry
from cbir.index.rowfile import RowFile, npy_bytes, npy_header
from cbir.utils.vectors import Rows

T = TypeVar("T")

# Rows that are read at a time at most, however few records they have.
_ROWS = 4096


@dataclass(frozen=True, eq=False, kw_only=True)
class RaggedColumn(Column):
    """A column of which each row has as many records as the column `counted_by` says.

    `counts` returns these numbers of such a column's records, shape (rows,): -1 where nobody has filled a row in. It
    raises ValueError where they are unsound. A row has `most` records at most. What `check` is given are records one
    after the other, shape (n, width); `width` is the most that it may be, and the file says what it is.
    """

    counts: Callable[[Records], Rows]
    most: int

    def blank(self, rows: int) -> Records:
        """Return the records of rows that nobody has filled in: None of each, shape (rows,)."""
        return np.full(rows, None, dtype=object)

    def open(self, directory: Path, entry: ColumnEntry, rows: int) -> RowFile:
        """Return the file of a block of so many rows; IndexDamagedError where it has more records than they may."""
        data = DataFile(directory, entry)
        header = npy_header(data.read(0, 4096))
        shape = None if header is None or len(header[0]) != 2 else (header[0][0], header[0][1])
        if shape is None or shape[0] > rows * self.most or not bool(shape[0]) <= shape[1] <= self.width:
            raise data.damaged(f"holds something else instead of up to {self.most} records of each of {rows} rows")
        return RowFile(directory, entry, shape, self.dtype)

    def reader(
        self, directory: Path, entry: ColumnEntry | None, rows: int, others: Mapping[str, ColumnReader]
    ) -> RaggedReader:
        """Return what reads the column of a block of so many rows; `others` has that of the counting column."""
        assert self.counted_by is not None
        return RaggedReader(directory, self, entry, rows, others[self.counted_by.name])

    def content(self, shape: tuple[int, int], chunks: Iterator[Records]) -> Iterator[bytes]:
        """Yield the bytes of a file of that shape, whose records come in chunks of rows."""
        return npy_bytes(shape, self.dtype, (self._joined(chunk, shape[1]) for chunk in chunks))

    def _joined(self, chunk: Records, width: int) -> Records:
        its = [records for records in chunk if records is not None and len(records)]
        return np.concatenate(its) if its else np.empty((0, width), dtype=self.dtype)


class RaggedReader(ColumnReader):
    """Reads what one block has of a ragged column, by what the block's reader of the counting column tells."""

    column: RaggedColumn

    def __init__(
        self, directory: Path, column: RaggedColumn, entry: ColumnEntry | None, rows: int, counting: ColumnReader
    ) -> None:
        super().__init__(directory, column, entry, rows)
        self._counting = counting

    def without_file(self) -> RaggedReader:
        """Return a reader of the same rows, which has no file of them."""
        return RaggedReader(Path(), self.column, None, self._rows, self._counting)

    @property
    def is_damaged(self) -> bool:
        """True if the file could not be opened, or that of the counts."""
        return super().is_damaged or (self._file is not None and self._counting.is_damaged)

    @property
    def counts(self) -> Rows:
        """The number of each row's records, shape (rows,): -1 where nobody has filled it in.

        Raises IndexDamagedError where it cannot be known.
        """
        return self._layout[0]

    @property
    def width(self) -> int | None:
        """The width of its records; None where there are none."""
        file = self._opened()
        return None if file is None or not len(file) else file.shape[1]

    @property
    def has_file(self) -> bool:
        """True if the block has a file of it."""
        return self._file is not None

    def parsed_flat(self, parse: Callable[[Records], T], row: int | None = None, out: Records | None = None) -> T:
        """Parse the records of all rows, or of one, as they lie in the file one after the other: shape (n, width).

        They are read into `out`, if it has this shape. Raises IndexDamagedError where they cannot be read or parsed
        (ValueError).
        """
        file, (_, starts) = self._opened(), self._layout
        assert file is not None
        first, stop = (0, len(starts) - 1) if row is None else (row, row + 1)
        if out is not None and out.shape[1] != file.shape[1]:
            out = None  # those of an index that is damaged, which `parse` tells
        try:
            return parse(file.between(int(starts[first]), int(starts[stop]), out))
        except ValueError as error:
            raise file.damaged(f"is damaged ({error})") from error

    def between(self, first: int, stop: int) -> Records:
        """Read the records of rows [first, stop), as far as there are such rows: shape (n,)."""
        first, stop, file = min(first, self._rows), min(stop, self._rows), self._opened()
        if file is None:
            return self.column.blank(max(stop - first, 0))
        counts, starts = self._layout
        return split(counts[first:stop], file.between(int(starts[first]), int(starts[max(first, stop)])))

    def take(self, wanted: npt.NDArray[np.int64]) -> Records:
        """Read the records of the rows `wanted`, shape (n,), in that order: shape (n,)."""
        file = self._opened()
        if file is None:
            return self.column.blank(len(wanted))
        counts, starts = self._layout
        its = np.maximum(counts[wanted], 0)
        places = np.repeat(starts[wanted] - np.cumsum(its) + its, its) + np.arange(its.sum())
        return split(counts[wanted], file.take(places))

    def items(self, rows: npt.NDArray[np.int64], places: npt.NDArray[np.int64]) -> Records:
        """Return one of the records of each of `rows`, shape (n,), at its place: shape (n,)."""
        file = self._opened()
        assert file is not None
        return np.asarray(file.take(self._layout[1][rows] + places)[:, 0])

    def check(self, check: Callable[[Records], object] | None = None) -> None:
        """Raise IndexDamagedError where there are not as many records as are counted, or they cannot be right."""
        check, file = check or self.column.check, self._opened()
        if file is None:
            return
        step = _step(file, self.column)
        try:
            for start in range(0, int(self._layout[1][-1]) if check else 0, step):
                check(file.between(start, start + step))  # type: ignore[misc]
        except ValueError as error:
            raise file.damaged(f"is damaged ({error})") from error

    def missing(self, *, unavailable_too: bool = False) -> Mask:
        """Return a mask of the rows that nobody has filled in, shape (rows,); all where that cannot be known.

        Which rows are unavailable, the counting column tells alone.
        """
        try:
            return np.asarray(self.counts < 0)
        except IndexDamagedError:
            return np.ones(self._rows, dtype=np.bool_)

    def pieces(self, first: int = 0) -> Iterator[tuple[int, Callable[[], Records]]]:
        """Yield what reads the records of all rows from `first` on, with the first row of each, in order."""
        file = self._opened()
        starts = None if file is None else self._layout[1]
        while first < self._rows:
            stop = min(first + _ROWS, self._rows)
            if file is not None and starts is not None:
                fits = int(np.searchsorted(starts, starts[first] + _step(file, self.column), side="right")) - 1
                stop = min(stop, max(fits, first + 1))
            yield first, partial(self.between, first, stop)
            first = stop

    @cached_property
    def _layout(self) -> tuple[Rows, Rows]:
        """The counts of rows, and the places of their first records, and after these of the end."""
        file = self._opened()
        if file is None:
            return np.full(self._rows, -1), np.zeros(self._rows + 1, dtype=np.int64)
        counts = self._counting.parsed(self.column.counts)
        starts = np.concatenate([[0], np.cumsum(np.maximum(counts, 0))]).astype(np.int64)
        if starts[-1] != len(file):
            raise file.damaged(f"has {len(file):,} records, where {starts[-1]:,} were counted")
        return counts, starts


def split(counts: Rows, records: Records) -> Records:
    """Return the records of rows as they are in memory, by their counts (-1: none) and all one after the other."""
    found, end = np.full(len(counts), None, dtype=object), 0
    for row, its in enumerate(counts.tolist()):
        if its >= 0:
            found[row] = records[end : end + its]
            end += its
    return found


def count(records: Iterable[Records | None]) -> Rows:
    """Return how many records each of some rows has, as they are in memory: -1 of those that are not filled in."""
    return np.array([-1 if its is None else len(its) for its in records], dtype=np.int64)


def width_of(records: Iterable[Records | None]) -> int | None:
    """Return the width of the records of some rows, as they are in memory; None where there are none."""
    return next((its.shape[1] for its in records if its is not None and len(its)), None)


def are_missing(records: Records) -> Mask:
    """Return a mask of the rows, of several as they are in memory, that are not filled in."""
    return count(records) < 0


def _step(file: RowFile, column: RaggedColumn) -> int:
    """Records that are read at a time."""
    return max(1, CHUNK_BYTES // max(file.shape[1] * column.dtype.itemsize, 1))
