"""Boxes of detections: which of many that show the same thing stay, and cutting them to their picture.

A box is x, y, width and height in pixels of the upright picture, (x, y) its upper left corner; boxes are arrays of
shape (n, 4). Boxes that hold something else than finite numbers overlap nothing, and are dropped by `usable`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cbir.images.regions import Box
from cbir.utils.boxes import overlaps as overlaps
from cbir.utils.vectors import Floats, Rows

#: Boxes of a picture that `suppress` looks at, the best ones: a network may make many thousands, and it compares pairs.
MOST_CANDIDATES = 2_000

#: The overlap from which one of two boxes of a class is dropped, unless somebody asks for another.
OVERLAP = 0.45

Classes = npt.NDArray[np.integer[Any]]


def suppress(
    boxes: Floats, scores: Floats, classes: Classes, overlap: float = OVERLAP, most: int = MOST_CANDIDATES
) -> Rows:
    """Choose the boxes that stay in non-maximum suppression within each class: their numbers, the best score first.

    From the best on, each box stays unless it overlaps one of its class that does by more than `overlap`. Of more than
    MOST_CANDIDATES only the best are looked at, and at most so many of a class stay.
    """
    order = np.argsort(-scores, kind="stable")[:MOST_CANDIDATES]
    kept = np.zeros(len(order), dtype=np.bool_)
    own = classes[order]
    for one in sorted(set(own.tolist())):  # np.unique would import NumPy's masked arrays
        places = np.flatnonzero(own == one)
        kept[places[_maxima(boxes[order[places]], overlap, most)]] = True
    return np.asarray(order[kept], dtype=np.int64)


def usable(boxes: Floats, scores: Floats) -> npt.NDArray[np.bool_]:
    """Tell which boxes are of finite numbers, with an area and a finite score: shape (n,)."""
    return np.asarray(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1) & np.isfinite(scores))


def clipped(boxes: Floats, size: tuple[int, int]) -> Floats:
    """Cut boxes to a picture of that width and height; those outside of it come to have no width or no height."""
    first = np.clip(boxes[:, :2], 0, size)
    last = np.clip(boxes[:, :2] + boxes[:, 2:], first, size)
    return np.concatenate([first, last - first], axis=1).astype(np.float32)


def whole_pixels(box: tuple[float, float, float, float], size: tuple[int, int]) -> Box:
    """Return the smallest box of whole pixels around one within a picture of that width and height; one at least.

    A mask of a detection has a row and a column for each of these pixels.
    """
    x, y = (min(max(math.floor(place), 0), side - 1) for place, side in zip(box[:2], size, strict=True))
    right, bottom = (math.ceil(place + length) for place, length in zip(box[:2], box[2:], strict=True))
    return Box(x, y, max(min(right, size[0]) - x, 1), max(min(bottom, size[1]) - y, 1))


def _maxima(boxes: Floats, overlap: float, most: int) -> list[int]:
    """Return the places of the first boxes of one class that stay, at most so many."""
    left = np.arange(len(boxes))
    kept: list[int] = []
    while len(left) and len(kept) < most:
        best = int(left[0])
        kept.append(best)
        left = left[1:]
        left = left[overlaps(boxes[[best]], boxes[left])[0] <= overlap]
    return kept
