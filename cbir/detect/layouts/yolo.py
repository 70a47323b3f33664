"""Networks of YOLO's kind as Ultralytics and others export them, decoded: YOLOv5 and v7; YOLOv8, v9 and 11, with masks.

Redmon et al., "You Only Look Once: Unified, Real-Time Object Detection" (CVPR 2016); masks as in Bolya et al.,
"YOLACT: Real-time Instance Segmentation" (ICCV 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cbir.detect.layouts.layout import (
    COEFFICIENTS,
    Found,
    Input,
    best,
    corners_of,
    strides_of,
    without_batch,
)
from cbir.utils.vectors import Floats

#: Boxes of each cell in networks with anchors.
_ANCHORS = 3

# Boxes in shares of the input are not larger than this, those in pixels are.
_LARGEST_SHARE = 2.0


@dataclass(frozen=True)
class Yolo:
    """Rows of centre and size, perhaps an objectness, the scores of classes, perhaps coefficients of a mask.

    `has_objectness` as YOLOv5 and v7, `is_transposed` where a column is a box, as in v8 and later. Places are in pixels
    of the input, or `in_shares` of it.
    """

    width: int
    height: int
    classes: int
    has_objectness: bool
    is_transposed: bool
    in_shares: bool
    has_masks: bool

    usual = Input("rgb", "0-1", "centre")
    least_score = 0.25

    @property
    def name(self) -> str:
        """The kind."""
        return "yolov5" if self.has_objectness else "yolov8"

    def decode(self, outputs: Sequence[Floats]) -> Found:
        """Read the candidates of a picture."""
        rows, maps = _parts(outputs)
        rows = rows.T if self.is_transposed else rows
        first = 5 if self.has_objectness else 4
        scores = rows[:, first : first + self.classes]
        chosen, highest, classes = best(scores, rows[:, 4] if self.has_objectness else None)
        centred = rows[chosen, :4]
        if self.in_shares:
            centred = centred * np.array([self.width, self.height] * 2, dtype=np.float32)
        coefficients = rows[chosen, first + self.classes :] if self.has_masks else None
        return Found(corners_of(centred), highest, classes, coefficients, maps if self.has_masks else None)


def recognise(outputs: Sequence[Floats], side: tuple[int, int], names: int | None) -> Yolo | None:
    """Return the layout of `outputs`, as of `LayoutFamily`."""
    if not 1 <= len(outputs) <= 2:
        return None
    rows, maps = _parts(outputs)
    if rows.ndim != 2 or (len(outputs) == 2 and maps is None):
        return None
    masks = 0 if maps is None else COEFFICIENTS
    if strides_of(rows.shape[1], side) is not None:
        has_objectness, is_transposed, columns = False, True, rows.shape[0]
    elif strides_of(len(rows), side, _ANCHORS) is not None:
        has_objectness, is_transposed, columns = True, False, rows.shape[1]
    elif strides_of(len(rows), side) is not None and rows.shape[1] - 4 - masks == names:
        has_objectness, is_transposed, columns = False, False, rows.shape[1]
    else:
        return None
    classes = columns - (5 if has_objectness else 4) - masks
    if classes < 1:
        return None
    places = rows[:4] if is_transposed else rows[:, :4]
    in_shares = bool(np.nanmax(np.abs(places), initial=0) <= _LARGEST_SHARE)
    return Yolo(*side, classes, has_objectness, is_transposed, in_shares, maps is not None)


def _parts(outputs: Sequence[Floats]) -> tuple[Floats, Floats | None]:
    """Return boxes, and the maps of which masks are made, shape (COEFFICIENTS, rows, columns), if there are any."""
    shapes = [without_batch(one) for one in outputs]
    boxes = next((one for one in shapes if one.ndim == 2), shapes[0])
    maps = next((one for one in shapes if one.ndim == 3), None)
    if maps is None:
        return boxes, None
    if maps.shape[0] == COEFFICIENTS:
        return boxes, maps
    # as TensorFlow has it
    return boxes, np.ascontiguousarray(maps.transpose(2, 0, 1)) if maps.shape[2] == COEFFICIENTS else None
