"""A picture as a detector takes it: the whole of it, fitted into a frame or brought to a size."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from cbir.images.fit import Extent
from cbir.images.views import Arrays, Layout, Size

#: Places of a picture in a frame of another shape: the upper left corner, the middle, or stretched over all of it.
PLACES = ("corner", "centre", "stretch")

#: Pixels of a frame's side at most, and at least.
LARGEST, SMALLEST = 4096, 32

# Where the frame is not covered, as networks of YOLO's kind were trained.
_GREY = (114, 114, 114)


class Placed(NamedTuple):
    """The place of a picture in a frame, in its pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Framed:
    """The view of a whole image in a frame of `width` and `height`: `pixels`, shape (height, width, 3), uint8.

    It stands at one of PLACES. Enlarged where it is smaller.
    """

    width: int
    height: int
    place: str = "corner"

    name = "framed"

    @property
    def layouts(self) -> Mapping[str, Layout]:
        """The form of its array."""
        return {"pixels": Layout("u1", (self.height, self.width, 3))}

    def placed(self, size: Size) -> Placed:
        """Return where an image of that size comes to stand."""
        if self.place == "stretch":
            return Placed(0, 0, self.width, self.height)
        scale = min(self.width / size[0], self.height / size[1])
        width, height = (max(int(side * scale + 1e-6), 1) for side in size)
        if self.place == "corner":
            return Placed(0, 0, width, height)
        return Placed((self.width - width) // 2, (self.height - height) // 2, width, height)

    def at_least(self, size: Size | None) -> int | None:
        """Keep twice the pixels that the network sees: resizing then still averages over more than one of them."""
        if size is None:
            return 2 * max(self.width, self.height)
        return 2 * max(min(self.placed(size)[2:]), SMALLEST)

    def make(self, image: Image.Image, box: Extent, size: Size) -> Arrays:
        """Resize an RGB image of `size` pixels, which fills the `box` of `image`, and frame it in grey."""
        left, top, width, height = self.placed(size)
        resized = image.resize((width, height), Image.Resampling.BILINEAR, box=box)
        if resized.size == (self.width, self.height):
            return {"pixels": np.asarray(resized)}
        framed = Image.new("RGB", (self.width, self.height), _GREY)
        framed.paste(resized, (left, top))
        return {"pixels": np.asarray(framed)}

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; `from_json` reads it back."""
        return {"width": self.width, "height": self.height, "place": self.place}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Framed:
        """Read what `to_json` wrote; ValueError or KeyError where it is something else."""
        sides = record["width"], record["height"]
        if (
            not all(type(side) is int and SMALLEST <= side <= LARGEST for side in sides)
            or record["place"] not in PLACES
        ):
            raise ValueError(f"impossible frame: {reprlib.repr(record)}")
        return cls(*sides, record["place"])


@dataclass(frozen=True)
class Scaled:
    """The view of a whole image whose shorter side is `shorter`, or whose longer one `longer` if that makes it smaller.

    `pixels`, shape (rows, columns, 3), uint8.
    """

    shorter: int
    longer: int

    name = "scaled"

    @property
    def layouts(self) -> Mapping[str, Layout]:
        """The form of its array."""
        return {"pixels": Layout("u1", (self.longer, self.longer, 3), (1, 1, 3))}

    def placed(self, size: Size) -> Placed:
        """Return the width and height that an image of that size comes to have."""
        scale = min(self.shorter / min(size), self.longer / max(size))
        width, height = (min(max(math.floor(side * scale + 1e-6), 1), self.longer) for side in size)
        return Placed(0, 0, width, height)

    def at_least(self, size: Size | None) -> int | None:
        """Keep twice the pixels that the network sees, as `Framed`."""
        return 2 * self.shorter if size is None else 2 * min(self.placed(size)[2:])

    def make(self, image: Image.Image, box: Extent, size: Size) -> Arrays:
        """Resize an RGB image of `size` pixels, which fills the `box` of `image`."""
        wanted = self.placed(size)[2:]
        if image.size != wanted or box != (0, 0, *wanted):
            image = image.resize(wanted, Image.Resampling.BILINEAR, box=box)
        return {"pixels": np.asarray(image)}
