"""Comparing queries with all rows, and what has rows to be compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cbir.utils.vectors import Floats, Rows


class RowSource(Protocol):
    """Rows of features, of which some count: an index, for those that need nothing else of it."""

    @property
    def rows(self) -> int:
        """The number of rows, invalid ones included."""

    @property
    def dimension(self) -> int:
        """Numbers of a row."""

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """A mask of the rows that count, shape (rows,)."""

    def features(self, rows: Sequence[int] | Rows) -> Floats:
        """Features of `rows`, shape (len(rows), dimension), of length 1."""

    def chunks(self, first: int = 0) -> Iterator[tuple[int, Floats]]:
        """All features from row `first` on, in order, as pairs of the chunk's first row and the chunk."""


def exact_first(source: RowSource, queries: Floats, count: int) -> tuple[Rows, Floats]:
    """Return the first `count` valid rows by cosine, in no order, and their cosines; both of shape (queries, count).

    `queries` has shape (queries, dimension), all rows are compared, and there are at least `count`.
    """
    scores = np.full((len(queries), count), -np.inf, dtype=np.float32)
    rows = np.zeros((len(queries), count), dtype=np.int64)
    for start, chunk in source.chunks():
        cosines = queries @ chunk.T
        cosines[:, ~source.valid[start : start + len(chunk)]] = -np.inf
        scores = np.concatenate([scores, cosines], axis=1)
        rows = np.concatenate([rows, np.broadcast_to(np.arange(start, start + len(chunk)), cosines.shape)], axis=1)
        best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        scores, rows = np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)
    return rows, scores
