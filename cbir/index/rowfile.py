"""Data files of rows: `.npy` files of two dimensions, whose rows are read when they are asked for."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cbir.errors import IndexDamagedError
from cbir.index.datafile import DataFile, Identity
from cbir.index.entries import FileEntry

# What NumPy writes before a C-ordered array of one or two dimensions; how many spaces end it differs between its
# versions.
_NPY_HEADER = re.compile(
    rb"\{'descr': (.{1,200}), 'fortran_order': False, 'shape': \((\d{1,12}),(?: (\d{1,12}))?\), \} *\n"
)
_LONGEST_HEADER = 4096


class RowFile:
    """An `.npy` file of two dimensions whose rows are read when they are asked for.

    IndexDamagedError where it is another than it should be, or cannot be read: see `DataFile`.
    """

    def __init__(self, directory: Path, entry: FileEntry, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self._data = DataFile(directory, entry)
        self._dtype = dtype
        self.shape = shape
        self._row_bytes = shape[1] * dtype.itemsize
        header = npy_header(self._data.read(0, _LONGEST_HEADER))
        wanted = (shape, repr(np.lib.format.dtype_to_descr(dtype)).encode())
        if header is None or header[:2] != wanted or entry.bytes != header[2] + math.prod(shape) * dtype.itemsize:
            raise self.damaged(f"holds something else instead of {shape} numbers of type {dtype}")
        self._start = header[2]

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def identity(self) -> Identity:
        """The identity of the open file, as `DataFile` tells it."""
        return self._data.identity

    def between(self, first: int, stop: int, out: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        """Rows [first, stop), as many as there are of them; shape (n, dimension). They are read into `out`, if given,
        which has this shape and the type of the file, and lies in one piece."""
        stop = min(stop, len(self))
        rows = np.empty((max(stop - first, 0), self.shape[1]), dtype=self._dtype) if out is None else out
        if rows.size:
            self._data.read_into(_bytes_of(rows), self._start + first * self._row_bytes)
        return rows

    def take(self, wanted: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return the rows `wanted`, shape (n,), in that order; shape (n, dimension)."""
        rows = np.empty((len(wanted), self.shape[1]), dtype=self._dtype)
        if rows.size:
            # rows that follow each other, such as a folder's, are read at once
            starts = np.flatnonzero(np.diff(wanted, prepend=wanted[0] - 2) != 1)
            places = np.append(starts, len(wanted)) * self._row_bytes
            positions = self._start + wanted[starts] * self._row_bytes
            pieces = zip(places[:-1].tolist(), places[1:].tolist(), positions.tolist(), strict=True)
            self._data.read_pieces(_bytes_of(rows), pieces)
        return rows

    def items(self, rows: npt.NDArray[np.int64], places: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return one item of each of `rows`, shape (n,), the one at its place, from 0 to dimension; shape (n,)."""
        found = np.empty(len(rows), dtype=self._dtype)
        if found.size:
            length = self._dtype.itemsize
            starts = np.arange(len(rows)) * length
            positions = self._start + rows * self._row_bytes + places * length
            pieces = zip(starts.tolist(), (starts + length).tolist(), positions.tolist(), strict=True)
            self._data.read_pieces(_bytes_of(found), pieces)
        return found

    def damaged(self, problem: str) -> IndexDamagedError:
        """Return the error that says what is wrong with the file."""
        return self._data.damaged(problem)


def _bytes_of(rows: npt.NDArray[Any]) -> memoryview:
    """Return the memory of an array, to be written into."""
    return rows.reshape(-1).view(np.uint8).data


def npy_header(beginning: bytes) -> tuple[tuple[int, ...], bytes, int] | None:
    """Shape and type (as NumPy describes it) of the numbers in an `.npy` file, and where the first of them stands.

    None for another kind of file. Not `np.load`: it evaluates whatever expression stands in the header, and some
    exhaust memory or the stack.
    """
    length = 10 + int.from_bytes(beginning[8:10], "little")
    match = _NPY_HEADER.fullmatch(beginning[10:length])
    if beginning[:8] != b"\x93NUMPY\x01\x00" or match is None:
        return None
    shape = (int(match[2]),) if match[3] is None else (int(match[2]), int(match[3]))
    return shape, match[1], length


def npy_bytes(shape: tuple[int, int], dtype: np.dtype[Any], chunks: Iterator[npt.NDArray[Any]]) -> Iterator[bytes]:
    """Yield the content of an `.npy` file, whose rows come in chunks."""
    header = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, described)
    yield header.getvalue()
    for chunk in chunks:
        yield np.ascontiguousarray(chunk, dtype=dtype).tobytes()
