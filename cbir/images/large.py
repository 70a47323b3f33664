"""A picture as large as a network needs it to see its parts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cbir.images.fit import Extent
from cbir.images.views import Arrays, Layout, Size

#: Pixels of a picture's longer side when its parts are read for an index, and all its pixels at most, about: windows
#: are a third of the shorter side, so those of squarer pictures need fewer for as many each. docs/method/parts.md
#: has others.
SIDE = 608
_AREA = 608 * 400

#: The sides of images of which engines make maps are multiples of this.
MULTIPLE = 32


@dataclass(frozen=True)
class Large:
    """The view of an image whose longer side is SIDE or a little less: `pixels`, shape (rows, columns, 3), uint8."""

    name = "large"
    layouts = {"pixels": Layout("u1", (SIDE, SIDE, 3), (MULTIPLE, MULTIPLE, 3))}  # noqa: RUF012

    def at_least(self, size: Size | None) -> int | None:
        """Keep as many pixels as the network sees."""
        return SIDE if size is None else min(size_for_parts(size))

    def make(self, image: Image.Image, box: Extent, size: Size) -> Arrays:
        """Resize an RGB image of `size` pixels, which fills the `box` of `image`."""
        wanted = size_for_parts(size)
        if image.size != wanted or box != (0, 0, *wanted):
            # most are enlarged: by parts as much is found as with bicubic, in two thirds of the time
            image = image.resize(wanted, Image.Resampling.BILINEAR, box=box)
        return {"pixels": np.asarray(image)}


def size_for_parts(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height in which the network sees a picture of that size for its parts."""
    return network_size(size, min(SIDE, max(size) * math.sqrt(_AREA / math.prod(size))))


def network_size(size: tuple[int, int], side: float) -> tuple[int, int]:
    """Width and height with that longer side, as multiples of 32."""
    width, height = (max(round(length * side / max(size) / MULTIPLE), 1) * MULTIPLE for length in size)
    return width, height
