"""The view of an image that networks take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbir.images.fit import Extent, Preprocessing, covered, fit, squash
from cbir.images.views import Arrays, Layout, Size


class Framing(NamedTuple):
    """One picture that is made of an image: by the preprocessing of a network, or the whole squashed to its square."""

    preprocessing: Preprocessing
    is_squashed: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of the picture."""
        return self.preprocessing.crop, self.preprocessing.crop, 3

    def of(self, image: Image.Image, box: Extent) -> npt.NDArray[np.uint8]:
        """Make the picture of an RGB image, which fills the `box` of `image`."""
        return (squash if self.is_squashed else fit)(image, self.preprocessing, box)

    def covered(self, size: tuple[float, float]) -> Extent:
        """Return the part of an image of that width and height that is in the picture, in shares of its sides."""
        return (0.0, 0.0, 1.0, 1.0) if self.is_squashed else covered(size, self.preprocessing)


@dataclass(frozen=True)
class Fitted:
    """The view that a network takes: `pixels`, shape (crop, crop, 3), uint8, not normalised yet.

    With `others`, which further networks take or the same one, `pixels` are all their bytes, one picture after the
    other, shape (bytes,); `split` takes them apart.
    """

    preprocessing: Preprocessing
    others: tuple[Framing, ...] = ()

    name = "fitted"

    @property
    def framings(self) -> tuple[Framing, ...]:
        """The pictures, in order."""
        return Framing(self.preprocessing), *self.others

    @property
    def layouts(self) -> Mapping[str, Layout]:
        """The form of its array."""
        shapes = [framing.shape for framing in self.framings]
        return {"pixels": Layout("u1", (sum(map(math.prod, shapes)),) if self.others else shapes[0])}

    def at_least(self, size: Size | None) -> int | None:
        """Keep what the preprocessings ask for."""
        return max(framing.preprocessing.decode_at_least for framing in self.framings)

    def make(self, image: Image.Image, box: Extent, size: Size) -> Arrays:
        """Resize and crop an RGB image, which fills the `box` of `image`."""
        pictures = [framing.of(image, box) for framing in self.framings]
        return {"pixels": np.concatenate([one.reshape(-1) for one in pictures]) if self.others else pictures[0]}

    def split(self, pixels: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
        """Take `pixels` of n images apart, shape (n, …): the pictures of each framing, shape (n, crop, crop, 3)."""
        if not self.others:
            return [pixels]
        shapes = [framing.shape for framing in self.framings]
        ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
        parts = np.split(pixels, ends.tolist(), axis=1)
        return [part.reshape(len(pixels), *shape) for part, shape in zip(parts, shapes, strict=True)]
