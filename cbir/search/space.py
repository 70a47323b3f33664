"""The space that rows of an index are compared in: features as they are, unless a search says otherwise.

A `Space` makes vectors of features, a `Shortlist` has those of some rows beside a query, for re-ranking.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from cbir.index.ann.base import Candidates
from cbir.index.quantiles import CosineQuantiles
from cbir.search.centre import Centre, affinities, square_roots
from cbir.utils.vectors import Floats, Rows, l2_normalize


class Space:
    """Features as they are, whose dot products are cosines. Other spaces make other vectors of them."""

    #: Whether an index's candidates are some in this space too; else all rows are compared.
    has_candidates = True

    #: Whether somebody has taught how alike rows are in it.
    is_learnt = False

    def width(self, dimension: int) -> int:
        """Return the numbers of a row's vector, made of a feature of so many."""
        return dimension

    def of_rows(self, rows: Rows, features: Floats) -> Floats:
        """Return what is compared of some rows, shape (n, width), of their features, shape (n, dimension)."""
        return features

    def sought(self, query: Floats) -> Floats:
        """Return the vector, shape (width,), whose dot products with those of rows are their scores for a query."""
        return query

    def near(self, candidates: Candidates, query: Floats, count: int) -> Rows:
        """Return about `count` rows that may have high scores for a query."""
        return candidates.search(query[np.newaxis], count)[0]

    def towards(self, candidates: Candidates, direction: Floats, count: int) -> Rows:
        """Return about `count` rows far along a direction, as `Shortlist.along` takes it."""
        return candidates.search_direction(direction, count)

    def centre(self, sample: Callable[[], tuple[Floats, int]]) -> Centre:
        """Return the centre of an index; `sample` reads vectors of some rows, shape (n, width), and how many it has."""
        return Centre.of(*sample())

    def quantiles(self, of_features: CosineQuantiles | None) -> CosineQuantiles | None:
        """Return the distribution of cosines in this space, `of_features` being that of features; None if unknown."""
        return of_features

    def shortlist(self, query: Floats, vectors: Floats, scores: Floats, centre: Centre) -> Shortlist:
        """Return rows of which vectors and scores for a query are known, shapes (n, width) and (n,), beside it."""
        return Shortlist(query, vectors, scores, centre.lengths(vectors), centre)


@dataclass(frozen=True)
class ScaledSpace(Space):
    """Features of which some numbers count more, by `scale`, shape (dimension,), at length 1 once more."""

    scale: Floats

    has_candidates = False

    def of_rows(self, rows: Rows, features: Floats) -> Floats:
        """Return rows' features by the scale."""
        return l2_normalize(features * self.scale)

    def sought(self, query: Floats) -> Floats:
        """Return a query's feature by the scale."""
        return l2_normalize(query * self.scale)

    def shortlist(self, query: Floats, vectors: Floats, scores: Floats, centre: Centre) -> Shortlist:
        """Return rows beside a query's feature by the scale."""
        return super().shortlist(self.sought(query), vectors, scores, centre)

    def quantiles(self, of_features: CosineQuantiles | None) -> CosineQuantiles | None:
        """Nobody has measured how cosines of scaled features are distributed."""
        return None


@dataclass(frozen=True)
class Shortlist:
    """Rows beside a query: their `vectors`, shape (n, dimension), and `scores`, their cosines with it, shape (n,).

    `lengths`, shape (n,), are those of vectors about the `centre`.
    """

    query: Floats
    vectors: Floats
    scores: Floats
    lengths: Floats
    centre: Centre

    #: The fields that have a value a row.
    per_row: ClassVar[Sequence[str]] = ("vectors", "scores", "lengths")

    @property
    def cosines(self) -> Floats:
        """Cosines of features, which tell copies of the query."""
        return self.scores

    @property
    def likeness(self) -> Floats:
        """Cosines with the query after the mean was taken off, shape (n,), in an array of their own."""
        return self.centre.centred(self.scores, self.lengths, self.query)

    @property
    def direction(self) -> Floats:
        """The query, less the mean, of length 1."""
        return self.centre.direction(self.query)

    def along(self, direction: Floats) -> Floats:
        """Cosines with a direction after the mean was taken off, shape (n,)."""
        return self.centre.cosines(self.vectors, self.lengths, direction)

    def moved(self, direction: Floats, weights: Floats, positions: npt.NDArray[np.int64]) -> Floats:
        """Return the sum of a direction and of rows at some positions, less the mean and of length 1, by weights."""
        weights = weights / self.lengths[positions]
        return np.asarray(direction + weights @ self.vectors[positions] - weights.sum() * self.centre.mean)

    def affinities(self, first: int) -> Floats:
        """Return the likeness of the query and the rows from the first on to each other, shape (n + 1, n + 1)."""
        return affinities(self._rooted(self.query, self.vectors[first:]), self.centre)

    def lead(self, position: int, other: int) -> np.float32:
        """Return by how much one row is more alike to the query than another."""
        length = self.lengths[position] * float(np.linalg.norm(self.query - self.centre.mean))
        return np.float32((self.scores[position] - self.scores[other]) / length)

    def joined(self, others: Shortlist) -> Shortlist:
        """Return these rows and others beside the same query."""
        both: dict[str, Any] = {
            name: np.concatenate([getattr(self, name), getattr(others, name)]) for name in self.per_row
        }
        return replace(self, **both)

    def take(self, positions: npt.NDArray[np.int64]) -> Shortlist:
        """Return the rows at some positions."""
        some: dict[str, Any] = {name: getattr(self, name)[positions] for name in self.per_row}
        return replace(self, **some)

    @staticmethod
    def _rooted(query: Floats, features: Floats) -> Floats:
        """Return the square roots of the query, then those of features, of whatever length."""
        rooted = np.empty((len(features) + 1, len(query)), dtype=np.float32)
        square_roots(query[np.newaxis], out=rooted[:1])
        square_roots(features, out=rooted[1:])
        return rooted


@dataclass(frozen=True)
class CentredShortlist(Shortlist):
    """Rows beside a query in a space whose likeness is about the mean already, so that nothing is left to take off.

    `of_features`, shape (n,), are the cosines of the rows' features with the query's.
    """

    of_features: Floats

    per_row: ClassVar[Sequence[str]] = (*Shortlist.per_row, "of_features")

    @property
    def cosines(self) -> Floats:
        """Cosines of features, which tell copies of the query."""
        return self.of_features

    @property
    def likeness(self) -> Floats:
        """The likeness to the query, shape (n,), in an array of its own."""
        return self.scores.copy()

    @property
    def direction(self) -> Floats:
        """The query itself."""
        return self.query

    def lead(self, position: int, other: int) -> np.float32:
        """Return by how much one row is more alike to the query than another."""
        return np.float32(self.scores[position] - self.scores[other])
