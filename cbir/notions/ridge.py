"""Ridge regression in closed form, with the score of each row by a regression that has not seen it.

After Hoerl and Kennard, "Ridge regression: biased estimation for nonorthogonal problems" (Technometrics 1970); leaving
one out as in Allen, "The relationship between variable selection and data augmentation" (Technometrics 1974).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cbir.utils.vectors import Floats

#: The ridge, as a share of the mean squared length of labelled rows.
RIDGE = 0.3

#: The weights of all unlabelled rows together, those of all labelled ones being 1.
UNLABELLED = 0.1

#: The same of those whose class is guessed.
GUESSED = 0.5

#: The least typical score that the scale is made from: of one or two labels, none is told by the others.
_LEAST_TYPICAL = 0.1

# Numbers of rows that are multiplied at a time.
_AT_A_TIME = 4_000_000


# The share of labelled rows that the lowest gate leaves out; and the coverage up to which the gate is the highest.
_OUTSIDE = 0.02
_UNCOVERED = 0.65

#: The coverage from which the gate is the lowest, as the classes cover the collection: docs/method/learn.md has that of
#: collections of which half or all classes had labels.
COVERED = 0.85


@dataclass(frozen=True)
class Fit:
    """The weights of a regression, shape (dimension, classes), and what each row is given by one without it.

    `left_out` has these scores of the labelled rows, shape (n, classes), `left_out_unlabelled` of the others. `scale`
    brings the positive scores of labelled rows that have a class (`has_class`, shape (n,)) to length 1, on the mean.
    `is_told` is a mask of the labelled rows of which the regression without them knows the class, shape (n,).
    """

    weights: Floats
    left_out: Floats
    left_out_unlabelled: Floats
    scale: float
    has_class: npt.NDArray[np.bool_]
    is_told: npt.NDArray[np.bool_]

    @property
    def coverage(self) -> float:
        """About the share of the rows without labels that are of the classes; it may be estimated above 1.

        Their scores are compared with the lower quartile of those of labelled rows; both by regressions without them.
        """
        own, others = self._lengths(self.left_out[self.has_class]), self._lengths(self.left_out_unlabelled)
        if not len(own) or not len(others):
            return 1.0
        return float((others >= np.quantile(own, 0.25)).mean()) / 0.75

    def gate(self, most: float) -> float:
        """Return the least length of the scores of a row that the classes claim, at most `most`.

        It is lower where the classes cover the collection: then hardly any row is of none.
        """
        own = self._lengths(self.left_out[self.has_class])
        if not len(own):
            return most
        lowest = min(float(np.quantile(own, _OUTSIDE)), most)
        return float(np.interp(self.coverage, (_UNCOVERED, COVERED), (most, lowest)))

    def first(self, count: int) -> Fit:
        """Return the same of the first labelled rows alone."""
        some = {name: getattr(self, name)[:count] for name in ("left_out", "has_class", "is_told")}
        return replace(self, **some)

    def _lengths(self, scores: Floats) -> Floats:
        """Return the lengths of rows' positive scores, to scale, shape (n,)."""
        return np.asarray(self.scale * np.linalg.norm(np.maximum(scores, 0), axis=1), dtype=np.float32)


def fit(
    labelled: Floats,
    targets: Floats,
    unlabelled: Floats,
    shares: Floats | None = None,
    groups: npt.NDArray[np.int64] | None = None,
    guesses: Floats | None = None,
) -> Fit:
    """Regress `targets`, shape (n, classes), on rows of length 1, shape (n, dimension), and zeros on `unlabelled` ones.

    At least one row is labelled. `shares`, shape (n + m,), are those of labelled and unlabelled rows in the mean that
    was taken off them all; without, they have none. Labelled rows of one of the `groups`, numbers of shape (n,), are
    left out together, which are then in no mean. `guesses`, shape (m, classes), are targets of unlabelled rows, of
    which those that have one weigh more. Of two ways the smaller is taken: as many equations as there are rows,
    or as numbers in a row.
    """
    weight = (UNLABELLED * len(labelled) / max(len(unlabelled), 1)) ** 0.5
    sizes = np.concatenate([np.ones(len(labelled)), np.full(len(unlabelled), weight)])
    if guesses is not None:
        is_guessed = np.concatenate([np.zeros(len(labelled), dtype=np.bool_), guesses.any(axis=1)])
        sizes[is_guessed] = (GUESSED * len(labelled) / max(int(is_guessed.sum()), 1)) ** 0.5
    rows = np.concatenate([labelled, unlabelled]) * sizes[:, np.newaxis].astype(np.float32)
    wanted = np.zeros((len(rows), targets.shape[1]))
    wanted[: len(labelled)] = targets
    if guesses is not None:
        wanted[len(labelled) :] = guesses * sizes[len(labelled) :, np.newaxis]
    ridge = RIDGE * float(np.einsum("ij,ij->", labelled, labelled)) / len(labelled)
    solve = _by_rows if len(rows) <= rows.shape[1] else _by_numbers
    solution = solve(rows, np.column_stack([wanted, sizes]), max(ridge, float(np.finfo(np.float32).tiny)))
    left_out = solution.left_out(sizes, wanted, np.zeros(len(rows)) if shares is None else shares)
    if groups is not None:
        _leave_out_groups(left_out, solution, wanted, groups)
    own = left_out[: len(labelled)]
    has_class = np.asarray(targets.any(axis=1))
    typical = float(np.sqrt(np.square(np.maximum(own[has_class], 0)).sum(axis=1).mean())) if has_class.any() else 0.0
    scale = 1 / max(typical, _LEAST_TYPICAL)
    return Fit(solution.weights, own, left_out[len(labelled) :], scale, has_class, _are_told(targets, groups))


def _are_told(targets: Floats, groups: npt.NDArray[np.int64] | None) -> npt.NDArray[np.bool_]:
    """Return which rows are of no class, or of one that rows of other groups have, too: shape (n,)."""
    are_told = np.ones(len(targets), dtype=np.bool_)
    if groups is not None:
        for its in targets.T > 0:
            are_told[its] = len(np.unique(groups[its])) > 1
    return are_told


@dataclass(frozen=True)
class _Solution:
    """The solution for each target, and for the rows' sizes as one more.

    With K for the dot products of rows, it is made of those of (K + ridge)^-1 and the targets, `coefficients`, and of
    the `diagonal` of that inverse. `block` gives what that inverse has of some rows, shape (k, k).
    """

    weights: Floats
    coefficients: npt.NDArray[np.float64]
    diagonal: npt.NDArray[np.float64]
    ridge: float
    block: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float64]]

    def left_out(
        self, sizes: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64], shares: npt.NDArray[np.floating]
    ) -> Floats:
        """Return what each row, brought to length 1, is given by the solution of all others, shape (n, classes).

        A row that has a share in the mean is left out of that, too: all others then move towards it by `shift`, and
        what they are moved by is fitted with them. Where all rows of a mean are labelled, the sum of the others is the
        row itself, turned around, so that it would be told to be of none of their classes.
        """
        shift = (shares / np.maximum(1 - shares, 1e-9))[:, np.newaxis]
        sizes, diagonal = sizes[:, np.newaxis], self.diagonal[:, np.newaxis]
        own, ones = self.coefficients[:, :-1], self.coefficients[:, -1:]
        given = (wanted - own / diagonal) / sizes
        given_one = 1 - ones / diagonal / sizes
        reach = (1 / diagonal - self.ridge) / sizes**2  # ridge times the row's own product by the inverse of the others
        rest = (sizes * own).sum(axis=0) - ones * own / diagonal
        rest_one = (sizes * ones).sum() - ones**2 / diagonal
        moved = 1 + shift * given_one
        return np.asarray(
            (given * moved + shift * reach * rest) / (moved**2 + shift**2 * reach * rest_one), dtype=np.float32
        )


def _leave_out_groups(
    left_out: Floats, solution: _Solution, wanted: npt.NDArray[np.float64], groups: npt.NDArray[np.int64]
) -> None:
    """Fill in what labelled rows, of weight 1, are given by the solution of all rows but those of their group."""
    order = np.argsort(groups, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        if len(group) > 1:
            own = np.linalg.solve(solution.block(group), solution.coefficients[group, :-1])
            left_out[group] = wanted[group] - own


def _by_rows(rows: Floats, wanted: npt.NDArray[np.float64], ridge: float) -> _Solution:
    """Solve the dual equations; the last of the targets is no class."""
    products = (rows @ rows.T).astype(np.float64)
    products[np.diag_indices_from(products)] += ridge
    inverse = np.asarray(np.linalg.inv(products), dtype=np.float64)
    coefficients = inverse @ wanted
    weights = rows.T @ coefficients[:, :-1].astype(np.float32)
    return _Solution(weights, coefficients, np.diag(inverse), ridge, lambda some: inverse[np.ix_(some, some)])


def _by_numbers(rows: Floats, wanted: npt.NDArray[np.float64], ridge: float) -> _Solution:
    """Solve the primal equations: the same."""
    products = (rows.T @ rows).astype(np.float64)
    products[np.diag_indices_from(products)] += ridge
    inverse = np.linalg.inv(products).astype(np.float32)
    weights = inverse @ (rows.T @ wanted.astype(np.float32))
    coefficients, diagonal = np.empty_like(wanted), np.empty(len(rows))
    step = max(1, _AT_A_TIME // rows.shape[1])
    for start in range(0, len(rows), step):
        piece = slice(start, start + step)
        coefficients[piece] = (wanted[piece] - rows[piece] @ weights) / ridge
        leverages = np.einsum("ij,ij->i", rows[piece] @ inverse, rows[piece])
        diagonal[piece] = np.maximum(1 - leverages, 1e-6) / ridge

    def block(some: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        leverages = rows[some] @ inverse @ rows[some].T
        return (np.eye(len(some)) * (1 + 1e-6) - leverages) / ridge

    return _Solution(np.ascontiguousarray(weights[:, :-1]), coefficients, diagonal, ridge, block)
