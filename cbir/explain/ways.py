"""Ways to a re-ranked match: through which neighbours likeness came from the query to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cbir.search.ranker import Ranker
from cbir.search.rerank import Spread, spread
from cbir.utils.vectors import Floats

#: Neighbours that are told at most.
_NEIGHBOURS = 3


@dataclass(frozen=True)
class Neighbour:
    """A row of the index, and its share in what came to a match from its neighbours."""

    row: int
    share: float


@dataclass(frozen=True)
class Step:
    """A row on the way to a match, and how alike it is to the one before, as re-ranking sees them."""

    row: int
    likeness: float


@dataclass(frozen=True)
class Way:
    """The way of likeness to a match: `direct` is the share that came from the query itself.

    `neighbours` are those through which most of the rest came, `steps` the strongest single way, the match last, and
    `share` what came along it.
    """

    direct: float
    neighbours: tuple[Neighbour, ...]
    steps: tuple[Step, ...]
    share: float


class Ways:
    """The ways from one query to its re-ranked matches.

    `query` is a vector of length 1, as the ranker's space has them.
    """

    def __init__(self, ranker: Ranker, query: Floats) -> None:
        rows, shortlist = ranker.shortlist(query)
        self._spread = None if shortlist is None else spread(shortlist)
        self._node: dict[int, int] = {}
        self._rows: dict[int, int] = {}
        if self._spread is not None:
            for row, node in zip(rows.tolist(), self._spread.place.tolist(), strict=True):
                if node > 0:
                    self._node[row] = node
                    self._rows.setdefault(node, row)  # of rows that are the same, the first

    def to(self, row: int) -> Way | None:
        """Find the way to a row; None where it was not re-ranked, or is the query itself."""
        node = self._node.get(row)
        if node is None or self._spread is None:
            return None
        arrived = self._spread.edges[node] * self._spread.reached
        arrived[0] += self._spread.source[node]  # which the query's likeness alone has given it
        total = max(float(arrived.sum()), 1e-12)
        order = [one for one in np.argsort(-arrived, kind="stable").tolist() if one and arrived[one] > 0]
        neighbours = tuple(Neighbour(self._rows[one], float(arrived[one]) / total) for one in order[:_NEIGHBOURS])
        nodes, strength = strongest_way(self._spread, node)
        steps = []
        for before, one in zip([0, *nodes], nodes, strict=False):
            its = row if one == node else self._rows[one]
            steps.append(Step(its, float(self._spread.affinity[before, one])))
        return Way(float(arrived[0]) / total, neighbours, tuple(steps), min(strength / total, 1.0))


def strongest_way(found: Spread, node: int) -> tuple[list[int], float]:
    """Find the one way along which most comes to a node: its nodes, without the query's own, and how much comes.

    Dijkstra's algorithm on products, which fall from edge to edge. What begins at one of the query's nearest counts as
    a step from the query.
    """
    strength = found.source.astype(np.float64)
    before = np.zeros(len(strength), dtype=np.int64)
    before[0] = -1
    is_done = np.zeros(len(strength), dtype=np.bool_)
    while not is_done[node]:
        best = int(np.where(is_done, -1.0, strength).argmax())
        is_done[best] = True
        onward = strength[best] * found.edges[best]
        better = ~is_done & (onward > strength)
        strength[better], before[better] = onward[better], best
    way, one = [], node
    while one > 0:
        way.append(one)
        one = int(before[one])
    return way[::-1], float(strength[node])
