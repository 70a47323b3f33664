"""The mean of a collection, which is taken off before its pictures are compared, and cosines of square roots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cbir.utils.vectors import Floats

# The collection's mean counts for as many rows as it is of, no mean at all (zero) for this many.
_PRIOR_ROWS = 5

_TINY = 1e-12


@dataclass(frozen=True)
class Centre:
    """The mean of a collection's pictures, which says nothing when two of them are compared.

    `mean`, shape (dimension,), is the mean of the rows, `root_mean`, of the same shape, that of the rows' square
    roots (see `roots`). Both are shrunk towards zero where they are of few rows, of which one is much of the mean.
    """

    mean: Floats
    root_mean: Floats

    @classmethod
    def of(cls, sample: Floats, count: int) -> Centre:
        """Return the centre of a collection of `count` rows from some of them (or all), shape (n, dimension)."""
        weight = np.float32(count / (count + _PRIOR_ROWS) / max(len(sample), 1))
        return cls(sample.sum(axis=0) * weight, roots(sample).sum(axis=0) * weight)

    def direction(self, vector: Floats) -> Floats:
        """`vector`, shape (dimension,), with the mean taken off, at length 1 (or zero)."""
        centred = vector - self.mean
        return np.asarray(centred / max(float(np.linalg.norm(centred)), _TINY), dtype=np.float32)

    def lengths(self, rows: Floats) -> Floats:
        """Lengths of `rows`, shape (n, dimension), each of length 1 itself, after the mean is taken off; shape (n,)."""
        squares = 1 - 2 * (rows @ self.mean) + self.mean @ self.mean
        return np.asarray(np.sqrt(np.maximum(squares, _TINY)), dtype=np.float32)

    def cosines(self, rows: Floats, lengths: Floats, direction: Floats) -> Floats:
        """Centred cosines, shape (n,), of `rows`, whose `lengths` are known, and a `direction`; no centred copy."""
        return np.asarray((rows @ direction - self.mean @ direction) / lengths, dtype=np.float32)

    def centred(self, cosines: Floats, lengths: Floats, query: Floats) -> Floats:
        """Return the same of rows whose raw cosines with `query`, shape (dimension,) and of length 1, are known."""
        square = self.mean @ self.mean
        with_mean = (1 + square - lengths**2) / 2
        length = max(float(np.linalg.norm(query - self.mean)), _TINY)
        return np.asarray((cosines - with_mean - query @ self.mean + square) / (lengths * length), dtype=np.float32)


def roots(rows: Floats) -> Floats:
    """Square roots of `rows`, shape (n, dimension), signs kept, at length 1.

    Their dot product is the Bhattacharyya coefficient of two rows, in which no strong channel outvotes all others
    ("RootSIFT" in Arandjelovic and Zisserman, CVPR 2012).
    """
    result = square_roots(rows)
    result /= np.sqrt(np.maximum(np.einsum("ij,ij->i", result, result), _TINY))[:, np.newaxis]
    return result


def square_roots(rows: Floats, out: Floats | None = None) -> Floats:
    """Square roots of `rows`, shape (n, dimension), signs kept, of whatever length; in `out` where it is given."""
    if rows.size and rows.min() < 0:
        result = np.sqrt(np.abs(rows), out=out)
        return np.copysign(result, rows, out=result)
    return np.sqrt(rows, out=out)


def affinities(rooted: Floats, centre: Centre) -> Floats:
    """Centred cosines, shape (n, n), of rows of which the square roots are given, shape (n, dimension).

    The roots may have any length: lengths and mean are taken off their dot products, which are fewer than they.
    """
    gram = rooted @ rooted.T
    squares = np.diag(gram)
    lengths = np.sqrt(np.maximum(squares, _TINY))
    with_mean = rooted @ centre.root_mean / lengths
    square = centre.root_mean @ centre.root_mean
    centred = np.sqrt(np.maximum(squares / lengths**2 - 2 * with_mean + square, np.float32(1e-8)))
    inverse, rest = 1 / centred, (with_mean - square / 2) / centred
    scale_both(gram, inverse / lengths)
    gram -= np.stack([rest, inverse], axis=1) @ np.stack([inverse, rest])
    return as_cosines(gram)


def scale_both(matrix: Floats, factors: Floats) -> None:
    """Multiply the rows of `matrix`, shape (n, n), and its columns too, by `factors`, shape (n,)."""
    matrix *= factors
    matrix *= factors[:, np.newaxis]


def as_cosines(values: Floats) -> Floats:
    """`values`, shape (n, n), within what cosines may be; that of each with itself is 1."""
    np.clip(values, -1, 1, out=values)
    np.fill_diagonal(values, 1)
    return values
