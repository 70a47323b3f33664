"""Maps that tell how a picture was treated, and what is kept of them.

A filter, a sketch's strokes or a sepia tone change what the first layers of a network see wherever it is in a picture,
and the picture's content hardly does: so the mean and the deviation of each channel tell the one and not the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from cbir.utils.vectors import Floats

T = TypeVar("T")

#: Tells of a network without such maps.
WITHOUT_EARLY_MAPS = (
    "This backbone has no early maps, which tell how a picture was treated: choose another, efficientnet_lite0 for one."
)


def early(stages: Sequence[T]) -> Sequence[T]:
    """Choose, of the maps before each change of resolution, fine to coarse, the second and the third.

    Of a network that has two, both. The first knows single pixels' colours, those after the third what is shown.
    """
    return stages[1:3] if len(stages) > 2 else stages


def moments(maps: Iterable[Floats]) -> Floats:
    """Compute the mean and the deviation of each channel of maps, shapes (n, channels, rows, columns).

    Those of all maps come one after the other: shape (n, 2 * all channels).
    """
    found = [one(map_, axis=(2, 3), dtype=np.float64) for map_ in maps for one in (np.mean, np.std)]
    return np.concatenate(found, axis=1, dtype=np.float32)
