"""The view of an image that a network takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from cbir.images.fit import Extent, Preprocessing, fit
from cbir.images.views import Arrays, Layout, Size


@dataclass(frozen=True)
class Fitted:
    """The view that a network takes: `pixels`, shape (crop, crop, 3), uint8, not normalised yet."""

    preprocessing: Preprocessing

    name = "fitted"

    @property
    def layouts(self) -> Mapping[str, Layout]:
        """The form of its array."""
        return {"pixels": Layout("u1", (self.preprocessing.crop, self.preprocessing.crop, 3))}

    def at_least(self, size: Size | None) -> int | None:
        """Keep what the preprocessing asks for."""
        return self.preprocessing.decode_at_least

    def make(self, image: Image.Image, box: Extent, size: Size) -> Arrays:
        """Resize and crop an RGB image, which fills the `box` of `image`."""
        return {"pixels": fit(image, self.preprocessing, box)}
