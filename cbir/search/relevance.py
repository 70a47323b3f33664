"""Relevance: the order's own number, as a probability that a match is of the query's kind.

The map is logistic, and all that it is told transfers between networks: how rare a cosine is among random pairs of
the index, how rare those of pictures and their nearest are, and what re-ranking orders by, which is relative. Its
constants come from `scripts/relevance.py`; docs/method/relevance.md has how well it holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cbir.search.rerank import IDENTICAL

if TYPE_CHECKING:
    from cbir.index.quantiles import CosineQuantiles
    from cbir.utils.vectors import Floats

# The nearest of a query whose mean cosine tells how much there is that is like it.
_NEAREST = 3

# Of rarer ones a sample, which has half a million pairs, says little; one of fewer says nothing of rarer than its own.
_RAREST = 1e-5


class Calibration(NamedTuple):
    """The constants of a map: what each of its numbers counts, and what is added."""

    own: float
    nearest: float
    usual: float
    constant: float

    def of(self, own: Floats, nearest: float, usual: float) -> Floats:
        """Return probabilities from each row's own number, shape (n,), and from those of the query and the index."""
        logit = self.own * own + (self.nearest * nearest + self.usual * usual + self.constant)
        return np.asarray(1 / (1 + np.exp(-logit)), dtype=np.float32)


#: The maps of re-ranked rows, whose own number is their evidence, and of rows by cosine, where it is their rarity.
RERANKED = Calibration(0.463, 0.334, 0.775, -1.964)
BY_COSINE = Calibration(1.449, 0.0, 0.139, -2.722)

#: That of rows by their likeness in a notion, which is their own number: scores bring it to one scale for all notions,
#: and how rare it is tells how large the classes are.
BY_NOTION = Calibration(8.5, 0.0, 0.0, -2.54)


def relevance_of(
    cosines: Floats, evidence: Floats | None, quantiles: CosineQuantiles, copies: int = 0, *, learnt: bool = False
) -> Floats:
    """Return the relevance of rows in their order, shape (n,), from 0 to 1, never rising.

    `cosines`, shape (n,), are in that order; `evidence`, shape (m,), is that of the first m rows, which were re-ranked.
    The first of these are so many copies of the query. Cosines may be those of a notion's space (`learnt`).
    """
    usual = usual_rarity(quantiles)
    found = BY_NOTION.of(cosines, 0, 0) if learnt else BY_COSINE.of(rarity(cosines, quantiles), 0, usual)
    if evidence is not None:
        first = cosines[: len(evidence)]
        # copies come first whatever their evidence is
        head = np.where(np.arange(len(first)) < copies, found[: len(evidence)], 0)
        head = _falling(np.maximum(head, RERANKED.of(evidence, query_rarity(first, quantiles), usual)))
        found = np.concatenate([head, np.minimum(found[len(head) :], head[-1:])])
    found[cosines >= IDENTICAL] = 1
    return _falling(found)


def rarity(cosines: Floats, quantiles: CosineQuantiles) -> Floats:
    """Return how rare it is that a random pair is more alike, shape (n,): 2 is one in a hundred; at most 5.

    In a small index it is at most what one of all its pairs is.
    """
    least = max(_RAREST, 2 / max(quantiles.rows * (quantiles.rows - 1), 2))
    below = np.interp(cosines, quantiles.random, quantiles.probabilities, left=0, right=1)
    return np.asarray(-np.log10(np.maximum(1 - below, least)), dtype=np.float32)


def query_rarity(cosines: Floats, quantiles: CosineQuantiles) -> float:
    """Return the rarity of the mean cosine of the query's nearest, itself aside."""
    others = np.sort(cosines[cosines < IDENTICAL])[::-1][:_NEAREST]
    return float(rarity(others.mean(keepdims=True), quantiles)[0]) if len(others) else 0.0


def usual_rarity(quantiles: CosineQuantiles) -> float:
    """Return how rare the cosine of a picture and its nearest usually is in the index."""
    median = np.interp(0.5, quantiles.probabilities, quantiles.nearest)
    return float(rarity(np.array([median]), quantiles)[0])


def _falling(values: Floats) -> Floats:
    """Return `values`, each raised to the largest that comes after it."""
    return np.asarray(np.maximum.accumulate(values[::-1])[::-1])
