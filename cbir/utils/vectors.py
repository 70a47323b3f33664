"""Vectors as rows of arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

#: Numbers of rows, of an index say.
Rows = npt.NDArray[np.int64]

# Distances that are computed at a time: 16 MB.
_DISTANCES = 4_000_000


def l2_normalize(vectors: Floats, floor: float = float(np.finfo(np.float32).tiny)) -> Floats:
    """Bring `vectors`, whose last axis is the dimension, to length 1; zeros stay zeros.

    Those shorter than `floor` stay shorter than 1: what little they have is noise.
    """
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.float32(floor)), dtype=np.float32)


def nearest_of(vectors: Floats, centres: Floats) -> tuple[Rows, Floats]:
    """Find which of `centres`, shape (m, dimension), each of `vectors`, shape (n, dimension), is nearest to.

    With their numbers, shape (n,), comes half of the squared distance, less half of the vector's own squared length.
    """
    half = (centres**2).sum(axis=1) / 2
    step = max(1, _DISTANCES // len(centres))
    nearest = np.empty(len(vectors), dtype=np.int64)
    distances = np.empty(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), step):
        found = half - vectors[start : start + step] @ centres.T
        best = found.argmin(axis=1)
        nearest[start : start + step] = best
        distances[start : start + step] = found[np.arange(len(best)), best]
    return nearest, distances
