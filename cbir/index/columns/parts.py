"""Rows of parts, as a block's `parts-….npy` and `signs-….npy` have them: up to 40 windows of each picture.

`parts` has their places and numbers, `signs` the numbers' signs alone, by which a search finds the few whose numbers
it reads. A picture of which nobody has read the parts yet is all zeros in both; where it cannot be read any more,
both say so, so that not every run tries again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cbir.index.columns.column import Column, Records

#: Windows of a picture at most, and the numbers of each; a network that has fewer leaves the last ones zero.
MOST, NUMBERS = 40, 896

#: A window: x, y, width and height in pixels of the upright picture, and its numbers times 635.
RECORD = np.dtype([("box", "<u4", (4,)), ("numbers", "i1", (NUMBERS,))])

#: Words of a window's signs.
WORDS = NUMBERS // 64

_UNAVAILABLE = 0xFFFFFFFF


class PartRows(NamedTuple):
    """The parts of one picture: their boxes, shape (n, 4), numbers, (n, dimension), and signs, (n, words)."""

    boxes: npt.NDArray[np.int32]
    numbers: npt.NDArray[np.int8]
    signs: npt.NDArray[np.uint64]


def pack(rows: PartRows) -> tuple[Records, Records]:
    """Pack rows as they are stored: the parts, shape (MOST,), and the signs, shape (1 + MOST * WORDS,)."""
    count, dimension = rows.numbers.shape
    parts = np.zeros(MOST, dtype=RECORD)
    parts["box"][:count] = rows.boxes
    parts["numbers"][:count, :dimension] = rows.numbers
    signs = np.zeros(1 + MOST * WORDS, dtype="<u8")
    signs[0] = count
    signs[1:].reshape(MOST, WORDS)[:count, : rows.signs.shape[1]] = rows.signs
    return parts, signs


def unpack_signs(records: Records) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.uint64]]:
    """Unpack the mask of the windows that pictures have, (pictures, MOST), and their signs, (pictures, MOST, WORDS)."""
    return np.arange(MOST) < count_windows(records)[:, np.newaxis], records[:, 1:].reshape(len(records), MOST, WORDS)


def count_windows(records: Records) -> npt.NDArray[np.int64]:
    """Return how many windows pictures have, by their records of signs: shape (pictures,)."""
    return np.where(records[:, 0] > MOST, 0, records[:, 0]).astype(np.int64)


def counts_in(chunks: Iterable[tuple[int, Records]]) -> npt.NDArray[np.int64]:
    """Return how many windows each row has, shape (rows,), by chunks of the records of signs of all of them."""
    return np.concatenate([np.zeros(0, np.int64), *(count_windows(chunk) for _, chunk in chunks)])


def _unavailable_parts() -> Records:
    records = np.zeros(MOST, dtype=RECORD)
    records["box"][0, 2] = _UNAVAILABLE
    return records


def _unavailable_signs() -> Records:
    records = np.zeros(1 + MOST * WORDS, dtype="<u8")
    records[0] = _UNAVAILABLE
    return records


#: Places and numbers.
PARTS = Column(
    "parts",
    RECORD,
    MOST,
    _unavailable_parts(),
    is_missing=lambda records: np.asarray(records["box"][:, 0, 2] == 0),
    is_unavailable=lambda records: np.asarray(records["box"][:, 0, 2] == _UNAVAILABLE),
    group="parts",
    advice="`cbir index --index {index}` reads the others",
    offer="none: `cbir index --index {index} --parts` reads them",
)

#: The numbers' signs alone.
SIGNS = Column(
    "signs",
    np.dtype("<u8"),
    1 + MOST * WORDS,
    _unavailable_signs(),
    is_missing=lambda records: np.asarray(records[:, 0] == 0),
    is_unavailable=lambda records: np.asarray(records[:, 0] == _UNAVAILABLE),
    group="parts",
)
