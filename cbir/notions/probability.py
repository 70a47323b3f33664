"""Probabilities from scores: a slope that is fitted to scores of labels by regressions that have not seen them.

After Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks" (ICML 2017), with targets that are a
little less than sure as in Platt, "Probabilistic outputs for support vector machines" (1999), so that a few labels that
are all told rightly do not make a certainty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbir.utils.vectors import Floats

_STEPS = 50

# Scores that the slope is fitted to, of rows drawn at random where there are more.
_MOST_SCORES = 4_000_000
_SEED = 5

# A slope beyond these is that of labels that say nothing, or all. Steps that gain less are the last.
_SLOPES = 0.1, 30.0
_ENOUGH = 1e-4


@dataclass(frozen=True)
class Certainty:
    """The certainty of scores, each of which counts `slope` times in the exponent of its class's probability.

    `none` is the exponent of "none of them", where there were labels that said so; else that has no share.
    """

    slope: float = 2.0
    none: float | None = None

    def probabilities(self, scores: Floats) -> Floats:
        """Return the probability of each class for rows of scores, shape (n, classes)."""
        return _softmax(_exponents(scores, self.slope, self.none))[:, : scores.shape[1]].astype(np.float32)


def calibrate(scores: Floats, classes: npt.NDArray[np.int32]) -> Certainty:
    """Fit the certainty of scores, shape (n, classes), to the classes that were given, shape (n,), -1 being none.

    By Newton's method on the likelihood, which has one maximum.
    """
    if scores.size > _MOST_SCORES:
        some = np.random.default_rng(_SEED).permutation(len(scores))[: max(_MOST_SCORES // scores.shape[1], 1)]
        scores, classes = scores[some], classes[some]
    has_none = bool((classes < 0).any())
    width = scores.shape[1] + has_none
    if width == 1 or not len(scores):
        return Certainty()
    told = np.full((len(scores), width), 1 / (width * (len(scores) + 2)))
    told[np.arange(len(scores)), classes] += 1 - width * told[0, 0]  # -1 is the last
    # derivatives of the exponents by the slope, and by that of none
    moved = np.zeros((2 if has_none else 1, len(scores), width))
    moved[0, :, : scores.shape[1]] = scores
    if has_none:
        moved[1, :, -1] = 1
    fitted = np.array([Certainty.slope, 1.0][: len(moved)])
    for _ in range(_STEPS):
        found = _softmax(np.einsum("k,kij->ij", fitted, moved))
        slopes = np.einsum("kij,ij->k", moved, found - told)
        means = np.einsum("kij,ij->ki", moved, found)
        curvature = np.einsum("kij,lij,ij->kl", moved, moved, found) - means @ means.T
        step = np.linalg.solve(curvature + 1e-6 * len(scores) * np.eye(len(fitted)), slopes)
        fitted -= np.clip(step, -2, 2)
        fitted[0] = np.clip(fitted[0], *_SLOPES)
        if np.abs(step).max() < _ENOUGH:
            break
    return Certainty(float(fitted[0]), float(fitted[1]) if has_none else None)


def _exponents(scores: Floats, slope: float, none: float | None) -> npt.NDArray[np.float64]:
    exponents = slope * scores.astype(np.float64)
    return exponents if none is None else np.pad(exponents, ((0, 0), (0, 1)), constant_values=none)


def _softmax(exponents: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    powers = np.exp(exponents - exponents.max(axis=1, keepdims=True))
    found: npt.NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return found
