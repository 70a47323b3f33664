"""Masks of detections, read from small maps that networks compute."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from cbir.detect.geometry import whole_pixels
from cbir.images.framed import Placed
from cbir.images.regions import Mask
from cbir.images.views import Size
from cbir.utils.vectors import Floats, Rows

Places = npt.NDArray[np.float64]

#: Numbers around a map of Mask R-CNN that are taken to be 0, so that a mask fades out at its box's edges.
_PADDING = 1


def from_maps(
    coefficients: Floats, maps: Floats, boxes: Floats, size: Size, frame: Size, placed: Placed
) -> Callable[[int], Mask]:
    """Return a function that makes the mask of a detection by its number, as YOLACT does.

    A mask is where the sum of `maps`, shape (m, rows, columns), by the detection's `coefficients`, (n, m), is above 0.
    Maps cover a `frame` in which an image of `size` is `placed`; `boxes` are in its pixels, (n, 4).
    """
    rows, columns = maps.shape[1:]

    def make(number: int) -> Mask:
        x, y, width, height = whole_pixels(_four(boxes[number]), size)
        # where the middles of pixels are in the maps, whose numbers stand for the middles of their cells
        across = (placed.left + (np.arange(x, x + width) + 0.5) * placed.width / size[0]) * columns / frame[0] - 0.5
        down = (placed.top + (np.arange(y, y + height) + 0.5) * placed.height / size[1]) * rows / frame[1] - 0.5
        first_row, last_row = _reach(down, rows)
        first_column, last_column = _reach(across, columns)
        part = maps[:, first_row:last_row, first_column:last_column]
        summed = np.tensordot(coefficients[number], part, axes=1)
        return np.asarray(interpolated(summed, down - first_row, across - first_column) > 0)

    return make


def pasted(probabilities: Floats, boxes: Floats, size: Size) -> Callable[[int], Mask]:
    """Return a function that makes the mask of a detection by its number, as Mask R-CNN does in torchvision.

    `probabilities`, (n, rows, columns), are spread over `boxes`, (n, 4); a mask is where they are above .5.
    """
    return lambda number: np.asarray(paste(probabilities[number], _four(boxes[number]), size) > 0.5)


def paste(probabilities: Floats, box: tuple[float, float, float, float], size: Size) -> npt.NDArray[np.float32]:
    """Spread probabilities, (rows, columns), over a box of an image of `size`, for each pixel of `whole_pixels(box)`.

    As `paste_masks_in_image` of torchvision: the box grows by the padding, and begins and ends at whole pixels.
    """
    padded = np.pad(probabilities, _PADDING)
    spans = []
    for start, length, side in zip(box[:2], box[2:], padded.shape[::-1], strict=True):
        growth = side / (side - 2 * _PADDING)
        first, last = int(start - (growth - 1) * length / 2), int(start + (growth + 1) * length / 2)
        spans.append((first, max(last - first + 1, 1)))
    (left, wide), (top, high) = spans
    place = whole_pixels(box, size)
    across, down = np.arange(place.x, place.x + place.width), np.arange(place.y, place.y + place.height)
    columns = (across - left + 0.5) * padded.shape[1] / wide - 0.5
    rows = (down - top + 0.5) * padded.shape[0] / high - 0.5
    inside = ((down >= top) & (down < top + high))[:, np.newaxis] & (across >= left) & (across < left + wide)
    return np.where(inside, interpolated(padded, rows, columns), 0).astype(np.float32)


def interpolated(values: Floats, rows: Places, columns: Places) -> Floats:
    """Interpolate between `values` at the crossings of `rows` and `columns`, linearly, those at the edges repeated."""
    above, below, down = _between(rows, values.shape[0])
    left, right, across = _between(columns, values.shape[1])
    lines = values[above] * (1 - down)[:, np.newaxis] + values[below] * down[:, np.newaxis]
    return np.asarray(lines[:, left] * (1 - across) + lines[:, right] * across)


def _between(places: Places, count: int) -> tuple[Rows, Rows, Floats]:
    """Return the numbers between which each place is, and how far it is from the first to the second."""
    clipped = np.clip(places, 0, count - 1)
    first = np.floor(clipped).astype(np.int64)
    return first, np.minimum(first + 1, count - 1), (clipped - first).astype(np.float32)


def _reach(places: Places, count: int) -> tuple[int, int]:
    """Return the first number that interpolation at `places` reads, and the one after the last."""
    first = min(max(math.floor(places[0]), 0), count - 1)
    return first, min(max(math.floor(places[-1]) + 2, first + 1), count)


def _four(box: Floats) -> tuple[float, float, float, float]:
    x, y, width, height = box.tolist()
    return x, y, width, height
