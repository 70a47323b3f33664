"""Ridge regression in closed form, with the score of each row by a regression that has not seen it.

After Hoerl and Kennard, "Ridge regression: biased estimation for nonorthogonal problems" (Technometrics 1970); leaving
one out as in Allen, "The relationship between variable selection and data augmentation" (Technometrics 1974).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbir.utils.vectors import Floats

#: The ridge, as a share of the mean squared length of labelled rows.
RIDGE = 0.3

#: The weights of all unlabelled rows together, those of all labelled ones being 1.
UNLABELLED = 0.1

#: The least typical score that the scale is made from: of one or two labels, none is told by the others.
_LEAST_TYPICAL = 0.1

# Numbers of rows that are multiplied at a time.
_AT_A_TIME = 4_000_000


#: The share of labelled rows that a gate leaves out at most.
_OUTSIDE = 0.1


@dataclass(frozen=True)
class Fit:
    """The weights of a regression, shape (dimension, classes), and what each row is given by one without it.

    `left_out` has these scores of the labelled rows, shape (n, classes), `left_out_unlabelled` of the others. `scale`
    brings the positive scores of labelled rows that have a class (`has_class`, shape (n,)) to length 1, on the mean.
    """

    weights: Floats
    left_out: Floats
    left_out_unlabelled: Floats
    scale: float
    has_class: npt.NDArray[np.bool_]

    def gate(self, most: float) -> float:
        """Return the length that the scores of nine in ten rows of some class reach, at most `most`."""
        own = self.scale * np.linalg.norm(np.maximum(self.left_out[self.has_class], 0), axis=1)
        return min(float(np.quantile(own, _OUTSIDE)), most) if len(own) else most


def fit(labelled: Floats, targets: Floats, unlabelled: Floats) -> Fit:
    """Regress `targets`, shape (n, classes), on rows of length 1, shape (n, dimension), and zeros on `unlabelled` ones.

    At least one row has a class. It takes the smaller of two ways: as many equations as there are rows, or as numbers
    in a row.
    """
    weight = (UNLABELLED * len(labelled) / max(len(unlabelled), 1)) ** 0.5
    rows = np.concatenate([labelled, np.float32(weight) * unlabelled])
    wanted = np.zeros((len(rows), targets.shape[1]), dtype=np.float32)
    wanted[: len(labelled)] = targets
    ridge = RIDGE * float(np.einsum("ij,ij->", labelled, labelled)) / len(labelled)
    solve = _by_rows if len(rows) <= rows.shape[1] else _by_numbers
    weights, left_out = solve(rows, wanted, max(ridge, float(np.finfo(np.float32).tiny)))
    own = left_out[: len(labelled)]
    has_class = np.asarray(targets.any(axis=1))
    typical = float(np.sqrt(np.square(np.maximum(own[has_class], 0)).sum(axis=1).mean())) if has_class.any() else 0.0
    return Fit(
        weights, own, left_out[len(labelled) :] / np.float32(weight), 1 / max(typical, _LEAST_TYPICAL), has_class
    )


def _by_rows(rows: Floats, wanted: Floats, ridge: float) -> tuple[Floats, Floats]:
    """Solve the dual equations: weights, and the scores of each row without it."""
    products = (rows @ rows.T).astype(np.float64)
    products[np.diag_indices_from(products)] += ridge
    inverse = np.linalg.inv(products)
    coefficients = inverse @ wanted
    left_out = wanted - coefficients / np.diag(inverse)[:, None]
    return rows.T @ coefficients.astype(np.float32), left_out.astype(np.float32)


def _by_numbers(rows: Floats, wanted: Floats, ridge: float) -> tuple[Floats, Floats]:
    """Solve the primal equations: the same."""
    products = (rows.T @ rows).astype(np.float64)
    products[np.diag_indices_from(products)] += ridge
    inverse = np.linalg.inv(products).astype(np.float32)
    weights = inverse @ (rows.T @ wanted)
    left_out = np.empty_like(wanted)
    step = max(1, _AT_A_TIME // rows.shape[1])
    for start in range(0, len(rows), step):
        some, its = rows[start : start + step], wanted[start : start + step]
        leverages = np.einsum("ij,ij->i", some @ inverse, some)
        left_out[start : start + step] = its - (its - some @ weights) / np.maximum(1 - leverages, 1e-6)[:, None]
    return weights, left_out
