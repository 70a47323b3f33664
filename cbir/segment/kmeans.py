"""k-means with a seeded k-means++ start (Arthur and Vassilvitskii 2007)."""

from __future__ import annotations

import numpy as np

from cbir.utils.vectors import Floats

#: Of the random numbers that the starts are drawn by, unless somebody asks for others.
SEED = 7

_STARTS = 3
_ROUNDS = 50


def kmeans(points: Floats, count: int, seed: int = SEED) -> Floats:
    """Find the centres, shape (at most count, dimension), of `points`, shape (n, dimension); one `seed`, one result.

    The best of three starts by the sum of squared distances. Fewer centres come back where there are fewer
    different points.
    """
    rng = np.random.default_rng(seed)
    best, least = points[:1], np.inf
    for _ in range(_STARTS):
        centres = _spread_start(points, count, rng)
        labels = np.full(len(points), -1)
        for _ in range(_ROUNDS):
            nearest = squared_distances(points, centres).argmin(axis=1)
            if np.array_equal(nearest, labels):
                break
            labels = nearest
            used = np.unique(labels)
            centres = np.stack([points[labels == label].mean(axis=0) for label in used])
            labels = np.searchsorted(used, labels)
        error = float(squared_distances(points, centres).min(axis=1).sum())
        if error < least:
            best, least = centres, error
    return best


def squared_distances(points: Floats, centres: Floats) -> Floats:
    """Squared Euclidean distances, shape (n, centres)."""
    distances = (points**2).sum(axis=1)[:, np.newaxis] - 2 * points @ centres.T + (centres**2).sum(axis=1)
    return np.asarray(np.maximum(distances, 0), dtype=np.float32)


def _spread_start(points: Floats, count: int, rng: np.random.Generator) -> Floats:
    """k-means++: each centre is drawn with a chance proportional to its squared distance from those before it."""
    centres = [points[rng.integers(len(points))]]
    distances = squared_distances(points, np.stack(centres))[:, 0].astype(np.float64)
    while len(centres) < count and distances.sum() > 1e-9:
        centres.append(points[rng.choice(len(points), p=distances / distances.sum())])
        distances = np.minimum(distances, squared_distances(points, centres[-1][np.newaxis])[:, 0])
    return np.stack(centres)
