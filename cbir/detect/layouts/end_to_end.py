"""Networks that suppress in the graph, or need not: YOLOv10, YOLO26, and others exported so.

Wang et al., "YOLOv10: Real-Time End-to-End Object Detection" (NeurIPS 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cbir.detect.detection import FLOOR
from cbir.detect.layouts.layout import Found, Input, without_batch
from cbir.utils.vectors import Floats

# Boxes that such networks tell at most; there are 300 as a rule.
_MOST = 5_000
_LARGEST_SHARE = 2.0


@dataclass(frozen=True)
class EndToEnd:
    """One output, (n, 6): left, top, right, bottom, score, class; places in pixels, or `in_shares` of the input.

    How many classes there are is not to be seen from it.
    """

    width: int
    height: int
    classes: int
    in_shares: bool

    name = "end to end"
    usual = Input("rgb", "0-1", "centre")
    least_score = 0.25
    has_masks = False

    def decode(self, outputs: Sequence[Floats]) -> Found:
        """Read the candidates of a picture."""
        rows = without_batch(outputs[0])
        numbers = rows[:, 5]
        rows = rows[(rows[:, 4] >= FLOOR) & (numbers > -0.5) & (numbers < self.classes - 0.5)]
        scale = np.array([self.width, self.height] * 2, dtype=np.float32) if self.in_shares else np.float32(1)
        return Found(rows[:, :4] * scale, rows[:, 4], np.rint(rows[:, 5]).astype(np.int64))


def recognise(outputs: Sequence[Floats], side: tuple[int, int], names: int | None) -> EndToEnd | None:
    """Return the layout of `outputs`, as of `LayoutFamily`."""
    if len(outputs) != 1 or (rows := without_batch(outputs[0])).ndim != 2:
        return None
    if rows.shape[1] != 6 or not 1 <= len(rows) <= _MOST:
        return None
    numbers = rows[:, 5]
    if not np.isfinite(rows).all() or (numbers != np.rint(numbers)).any():
        return None
    in_shares = 0 < float(np.abs(rows[:, :4]).max()) <= _LARGEST_SHARE  # all zero: nothing was found
    return EndToEnd(*side, names or 80, in_shares)
