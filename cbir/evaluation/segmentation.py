"""The measures of BSDS500: a segmentation's agreement with what people drew.

Arbeláez, Maire, Fowlkes and Malik, "Contour Detection and Hierarchical Image Segmentation" (PAMI 2011), section 3.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """The agreement of one picture's segmentation with all people who drew it.

    `covered` and `pixels`: of people's regions, the pixels times the overlap (intersection over union) with the region
    that overlaps most, and the pixels, both summed over people; the probabilistic Rand `index`, the share of pairs of
    pixels on which segmentation and people agree, and the `variation` of information in bits, both means over people.
    """

    covered: float
    pixels: float
    index: float
    variation: float


def agreement(labels: Labels, people: Sequence[Labels]) -> Agreement:
    """Measure the agreement of label maps of one shape, (height, width)."""
    return of_counts([overlaps(labels, one) for one in people])


def overlaps(labels: Labels, other: Labels) -> Floats:
    """Return the pixels that each region shares with each of the other's, (regions, other's regions)."""
    regions, others = (np.unique(one, return_inverse=True)[1].ravel() for one in (labels, other))
    shape = int(regions.max()) + 1, int(others.max()) + 1
    return np.bincount(regions * shape[1] + others, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)


def of_counts(people: Sequence[Floats]) -> Agreement:
    """Return the same from the `overlaps` with each person's regions."""
    covered = pixels = index = variation = 0.0
    for shared in people:
        regions, drawn, count = shared.sum(axis=1), shared.sum(axis=0), shared.sum()
        overlap = shared / (regions[:, np.newaxis] + drawn - shared)
        covered += float((overlap.max(axis=0) * drawn).sum())
        pixels += float(count)
        # twice the pairs that only one of them puts together, of all ordered pairs of different pixels
        apart = (regions**2).sum() + (drawn**2).sum() - 2 * (shared**2).sum()
        index += 1 - float(apart) / max(float(count * (count - 1)), 1)
        variation += 2 * _entropy(shared / count) - _entropy(regions / count) - _entropy(drawn / count)
    return Agreement(covered, pixels, index / len(people), variation / len(people))


def summary(pictures: Iterable[Agreement]) -> tuple[float, float, float]:
    """Covering pooled over all pictures and people; mean Rand index and variation of information over pictures."""
    found = list(pictures)
    covering = sum(one.covered for one in found) / sum(one.pixels for one in found)
    return covering, float(np.mean([one.index for one in found])), float(np.mean([one.variation for one in found]))


def _entropy(shares: Floats) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log2(positive)).sum())
