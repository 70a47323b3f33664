"""The space of a notion: rows are as alike as somebody has taught, by [x; 0.8 g] of their features x and scores g.

Rows are compared without taking the mean off each: a row's vector is (f / l, v, 1 / l) of its feature f, where v are
its scores in the notion's likeness and l is the length that f has there. A query (u, v) is sought by (u, v, -mean u).
docs/method/learn.md has the likeness, docs/method/reranking.md what re-ranking by it gains.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbir.index.ann.base import Candidates
from cbir.index.quantiles import CosineQuantiles
from cbir.notions.notion import STRENGTH, Notion
from cbir.search.centre import Centre, affinities, scale_both
from cbir.search.space import CentredShortlist, Shortlist, Space
from cbir.utils.vectors import Floats, Rows, l2_normalize

_TINY = 1e-12


class LearntSpace(Space):
    """Features as a notion has them. Queries are `Notion.vectors`, shape (dimension + classes,).

    `of_features` gives the centre of the index's features, where that may be known already.
    """

    is_learnt = True

    def __init__(self, notion: Notion, of_features: Callable[[], Centre] | None = None) -> None:
        self.notion = notion
        self._of_features = of_features
        self._dimension = len(notion.mean)
        self._onto = np.column_stack([notion.weights, notion.mean]).astype(np.float32)
        self._of_mean = notion.mean @ self._onto
        self._strength = np.float32(STRENGTH * notion.scale)

    def width(self, dimension: int) -> int:
        """Return the numbers of a row's vector."""
        return dimension + len(self.notion.classes) + 1

    def of_rows(self, rows: Rows, features: Floats) -> Floats:
        """Return what is compared of rows, whichever they are: see `vectors`."""
        return self.vectors(features)

    def vectors(self, features: Floats) -> Floats:
        """Return what is compared of rows, shape (n, width), of their features of length 1, shape (n, dimension)."""
        found = features @ self._onto
        lengths = np.sqrt(np.maximum(1 - 2 * found[:, -1] + self._of_mean[-1], np.float32(_TINY)))
        scores = np.maximum(found[:, :-1] - self._of_mean[:-1], 0) * (self._strength / lengths)[:, np.newaxis]
        own = np.sqrt(1 + np.einsum("ij,ij->i", scores, scores))
        inverse = 1 / (lengths * own)
        result = np.empty((len(features), self.width(self._dimension)), dtype=np.float32)
        np.multiply(features, inverse[:, np.newaxis], out=result[:, : self._dimension])
        np.divide(scores, own[:, np.newaxis], out=result[:, self._dimension : -1])
        result[:, -1] = inverse
        return result

    def queries(self, features: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Return the vectors of some queries, and which of them the notion claims: the scores of others do not count.

        `features` have shape (n, dimension) and length 1.
        """
        scores = self.notion.scores(features)
        claimed = self.notion.claims(scores)
        vectors = self.notion.vectors(features)
        vectors[~claimed, self._dimension :] = 0
        return l2_normalize(vectors), claimed

    def sought(self, query: Floats) -> Floats:
        """Return the vector, shape (width,), whose dot products with those of rows are their likeness to a query."""
        return np.append(query, -(query[: self._dimension] @ self.notion.mean)).astype(np.float32)

    def feature(self, query: Floats) -> Floats:
        """Return the feature, of length 1, that a query was made of."""
        mean, centred = self.notion.mean, l2_normalize(query[: self._dimension])
        along = float(mean @ centred)
        return mean + centred * np.float32(np.sqrt(max(along**2 + 1 - float(mean @ mean), 0)) - along)

    def near(self, candidates: Candidates, query: Floats, count: int) -> Rows:
        """Return about `count` rows that may be alike to what is sought.

        Half of them are near by features alone: of a kind with many rows, those with the highest scores of all are not
        the most alike, as vectors have length 1.
        """
        half = (count + 1) // 2
        plain = candidates.search_direction(query[: self._dimension], half)
        both = np.concatenate([plain, self.towards(candidates, query[:-1], half)])
        return both[np.sort(np.unique(both, return_index=True)[1])]

    def towards(self, candidates: Candidates, direction: Floats, count: int) -> Rows:
        """Return about `count` rows far along a direction: scores are linear in a feature, but for those below 0."""
        plain, scores = direction[: self._dimension], direction[self._dimension :]
        return candidates.search_direction(plain + self.notion.weights @ (self._strength * scores), count)

    def centre(self, sample: Callable[[], tuple[Floats, int]]) -> Centre:
        """Return the centre of an index: features' mean is the notion's, the mean of their square roots its own."""
        if self._of_features is not None:
            of_features = self._of_features()
        else:
            vectors, count = sample()
            of_features = Centre.of(vectors[:, : self._dimension], count)  # roots do not depend on lengths
        return _LearntCentre(self.notion.mean, of_features.root_mean, self)

    def quantiles(self, of_features: CosineQuantiles | None) -> CosineQuantiles | None:
        """Return the distribution of likeness that was sampled when the notion was learnt."""
        return self.notion.cosines

    def shortlist(self, query: Floats, vectors: Floats, scores: Floats, centre: Centre) -> Shortlist:
        """Return rows beside a query."""
        lengths = np.asarray(1 / vectors[:, -1], dtype=np.float32)
        feature = self.feature(query)
        cosines = np.asarray((vectors[:, : self._dimension] @ feature) * lengths, dtype=np.float32)
        return _LearntShortlist(query, vectors, scores, lengths, centre, cosines, self, feature)


@dataclass(frozen=True)
class _LearntCentre(Centre):
    """The centre of rows of a `LearntSpace`, whose vectors have length 1 about the mean."""

    space: LearntSpace

    def lengths(self, rows: Floats) -> Floats:
        """Ones, shape (n,)."""
        return np.ones(len(rows), dtype=np.float32)

    def cosines(self, rows: Floats, lengths: Floats, direction: Floats) -> Floats:
        """Return the likeness, shape (n,), of rows and a direction."""
        return np.asarray(rows @ self.space.sought(direction), dtype=np.float32)


@dataclass(frozen=True)
class _LearntShortlist(CentredShortlist):
    """Rows beside a query in a `LearntSpace`; `lengths` are those by which their features were divided."""

    space: LearntSpace
    feature: Floats

    def moved(self, direction: Floats, weights: Floats, positions: npt.NDArray[np.int64]) -> Floats:
        """Return the sum of a direction and of rows at some positions, as queries are, by weights."""
        found = weights @ self.vectors[positions]
        found[: len(self.feature)] -= found[-1] * self.centre.mean
        return np.asarray(direction + found[:-1])

    def affinities(self, first: int) -> Floats:
        """Return the likeness of the query and the rows from the first on to each other, by square roots of features.

        The scores are added to these, and not their square roots: of the few of a row, these are noise.
        """
        dimension, rows = len(self.feature), self.vectors[first:]
        found = affinities(self._rooted(self.feature, rows[:, :dimension]), self.centre)
        scores = np.concatenate([self.query[np.newaxis, dimension:], rows[:, dimension:-1]])
        rest = 1 - np.einsum("ij,ij->i", scores, scores)
        scale_both(found, np.sqrt(np.maximum(rest, 0)))
        found += scores @ scores.T
        return found
