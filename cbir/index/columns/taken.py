"""The date at which each row's photo was taken, by its own clock: a block's `dates-….npy`.

Seconds since 1970 of local time. A row is 0 where nobody has looked yet, `_NONE` where the photo has no date, and
`_UNAVAILABLE` where it could not be read again for it, so that not every run tries again.
"""

from __future__ import annotations

import calendar

import numpy as np
import numpy.typing as npt

from cbir.images.notes import YEARS
from cbir.index.columns.column import Column, Mask, Records

_NONE = int(np.iinfo(np.int64).min)
_UNAVAILABLE = _NONE + 1

_FIRST = calendar.timegm((YEARS.start, 1, 1, 0, 0, 0))
_STOP = calendar.timegm((YEARS.stop, 1, 1, 0, 0, 0))


def pack(seconds: int | None) -> Records:
    """Return a date as it is stored of one row, shape (1,); None is that of a photo without one."""
    return np.array([_NONE if seconds is None else seconds or 1], dtype="<i8")


def known(records: Records) -> Mask:
    """Return a mask of the `records`, shape (rows, 1), that have a date; numbers that can be none are none."""
    seconds = records[:, 0]
    return np.asarray((seconds != 0) & (seconds >= _FIRST) & (seconds < _STOP))


def moments(records: Records) -> npt.NDArray[np.int64]:
    """Return the dates of `records`, shape (rows, 1), in seconds, shape (rows,); 0 where there is none."""
    return np.where(known(records), records[:, 0], 0).astype(np.int64)


def _check(records: Records) -> None:
    seconds = records[:, 0]
    if not (known(records) | (seconds == 0) | (seconds == _NONE) | (seconds == _UNAVAILABLE)).all():
        raise ValueError("a date is none")


TAKEN = Column(
    "dates",
    np.dtype("<i8"),
    1,
    np.array([_UNAVAILABLE], dtype="<i8"),
    is_missing=lambda records: np.asarray(records[:, 0] == 0),
    is_unavailable=lambda records: np.asarray(records[:, 0] == _UNAVAILABLE),
    check=_check,
    of_image=True,
    advice="`cbir index --index {index}` reads the others",
)
