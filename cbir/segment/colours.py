"""Colours for segments that are told apart at a glance, above all from those of the segments beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from cbir.segment.describe import Labels, Segment
from cbir.segment.runs import neighbours

Floats = npt.NDArray[np.float64]

#: Weights of a distance in Lab, and the most that counts of it: from the colours of segments that do not touch, and
#: from what the picture itself shows there. The distance from segments that touch weighs 1.
_APART, _OVER_PICTURE = (0.3, 40.0), (0.3, 50.0)


#: A distance in Lab beyond which no other is better: everybody sees it.
_FAR = 90.0


def distinct_colours(labels: Labels, segments: Sequence[Segment]) -> npt.NDArray[np.uint8]:
    """Return a colour for each segment, shape (segments, 3), the same for the same labels.

    The largest segment chooses first, each the colour that is farthest in CIELAB from those of its neighbours, farther
    segments and the picture's own mean colour there counting for less.
    """
    colours, places = _candidates()
    beside = neighbours(labels)
    own = _to_lab(np.array([segment.colour for segment in segments], dtype=np.float64) / 255)
    chosen: list[int] = []
    # how far each candidate is, for each segment, from those that its neighbours have; and from all that are taken
    from_neighbours = np.full((len(segments), len(places)), _FAR)
    from_all = np.full(len(places), _FAR)
    for number in range(len(segments)):
        from_picture = np.linalg.norm(places - own[number], axis=1)
        score = from_neighbours[number] + _worth(from_all, _APART) + _worth(from_picture, _OVER_PICTURE)
        chosen.append(int(score.argmax()))
        distances = np.linalg.norm(places - places[chosen[-1]], axis=1)
        from_all = np.minimum(from_all, distances)
        from_neighbours[beside[number]] = np.minimum(from_neighbours[beside[number]], distances)
    return colours[chosen]


def _worth(distances: Floats, weight: tuple[float, float]) -> Floats:
    factor, most = weight
    return factor * np.minimum(distances, most)


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
