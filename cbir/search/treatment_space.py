"""The treatments of an index's pictures, compared by how each differs from what is usual in the index.

All pictures have much in common in a network's early maps, and what differs is mostly what they show. So of each vector
the collection's mean is taken off; directions in which its pictures usually differ count less; and what a picture's
feature, which knows what it shows, tells of the vector is taken off too. docs/method/treatment.md has what that is
worth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cbir.index import similarity
from cbir.index.quantiles import CosineQuantiles
from cbir.index.store import Index
from cbir.index.treatments import TreatmentRows
from cbir.utils.half import to_float32
from cbir.utils.threads import shared_out
from cbir.utils.vectors import Floats, Rows, l2_normalize

#: Added to the variances, of numbers that are divided by their deviations: it keeps small ones from counting too much.
SOFTENING = 3.0

#: The share of pictures that are left out as the strangest when it is told what is usual, and how often that is done.
STRANGEST, _ROUNDS = 0.2, 3

#: The strength of the ridge regression of vectors on features of length 1.
RIDGE = 2.0

#: Fewer pictures than that say nothing of what is usual.
FEWEST = 10

# Pictures by which that is told at most.
_SAMPLE = 2048

# Rows whose features are read at a time, so few that these stay in the processor's cache until they are done with; and
# those whose vectors are compared at a time.
_AT_ONCE, _COMPARED = 512, 16_384

_TINY = float(np.finfo(np.float32).eps)

_LEAST = np.finfo(np.float32).tiny


class Usual(NamedTuple):
    """The usual of vectors: their mean, and the `matrix`, shape (numbers, numbers), that brings them to one scale."""

    mean: Floats
    matrix: Floats

    def of(self, vectors: Floats) -> Floats:
        """Return what is each vector's own, shape (n, numbers)."""
        return np.asarray((vectors - self.mean) @ self.matrix, dtype=np.float32)


class Content(NamedTuple):
    """The part of vectors that features tell: these' mean, and a regression's `matrix`, shape (dimension, numbers)."""

    mean: Floats
    matrix: Floats

    def of(self, features: Floats) -> Floats:
        """Return what features of length 1, shape (n, dimension), tell, shape (n, numbers)."""
        centred = features - self.mean
        found = np.asarray(centred @ self.matrix, dtype=np.float32)
        # brought to length 1 only now, as these are ten times fewer numbers
        found /= _lengths(centred)
        return found


@dataclass(frozen=True, eq=False)
class TreatmentSpace:
    """The treatments of an index's pictures, their `rows` ascending, shape (n,), and their cosines with others.

    0 is no more alike than pictures of the index usually are, 1 the same. Any number of threads may share it.
    `vectors`, shape (n, numbers), are what is each picture's own, of length 1: less what is `usual`, and less what the
    picture's `content` tells. `quantiles` are those of random pairs, None where there are no two.
    """

    rows: Rows
    vectors: npt.NDArray[np.float16]
    usual: Usual
    content: Content | None
    quantiles: CosineQuantiles | None

    @classmethod
    def of(cls, treatments: TreatmentRows, index: Index) -> TreatmentSpace:
        """Find out what is usual in an index, and what is each picture's own."""
        rows, numbers = treatments.rows, treatments.vectors.shape[1]
        usual = Usual(np.zeros(numbers, np.float32), np.eye(numbers, dtype=np.float32))
        content: Content | None = None
        if len(rows) >= FEWEST:
            some = np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE)).astype(np.int64)
            vectors = to_float32(treatments.vectors[some])
            usual = _usual(vectors)
            # of many features that only Milvus has, all would have to be fetched
            if not index.features_are_elsewhere:
                content = _content(index.features(rows[some]), usual.of(vectors))
        own = np.empty(treatments.vectors.shape, dtype=np.float16)

        def fill(start: int) -> None:
            its = slice(start, start + _AT_ONCE)
            features = None if content is None else index.features(rows[its])
            own[its] = _own(to_float32(treatments.vectors[its]), features, usual, content)

        # cbir's commands multiply on one processor, and all of these take part
        shared_out(fill, range(0, len(rows), _AT_ONCE))
        return cls(rows, own, usual, content, _quantiles(own))

    def cosines(self, vector: Floats, feature: Floats) -> Floats:
        """Compute the cosine of each with a picture's vector, shape (numbers,): shape (n,).

        It and the picture's feature, shape (dimension,), have length 1.
        """
        if not len(self.rows):
            return np.zeros(0, np.float32)
        (sought,) = _own(vector[np.newaxis], feature[np.newaxis], self.usual, self.content)
        return np.concatenate([some @ sought for some in self._chunks()])

    def _chunks(self) -> Iterator[Floats]:
        starts = range(0, len(self.rows), _COMPARED)
        return (to_float32(self.vectors[start : start + _COMPARED]) for start in starts)


def _own(vectors: Floats, features: Floats | None, usual: Usual, content: Content | None) -> Floats:
    """Return what is each vector's own, of length 1."""
    found = usual.of(vectors)
    if content is not None and features is not None:
        found -= content.of(features)
    found /= _lengths(found)
    return found


def _quantiles(own: npt.NDArray[np.float16]) -> CosineQuantiles | None:
    if len(own) < 2:
        return None
    pairs = similarity.of_pairs(to_float32(own[similarity.chosen_of(np.arange(len(own)))]))
    return CosineQuantiles(len(own), similarity.PROBABILITIES, pairs, pairs)


def _usual(vectors: Floats) -> Usual:
    """Find out what is usual among vectors, shape (n, numbers), the strangest left out: those may all be treated."""
    kept: Rows = np.arange(len(vectors))
    count = max(round((1 - STRANGEST) * len(vectors)), 2)
    for _ in range(_ROUNDS):
        some = vectors[kept].astype(np.float64)
        mean, deviations = some.mean(axis=0), some.std(axis=0)
        scale = 1 / np.maximum(deviations, _TINY + 0.01 * np.median(deviations))
        values, directions = np.linalg.eigh(np.cov((some - mean) * scale, rowvar=False))
        matrix = scale[:, np.newaxis] * directions / np.sqrt(np.maximum(values, 0) + SOFTENING)
        found = Usual(mean.astype(np.float32), matrix.astype(np.float32))
        kept = np.argsort((found.of(vectors) ** 2).sum(axis=1), kind="stable")[:count]
    return found


def _content(features: Floats, vectors: Floats) -> Content:
    """Learn what features, shape (n, dimension), tell of what is vectors' own, shape (n, numbers)."""
    mean = features.mean(axis=0)
    known = l2_normalize(features - mean)
    # (KᵀK + λ)⁻¹ Kᵀ and Kᵀ (KKᵀ + λ)⁻¹ are the same: the smaller one is solved
    many = len(known) > known.shape[1]
    gram = (known.T @ known if many else known @ known.T).astype(np.float64)
    gram.flat[:: len(gram) + 1] += RIDGE
    wanted = vectors.astype(np.float64)
    matrix = np.linalg.solve(gram, known.T @ wanted) if many else known.T @ np.linalg.solve(gram, wanted)
    return Content(mean, matrix.astype(np.float32))


def _lengths(vectors: Floats) -> Floats:
    """Return the lengths of vectors, shape (n, numbers), to divide them by, shape (n, 1): zeros stay zeros."""
    squares = np.einsum("ij,ij->i", vectors, vectors)
    return np.asarray(np.maximum(np.sqrt(squares), _LEAST)[:, np.newaxis], dtype=np.float32)
