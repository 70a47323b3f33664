"""The space across treatments: rows are as alike as they are less the mean of their own treatment's pictures.

A row's vector is (x, l, t) of its feature f = l x + m: m is the mean of its treatment, the number t of which comes with
it, and x has length 1. A query is x alone, so that pictures of several treatments can make one.
docs/method/seeing.md has what it gains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbir.index.ann.base import Candidates
from cbir.index.quantiles import CosineQuantiles
from cbir.index.similarity import sample_of_some
from cbir.index.store import Index
from cbir.search.centre import Centre, affinities
from cbir.search.space import CentredShortlist, Shortlist, Space
from cbir.search.treatments import Treatments
from cbir.utils.vectors import Floats, Rows, l2_normalize

# Candidates for each row that is wanted; in each treatment they are at least its share among so many treatments.
_SPARE, _TREATMENTS = 1.5, 4

# Rows by which it is found out how alike they are.
_SAMPLED = 1000

_TINY = 1e-12


class AcrossSpace(Space):
    """Features of an index, each less the mean of its treatment. Queries have shape (dimension,) and length 1."""

    def __init__(self, treatments: Treatments, index: Index) -> None:
        self.treatments = treatments
        self.dimension = index.dimension
        self._index = index

    def width(self, dimension: int) -> int:
        """Return the numbers of a row's vector."""
        return dimension + 2

    def of_rows(self, rows: Rows, features: Floats) -> Floats:
        """Return what is compared of rows, shape (n, width), of their features of length 1, shape (n, dimension)."""
        numbers = self.treatments.of_rows[rows]
        result = np.empty((len(features), self.dimension + 2), dtype=np.float32)
        centred = np.subtract(features, self.treatments.means[numbers], out=result[:, :-2])
        lengths = np.sqrt(np.maximum(np.einsum("ij,ij->i", centred, centred), np.float32(_TINY)))
        centred /= lengths[:, np.newaxis]
        result[:, -2] = lengths
        result[:, -1] = numbers
        return result

    def queries(self, features: Floats, treatments: Sequence[int]) -> Floats:
        """Return the vectors of features of length 1, shape (n, dimension), of pictures of some treatments."""
        return l2_normalize(features - self.treatments.means[list(treatments)])

    def sought(self, query: Floats) -> Floats:
        """Return the vector, shape (width,), whose dot products with those of rows are their likeness to a query."""
        return np.append(query, np.zeros(2, dtype=np.float32))

    def near(self, candidates: Candidates, query: Floats, count: int) -> Rows:
        """Return rows that may be alike to what is sought, `_SPARE` times as many as `count`, or more.

        In each treatment they are those near to the feature that the query would have there: along its direction alone
        half of them would be missed.
        """
        direction, means = query[: self.dimension], self.treatments.means
        share = max(1 / _TREATMENTS, min(1.0, _SPARE / len(means)))
        each = min(round(share * count) + 1, candidates.most)
        features = np.asarray(means + self._of_length_1(direction)[:, np.newaxis] * direction, dtype=np.float32)
        return np.unique(np.concatenate(candidates.search(features, each)))

    def towards(self, candidates: Candidates, direction: Floats, count: int) -> Rows:
        """Return rows far along a direction, of whichever treatment: to look in each would take far longer."""
        return candidates.search_direction(direction, min(round(_SPARE * count), candidates.most))

    def _of_length_1(self, query: Floats) -> Floats:
        """Return the lengths l, shape (treatments,), by which l x + m of a query x and a treatment's mean m has 1."""
        means, along = self.treatments.means, self.treatments.means @ query
        squares = np.einsum("ij,ij->i", means, means)
        return np.asarray(np.sqrt(np.maximum(along**2 + 1 - squares, 0)) - along, dtype=np.float32)

    def centre(self, sample: Callable[[], tuple[Floats, int]]) -> Centre:
        """Return the centre of an index: nothing is left to be taken off, but for the mean of square roots."""
        vectors, count = sample()
        root_mean = Centre.of(vectors[:, : self.dimension], count).root_mean
        return _AcrossCentre(np.zeros_like(root_mean), root_mean)

    def quantiles(self, of_features: CosineQuantiles | None) -> CosineQuantiles | None:
        """Return about how alike rows are, from some of them; None where there are no two."""
        rows = np.flatnonzero(self._index.comparable)
        if len(rows) > _SAMPLED:
            rows = rows[np.linspace(0, len(rows) - 1, _SAMPLED).astype(np.int64)]
        features = self._index.features(rows)
        return sample_of_some(features, self.of_rows(rows, features)[:, :-2], of_features)

    def shortlist(self, query: Floats, vectors: Floats, scores: Floats, centre: Centre) -> Shortlist:
        """Return rows beside a query."""
        return _AcrossShortlist(query, vectors, scores, vectors[:, -2], centre, self._cosines(query, vectors, scores))

    def _cosines(self, query: Floats, vectors: Floats, scores: Floats) -> Floats:
        """Return the cosines of rows' features with that of a query as it were if it had the row's treatment.

        Of a row of the query's own treatment that is the plain cosine; the same picture in another one has 1, nearly.
        """
        means = self.treatments.means
        squares, along, own = np.einsum("ij,ij->i", means, means), means @ query, self._of_length_1(query)
        numbers, lengths = vectors[:, -1].astype(np.int64), vectors[:, -2]
        with_mean = (1 - squares[numbers] - lengths**2) / 2
        found = squares[numbers] + own[numbers] * along[numbers] + with_mean + own[numbers] * lengths * scores
        return np.asarray(found, dtype=np.float32)


@dataclass(frozen=True)
class _AcrossCentre(Centre):
    """The centre of rows of an `AcrossSpace`, whose vectors have length 1 without their last two numbers."""

    def lengths(self, rows: Floats) -> Floats:
        """Ones, shape (n,)."""
        return np.ones(len(rows), dtype=np.float32)

    def cosines(self, rows: Floats, lengths: Floats, direction: Floats) -> Floats:
        """Return the likeness, shape (n,), of rows and a direction."""
        return np.asarray(rows[:, :-2] @ direction, dtype=np.float32)


@dataclass(frozen=True)
class _AcrossShortlist(CentredShortlist):
    """Rows beside a query in an `AcrossSpace`; `lengths` are those of their features less the mean.

    Cosines `of_features` are as if the query had the row's treatment.
    """

    def moved(self, direction: Floats, weights: Floats, positions: npt.NDArray[np.int64]) -> Floats:
        """Return the sum of a direction and of rows at some positions, by weights."""
        return np.asarray(direction + (weights @ self.vectors[positions])[:-2])

    def affinities(self, first: int) -> Floats:
        """Return the likeness of the query and the rows from the first on to each other, shape (n + 1, n + 1).

        By square roots of what is left of their features, signs kept: roots of features themselves, less the means of
        each treatment's, are as good.
        """
        return affinities(self._rooted(self.query, self.vectors[first:, :-2]), self.centre)
