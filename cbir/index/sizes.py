"""The sizes of an index's pictures."""

from __future__ import annotations

from collections.abc import Sequence

from cbir.errors import IndexDamagedError
from cbir.index.columns.thumbnails import THUMBNAILS, are_known
from cbir.index.store import Index


def sizes_of(index: Index, rows: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return the width and height in pixels of the pictures of `rows`, upright, of those that the index has them of.

    There are none where the column's file is damaged.
    """
    try:
        records = index.stored(THUMBNAILS, list(rows))
    except IndexDamagedError:
        return {}
    known = are_known(records).tolist()
    pairs = zip(records["width"][:, 0].tolist(), records["height"][:, 0].tolist(), strict=True)
    return {row: pair for row, pair, is_known in zip(rows, pairs, known, strict=True) if is_known}
