"""Near-duplicates of one picture of an index, among pictures that may be some."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from cbir.duplicates.closer import SIDE
from cbir.duplicates.compare import Looks, PairComparison
from cbir.duplicates.find import MIN_SCORE, as_indexed
from cbir.index.columns.thumbnails import THUMBNAILS, are_known
from cbir.index.sizes import sizes_of
from cbir.index.store import Index


def duplicates_of(index: Index, row: int, among: Iterable[int], min_score: float = MIN_SCORE) -> dict[int, float]:
    """Find which rows `among` some are the same picture as `row`, or nearly, and their scores, best first.

    They are compared as in `find_duplicates`; of the same content they have 1. Raises IndexDamagedError.
    """
    indexed = index.files()
    others = sorted({one for one in among if one != row})
    found = {one: 1.0 for one in others if indexed.sha256s[one] == indexed.sha256s[row]}
    others = [row, *(one for one in others if one not in found)]
    known = are_known(index.stored(THUMBNAILS, others)).tolist()
    if known[0]:
        compared = [one for one, is_known in zip(others[1:], known[1:], strict=True) if is_known]
        rows_of: dict[str, list[int]] = defaultdict(list)
        for one in others:
            rows_of[indexed.sha256s[one]].append(one)
        sizes = sizes_of(index, others)
        looks = Looks(lambda one: as_indexed(index, indexed, rows_of, one), lambda one: sizes.get(one, (SIDE, SIDE)))
        nothing = np.empty(0, dtype=np.int64)
        comparison = PairComparison(index, nothing, nothing, min_score, looks)
        same = comparison.same([(row, one) for one in compared])
        found |= {other: score for (_, other), score in same.items()}
    return dict(sorted(found.items(), key=lambda one: (-one[1], indexed.paths[one[0]])))
