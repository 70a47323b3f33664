"""Columns: what is kept of each row beside its feature, and may be missing.

An index is whole without them. An older cbir wrote none, a network may have nothing to put into one, and a damaged file
is left out without harm to anything else; a run of `cbir index` fills in what is missing, after all else (*backfill*).
`registry.py` lists the columns that there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cbir.errors import IndexDamagedError
from cbir.index.datafile import Identity
from cbir.index.entries import ColumnEntry
from cbir.index.rowfile import RowFile, npy_bytes

#: Records of a column: of one row, shape (width,), or of several, shape (rows, width).
Records = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Column:
    """A column: of each row of a block `width` records of type `dtype`, in the block's file `NAME-000001.npy`.

    `name` is its key in `meta.json` too, and the word for its content in messages. A row that nobody has filled in yet
    is all zeros; `unavailable`, shape (width,), is stored of one whose picture could not be read again for it.
    `is_missing` and `is_unavailable` tell which rows of records are one or the other, shape (rows,). `check` raises
    ValueError where records, shape (rows, width), cannot be what was written.

    `of_content` tells whether it follows from a picture's content, which then is read again where it is missing;
    `of_image`, that it does so whatever the network.
    Columns of one `group` are made and counted together; those of the group `parts` only in an index that is to have
    parts. One that is `counted_by` another is of no use without that (see `ragged`). `advice` tells users of an index,
    whose name replaces `{index}`, how what is missing comes to be there, and `offer` how an index without the column
    gets it.
    """

    name: str
    dtype: np.dtype[Any]
    width: int
    unavailable: Records
    is_missing: Callable[[Records], Mask]
    is_unavailable: Callable[[Records], Mask]
    check: Callable[[Records], object] | None = None
    of_content: bool = True
    of_image: bool = False
    group: str = ""
    counted_by: Column | None = None
    advice: str = "`cbir index --index {index}` makes the others"
    offer: str = ""

    def blank(self, rows: int) -> Records:
        """Return the records of rows that nobody has filled in, shape (rows, width)."""
        return np.zeros((rows, self.width), dtype=self.dtype)

    def open(self, directory: Path, entry: ColumnEntry, rows: int) -> RowFile:
        """Return the file of a block of so many rows; IndexDamagedError where it is another than it should be."""
        return RowFile(directory, entry, (rows, self.width), self.dtype)

    def reader(
        self, directory: Path, entry: ColumnEntry | None, rows: int, others: Mapping[str, ColumnReader]
    ) -> ColumnReader:
        """Return what reads the column of a block of so many rows; `others` are the readers of columns before it."""
        return ColumnReader(directory, self, entry, rows)

    def content(self, shape: tuple[int, int], chunks: Iterator[Records]) -> Iterator[bytes]:
        """Yield the bytes of a file of that shape, whose rows come in chunks."""
        return npy_bytes(shape, self.dtype, chunks)


class ColumnReader:
    """Reads what one block has of a column.

    The block may have no file of it (`entry` is None; its rows then are blank). What is wrong with a file is told when
    its content is asked for, and not when it is opened.
    """

    def __init__(self, directory: Path, column: Column, entry: ColumnEntry | None, rows: int) -> None:
        self.column = column
        self._entry = entry
        self._rows = rows
        self._file: RowFile | IndexDamagedError | None = None
        if entry is not None:
            try:
                self._file = column.open(directory, entry, rows)
            except IndexDamagedError as error:
                self._file = error

    def without_file(self) -> ColumnReader:
        """Return a reader of the same rows, which has no file of them."""
        return ColumnReader(Path(), self.column, None, self._rows)

    @property
    def is_damaged(self) -> bool:
        """True if the file could not be opened."""
        return isinstance(self._file, IndexDamagedError)

    @property
    def identity(self) -> Identity | None:
        """The identity of its open file; None where it has none. Raises IndexDamagedError."""
        file = self._opened()
        return None if file is None else file.identity

    def between(self, first: int, stop: int) -> Records:
        """Read the records of rows [first, stop), as far as there are such rows: shape (n, width)."""
        file = self._opened()
        if file is None:
            return self.column.blank(max(min(stop, self._rows) - first, 0))
        return file.between(first, stop)

    def take(self, wanted: npt.NDArray[np.int64]) -> Records:
        """Read the records of the rows `wanted`, shape (n,), in that order: shape (n, width)."""
        file = self._opened()
        return self.column.blank(len(wanted)) if file is None else file.take(wanted)

    def items(self, rows: npt.NDArray[np.int64], places: npt.NDArray[np.int64]) -> Records:
        """One of the records of each of `rows`, shape (n,), at its place: shape (n,)."""
        file = self._opened()
        return np.zeros(len(rows), dtype=self.column.dtype) if file is None else file.items(rows, places)

    def parsed(self, parse: Callable[[Records], T]) -> T:
        """Parse the records of all rows. Raises IndexDamagedError where they cannot be read or parsed (ValueError)."""
        file, records = self._opened(), self.between(0, self._rows)
        try:
            return parse(records)
        except ValueError as error:
            assert file is not None
            raise file.damaged(f"is damaged ({error})") from error

    def check(self, check: Callable[[Records], object] | None = None) -> None:
        """Raise IndexDamagedError where the file is no such file, or its content cannot be what was written.

        `check` is used in place of the column's own.
        """
        check, file = check or self.column.check, self._opened()
        if check is None or file is None:
            return
        try:
            for _, read in self.pieces():
                check(read())
        except ValueError as error:
            raise file.damaged(f"is damaged ({error})") from error

    def missing(self, *, unavailable_too: bool = False) -> Mask:
        """Return a mask of the rows that nobody has filled in, shape (rows,); all where the file is damaged.

        With `unavailable_too`, rows whose pictures could not be read for it are among them. Otherwise the file is not
        read, if its entry tells.
        """
        if self._file is None or self.is_damaged:
            return np.ones(self._rows, dtype=np.bool_)
        if self._entry is not None and self._entry.missing is not None and not unavailable_too:
            return mask_of(self._entry.missing, self._rows)
        step = _step(self.column)
        parts = [np.zeros(0, dtype=np.bool_)]
        try:
            for first in range(0, self._rows, step):
                records = self.between(first, first + step)
                found = self.column.is_missing(records)
                parts.append(found | self.column.is_unavailable(records) if unavailable_too else found)
        except IndexDamagedError:
            return np.ones(self._rows, dtype=np.bool_)
        return np.concatenate(parts)

    def pieces(self, first: int = 0) -> Iterator[tuple[int, Callable[[], Records]]]:
        """Yield what reads the records of all rows from `first` on, with the first row of each, in order."""
        step = _step(self.column)
        for start in range(first, self._rows, step):
            yield start, partial(self.between, start, start + step)

    def _opened(self) -> RowFile | None:
        if isinstance(self._file, IndexDamagedError):
            raise self._file
        return self._file


def noting_missing(column: Column, chunks: Iterable[Records], missing: list[Mask]) -> Iterator[Records]:
    """`chunks` as they are, while which of their rows are missing is added to `missing`."""
    for chunk in chunks:
        missing.append(column.is_missing(chunk))
        yield chunk


def mask_of(ranges: Iterable[tuple[int, int]], rows: int) -> Mask:
    """Return a mask of the rows, of so many, that are in the `ranges` [start, stop), shape (rows,)."""
    mask = np.zeros(rows, dtype=np.bool_)
    for start, stop in ranges:
        mask[start:stop] = True
    return mask


def ranges_of(mask: Mask) -> tuple[tuple[int, int], ...]:
    """Return the runs of True in `mask` as ranges [start, stop)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return tuple((int(start), int(stop)) for start, stop in edges.reshape(-1, 2))


def _step(column: Column) -> int:
    """Rows that are read at a time."""
    return max(1, CHUNK_BYTES // (column.width * column.dtype.itemsize))


#: So little that it stays in the processor's cache, and its memory is used again for the next.
CHUNK_BYTES = 1_500_000
