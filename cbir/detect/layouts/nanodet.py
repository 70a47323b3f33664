"""NanoDet and PicoDet: of each cell the scores of classes, and how far each side of a box is, as a distribution.

Li et al., "Generalized Focal Loss" (NeurIPS 2020); Yu et al., "PP-PicoDet" (arXiv:2111.00902).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cbir.detect.layouts.layout import STRIDES, Found, Input, best, cells, grid, strides_of, without_batch
from cbir.utils.vectors import Floats

#: Numbers a side: the distance is their weighted mean, in strides.
_BINS = 8


@dataclass(frozen=True)
class NanoDet:
    """Scores, (cells, classes), and sides, (cells, 4 * bins), of so many strides: of each apart, or `is_joined` in one.

    A box's sides are left, top, right and bottom, counted from the middle of its cell; from its corner where joined,
    as in NanoDet-Plus.
    """

    width: int
    height: int
    classes: int
    levels: int
    is_joined: bool

    least_score = 0.5
    has_masks = False

    @property
    def name(self) -> str:
        """The kind, as far as it is to be seen: PicoDet has four strides."""
        return "picodet" if self.levels == 4 and not self.is_joined else "nanodet"

    @property
    def usual(self) -> Input:
        """The way of pixels into it: PicoDet's were stretched in training."""
        return Input("rgb", "imagenet", "stretch") if self.name == "picodet" else Input("bgr", "imagenet", "centre")

    def decode(self, outputs: Sequence[Floats]) -> Found:
        """Read the candidates of a picture."""
        side = self.width, self.height
        scores, sides = _parts(outputs, side, self.levels, self.classes, is_joined=self.is_joined)
        chosen, highest, classes = best(scores)
        places = grid(side, STRIDES[: self.levels])
        strides = places.strides[chosen]
        powers = np.exp((logits := sides[chosen].reshape(len(chosen), 4, _BINS)) - logits.max(axis=2, keepdims=True))
        distances = (powers @ np.arange(_BINS, dtype=np.float32)) / powers.sum(axis=2) * strides[:, np.newaxis]
        start = places.corners[chosen] + (0 if self.is_joined else strides[:, np.newaxis] / 2)
        corners = np.concatenate([start - distances[:, :2], start + distances[:, 2:]], axis=1)
        return Found(corners.astype(np.float32), highest, classes)


def recognise(outputs: Sequence[Floats], side: tuple[int, int], names: int | None) -> NanoDet | None:
    """Return the layout of `outputs`, as of `LayoutFamily`."""
    rows = [without_batch(one) for one in outputs]
    if any(one.ndim != 2 for one in rows):
        return None
    if len(rows) == 1:
        strides, columns = strides_of(len(rows[0]), side), rows[0].shape[1] - 4 * _BINS
        known = columns == names or (names is None and columns == 80)
        return NanoDet(*side, columns, len(strides), True) if strides and columns > 0 and known else None
    if len(rows) not in (6, 8):
        return None
    wanted = [cells(side, (stride,)) for stride in STRIDES[: len(rows) // 2]]
    of_sides = [one for one in rows if one.shape[1] == 4 * _BINS]
    others = [one for one in rows if one.shape[1] != 4 * _BINS]
    if sorted(map(len, of_sides)) != sorted(wanted) or sorted(map(len, others)) != sorted(wanted):
        return None
    if len({one.shape[1] for one in others}) != 1:
        return None
    return NanoDet(*side, others[0].shape[1], len(wanted), False)


def _parts(
    outputs: Sequence[Floats], side: tuple[int, int], levels: int, classes: int, *, is_joined: bool
) -> tuple[Floats, Floats]:
    """Return the scores and the sides of all cells."""
    rows = [without_batch(one) for one in outputs]
    if is_joined:
        return rows[0][:, :classes], rows[0][:, classes:]
    by_length = {(len(one), one.shape[1]): one for one in rows}
    wanted = [cells(side, (stride,)) for stride in STRIDES[:levels]]
    scores = np.concatenate([by_length[count, classes] for count in wanted])
    return scores, np.concatenate([by_length[count, 4 * _BINS] for count in wanted])
