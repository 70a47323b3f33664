"""The most probable classes of each row, as a block's `classes-….npy` has them: which it may be, and how probable.

A row without classes is all zeros where nobody has looked for them yet. Where the picture cannot be read
any more for them, its numbers are `_UNAVAILABLE`, so that not every run tries again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cbir.index.columns.column import Column, Records

#: Classes of a row, most probable first.
COUNT = 20

#: One class of a row: its number, from 0 to 999 as in `cbir.backbones.imagenet`, and its probability.
RECORD = np.dtype([("class", "<u2"), ("probability", "<f2")])

_CLASSES = 1000
_UNAVAILABLE = 0xFFFF
_BITS_OF_ONE = 0x3C00  # of 1.0 in float16; those of smaller positive numbers are smaller, all others larger


class RowClasses(NamedTuple):
    """The most probable classes of rows, most probable first: shapes (rows, COUNT). Zeros where there are none."""

    numbers: npt.NDArray[np.uint16]
    probabilities: npt.NDArray[np.float16]

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """A mask of the rows that have classes, shape (rows,)."""
        return np.asarray(self.probabilities[:, 0] > 0)


def pack(
    numbers: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating], dtype: np.dtype[Any] = RECORD
) -> Records:
    """Pack the classes of one row, given as two arrays of shape (COUNT,), as they are stored: shape (COUNT,)."""
    records = np.zeros(COUNT, dtype=dtype)
    records["class"], records["probability"] = numbers, probabilities
    return records


def unavailable() -> Records:
    """Return the record, shape (COUNT,), of a row whose classes cannot be found."""
    return pack(np.full(COUNT, _UNAVAILABLE), np.zeros(COUNT))


def unpack(records: Records) -> RowClasses:
    """Check and unpack the records of rows, shape (rows, COUNT). Raises ValueError where they are unsound."""
    bits = records.view("<u2").reshape(*records.shape, 2)
    numbers, probabilities = np.ascontiguousarray(bits[..., 0]), np.ascontiguousarray(bits[..., 1])
    if probabilities.size and probabilities.max() > _BITS_OF_ONE:
        raise ValueError("a probability is none")
    numbers[(numbers == _UNAVAILABLE) & (probabilities == 0)] = 0
    if numbers.size and numbers.max() >= _CLASSES:
        raise ValueError("there is no class of such a number")
    return RowClasses(numbers.astype(np.uint16, copy=False), probabilities.astype(np.uint16, copy=False).view("f2"))


def _are_missing(records: Records) -> npt.NDArray[np.bool_]:
    first = records[:, 0]
    return np.asarray((first["probability"] == 0) & (first["class"] != _UNAVAILABLE))


def _are_unavailable(records: Records) -> npt.NDArray[np.bool_]:
    first = records[:, 0]
    return np.asarray((first["probability"] == 0) & (first["class"] == _UNAVAILABLE))


CLASSES = Column("classes", RECORD, COUNT, unavailable(), _are_missing, _are_unavailable, unpack)
