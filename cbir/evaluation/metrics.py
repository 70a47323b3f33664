"""Measures of a ranking: average precision, precision and recall. `docs/measures.md` has the definitions.

A ranking is all pictures but the query (and those that its ground truth ignores), best first. Of it only the ranks of
the relevant pictures matter, counted from 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

Ranks = npt.NDArray[np.int64]

#: The ranks at which precision is told.
PRECISION_AT = (1, 10)


@dataclass(frozen=True)
class Scores:
    """The measures of one query, or their means over `queries` of them. Keys of the dictionaries are ranks."""

    queries: int
    average_precision: float
    precision: dict[int, float]
    recall: dict[int, float]

    def to_json(self) -> dict[str, Any]:
        """Return the scores for `--json`: figures to four digits."""
        return {
            "queries": self.queries,
            "map": round(self.average_precision, 4),
            "precision_at": {str(rank): round(value, 4) for rank, value in self.precision.items()},
            "recall_at": {str(rank): round(value, 4) for rank, value in self.recall.items()},
        }


def average_precision(ranks: Ranks) -> float:
    """Mean of the precision at the rank of each relevant picture; `ranks` of all of them, ascending, at least one."""
    return float((np.arange(1, len(ranks) + 1) / ranks).mean())


def precision_at(count: int, ranks: Ranks, ranked: int) -> float:
    """Return the share of relevant pictures among the first `count` of `ranked` (among all, where there are fewer)."""
    return int((ranks <= count).sum()) / min(count, ranked)


def recall_at(count: int, ranks: Ranks) -> float:
    """Return the share of the relevant pictures that is among the first `count`."""
    return float((ranks <= count).mean())


def score(ranks: Ranks, ranked: int, recall_ranks: Sequence[int]) -> Scores:
    """All measures of one query: `ranks` of its relevant pictures, ascending, in a ranking of `ranked`."""
    return Scores(
        1,
        average_precision(ranks),
        {count: precision_at(count, ranks, ranked) for count in PRECISION_AT},
        {count: recall_at(count, ranks) for count in recall_ranks},
    )


def mean(scores: Iterable[Scores]) -> Scores:
    """Return the means over queries, of which there is at least one."""
    listed = list(scores)
    first = listed[0]
    return Scores(
        sum(one.queries for one in listed),
        fmean(one.average_precision for one in listed),
        {rank: fmean(one.precision[rank] for one in listed) for rank in first.precision},
        {rank: fmean(one.recall[rank] for one in listed) for rank in first.recall},
    )
