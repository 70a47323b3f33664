"""How alike the pictures of an index are to each other: what a cosine means in this collection, with this network.

Networks differ: unrelated photos have a cosine of .1 in one and of .6 in another, so no threshold suits all. The
index's own distribution says what is usual, and a match's percentile how unusual it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from cbir.index.values import number, sequence, whole

if TYPE_CHECKING:
    from cbir.index.store import Index

#: The probabilities whose quantiles are kept: dense where matches are.
PROBABILITIES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 1.0)

#: Rows that are compared with each other, half a million pairs; and those whose nearest row in the index is looked for.
SAMPLE_ROWS = 1000
NEAREST_ROWS = 200

_SEED = 3
_MOST_QUANTILES = 1000


@dataclass(frozen=True)
class CosineQuantiles:
    """Quantiles of the cosines of random pairs of rows, and of rows and their nearest other row.

    Sampled when the index had so many valid `rows`. `probabilities` belong to both lists, all ascend.
    """

    rows: int
    probabilities: tuple[float, ...]
    random: tuple[float, ...]
    nearest: tuple[float, ...]

    def percentile(self, cosine: float) -> float:
        """The share of random pairs that are less alike than `cosine`, in percent."""
        return 100 * float(np.interp(cosine, self.random, self.probabilities, left=0.0, right=1.0))

    def cosine(self, percentile: float) -> float:
        """The cosine below which so many percent of random pairs are: the reverse of `percentile`."""
        return float(np.interp(percentile / 100, self.probabilities, self.random))

    @classmethod
    def from_json(cls, record: Any) -> CosineQuantiles:
        """Read what stands in `meta.json`; ValueError, TypeError or KeyError where it is something else."""
        lists = [
            # float16 rows make a row's cosine with its copy miss 1 by a ten-thousandth
            tuple(number(value, -1.01, 1.01) for value in sequence(record[name], _MOST_QUANTILES))
            for name in ("probabilities", "random", "nearest")
        ]
        if len({len(one) for one in lists}) != 1 or not lists[0]:
            raise ValueError("quantiles without their probabilities")
        if not all(_ascends(one) for one in lists) or lists[0][0] < 0 or lists[0][-1] > 1:
            raise ValueError("quantiles that do not ascend")
        return cls(whole(record["rows"]), *lists)


def is_needed(rows: int, sampled: CosineQuantiles | None) -> bool:
    """Whether an index of so many valid rows wants a (new) sample: it has changed by a tenth since the last."""
    return rows >= 2 and (sampled is None or abs(rows - sampled.rows) * 10 > sampled.rows)


def sample(index: Index) -> CosineQuantiles | None:
    """The distribution in `index`, from a sample of its valid rows; None where there are no two."""
    from cbir.index.ann.annoy import exact_first

    rng = np.random.default_rng(_SEED)
    rows = np.flatnonzero(index.valid)
    if len(rows) < 2:
        return None
    chosen = rng.permutation(rows)[:SAMPLE_ROWS]
    features = index.features(chosen)
    between = (features @ features.T)[np.triu_indices(len(features), 1)]
    probes = features[:NEAREST_ROWS]
    _, scores = exact_first(index, probes, 2)
    # the nearest of all is the row itself, or a copy of it
    nearest = scores.min(axis=1)
    return CosineQuantiles(len(rows), PROBABILITIES, _quantiles(between), _quantiles(nearest))


def _quantiles(values: Any) -> tuple[float, ...]:
    # float16 rows make a row's cosine with its copy miss 1 by a ten-thousandth, either way
    found = np.quantile(np.clip(values, -1, 1), PROBABILITIES)
    return tuple(round(float(value), 5) for value in np.maximum.accumulate(found))


def _ascends(values: Sequence[float]) -> bool:
    return all(one <= other for one, other in pairwise(values))
