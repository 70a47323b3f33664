"""The likeness of an index's pictures to each other: the meaning of a cosine in this collection, with this network.

Networks differ: unrelated photos have a cosine of .1 in one and of .6 in another, so no threshold suits all. The
index's own distribution says what is usual, and a match's percentile how unusual it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cbir.index.exact import RowSource, exact_first
from cbir.index.quantiles import CosineQuantiles
from cbir.utils.vectors import Floats, Rows

#: The probabilities whose quantiles are kept: dense where matches are.
PROBABILITIES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 1.0)

#: Rows that are compared with each other, half a million pairs; and those whose nearest row in the index is looked for.
SAMPLE_ROWS = 1000
NEAREST_ROWS = 200

_SEED = 3


def is_needed(rows: int, sampled: CosineQuantiles | None) -> bool:
    """Tell whether an index of so many valid rows wants a (new) sample: it has changed by a tenth since the last."""
    return rows >= 2 and (sampled is None or abs(rows - sampled.rows) * 10 > sampled.rows)


def sample(source: RowSource, nearest: tuple[float, ...] | None = None) -> CosineQuantiles | None:
    """Return the distribution of `source`'s rows, from a sample of its valid rows; None where there are no two.

    `nearest` are the quantiles of rows and their nearest at PROBABILITIES, where they are known: then no row is
    compared with all others.
    """
    rows = np.flatnonzero(source.valid)
    if len(rows) < 2:
        return None
    features = source.features(chosen_of(rows))
    if nearest is None:
        _, scores = exact_first(source, features[:NEAREST_ROWS], 2)
        # the nearest of all is the row itself, or a copy of it
        nearest = _quantiles(scores.min(axis=1))
    return CosineQuantiles(len(rows), PROBABILITIES, of_pairs(features), nearest)


def chosen_of(rows: Rows) -> Rows:
    """Choose the rows of a sample, the same ones each time."""
    return np.asarray(np.random.default_rng(_SEED).permutation(rows)[:SAMPLE_ROWS])


def of_pairs(vectors: Floats) -> tuple[float, ...]:
    """Return the quantiles at PROBABILITIES of the cosines of all pairs of vectors of length 1, of two or more."""
    return _quantiles((vectors @ vectors.T)[np.triu_indices(len(vectors), 1)])


def sample_of_some(features: Floats, vectors: Floats, of_all: CosineQuantiles | None) -> CosineQuantiles | None:
    """Return about the distribution of an index's rows in another space, from `vectors` of some; None without two.

    Both have shape (n, …) and length 1; `of_all` is the distribution of features of all rows, where that is known.
    Among some rows the nearest are less near than among all: by as much as they are by their features.
    """
    plain, other = sample(_Some(features)), sample(_Some(vectors))
    if plain is None or other is None or of_all is None or plain.probabilities != of_all.probabilities:
        return other
    nearest = np.array(other.nearest) + np.array(of_all.nearest) - np.array(plain.nearest)
    ascending = np.maximum.accumulate(np.clip(nearest, -1, 1)).tolist()
    return replace(other, rows=of_all.rows, nearest=tuple(round(one, 5) for one in ascending))


def _quantiles(values: Any) -> tuple[float, ...]:
    # float16 rows make a row's cosine with its copy miss 1 by a ten-thousandth, either way
    found = np.quantile(np.clip(values, -1, 1), PROBABILITIES)
    return tuple(round(float(value), 5) for value in np.maximum.accumulate(found))


class _Some:
    """Some vectors, shape (n, dimension), as a source of rows."""

    def __init__(self, vectors: Floats) -> None:
        self._vectors = vectors
        self.rows, self.dimension = vectors.shape
        self.valid = np.ones(self.rows, dtype=np.bool_)

    def features(self, rows: Sequence[int] | Rows) -> Floats:
        """Return the vectors of rows."""
        return self._vectors[rows]

    def chunks(self, first: int = 0) -> Iterator[tuple[int, Floats]]:
        """Return all of them at once."""
        yield first, self._vectors[first:]
