"""Fitting a picture to what a network takes: resize, crop, and the numbers that normalise it."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

#: Names of filters.
FILTERS = tuple(_RESAMPLING)

# how far each filter looks, in pixels of the larger of its two images
_REACH = {"nearest": 1, "bilinear": 1, "bicubic": 2, "lanczos": 3}

# Pixels of a side that a network may want; none of torchvision's wants more than 600.
_LARGEST = 1024

#: Left, top, right and bottom of a part of a picture, in pixels, which may be fractions.
Extent = tuple[float, float, float, float]

# (the longer side's length, the crop's corner from twice its distance to the edge)
_ROUNDING: dict[str, tuple[Callable[[float], int], Callable[[int], int]]] = {
    "torchvision": (int, lambda rest: round(rest / 2)),
    "nearest": (round, lambda rest: rest // 2),
}


@dataclass(frozen=True)
class Preprocessing:
    """The input that a network expects.

    The shorter side becomes `resize` pixels by `interpolation`, and the central `crop` × `crop` pixels are taken.
    A channel's value x of 0 to 255 enters the network as (x - mean) / std.

    `rounding` says what becomes of half pixels, since one pixel to the side changes features to a cosine of 0.96:
    "torchvision" cuts the longer side's fraction off and rounds the crop's corner, "nearest" rounds the longer
    side and cuts the corner's fraction off. With `is_squashed`, both sides become `resize` pixels, whatever the
    picture's shape.
    """

    resize: int
    crop: int
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    rounding: str = "torchvision"
    is_squashed: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object, which says that pictures are squashed where they are; `from_json` reads it back."""
        record = asdict(self)
        return {**record, "squash": True} if record.pop("is_squashed") else record

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Preprocessing:
        """Read what `to_json` wrote; ValueError, TypeError or KeyError where it is something else."""
        resize, crop, interpolation = record["resize"], record["crop"], str(record["interpolation"])
        if type(resize) is not int or type(crop) is not int:
            raise ValueError(f"impossible sizes: {reprlib.repr((resize, crop))}")
        rounding = str(record["rounding"])
        if not 1 <= crop <= resize <= _LARGEST or interpolation not in _RESAMPLING or rounding not in _ROUNDING:
            raise ValueError(f"impossible preprocessing: {reprlib.repr(record)}")
        numbers = [float(value) for value in (*record["mean"], *record["std"])]
        squash = record.get("squash", False)
        if type(squash) is not bool:
            raise ValueError(f"impossible preprocessing: squash is {reprlib.repr(squash)}")
        if len(numbers) != 6 or not all(map(math.isfinite, numbers)) or min(numbers[3:]) <= 0:
            raise ValueError(f"impossible normalisation: {numbers}")
        red, green, blue, *std = numbers
        return cls(resize, crop, interpolation, (red, green, blue), (std[0], std[1], std[2]), rounding, squash)

    @property
    def decode_at_least(self) -> int:
        """Pixels that each side should keep when a JPEG is decoded at a reduced size (`images.read.decode`).

        Twice the resized side: the resampling filter then still averages over more than one decoded pixel.
        """
        return 2 * self.resize


def fit(image: Image.Image, preprocessing: Preprocessing, box: Extent | None = None) -> npt.NDArray[np.uint8]:
    """Resize and crop an RGB picture; the result has shape (crop, crop, 3), uint8, not normalised yet.

    `box` is the part of `image` that the picture fills (`images.read.decode_reduced`), by default all of it.
    """
    left, top, right, bottom = box or (0.0, 0.0, *image.size)
    width, height = right - left, bottom - top
    crop = preprocessing.crop
    size, column, row = _placed(width, height, preprocessing)
    if preprocessing.is_squashed:
        whole = np.asarray(image.resize(size, _RESAMPLING[preprocessing.interpolation], box=box))
        return whole[row : row + crop, column : column + crop]
    if size == image.size and (left, top, right, bottom) == (0, 0, *size):
        return np.asarray(image.crop((column, row, column + crop, row + crop)))
    # Only the pixels of the crop are computed. They are those of resizing all and then cropping, but for one level here
    # and there where Pillow's 32-bit coordinates round, because its filters look beyond the box, and because the rows
    # are resized first: the other way round a quarter of all pixels would differ by one level.
    across, down = width / size[0], height / size[1]
    x, y = left + column * across, top + row * down
    above, below = _rows(y, y + crop * down, preprocessing.interpolation, down, image.height)
    resampling = _RESAMPLING[preprocessing.interpolation]
    band = image.crop((0, above, image.width, below)) if (above, below) != (0, image.height) else image
    # rounding must not lead out of the image
    band = band.resize((crop, band.height), resampling, box=(x, 0, min(x + crop * across, right), band.height))
    rows = (0, y - above, crop, min(y + crop * down, bottom) - above)
    return np.asarray(band.resize((crop, crop), resampling, box=rows))


def covered(size: tuple[float, float], preprocessing: Preprocessing) -> Extent:
    """Return the part of a picture of that width and height that `fit` takes, in shares of its sides."""
    (width, height), column, row = _placed(*size, preprocessing)
    crop = preprocessing.crop
    return column / width, row / height, (column + crop) / width, (row + crop) / height


def scaled(preprocessing: Preprocessing, crop: int) -> Preprocessing:
    """Return a preprocessing that takes the same part of a picture, but for rounding, in a crop of so many pixels."""
    return replace(preprocessing, crop=crop, resize=max(round(preprocessing.resize * crop / preprocessing.crop), crop))


def _placed(width: float, height: float, preprocessing: Preprocessing) -> tuple[tuple[int, int], int, int]:
    """Return the width and height to which a picture is resized, and the first column and row of its crop."""
    side = preprocessing.resize
    length, corner = _ROUNDING[preprocessing.rounding]
    if preprocessing.is_squashed:
        size = (side, side)
    elif width <= height:
        size = (side, length(side * height / width))
    else:
        size = (length(side * width / height), side)
    return size, corner(size[0] - preprocessing.crop), corner(size[1] - preprocessing.crop)


def squash(image: Image.Image, preprocessing: Preprocessing, box: Extent | None = None) -> npt.NDArray[np.uint8]:
    """Resize a whole RGB picture to a square, whatever its shape; else as `fit`."""
    resampling = _RESAMPLING[preprocessing.interpolation]
    return np.asarray(image.resize((preprocessing.crop, preprocessing.crop), resampling, box=box))


def _rows(top: float, bottom: float, interpolation: str, scale: float, height: int) -> tuple[int, int]:
    """Find the first row, and the one after the last, for resizing those from `top` to `bottom` by `scale`."""
    reach = _REACH[interpolation] * max(scale, 1.0) + 1
    return max(0, math.floor(top - reach)), min(height, math.ceil(bottom + reach))
