"""Hypercolumns: what every stage of a network says of each place in a picture.

After Hariharan, Arbeláez, Girshick and Malik, "Hypercolumns for Object Segmentation and Fine-grained Localization"
(CVPR 2015). The maps are brought to one coarse grid and reduced, never to the picture's full size with all channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

if TYPE_CHECKING:
    from cbir.engines import Engine

Floats = npt.NDArray[np.float32]

#: Pixels of the longer side when the picture enters the network.
WORKING_SIDE = 480

#: Pixels of the picture, mirrored, that surround it: without them zero padding makes the border a part of its own.
MARGIN = 64

#: The network's maps are brought to a grid of this many pixels a cell.
CELL = 4

#: Principal components that are kept of each stage.
COMPONENTS = 32

_MULTIPLE = 32  # of an engine's sides


def hypercolumns(image: Image.Image, engine: Engine, weights: Sequence[float] | None = None) -> Floats:
    """Describe each cell of a grid over an RGB picture; shape (rows, columns, numbers).

    Each stage's vectors are made length 1, centred and reduced to COMPONENTS, so that no stage counts more for
    having more channels; `weights`, one a stage, say what counts (all the same by default). The cell's mean
    colour comes last.
    """
    small = image.copy()
    if max(small.size) > WORKING_SIDE:
        small.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX)
    pixels = np.asarray(small)
    height, width = pixels.shape[:2]
    # rounded up, so that the last cells are whole: what lies beyond the picture is mirrored as the margin is
    rows, columns = -(-height // CELL), -(-width // CELL)
    padding = [(MARGIN, MARGIN + (-(side + 2 * MARGIN)) % _MULTIPLE) for side in (height, width)]
    padded = np.pad(pixels, [*padding, (0, 0)], mode="symmetric")
    stages = [stage[0] for stage in engine.stages(padded[np.newaxis])]
    if weights is None:
        weights = [1.0] * len(stages)
    if len(weights) != len(stages):
        raise ValueError(f"{len(weights)} weights for {len(stages)} stages")
    blocks = [
        weight * _reduced(_resampled(stage, padded.shape[:2], (rows, columns)))
        for stage, weight in zip(stages, weights, strict=True)
    ]
    colours = np.asarray(small.resize((columns, rows), Image.Resampling.BOX), dtype=np.float32) / 255
    return np.concatenate([*blocks, colours - colours.mean(axis=(0, 1))], axis=2)


def _resampled(stage: Floats, padded: Sequence[int], grid: tuple[int, int]) -> Floats:
    """A stage's map, shape (channels, rows, columns), read at the centres of the grid's cells: (*grid, channels)."""
    down = _interpolation(grid[0], stage.shape[1], padded[0])
    across = _interpolation(grid[1], stage.shape[2], padded[1])
    read = down @ stage @ across.T
    return np.ascontiguousarray(np.moveaxis(read, 0, 2), dtype=np.float32)


def _interpolation(cells: int, length: int, padded: int) -> Floats:
    """The matrix, shape (cells, length), that reads a map of `length` across `padded` pixels at the cells' centres."""
    positions = (MARGIN + CELL * (np.arange(cells) + 0.5)) * length / padded - 0.5
    positions = np.clip(positions, 0, length - 1)
    before = np.minimum(positions.astype(int), max(length - 2, 0))
    share = (positions - before).astype(np.float32)
    matrix = np.zeros((cells, length), dtype=np.float32)
    matrix[np.arange(cells), before] = 1 - share
    matrix[np.arange(cells), np.minimum(before + 1, length - 1)] += share
    return matrix


def _reduced(maps: Floats) -> Floats:
    """Vectors of shape (rows, columns, channels) at length 1, centred, in their first principal components."""
    vectors = maps.reshape(-1, maps.shape[2])
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    vectors -= vectors.mean(axis=0)
    _, directions = np.linalg.eigh(vectors.T @ vectors)
    components: Floats = vectors @ directions[:, ::-1][:, :COMPONENTS]
    return components.reshape(*maps.shape[:2], -1)
