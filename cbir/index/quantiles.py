"""Quantiles of an index's cosines, as `meta.json` keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from cbir.index.values import number, sequence, whole

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
        """Return the share of random pairs that are less alike than `cosine`, in percent."""
        return float(self.percentiles(np.array([cosine]))[0])

    def percentiles(self, cosines: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Return the same of some cosines, shape (n,)."""
        return np.asarray(100 * np.interp(cosines, self.random, self.probabilities, left=0.0, right=1.0))

    def cosine(self, percentile: float) -> float:
        """Return the cosine below which so many percent of random pairs are: the reverse of `percentile`."""
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


def _ascends(values: Sequence[float]) -> bool:
    return all(one <= other for one, other in pairwise(values))
