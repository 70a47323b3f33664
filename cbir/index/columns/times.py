"""The time at which each row's file changed last, whatever programs set its other time to: a block's `changed-….npy`.

A row whose time is not known is 0: an older cbir wrote none. It is then noted without a look at the picture.
"""

from __future__ import annotations

import numpy as np

from cbir.index.columns.column import Column, Mask, Records

_MOST = np.iinfo(np.int64)


def noted(ctime_ns: int) -> int:
    """Convert nanoseconds since 1970 as they are stored: never 0, and what no int64 has is the last that one has."""
    return min(max(ctime_ns, int(_MOST.min)), int(_MOST.max)) or 1


def pack(ctime_ns: int) -> Records:
    """Return a time as it is stored of one row, shape (1,)."""
    return np.array([noted(ctime_ns)], dtype="<i8")


def _is_missing(records: Records) -> Mask:
    return np.asarray(records[:, 0] == 0)


def _is_unavailable(records: Records) -> Mask:
    return np.zeros(len(records), dtype=np.bool_)


CHANGED = Column("changed", np.dtype("<i8"), 1, np.ones(1, dtype="<i8"), _is_missing, _is_unavailable, of_content=False)
