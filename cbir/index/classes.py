"""The most probable classes of each row, as a block's `classes-….npy` has them: which it may be, and how probable.

A row without classes is all zeros where nobody has looked for them yet. Where that was in vain, because the picture
cannot be read any more, its numbers are `_IN_VAIN`, so that not every run tries again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from cbir.errors import IndexDamagedError

if TYPE_CHECKING:
    from cbir.index.store import RowFile

#: Classes of a row, most probable first.
COUNT = 20

#: One class of a row: its number, from 0 to 999 as in `cbir.backbones.imagenet`, and its probability.
RECORD = np.dtype([("class", "<u2"), ("probability", "<f2")])

_CLASSES = 1000
_IN_VAIN = 0xFFFF
_BITS_OF_ONE = 0x3C00  # of 1.0 in float16; those of smaller positive numbers are smaller, all others larger

Records = npt.NDArray[np.void]


class RowClasses(NamedTuple):
    """The most probable classes of rows, most probable first: shapes (rows, COUNT). Zeros where there are none."""

    numbers: npt.NDArray[np.uint16]
    probabilities: npt.NDArray[np.float16]

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Which rows have classes, shape (rows,)."""
        return np.asarray(self.probabilities[:, 0] > 0)


def pack(numbers: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating]) -> Records:
    """The classes of one row, given as two arrays of shape (COUNT,), as they are stored: shape (COUNT,)."""
    records = np.zeros(COUNT, dtype=RECORD)
    records["class"], records["probability"] = numbers, probabilities
    return records


def in_vain() -> Records:
    """What is stored, shape (COUNT,), for a row whose classes cannot be found."""
    return pack(np.full(COUNT, _IN_VAIN), np.zeros(COUNT))


def unpack(records: Records) -> RowClasses:
    """What is stored for rows, shape (rows, COUNT), checked; ValueError where it cannot be."""
    bits = records.view("<u2").reshape(*records.shape, 2)
    numbers, probabilities = np.ascontiguousarray(bits[..., 0]), np.ascontiguousarray(bits[..., 1])
    if probabilities.size and probabilities.max() > _BITS_OF_ONE:
        raise ValueError("a probability is none")
    numbers[(numbers == _IN_VAIN) & (probabilities == 0)] = 0
    if numbers.size and numbers.max() >= _CLASSES:
        raise ValueError("there is no class of such a number")
    return RowClasses(numbers.astype(np.uint16, copy=False), probabilities.astype(np.uint16, copy=False).view("f2"))


def are_blank(records: Records) -> bool:
    """Whether nobody has looked for the classes of any of `records`."""
    return not records.view("<u2").any()


class BlockClasses:
    """The classes of one block's rows.

    `file` is None where the block has none (its rows then are all zeros), and an error, raised by what needs them,
    where it could not be opened.
    """

    def __init__(self, file: RowFile | IndexDamagedError | None, rows: int) -> None:
        self._file = file
        self._rows = rows

    @property
    def are_damaged(self) -> bool:
        """Whether the file could not be opened."""
        return isinstance(self._file, IndexDamagedError)

    def between(self, first: int, stop: int) -> Records:
        """What is stored for rows [first, stop), as many as there are of them: shape (n, COUNT)."""
        file = self._opened()
        if file is None:
            return np.zeros((max(min(stop, self._rows) - first, 0), COUNT), dtype=RECORD)
        return file.between(first, stop)

    def take(self, wanted: npt.NDArray[np.int64]) -> Records:
        """What is stored for the rows `wanted`, shape (n,), in that order: shape (n, COUNT)."""
        file = self._opened()
        return np.zeros((len(wanted), COUNT), dtype=RECORD) if file is None else file.take(wanted)

    def checked(self) -> RowClasses:
        """The classes of all rows; IndexDamagedError where they cannot be."""
        file, records = self._opened(), self.between(0, self._rows)
        try:
            return unpack(records)
        except ValueError as error:
            assert file is not None
            raise file.damaged(f"is damaged ({error})") from error

    def not_looked_for(self) -> npt.NDArray[np.bool_]:
        """Which rows nobody has looked for classes of, or all where the file is damaged; shape (rows,)."""
        try:
            first = self.between(0, self._rows)[:, 0]
        except IndexDamagedError:
            return np.ones(self._rows, dtype=np.bool_)
        return np.asarray((first["probability"] == 0) & (first["class"] != _IN_VAIN))

    def _opened(self) -> RowFile | None:
        if isinstance(self._file, IndexDamagedError):
            raise self._file
        return self._file
