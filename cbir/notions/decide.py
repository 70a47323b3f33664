"""Is a notion worth applying? Its labels decide, each told by the others."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cbir.utils.vectors import Floats

#: The least kappa of a notion that is applied, and of one that is not weak.
APPLIED, STRONG = 0.3, 0.6

#: The least area under the curve of held-out pairs, where it is also more than that of plain features.
APPLIED_PAIRS = 0.7


def kappa(told: npt.NDArray[np.int64], given: npt.NDArray[np.int64]) -> float:
    """Return Cohen's kappa of the classes that rows were told to be of and those that they were given, shapes (n,).

    After Cohen, "A coefficient of agreement for nominal scales" (1960): 1 is all right, 0 is as right as by chance.
    """
    count = max(int(given.max()), int(told.max())) + 1
    chance = float(np.bincount(given, minlength=count) @ np.bincount(told, minlength=count)) / len(given) ** 2
    return 0.0 if chance == 1 else (float((told == given).mean()) - chance) / (1 - chance)


def auc(positives: Floats, negatives: Floats) -> float:
    """Return how often a positive's score is above a negative's, ties counting half: the area under the ROC curve."""
    if not len(positives) or not len(negatives):
        return 0.5
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, "left") + np.searchsorted(ordered, positives, "right")
    return float(below.mean() / (2 * len(ordered)))


def verdict(quality: float) -> str | None:
    """Return how a notion of such a kappa is: applied, weak, or None where it is refused."""
    return None if quality < APPLIED else "weak" if quality < STRONG else "applied"
