"""A region of a picture: a box, or a box and a mask within it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbir.errors import RegionError
from cbir.utils.numbers import finite
from cbir.utils.printable import shortened
from cbir.utils.vectors import Floats

Mask = npt.NDArray[np.bool_]


class Box(NamedTuple):
    """A rectangle within an upright image, in its pixels; (x, y) is the upper left corner."""

    x: int
    y: int
    width: int
    height: int


#: Points of a mask on each side of a map's cell, by which it is told how much of the cell it covers.
_POINTS = 8


@dataclass(frozen=True)
class Region:
    """A box of an upright image, and the pixels within it that count: `mask`, shape (height, width), or all of them."""

    box: Box
    mask: Mask | None = None

    def crop(self, image: Image.Image) -> Image.Image:
        """Return the region's box, cut out of its picture."""
        x, y, width, height = self.box
        return image.crop((x, y, x + width, y + height))

    def cover(self, rows: int, columns: int) -> Floats:
        """Return the share of each cell of a grid over the box that the region covers, 0 to 1, shape (rows, columns).

        At least one share is above 0.
        """
        if self.mask is None:
            return np.ones((rows, columns), dtype=np.float32)
        height, width = self.mask.shape
        down = ((np.arange(rows * _POINTS) + 0.5) * height / (rows * _POINTS)).astype(int)
        across = ((np.arange(columns * _POINTS) + 0.5) * width / (columns * _POINTS)).astype(int)
        points = self.mask[down[:, np.newaxis], across].reshape(rows, _POINTS, columns, _POINTS)
        found = points.mean(axis=(1, 3), dtype=np.float32)
        return found if found.any() else np.ones((rows, columns), dtype=np.float32)


def whole(image: Image.Image) -> Region:
    """All of a picture."""
    return Region(Box(0, 0, image.width, image.height))


@dataclass(frozen=True)
class RegionOption:
    """`x,y,w,h` as somebody typed it: four numbers, and which of them are percent of the picture's side."""

    text: str
    numbers: tuple[float, float, float, float]
    percent: tuple[bool, bool, bool, bool]

    @classmethod
    def parse(cls, text: str) -> RegionOption:
        """ValueError, with a sentence, where it is no region. One % at the end stands for all four."""
        parts = [part.strip() for part in text.split(",")]
        percent = [part.endswith("%") for part in parts]
        if percent[-1] and not any(percent[:-1]):
            percent = [True] * len(parts)
        try:
            x, y, width, height = (finite(part.removesuffix("%")) for part in parts)
        except ValueError as error:
            raise ValueError(f"{shortened(text)} is no region such as 40,30,200,150 or 10%,10%,50%,50%.") from error
        if min(x, y, width, height) < 0 or not width or not height:
            raise ValueError(
                f"{shortened(text)} has a number below 0, or no width or height: a region is x,y,width,height."
            )
        return cls(text, (x, y, width, height), (percent[0], percent[1], percent[2], percent[3]))

    def of(self, image: Image.Image, name: str) -> Region:
        """Return the region of a picture, in whole pixels. RegionError where that picture, `name`, does not have it."""
        sides = (image.width, image.height, image.width, image.height)
        x, y, width, height = (
            number * side / 100 if share else number
            for number, share, side in zip(self.numbers, self.percent, sides, strict=True)
        )
        # what is typed in percent may miss the edge by a rounding
        if x + width > image.width * 1.001 + 0.5 or y + height > image.height * 1.001 + 0.5:
            raise RegionError(
                f"The region {self.text} is not within {name}, which has {image.width} x {image.height} pixels: "
                "give x,y,width,height in pixels of the upright picture, or in %."
            )
        left, top = min(round(x), image.width - 1), min(round(y), image.height - 1)
        right, bottom = (
            min(max(round(x + width), left + 1), image.width),
            min(max(round(y + height), top + 1), image.height),
        )
        return Region(Box(left, top, right - left, bottom - top))

    def to_dict(self) -> dict[str, Any]:
        """Return the key of a JSON record that tells what was asked for."""
        return {"region": self.text}


def of_label(labels: npt.NDArray[np.uint8], label: int, name: str) -> Region:
    """Return a part of a segmentation, of which `labels`, shape (height, width), is the label map.

    RegionError where the picture, called `name`, has no such part.
    """
    inside = labels == label
    if not inside.any():
        count = int(labels.max()) + 1
        known = "0, the whole picture" if count == 1 else f"0 to {count - 1}"
        raise RegionError(f"{name} has no segment {label}: it has {known} (`cbir segment` shows them).")
    down, across = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    x, y, right, bottom = int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1
    return Region(Box(x, y, right - x, bottom - y), inside[y:bottom, x:right])


@dataclass(frozen=True)
class SegmentOption:
    """A part of a picture by its number in `cbir segment`."""

    label: int

    def to_dict(self) -> dict[str, Any]:
        """Return the key of a JSON record that tells what was asked for."""
        return {"segment": self.label}


Asked = RegionOption | SegmentOption
