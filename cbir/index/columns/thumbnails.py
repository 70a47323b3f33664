"""Thumbnails of rows, as a block's `thumbnails-….npy` has them: a tiny grey picture, and the whole one's size.

A row of which nobody has made one yet is all zeros. Where the picture cannot be read any more for it, its
width is `_UNAVAILABLE`, so that not every run tries again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cbir.images.fingerprint import SIDE
from cbir.index.columns.column import Column, Records

#: A row's thumbnail: its picture's width and height in pixels, and its grey values.
RECORD = np.dtype([("width", "<u4"), ("height", "<u4"), ("grey", "u1", (SIDE, SIDE))])

_UNAVAILABLE = 0xFFFFFFFF

# Pixels of a picture's side at most.
_LARGEST = 1 << 28


def pack(size: tuple[int, int], grey: npt.NDArray[np.uint8]) -> Records:
    """Pack a picture's width and height, and its grey values, shape (SIDE, SIDE), as they are stored: shape (1,)."""
    return np.array([(*size, grey)], dtype=RECORD)


def are_known(records: Records) -> npt.NDArray[np.bool_]:
    """Return a mask of the `records`, shape (rows, 1), that have a thumbnail."""
    width, height = records["width"][:, 0], records["height"][:, 0]
    # of others that cannot be, too, nothing is known
    return np.asarray((width != 0) & (width <= _LARGEST) & (height != 0) & (height <= _LARGEST))


def _unavailable() -> Records:
    records = np.zeros(1, dtype=RECORD)
    records["width"] = _UNAVAILABLE
    return records


THUMBNAILS = Column(
    "thumbnails",
    RECORD,
    1,
    _unavailable(),
    is_missing=lambda records: np.asarray(records["width"][:, 0] == 0),
    is_unavailable=lambda records: np.asarray(records["width"][:, 0] == _UNAVAILABLE),
    of_image=True,
)
