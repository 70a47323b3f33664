"""The windows of a picture that are its parts: they overlap, and a map's cells count in them by their shares."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbir.index.columns.parts import MOST
from cbir.utils.vectors import Floats

#: Rows of a picture in an index of parts, at most: its windows, and the whole picture.
MOST_ROWS = MOST

#: A window's side in shorter sides of the picture. In longer pictures, windows are a sixteenth of the area at least,
#: so that MOST_ROWS of them still cover the picture.
_SIDE, _AREA = 1 / 3, 1 / 16

#: The step from a window to the next, in its sides.
_STEP = 1 / 2


@dataclass(frozen=True)
class Grid:
    """Square windows in rows and columns over a picture: `across` and `down` say where they start, and `side` how large
    they are, in pixels of the picture, which is `width` × `height`."""

    width: int
    height: int
    side: float
    across: Floats
    down: Floats

    def __len__(self) -> int:
        """Return the windows, and the whole picture."""
        return len(self.across) * len(self.down) + 1

    def boxes(self) -> npt.NDArray[np.int32]:
        """x, y, width and height of each row, in whole pixels: first the whole picture, then line by line."""
        found = [(0, 0, self.width, self.height)]
        for y in self.down.tolist():
            for x in self.across.tolist():
                left, top = math.floor(x + 0.5), math.floor(y + 0.5)
                right, bottom = math.floor(x + self.side + 0.5), math.floor(y + self.side + 0.5)
                left, top = min(left, self.width - 1), min(top, self.height - 1)
                right, bottom = max(min(right, self.width), left + 1), max(min(bottom, self.height), top + 1)
                found.append((left, top, right - left, bottom - top))
        return np.array(found, dtype=np.int32)

    def means(self, map_: Floats) -> Floats:
        """Average a map of the picture, shape (channels, rows, columns), in each of `boxes`: (len(self), channels).

        Cells that a window covers in part count by that part.
        """
        channels, rows, columns = map_.shape
        return np.ascontiguousarray((map_.reshape(channels, -1) @ _weights(self.width, self.height, rows, columns)).T)

    def weights(self, rows: int, columns: int) -> Floats:
        """Return the weight of each cell of a map in each mean: shape (rows * columns, len(self))."""
        down = shares(self.down, self.side, self.height, rows)
        across = shares(self.across, self.side, self.width, columns)
        windows = np.einsum("ij,kl->jlik", down, across).reshape(rows * columns, -1)
        everywhere = np.full((rows * columns, 1), 1 / (rows * columns), dtype=np.float32)
        return np.concatenate([everywhere, windows], axis=1)


@functools.lru_cache(maxsize=64)
def grid(width: int, height: int) -> Grid:
    """Return the windows of a picture of that size, with the whole at most MOST_ROWS."""
    shorter = min(width, height)
    side = min(max(_SIDE * shorter, math.sqrt(_AREA * width * height)), shorter)
    counts = [round((length - side) / (_STEP * side)) + 1 for length in (width, height)]
    while math.prod(counts) >= MOST_ROWS:
        # the axis on which they overlap most can spare one; of two alike, the one that has more
        steps = [(length - side) / max(count - 1, 1) for length, count in zip((width, height), counts, strict=True)]
        axis = min((0, 1), key=lambda one: (steps[one] if counts[one] > 1 else math.inf, -counts[one]))
        counts[axis] -= 1
    starts = [
        np.linspace(0, length - side, count, dtype=np.float32) if count > 1 else np.array([(length - side) / 2])
        for length, count in zip((width, height), counts, strict=True)
    ]
    return Grid(width, height, side, starts[0].astype(np.float32), starts[1].astype(np.float32))


@functools.lru_cache(maxsize=64)
def _weights(width: int, height: int, rows: int, columns: int) -> Floats:
    """`Grid.weights` of pictures of that size: many pictures have the same."""
    return grid(width, height).weights(rows, columns)


def shares(starts: Floats, side: float | Floats, length: int, cells: int) -> Floats:
    """Return each cell's share of the mean of each window along one axis, shape (windows, cells).

    `side` is that of all windows, or of each, shape (windows, 1), in pixels of an axis of `length`.
    """
    edges = np.arange(cells + 1) * (length / cells)
    begins, ends = starts[:, np.newaxis], starts[:, np.newaxis] + side
    covered = np.clip(np.minimum(ends, edges[1:]) - np.maximum(begins, edges[:-1]), 0, None)
    return np.asarray(covered / covered.sum(axis=1, keepdims=True), dtype=np.float32)
