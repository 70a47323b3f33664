"""Data files of rows: `.npy` files of two dimensions, whose rows are read when they are asked for."""

from __future__ import annotations

import io
import math
import os
import re
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from cbir.errors import IndexDamagedError, reason_of
from cbir.index.files import how_to_repair
from cbir.index.format import FileEntry

# What NumPy writes before a C-ordered array of two dimensions; how many spaces end it differs between its versions.
_NPY_HEADER = re.compile(rb"\{'descr': (.{1,200}), 'fortran_order': False, 'shape': \((\d{1,12}), (\d{1,12})\), \} *\n")


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
        if (
            found != (shape, repr(np.lib.format.dtype_to_descr(dtype)).encode())
            or size != self._start + math.prod(shape) * dtype.itemsize
        ):
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

    def take(self, wanted: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """The rows `wanted`, shape (n,), in that order; shape (n, dimension)."""
        rows = np.empty((len(wanted), self.shape[1]), dtype=self._dtype)
        if rows.size:
            into, length = _bytes_of(rows), self._row_bytes
            for place, row in zip(range(0, len(into), length), wanted.tolist(), strict=True):
                self._read(into[place : place + length], row)
        return rows

    def items(self, rows: npt.NDArray[np.int64], places: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Of each of `rows`, shape (n,), what it has at its place, from 0 to dimension; shape (n,)."""
        found = np.empty(len(rows), dtype=self._dtype)
        if found.size:
            into, length = _bytes_of(found), self._dtype.itemsize
            starts = range(0, len(into), length)
            for start, row, place in zip(starts, rows.tolist(), places.tolist(), strict=True):
                self._read(into[start : start + length], row, place * length)
        return found

    def _read(self, into: memoryview, row: int, offset: int = 0) -> None:
        position = self._start + row * self._row_bytes + offset
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


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, int], bytes] | None:
    """Shape and type (as NumPy describes it) of the numbers in an `.npy` file, read up to the first of them.

    None for another kind of file. Not `np.load`: it evaluates whatever expression stands in the header, and some
    exhaust memory or the stack.
    """
    magic = file.read(10)
    header = file.read(int.from_bytes(magic[8:], "little"))
    match = _NPY_HEADER.fullmatch(header)
    if magic[:8] != b"\x93NUMPY\x01\x00" or match is None:
        return None
    return (int(match[2]), int(match[3])), match[1]


def npy_bytes(shape: tuple[int, int], dtype: np.dtype[Any], chunks: Iterator[npt.NDArray[Any]]) -> Iterator[bytes]:
    """The content of an `.npy` file, whose rows come in chunks."""
    header = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, described)
    yield header.getvalue()
    for chunk in chunks:
        yield np.ascontiguousarray(chunk, dtype=dtype).tobytes()
