"""Likeness of parts by a notion: the cosine of [x; .8 g] of rows x of parts and their scores g.

Many windows show nothing that has a class, and what a query shows may have none: so low scores do not count, and those
of a query count by how clear its best one is. docs/method/learn.md has the figures.
"""

from __future__ import annotations

import numpy as np

from cbir.notions.notion import STRENGTH, Notion
from cbir.utils.vectors import Floats

#: What is taken off scores, those of a class's own parts being about 1; below it they are 0.
FLOOR = 0.25

#: The best score of a query up to which no class claims it, and from which on its scores count in full.
DOUBTED, SURE = 0.4, 0.9


def part_scores(notion: Notion, rows: Floats) -> Floats:
    """Return how much rows, of length 1, shape (n, dimension), are of each class, below 0 as well: (n, classes)."""
    return np.asarray(np.float32(notion.scale) * (rows @ notion.weights), dtype=np.float32)


class PartLikeness:
    """Likeness to one query, whose row, shape (dimension,), is of length 1; `claims` tells whether a class claims it.

    What the query's products with rows are taken of may be another vector.
    """

    def __init__(self, notion: Notion, row: Floats) -> None:
        self._notion = notion
        scores = part_scores(notion, row[np.newaxis])[0]
        weight = float(np.clip((scores.max() - DOUBTED) / (SURE - DOUBTED), 0, 1))
        self._wanted = np.float32(STRENGTH * weight) * np.maximum(scores - np.float32(FLOOR), 0)
        self.claims = weight > 0

    def towards(self, query: Floats) -> Floats:
        """Return the direction, shape (dimension,), in which the likeness rises but for scores that do not count."""
        notion = self._notion
        return np.asarray(query + notion.weights @ (np.float32(STRENGTH * notion.scale) * self._wanted))

    def of(self, products: Floats, rows: Floats) -> Floats:
        """Return the likeness of rows, shape (n, dimension), of which the products with the query are known: (n,)."""
        scores = np.float32(STRENGTH) * np.maximum(part_scores(self._notion, rows) - np.float32(FLOOR), 0)
        lengths = (1 + np.einsum("ij,ij->i", scores, scores)) * np.float32(1 + self._wanted @ self._wanted)
        return np.asarray((products + scores @ self._wanted) / np.sqrt(lengths), dtype=np.float32)
