"""A picture as large as a network needs it to see its parts."""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbir.images.fit import Extent

#: Pixels of a picture's longer side when its parts are read for an index, and all its pixels at most, about: windows
#: are a third of the shorter side, so those of squarer pictures need fewer for as many each. docs/method/parts.md
#: has others.
SIDE = 608
_AREA = 608 * 400

_MULTIPLE = 32  # of the sides that engines take

_SIZES = struct.Struct("<IIII")


class LargePicture(NamedTuple):
    """A picture whose longer side was brought to SIDE or a little less: `pixels`, shape (rows, columns, 3), uint8.

    `width` and `height` are the upright picture's own, in pixels.
    """

    width: int
    height: int
    pixels: npt.NDArray[np.uint8]

    def pieces(self) -> tuple[bytes, memoryview]:
        """For a pipe, one after the other; `from_bytes` reads them together."""
        rows, columns = self.pixels.shape[:2]
        return _SIZES.pack(self.width, self.height, rows, columns), np.ascontiguousarray(self.pixels).data

    @classmethod
    def from_bytes(cls, data: memoryview) -> LargePicture:
        """What `pieces` were."""
        width, height, rows, columns = _SIZES.unpack_from(data)
        pixels = np.frombuffer(data, dtype=np.uint8, offset=_SIZES.size).reshape(rows, columns, 3)
        return cls(width, height, pixels)


def large_picture(image: Image.Image, box: Extent, size: tuple[int, int]) -> LargePicture:
    """An RGB picture of `size` pixels, which fills the `box` of `image`, as its parts are read."""
    wanted = size_for_parts(size)
    if image.size != wanted or box != (0, 0, *wanted):
        # most are enlarged: by parts as much is found as with bicubic, in two thirds of the time
        image = image.resize(wanted, Image.Resampling.BILINEAR, box=box)
    return LargePicture(*size, np.asarray(image))


def size_for_parts(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height in which the network sees a picture of that size for its parts."""
    return network_size(size, min(SIDE, max(size) * math.sqrt(_AREA / math.prod(size))))


def network_size(size: tuple[int, int], side: float) -> tuple[int, int]:
    """Width and height with that longer side, as multiples of 32."""
    width, height = (max(round(length * side / max(size) / _MULTIPLE), 1) * _MULTIPLE for length in size)
    return width, height
