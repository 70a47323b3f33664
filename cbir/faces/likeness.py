"""The meaning of the distance of two faces' vectors: thresholds, and a probability.

A distance is Euclid's between vectors of length 1. All figures are measured (docs/method/faces.md); they hold for faces
such as those of the test, and not for everybody's (docs/people.md).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from cbir.utils.vectors import Floats

# No two vectors of length 1 are farther apart.
_FARTHEST = 2.0


@dataclass(frozen=True)
class Thresholds:
    """Distances of faces, and what they stand for.

    Two pictures show the `same` person up to it, `different` ones from it on. Of many pictures, in which some stranger
    is always near, those beyond `search` are hidden, and those beyond `perhaps` are marked. Faces are grouped up to
    `group`. At `middle` the same person is as likely as another one if it was before; `slope` is how quickly that
    changes.
    """

    same: float
    different: float
    search: float
    perhaps: float
    group: float
    middle: float
    slope: float

    def probability(self, distance: float) -> float:
        """Return how likely it is the same person where that was as likely as not before anything was seen."""
        return 1 / (1 + math.exp(min(max(self.slope * (distance - self.middle), -700), 700)))

    def to_json(self) -> dict[str, float]:
        """Return a JSON object; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Any) -> Thresholds:
        """Read what `to_json` wrote; ValueError, TypeError or KeyError where it is something else."""
        numbers = {field.name: float(record[field.name]) for field in fields(cls)}
        slope = numbers["slope"]
        if not all(0 <= number <= _FARTHEST for name, number in numbers.items() if name != "slope"):
            raise ValueError("impossible distances")
        if not 0 < slope < 1e6 or numbers["same"] > numbers["different"]:
            raise ValueError("impossible thresholds")
        return cls(**numbers)


#: Those of dlib's network with a face and its mirror image. As near as `same` are about three in 10,000 pairs of
#: strangers in general, and two hundred times as many of some people: it is strict for their sake.
DEFAULT = Thresholds(same=0.36, different=0.449, search=0.42, perhaps=0.35, group=0.35, middle=0.419, slope=73.1)

#: That by which faces are grouped.
GROUP = DEFAULT.group


def distances(vectors: Floats, others: Floats) -> Floats:
    """Compute the distance of each vector to each of the others, all of length 1: (n, m)."""
    cosines = vectors @ others.T
    return np.asarray(np.sqrt(np.maximum(2 - 2 * cosines, 0)), np.float32)


def distance(vector: Floats, other: Floats) -> float:
    """Compute the distance of two vectors of length 1."""
    return float(distances(vector[np.newaxis], other[np.newaxis])[0, 0])
