"""A tiny grey picture of an image: it tells a near-duplicate from a look-alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from cbir.images.fit import Extent
from cbir.images.views import Arrays, Layout, Size

#: Pixels of a fingerprint's sides, whatever the image's shape.
SIDE = 32


@dataclass(frozen=True)
class Fingerprint:
    """The view of a whole image squeezed into a square: `grey`, shape (SIDE, SIDE), uint8."""

    name = "fingerprint"
    layouts = {"grey": Layout("u1", (SIDE, SIDE))}  # noqa: RUF012

    def at_least(self, size: Size | None) -> int | None:
        """Take what was decoded for the network."""
        return None

    def make(self, image: Image.Image, box: Extent, size: Size) -> Arrays:
        """Make the fingerprint of an RGB image, which fills the `box` of `image`."""
        # with a smaller gap it would be quicker, but pixels between two of its own would count for one of them only
        small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX, box=box, reducing_gap=8.0)
        return {"grey": np.asarray(small)}
