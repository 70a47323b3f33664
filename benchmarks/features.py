"""Synthetic features: clustered, and like what a ReLU leaves.

A cluster's centre has 2,048 numbers from a gamma distribution of shape 0.5: most near zero, some large. A row is the
centre of a cluster chosen at random plus normal noise of 0.5 in all directions, negative numbers set to zero, brought
to length 1. There are 50 rows a cluster on average, so 100,000 rows have 2,000 clusters. Within a cluster rows have
nothing but noise in common with their neighbours, so to find the nearest ten means to rank a cluster's rows exactly.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cbir.utils.vectors import Floats

DIMENSION = 2048
ROWS_A_CLUSTER = 50
CHUNK = 5000

_SEED = 20


def chunks(rows: int, dimension: int = DIMENSION) -> Iterator[Floats]:
    """A collection of that many rows, CHUNK at a time; the same ones each time."""
    centres = _centres(rows, dimension)
    for number, start in enumerate(range(0, rows, CHUNK)):
        yield _draw(centres, min(CHUNK, rows - start), number + 1)


def collection(rows: int, dimension: int = DIMENSION) -> Floats:
    """All rows at once, shape (rows, dimension)."""
    result = np.empty((rows, dimension), dtype=np.float32)
    for number, chunk in enumerate(chunks(rows, dimension)):
        result[number * CHUNK : number * CHUNK + len(chunk)] = chunk
    return result


def queries(count: int, rows: int, dimension: int = DIMENSION) -> Floats:
    """Rows of the same clusters that are not in the collection of `rows` rows, shape (count, dimension)."""
    return _draw(_centres(rows, dimension), count, 0)


def _centres(rows: int, dimension: int) -> Floats:
    count = max(1, rows // ROWS_A_CLUSTER)
    return np.random.default_rng([_SEED, rows]).standard_gamma(0.5, (count, dimension), dtype=np.float32)


def _draw(centres: Floats, rows: int, number: int) -> Floats:
    rng = np.random.default_rng([_SEED, len(centres), number, 1])
    vectors = rng.standard_normal((rows, centres.shape[1]), dtype=np.float32)
    vectors *= 0.5
    vectors += centres[rng.integers(len(centres), size=rows)]
    np.maximum(vectors, 0, out=vectors)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
