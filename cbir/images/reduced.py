"""A whole picture, reduced where it is large: for what looks at places in it, wherever they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cbir.images.fit import Extent
from cbir.images.views import Arrays, Layout, Size


@dataclass(frozen=True)
class Reduced:
    """The view of a whole image whose longer side is `most` pixels at most, and never more than its own.

    A JPEG that is decoded at a reduced size stays as it is from `least` pixels on: decoding more of it would cost more
    than it shows. `pixels`, shape (rows, columns, 3), uint8.
    """

    most: int
    least: int

    name = "reduced"

    @property
    def layouts(self) -> Mapping[str, Layout]:
        """The form of its array."""
        return {"pixels": Layout("u1", (self.most, self.most, 3), (1, 1, 3))}

    def at_least(self, size: Size | None) -> int | None:
        """Keep `least` pixels of the longer side."""
        return self.least if size is None else max(round(min(size) * min(1.0, self.least / max(size))), 1)

    def make(self, image: Image.Image, box: Extent, size: Size) -> Arrays:
        """Reduce an RGB image of `size` pixels, which fills the `box` of `image`, if need be."""
        left, top, right, bottom = box
        sides = (right - left, bottom - top)
        is_whole = all(abs(side - whole) < 1 for side, whole in zip(sides, image.size, strict=True))
        scale = min(1.0, self.most / max(sides))
        if is_whole and max(image.size) <= self.most:  # parts of a pixel at an edge move nothing that matters
            return {"pixels": np.asarray(image)}
        width, height = (min(max(round(side * scale), 1), self.most) for side in sides)
        reduced = image.resize((width, height), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
        return {"pixels": np.asarray(reduced)}
