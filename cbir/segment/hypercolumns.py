"""Hypercolumns: what every stage of a network says of each place in a picture.

After Hariharan, Arbeláez, Girshick and Malik, "Hypercolumns for Object Segmentation and Fine-grained Localization"
(CVPR 2015). The maps are read on superpixels or on a coarse grid, stage by stage, and never brought to the picture's
full size with all channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import sparse

from cbir.errors import ModelError
from cbir.images.large import MULTIPLE
from cbir.utils.vectors import Floats, l2_normalize

if TYPE_CHECKING:
    from cbir.engines.engine import Engine

#: Pixels of the picture, mirrored, that surround it: without them zero padding makes the border a segment of its own.
MARGIN = 64

#: Vectors of maps that are shorter than this are noise, and must not count as much as the others.
NOISE = 1e-6


@dataclass(frozen=True)
class StageMap:
    """A stage's map of a picture with its margin: `values`, shape (channels, rows, columns).

    It covers `padded` (height, width) pixels, of which the picture begins `margin` pixels from the top and the left;
    a pixel of the picture is `zoom` of those.
    """

    values: Floats
    padded: tuple[int, int]
    margin: int
    zoom: float

    def positions(self, places: npt.NDArray[np.floating], axis: int) -> tuple[npt.NDArray[np.int64], Floats]:
        """Find the positions on the map of `places`, in pixels of the picture along `axis` (0 down, 1 across).

        The cell before each, shape (n,), and the share of the cell after it, shape (n,): the weights of a linear
        interpolation.
        """
        cells = self.values.shape[1 + axis]
        on_map = (self.margin + self.zoom * places) * cells / self.padded[axis] - 0.5
        on_map = np.clip(on_map, 0, cells - 1)
        before = np.minimum(on_map.astype(np.int64), max(cells - 2, 0))
        return before, (on_map - before).astype(np.float32)


def stage_maps(image: Image.Image, engine: Engine, zoom: int = 1) -> list[StageMap]:
    """Return the maps of an RGB picture's stages, fine to coarse, the picture enlarged `zoom` times before."""
    if zoom != 1:
        image = image.resize((image.width * zoom, image.height * zoom), Image.Resampling.BICUBIC)
    margin = MARGIN * zoom
    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    padding = [(margin, margin + (-(side + 2 * margin)) % MULTIPLE) for side in (height, width)]
    padded = np.pad(pixels, [*padding, (0, 0)], mode="reflect")
    size = (padded.shape[0], padded.shape[1])
    return [StageMap(stage[0], size, margin, zoom) for stage in engine.stages(padded[np.newaxis])]


def on_regions(stage: StageMap, labels: npt.NDArray[np.integer]) -> Floats:
    """Return a stage's mean over each region, shape (regions, channels); `labels`, shape (height, width), are from 0.

    The map is read at every pixel by linear interpolation and averaged, as one product with a sparse matrix.
    """
    height, width = labels.shape
    flat = labels.ravel()
    sizes = np.bincount(flat)
    channels, _, columns = stage.values.shape
    cells = stage.values.reshape(channels, -1)
    down, down_share = stage.positions(np.arange(height) + 0.5, axis=0)
    across, across_share = stage.positions(np.arange(width) + 0.5, axis=1)
    sums: sparse.csr_matrix | None = None
    for below in (0, 1):
        for right in (0, 1):
            rows = np.minimum(down + below, stage.values.shape[1] - 1)
            cell = rows[:, np.newaxis] * columns + np.minimum(across + right, columns - 1)
            weight = np.outer(down_share if below else 1 - down_share, across_share if right else 1 - across_share)
            part = sparse.csr_matrix(
                (weight.ravel(), (flat, cell.ravel())), shape=(len(sizes), cells.shape[1]), dtype=np.float32
            )
            sums = part if sums is None else sums + part
    assert sums is not None
    return np.asarray((sums @ cells.T) / sizes[:, np.newaxis], dtype=np.float32)


def on_grid(stage: StageMap, cell: int, grid: tuple[int, int]) -> Floats:
    """Read a stage at the centres of square cells of `cell` pixels: (rows, columns, channels) for that `grid`."""
    down = _interpolation(stage, cell, grid[0], 0)
    across = _interpolation(stage, cell, grid[1], 1)
    return np.ascontiguousarray(np.moveaxis(down @ stage.values @ across.T, 0, 2), dtype=np.float32)


def principal(vectors: Floats, count: int) -> Floats:
    """Vectors, shape (n, channels), centred, in their own first principal components: (n, at most count)."""
    centred = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    return np.asarray(centred @ directions[:, ::-1][:, :count], dtype=np.float32)


def _interpolation(stage: StageMap, cell: int, count: int, axis: int) -> Floats:
    """Return the matrix, shape (count, cells of the map), that reads a map at the centres of a grid's cells."""
    before, share = stage.positions(cell * (np.arange(count) + 0.5), axis)
    matrix = np.zeros((count, stage.values.shape[1 + axis]), dtype=np.float32)
    matrix[np.arange(count), before] = 1 - share
    matrix[np.arange(count), np.minimum(before + 1, matrix.shape[1] - 1)] += share
    return matrix


def blocks(stages: Sequence[Floats], weights: Sequence[float], components: int) -> Floats:
    """Stages of shape (n, channels) as one block of numbers, (n, dimension).

    Each is made length 1, reduced to its own principal components, and counts as much as its weight says. ModelError
    where there are not as many weights as stages.
    """
    if len(weights) != len(stages):
        raise ModelError(
            f"The network has {len(stages)} stages, and {len(weights)} layer weights were given: "
            "give one for each, from fine to coarse."
        )
    reduced = (principal(l2_normalize(stage, NOISE), components) for stage in stages)
    return np.concatenate([weight * one for weight, one in zip(weights, reduced, strict=True)], axis=1)
