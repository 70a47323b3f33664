"""The treatments of an index's pictures, compared by how each differs from what is usual in the index.

All pictures have much in common in a network's early maps, and what differs is mostly what they show. So of each vector
the collection's mean is taken off; directions in which its pictures usually differ count less; and what a picture's
feature, which knows what it shows, tells of the vector is taken off too. docs/method/treatment.md has what that is
worth.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cbir.index import similarity
from cbir.index.quantiles import CosineQuantiles
from cbir.index.store import Index
from cbir.index.treatments import TreatmentRows
from cbir.utils.half import to_float32
from cbir.utils.vectors import Floats, Rows, l2_normalize

#: Added to the variances, of numbers that are divided by their deviations: it keeps small ones from counting too much.
SOFTENING = 3.0

#: The share of pictures that are left out as the strangest when it is told what is usual, and how often that is done.
STRANGEST, _ROUNDS = 0.2, 3

#: The strength of the ridge regression of vectors on features of length 1.
RIDGE = 2.0

#: Fewer pictures than that say nothing of what is usual.
FEWEST = 10

# Pictures by which that is told at most; those of which features are read at a time.
_SAMPLE, _AT_ONCE = 2048, 2048

_TINY = float(np.finfo(np.float32).eps)


class _Usual(NamedTuple):
    """The usual of vectors: their mean, and the `matrix`, shape (numbers, numbers), that brings them to one scale."""

    mean: Floats
    matrix: Floats

    def of(self, vectors: Floats) -> Floats:
        """Return what is each vector's own, shape (n, numbers)."""
        return np.asarray((vectors - self.mean) @ self.matrix, dtype=np.float32)


class _Content(NamedTuple):
    """The part of vectors that features tell: these' mean, and a regression's `matrix`, shape (dimension, numbers)."""

    mean: Floats
    matrix: Floats

    def of(self, features: Floats) -> Floats:
        """Return what features of length 1, shape (n, dimension), tell, shape (n, numbers)."""
        return np.asarray(l2_normalize(features - self.mean) @ self.matrix, dtype=np.float32)


class TreatmentSpace:
    """The treatments of an index's pictures, their `rows` ascending, shape (n,), and their cosines with others.

    0 is no more alike than pictures of the index usually are, 1 the same. Any number of threads may share it.
    """

    def __init__(self, treatments: TreatmentRows, index: Index) -> None:
        self.rows = treatments.rows
        numbers = treatments.vectors.shape[1]
        self._usual = _Usual(np.zeros(numbers, np.float32), np.eye(numbers, dtype=np.float32))
        self._content: _Content | None = None
        if len(self.rows) >= FEWEST:
            some = np.linspace(0, len(self.rows) - 1, min(len(self.rows), _SAMPLE)).astype(np.int64)
            vectors = to_float32(treatments.vectors[some])
            self._usual = _usual(vectors)
            # of many features that only Milvus has, all would have to be fetched
            if not index.features_are_elsewhere:
                self._content = _content(index.features(self.rows[some]), self._usual.of(vectors))
        self._vectors = np.empty(treatments.vectors.shape, dtype=np.float16)
        for start in range(0, len(self.rows), _AT_ONCE):
            its = slice(start, start + _AT_ONCE)
            features = None if self._content is None else index.features(self.rows[its])
            self._vectors[its] = self._own(to_float32(treatments.vectors[its]), features)
        self.quantiles = self._quantiles()

    def cosines(self, vector: Floats, feature: Floats) -> Floats:
        """Compute the cosine of each with a picture's vector, shape (numbers,): shape (n,).

        It and the picture's feature, shape (dimension,), have length 1.
        """
        if not len(self.rows):
            return np.zeros(0, np.float32)
        (sought,) = self._own(vector[np.newaxis], feature[np.newaxis])
        return np.concatenate([some @ sought for some in self._chunks()])

    def _own(self, vectors: Floats, features: Floats | None) -> Floats:
        """Return what is each vector's own, of length 1."""
        found = self._usual.of(vectors)
        if self._content is not None and features is not None:
            found -= self._content.of(features)
        return l2_normalize(found)

    def _quantiles(self) -> CosineQuantiles | None:
        """Return the distribution of the cosines of random pairs; None where there are no two."""
        if len(self.rows) < 2:
            return None
        pairs = similarity.of_pairs(to_float32(self._vectors[similarity.chosen_of(np.arange(len(self.rows)))]))
        return CosineQuantiles(len(self.rows), similarity.PROBABILITIES, pairs, pairs)

    def _chunks(self) -> Iterator[Floats]:
        step = 8 * _AT_ONCE
        return (to_float32(self._vectors[start : start + step]) for start in range(0, len(self.rows), step))


def _usual(vectors: Floats) -> _Usual:
    """Find out what is usual among vectors, shape (n, numbers), the strangest left out: those may all be treated."""
    kept: Rows = np.arange(len(vectors))
    count = max(round((1 - STRANGEST) * len(vectors)), 2)
    for _ in range(_ROUNDS):
        some = vectors[kept].astype(np.float64)
        mean, deviations = some.mean(axis=0), some.std(axis=0)
        scale = 1 / np.maximum(deviations, _TINY + 0.01 * np.median(deviations))
        values, directions = np.linalg.eigh(np.cov((some - mean) * scale, rowvar=False))
        matrix = scale[:, np.newaxis] * directions / np.sqrt(np.maximum(values, 0) + SOFTENING)
        found = _Usual(mean.astype(np.float32), matrix.astype(np.float32))
        kept = np.argsort((found.of(vectors) ** 2).sum(axis=1), kind="stable")[:count]
    return found


def _content(features: Floats, vectors: Floats) -> _Content:
    """Learn what features, shape (n, dimension), tell of what is vectors' own, shape (n, numbers)."""
    mean = features.mean(axis=0)
    known = l2_normalize(features - mean)
    gram = (known @ known.T).astype(np.float64)
    matrix = known.T @ np.linalg.solve(gram + RIDGE * np.eye(len(gram)), vectors.astype(np.float64))
    return _Content(mean, matrix.astype(np.float32))
