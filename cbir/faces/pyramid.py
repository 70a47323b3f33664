"""A picture in many sizes, all on one sheet, so that a network looks at all of them at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbir.utils.vectors import Floats

#: Pixels of the window of the network, and how many of them are between one window and the next.
WINDOW, STRIDE = 12, 2

# Sheets have sides that are multiples of this: a graph is prepared anew for each size.
_MULTIPLE = 16

Sheet = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Level:
    """A copy of the picture on the sheet: where it stands, and its size. All are even, so that windows fit."""

    x: int
    y: int
    width: int
    height: int


class Pyramid:
    """The sheet for pictures of one size, and where on it the network's windows are.

    The largest copy shows faces of `smallest` pixels as high as a window, each next one is `factor` of its size.
    """

    def __init__(self, size: tuple[int, int], smallest: float, factor: float) -> None:
        self._levels = _placed(_sizes(size, smallest, factor))
        width = max((level.x + level.width for level in self._levels), default=WINDOW)
        height = max((level.y + level.height for level in self._levels), default=WINDOW)
        self._width, self._height = (-(-side // _MULTIPLE) * _MULTIPLE for side in (width, height))
        # of each window the level, and by how much its corner has to be multiplied and moved
        cells = ((self._height - 2) // STRIDE - 4, (self._width - 2) // STRIDE - 4)
        self.levels = np.full(cells, -1, np.int16)
        self._scales = np.array([(size[0] / one.width, size[1] / one.height) for one in self._levels], np.float32)
        self._corners = np.array([(one.x, one.y) for one in self._levels], np.float32)
        for number, one in enumerate(self._levels):
            rows, columns = ((side - WINDOW) // STRIDE + 1 for side in (one.height, one.width))
            self.levels[one.y // 2 : one.y // 2 + rows, one.x // 2 : one.x // 2 + columns] = number

    @property
    def is_empty(self) -> bool:
        """True where the picture is smaller than the smallest face."""
        return not self._levels

    def sheet(self, image: Image.Image) -> Sheet:
        """Draw the sheet of an RGB image: shape (1, rows, columns, 3)."""
        sheet = Image.new("RGB", (self._width, self._height))
        copy = image
        for one in self._levels:  # each of the one before: that has all that the next one shows
            copy = copy.resize((one.width, one.height), Image.Resampling.BILINEAR)
            sheet.paste(copy, (one.x, one.y))
        return np.asarray(sheet)[np.newaxis]

    def windows(self, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> Floats:
        """Return the windows at some places of the network's output, in pixels of the picture: (n, 4), as corners."""
        levels = self.levels[rows, columns]
        first = np.stack([columns, rows], axis=1).astype(np.float32) * STRIDE - self._corners[levels]
        scales = self._scales[levels]
        return np.concatenate([first * scales, (first + WINDOW) * scales], axis=1)


@lru_cache(maxsize=64)
def pyramid_of(size: tuple[int, int], smallest: float, factor: float) -> Pyramid:
    """Return the pyramid for pictures of a size, made once."""
    return Pyramid(size, smallest, factor)


def _sizes(size: tuple[int, int], smallest: float, factor: float) -> list[tuple[int, int]]:
    found = []
    scale = WINDOW / smallest
    while min(size) * scale >= WINDOW:
        width, height = (max(2 * round(side * scale / 2), WINDOW) for side in size)
        found.append((width, height))
        scale *= factor
    return found


def _placed(sizes: list[tuple[int, int]]) -> list[Level]:
    """Place copies on a sheet as wide as the first: each where there is room, else under all others."""
    levels: list[Level] = []
    free: list[tuple[int, int, int, int]] = []  # x, y, width and height of places that are left
    bottom = 0
    for width, height in sizes:
        fitting = [one for one in free if one[2] >= width and one[3] >= height]
        if fitting:
            place = min(fitting, key=lambda one: one[2] * one[3])
            free.remove(place)
        else:
            place = (0, bottom, sizes[0][0], height)
            bottom += height
        x, y, wide, high = place
        levels.append(Level(x, y, width, height))
        free += [(x + width, y, wide - width, height), (x, y + height, wide, high - height)]
    return levels
