"""The principal directions of an index's features."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cbir.index.entries import FileEntry
from cbir.index.exact import RowSource
from cbir.index.rowfile import RowFile
from cbir.utils.vectors import Floats

DIRECTIONS = 128
SAMPLE_ROWS = 8000

_SEED = 1

# of the subspace iteration: rows at a time, columns beyond those wanted, rounds
_CHUNK = 1024
_SPARE = 32
_ITERATIONS = 3


def principal_directions(source: RowSource) -> Floats:
    """Return the mean and about the first principal directions of a sample of rows, shape (1 + directions, dimension).

    By subspace iteration with a random start (Halko, Martinsson and Tropp 2011, algorithm 4.4), which reads the sample
    a chunk at a time: its covariance alone would be 64 MB in 4,096 dimensions, and its eigenvectors take seconds.
    """
    dimension = source.dimension
    directions = min(DIRECTIONS, dimension)
    rng = np.random.default_rng(_SEED)
    rows = np.flatnonzero(source.valid)
    if len(rows) > SAMPLE_ROWS:
        rows = np.sort(rng.choice(rows, SAMPLE_ROWS, replace=False))
    parts = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    mean = np.asarray(
        sum(source.features(part).sum(axis=0, dtype=np.float64) for part in parts) / len(rows), np.float32
    )
    basis = rng.standard_normal((dimension, min(directions + _SPARE, dimension)), dtype=np.float32)
    for _ in range(_ITERATIONS):
        basis, _ = np.linalg.qr(basis)
        product = np.zeros_like(basis)
        for part in parts:
            centred = source.features(part) - mean
            product += centred.T @ (centred @ basis)
        basis = product
    # within the space that was found, the directions by variance
    basis, _ = np.linalg.qr(basis)
    inner = np.zeros((basis.shape[1], basis.shape[1]), dtype=np.float32)
    for part in parts:
        along = (source.features(part) - mean) @ basis
        inner += along.T @ along
    _, vectors = np.linalg.eigh(inner)  # eigenvalues ascend
    found = basis @ vectors[:, ::-1][:, :directions]
    return np.ascontiguousarray(np.vstack([mean, found.T]), dtype=np.float32)


def read_projection(directory: Path, entry: FileEntry, dimension: int) -> Floats:
    """Read a projection that an index keeps, shape (1 + directions, dimension). IndexDamagedError where it is none."""
    shape = min(DIRECTIONS, dimension) + 1, dimension
    stored = RowFile(directory, entry, shape, np.dtype(np.float32))
    projection: Floats = stored.between(0, shape[0])
    if not np.isfinite(projection).all():
        raise stored.damaged("is damaged (not all of its numbers are finite)")
    return projection


def project(vectors: Floats, projection: Floats) -> Floats:
    """`vectors`, shape (n, dimension), along the directions of a projection: shape (n, directions)."""
    projected: Floats = (vectors - projection[0]) @ projection[1:].T
    return projected
