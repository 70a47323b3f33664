"""Enlarging labels from the size in which a picture was segmented to its own, with smooth borders."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbir.utils.vectors import Floats

Labels = npt.NDArray[np.uint8]


def enlarged(likelihoods: Floats, size: tuple[int, int]) -> Labels:
    """Return the label that is most likely at each pixel: (height, width) from (rows, columns, labels).

    The likelihoods are enlarged and not the labels, one after another, so that memory stays at two numbers a pixel.
    """
    width, height = size
    labels = np.zeros((height, width), dtype=np.uint8)
    most = np.full((height, width), -np.inf, dtype=np.float32)
    for label in range(likelihoods.shape[2]):
        here = np.asarray(Image.fromarray(likelihoods[:, :, label]).resize(size, Image.Resampling.BILINEAR))
        nearer = here > most
        labels[nearer] = label
        np.copyto(most, here, where=nearer)
    return labels


def enlarged_labels(labels: Labels, size: tuple[int, int]) -> Labels:
    """`labels`, shape (rows, columns), at another size, (width, height): each pixel gets the label that has most of
    what linear interpolation reads there. Only each label's own surroundings are looked at, so that many labels cost
    little more than few."""
    rows, columns = labels.shape
    width, height = size
    if (columns, rows) == size:
        return labels
    found = np.zeros((height, width), dtype=np.uint8)
    most = np.zeros((height, width), dtype=np.float32)
    reach = 2  # cells around a label in which some of it is read
    for label in range(int(labels.max()) + 1):
        inside = labels == label
        down, across = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        if not len(down):
            continue
        top, bottom = _span(down, reach, height / rows, height)
        left, right = _span(across, reach, width / columns, width)
        box = (left * columns / width, top * rows / height, right * columns / width, bottom * rows / height)
        here = np.asarray(
            Image.fromarray(inside.astype(np.float32)).resize(
                (right - left, bottom - top), Image.Resampling.BILINEAR, box=box
            )
        )
        place = np.s_[top:bottom, left:right]
        more = here > most[place]
        found[place][more] = label
        np.copyto(most[place], here, where=more)
    return found


def _span(cells: npt.NDArray[np.intp], reach: int, factor: float, most: int) -> tuple[int, int]:
    """Return the pixels, from and to, that `cells` and `reach` more on either side cover when enlarged by `factor`."""
    start = max(0, math.floor((cells[0] - reach) * factor))
    return start, min(most, math.ceil((cells[-1] + 1 + reach) * factor))
