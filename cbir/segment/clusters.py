"""Segments by k-means on hypercolumns, the way of the notebook that cbir descends from.

What was wrong with it is not here: the margin is mirrored, so that the picture's border is no segment of its own; every
stage counts as its weight says and not by its number of channels; the start is k-means++ from a seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cbir.segment.hypercolumns import blocks, on_grid, stage_maps
from cbir.segment.kmeans import SEED, kmeans, squared_distances
from cbir.utils.vectors import Floats

if TYPE_CHECKING:
    from cbir.engines.engine import Engine

#: Pixels of the longer side when the picture enters the network.
WORKING_SIDE = 480

#: The network's maps are read on a grid of this many pixels a cell.
_CELL = 4

#: Principal components that are kept of each stage.
_COMPONENTS = 32

#: Times that distances to the clusters are averaged over 3 × 3 cells.
_SMOOTHING = 3


def clusters(
    image: Image.Image, engine: Engine, count: int, weights: Sequence[float] | None = None, seed: int = SEED
) -> Floats:
    """Distances of each cell of a grid over an RGB picture to at most `count` clusters: (rows, columns, clusters).

    `weights`, one a stage, say what counts (all the same by default); the cells' colours count besides. ModelError
    where there are not as many weights as stages.
    """
    small = image.copy()
    if max(small.size) > WORKING_SIDE:
        small.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX)
    # rounded up, so that the last cells are whole: what lies beyond the picture is mirrored as the margin is
    rows, columns = -(-small.height // _CELL), -(-small.width // _CELL)
    maps = stage_maps(small, engine)
    stages = [on_grid(stage, _CELL, (rows, columns)).reshape(rows * columns, -1) for stage in maps]
    colours = np.asarray(small.resize((columns, rows), Image.Resampling.BOX), dtype=np.float32).reshape(-1, 3) / 255
    described = blocks(stages, [1.0] * len(stages) if weights is None else weights, _COMPONENTS)
    points = np.concatenate([described, colours - colours.mean(axis=0)], axis=1)
    return _smoothed(squared_distances(points, kmeans(points, count, seed)).reshape(rows, columns, -1))


def _smoothed(distances: Floats) -> Floats:
    """Distances of shape (rows, columns, centres), each averaged with its neighbours': texture makes fewer specks."""
    for _ in range(_SMOOTHING):
        for axis in (0, 1):
            edge = [(1, 1) if axis == other else (0, 0) for other in range(3)]
            padded = np.pad(distances, edge, mode="edge")
            windows = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=axis)
            distances = windows.mean(axis=-1, dtype=np.float32)
    return distances
