"""Boxes, and how much two overlap: arrays of shape (n, 4), of x, y, width and height, (x, y) the upper left corner."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.number[Any]]


def intersections(boxes: Boxes, others: Boxes) -> npt.NDArray[np.float64]:
    """Compute the area that each box shares with each of the others, (n, m), in square pixels."""
    one, other = boxes.astype(np.float64)[:, np.newaxis], others.astype(np.float64)
    first = np.maximum(one[..., :2], other[:, :2])
    last = np.minimum(one[..., :2] + one[..., 2:], other[:, :2] + other[:, 2:])
    return np.asarray(np.maximum(last - first, 0).prod(axis=-1))


def areas(boxes: Boxes) -> npt.NDArray[np.float64]:
    """Compute the areas of boxes, shape (n,)."""
    return np.asarray(np.maximum(boxes[:, 2:].astype(np.float64), 0).prod(axis=1))


def overlaps(boxes: Boxes, others: Boxes) -> npt.NDArray[np.float64]:
    """Compute the intersection over union (IoU, the Jaccard index) of each box with each of the others, (n, m)."""
    shared = intersections(boxes, others)
    union = areas(boxes)[:, np.newaxis] + areas(others) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
