"""The likeness of two pictures, taken apart: how much of it is due to each place, and to each pair of places.

A picture's vector is the sum of those of its places, so that a product of two is the sum of the products of all pairs
of places: raw, of features; after the mean of a collection is taken off; or as a notion was taught.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cbir.explain.looks import Look
from cbir.notions.notion import STRENGTH, Notion
from cbir.utils.vectors import Floats

#: Lines that are drawn at most, and the least of one, in shares of the strongest.
LINES, _LEAST = 8, 0.2

_TINY = 1e-12


class Pair(NamedTuple):
    """A place of the query and one of the match, and their share in the likeness."""

    query: int
    match: int
    share: float


@dataclass(frozen=True)
class Likeness:
    """Vectors of the places of a query and of a match, shapes (n, width) and (m, width): their products add up."""

    query: Floats
    match: Floats

    @property
    def score(self) -> float:
        """The likeness of the two pictures."""
        return float(self.query.sum(axis=0) @ self.match.sum(axis=0))

    @property
    def of_query(self) -> Floats:
        """The share of each place of the query, shape (n,); their sum is the score."""
        return np.asarray(self.query @ self.match.sum(axis=0), dtype=np.float32)

    @property
    def of_match(self) -> Floats:
        """The share of each place of the match, shape (m,); their sum is the score."""
        return np.asarray(self.match @ self.query.sum(axis=0), dtype=np.float32)

    @property
    def pairs(self) -> Floats:
        """The share of each pair of places, shape (n, m)."""
        return np.asarray(self.query @ self.match.T, dtype=np.float32)

    def strongest(self, count: int = LINES) -> list[Pair]:
        """Find the pairs with the largest shares, at most so many, each place in one of them at most."""
        left = self.pairs
        found: list[Pair] = []
        for _ in range(min(count, *left.shape)):
            query, match = np.unravel_index(int(left.argmax()), left.shape)
            share = float(left[query, match])
            if share <= 0 or (found and share < _LEAST * found[0].share):
                break
            found.append(Pair(int(query), int(match), share))
            left[query], left[:, match] = -np.inf, -np.inf
        return found


def centred(look: Look, mean: Floats) -> Floats:
    """Return the places' vectors after a collection's mean was taken off; the length of their sum is 1."""
    found = look.without(mean)
    return found / max(float(np.linalg.norm(found.sum(axis=0))), _TINY)


def learnt(look: Look, notion: Notion) -> Floats:
    """Return the places' vectors as a notion has pictures, shape (n, dimension + classes).

    A notion's scores are linear in a picture's feature as long as their signs stay: those that are below zero, which
    do not count for the picture, do not for its places.
    """
    places = centred(look, notion.mean)
    scores = places @ notion.weights
    counts = scores.sum(axis=0) > 0
    scaled = scores * (np.float32(STRENGTH * notion.scale) * counts)
    found = np.concatenate([places, scaled], axis=1)
    return np.asarray(found / max(float(np.linalg.norm(found.sum(axis=0))), _TINY), dtype=np.float32)
