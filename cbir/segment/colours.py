"""Colours for the parts of a picture that are told apart at a glance, above all from those of the parts beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from cbir.segment.describe import Labels, Part

Floats = npt.NDArray[np.float64]

#: Distances in Lab that count as much as one between two parts that touch: from parts that do not, and from what the
#: picture itself shows there.
_APART, _OVER_PICTURE = 2.5, 2.0


def distinct_colours(labels: Labels, parts: Sequence[Part]) -> npt.NDArray[np.uint8]:
    """A colour for each part, shape (parts, 3), the same for the same labels.

    The largest part chooses first, each the colour that is farthest in CIELAB from those of its neighbours, farther
    parts and the picture's own mean colour there counting for less.
    """
    colours, places = _candidates()
    beside = neighbours(labels)
    own = _to_lab(np.array([part.colour for part in parts], dtype=np.float64) / 255)
    chosen: list[int] = []
    nearest = np.full((len(parts), len(places)), np.inf)  # how far each candidate is for each part, by those chosen
    for number in range(len(parts)):
        over_picture = _OVER_PICTURE * np.linalg.norm(places - own[number], axis=1)
        best = int(np.minimum(nearest[number], over_picture).argmax())
        chosen.append(best)
        distances = np.linalg.norm(places - places[best], axis=1)
        weights = np.where(beside[number], 1.0, _APART)
        np.minimum(nearest, weights[:, np.newaxis] * distances, out=nearest)
    return colours[chosen]


def neighbours(labels: Labels) -> npt.NDArray[np.bool_]:
    """Which parts touch along an edge of pixels: symmetric, shape (parts, parts), nobody its own neighbour."""
    count = int(labels.max()) + 1
    touch = np.zeros((count, count), dtype=np.bool_)
    for one, other in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        differ = one != other
        touch[one[differ], other[differ]] = True
    return touch | touch.T


@cache
def _candidates() -> tuple[npt.NDArray[np.uint8], Floats]:
    """Vivid colours, neither nearly black nor nearly white: as sRGB, shape (n, 3), and in CIELAB."""
    lab = np.array(
        [
            (lightness, chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue)))
            for lightness in (80, 65, 50, 90, 38)
            for chroma in (85, 65, 45)
            for hue in range(0, 360, 8)
        ]
    )
    rgb = _to_rgb(lab)
    is_possible = np.abs(_to_lab(rgb) - lab).max(axis=1) < 0.5  # what sRGB has not was cut to its nearest
    return np.round(rgb[is_possible] * 255).astype(np.uint8), lab[is_possible]


def _to_lab(rgb: Floats) -> Floats:
    from skimage.color import rgb2lab

    return np.asarray(rgb2lab(rgb.reshape(1, -1, 3))[0], dtype=np.float64)


def _to_rgb(lab: Floats) -> Floats:
    import warnings

    from skimage.color import lab2rgb

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of colours beyond sRGB
        return np.asarray(np.clip(lab2rgb(lab.reshape(1, -1, 3))[0], 0, 1), dtype=np.float64)
