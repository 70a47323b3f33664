"""Files of vectors: `.npy` of NumPy, and `.fvecs`, which faiss's tools read. Nothing in them is run, or believed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from cbir.errors import CbirError, reason_of
from cbir.index.rowfile import npy_header
from cbir.index.store import Index
from cbir.moving.rows import Numbers, as_floats, step_of
from cbir.search.queries import VectorQuery
from cbir.utils.opening import open_regular

ENDINGS = (".npy", ".fvecs")

#: Numbers that a feature has at most.
MOST_NUMBERS = 100_000

_LONGEST_HEADER = 4096
_TYPES = {f"'{code}'".encode(): np.dtype(code) for code in ("<f2", "<f4", "<f8")}
_DESCRIBED = re.compile(rb"'descr': ('[^']{1,20}'|\[)")


@dataclass(frozen=True)
class VectorFile:
    """A file of vectors: so many `rows` of `dimension` numbers of type `dtype`, from the byte `start` on.

    Before each of them come so many bytes that are none of its numbers: the `gap`.
    """

    path: Path
    rows: int
    dimension: int
    dtype: np.dtype[np.floating]
    start: int
    gap: int = 0

    @classmethod
    def open(cls, path: Path) -> VectorFile:
        """Look at a file; CbirError where it is no such file, or cannot be read."""
        try:
            with open_regular(path) as file:
                size = file.seek(0, 2)
                file.seek(0)
                return _look_at_fvecs(path, file, size) if path.suffix == ".fvecs" else _look_at_npy(path, file, size)
        except OSError as error:
            raise _unreadable(path, reason_of(error)) from error

    def chunks(self) -> Iterator[Numbers]:
        """Yield the vectors in chunks, shape (n, dimension). CbirError where the file is not what it was."""
        step = step_of(self.dimension, self.dtype.itemsize)
        row = np.dtype([("gap", np.uint8, (self.gap,)), ("numbers", self.dtype, (self.dimension,))])
        try:
            with open_regular(self.path) as file:
                file.seek(self.start)
                for first in range(0, self.rows, step):
                    count = min(step, self.rows - first)
                    content = file.read(count * row.itemsize)
                    if len(content) != count * row.itemsize:
                        raise _unreadable(self.path, "it ends too early")
                    records = np.frombuffer(content, row)
                    if self.gap and (records["gap"].view("<i4") != self.dimension).any():
                        raise _unreadable(self.path, f"not all of its vectors have {self.dimension:,} numbers")
                    yield records["numbers"]
        except OSError as error:
            raise _unreadable(self.path, reason_of(error)) from error


def vector_queries(path: Path, index: Index) -> Iterator[VectorQuery]:
    """Yield each vector of a file as a query for an index. CbirError where it can be none."""
    file = VectorFile.open(path)
    if file.dimension != index.dimension:
        raise CbirError(
            f"{path} has vectors of {file.dimension:,} numbers, but the features in {index.directory.name} have "
            f"{index.dimension:,}: they are by another network."
        )
    number = 0
    for chunk in file.chunks():
        for vector in as_floats(chunk):
            if not np.isfinite(vector).all() or not vector.any():
                raise CbirError(f"Vector {number} of {path} is zero or not finite: nothing is like it.")
            yield VectorQuery(vector, f"{path}[{number}]")
            number += 1


def _look_at_npy(path: Path, file: IO[bytes], size: int) -> VectorFile:
    beginning = file.read(_LONGEST_HEADER)
    header = npy_header(beginning)
    if header is None or len(header[0]) != 2 or header[1] not in _TYPES:
        raise _unreadable(path, _why_not(beginning))
    (rows, dimension), dtype, start = header[0], _TYPES[header[1]], header[2]
    found = VectorFile(path, rows, dimension, dtype, start)
    _check(found, size)
    return found


def _look_at_fvecs(path: Path, file: IO[bytes], size: int) -> VectorFile:
    dimension = int.from_bytes(file.read(4), "little")
    if not 0 < dimension <= MOST_NUMBERS or size % (4 + 4 * dimension):
        raise _unreadable(path, "it is no .fvecs file: each vector is a number of 32 bits, how many there follow")
    return VectorFile(path, size // (4 + 4 * dimension), dimension, np.dtype("<f4"), 0, 4)


def _check(found: VectorFile, size: int) -> None:
    """Hold what a header says against the file's length."""
    if not 0 < found.dimension <= MOST_NUMBERS:
        raise _unreadable(found.path, f"vectors of {found.dimension:,} numbers are none")
    wanted = found.start + found.rows * found.dimension * found.dtype.itemsize
    if size != wanted:
        raise _unreadable(found.path, f"it has {size:,} bytes, and says that they were {wanted:,}")


def _why_not(beginning: bytes) -> str:
    """Say what is wrong with a beginning."""
    if beginning[:6] != b"\x93NUMPY":
        return "it is no .npy file"
    described = _DESCRIBED.search(beginning)
    if described is not None and described[1] in (b"'|O'", b"'O'"):
        return "it holds pickled objects, which could run code: save an array of floats"
    if b"'fortran_order': True" in beginning:
        return "its numbers are in the order of columns: save numpy.ascontiguousarray(features)"
    return "it holds no array of two dimensions, a row a picture, of little-endian float16, float32 or float64"


def _unreadable(path: Path, reason: str) -> CbirError:
    return CbirError(f"Cannot read {path}: {reason}.")
