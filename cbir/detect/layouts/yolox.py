"""YOLOX: a box of each cell, with an objectness; decoded in the graph or not.

Ge et al., "YOLOX: Exceeding YOLO Series in 2021" (arXiv:2107.08430).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cbir.detect.layouts.layout import Found, Input, best, corners_of, grid, strides_of, without_batch
from cbir.utils.vectors import Floats


@dataclass(frozen=True)
class YoloX:
    """One output, (cells, 5 + classes): centre and size, objectness, scores. What is not `decoded` counts from cells.

    Such places are in strides from the cell, sizes are logarithms.
    """

    width: int
    height: int
    classes: int
    decoded: bool

    name = "yolox"
    usual = Input("bgr", "0-255", "corner")
    least_score = 0.4
    has_masks = False

    def decode(self, outputs: Sequence[Floats]) -> Found:
        """Read the candidates of a picture."""
        rows = without_batch(outputs[0])
        chosen, scores, classes = best(rows[:, 5:], rows[:, 4])
        centred = rows[chosen, :4]
        if not self.decoded:
            side = self.width, self.height
            cells = grid(side, strides_of(len(rows), side) or ())
            strides = cells.strides[chosen, np.newaxis]
            sizes = np.exp(np.minimum(centred[:, 2:], 20)) * strides
            centred = np.concatenate([centred[:, :2] * strides + cells.corners[chosen], sizes], axis=1)
        return Found(corners_of(centred), scores, classes)


def recognise(outputs: Sequence[Floats], side: tuple[int, int], names: int | None) -> YoloX | None:
    """Return the layout of `outputs`, as of `LayoutFamily`."""
    if len(outputs) != 1 or (rows := without_batch(outputs[0])).ndim != 2:
        return None
    if strides_of(len(rows), side) is None or rows.shape[1] < 6 or rows.shape[1] - 4 == names:
        return None
    # sizes in pixels are never below zero, of thousands of logarithms some always are
    return YoloX(*side, rows.shape[1] - 5, bool((rows[:, 2:4] >= 0).all()))
