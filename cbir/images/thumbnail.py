"""A tiny grey picture of a picture, and how large that is: what tells a near-duplicate from a look-alike."""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbir.images.fit import Extent

#: Pixels of a thumbnail's sides, whatever the picture's shape.
SIDE = 32

_SIZES = struct.Struct("<II")

#: Bytes of a thumbnail in a pipe.
BYTES = _SIZES.size + SIDE * SIDE


class Thumbnail(NamedTuple):
    """The whole picture squeezed into a square: `grey` has the shape (SIDE, SIDE), uint8.

    `width` and `height` are the upright picture's, in pixels, before anything was reduced.
    """

    width: int
    height: int
    grey: npt.NDArray[np.uint8]

    def to_bytes(self) -> bytes:
        """For a pipe; `from_bytes` reads it."""
        return _SIZES.pack(self.width, self.height) + self.grey.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Thumbnail:
        """What `to_bytes` wrote."""
        grey = np.frombuffer(data, dtype=np.uint8, offset=_SIZES.size).reshape(SIDE, SIDE)
        width, height = _SIZES.unpack_from(data)
        return cls(width, height, grey)


def thumbnail(image: Image.Image, box: Extent, size: tuple[int, int]) -> Thumbnail:
    """The thumbnail of an RGB picture of `size` pixels, which fills the `box` of `image`."""
    # with a smaller gap it would be quicker, but pixels between two of the thumbnail's would count for one of them only
    small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX, box=box, reducing_gap=8.0)
    return Thumbnail(*size, np.asarray(small))
