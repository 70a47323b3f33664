"""The dates at which an index's photos were taken."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cbir.errors import IndexDamagedError
from cbir.index.columns.taken import TAKEN, moments
from cbir.index.store import Index


def taken_of(index: Index) -> npt.NDArray[np.int64]:
    """Return when the photo of each row was taken, in seconds since 1970 of its local time, shape (rows,).

    0 where nothing says so, nobody has looked, or the column's file is damaged.
    """
    found = np.zeros(index.rows, dtype=np.int64)
    try:
        for start, records in index.stored_chunks(TAKEN):
            found[start : start + len(records)] = moments(records)
    except IndexDamagedError:
        found[:] = 0
    return found
