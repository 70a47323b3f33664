"""Fitting a picture to what a network takes: resize, crop, and the numbers that normalise it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
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

# (the longer side's length, the crop's corner from twice its distance to the edge)
_ROUNDING: dict[str, tuple[Callable[[float], int], Callable[[int], int]]] = {
    "torchvision": (int, lambda rest: round(rest / 2)),
    "nearest": (round, lambda rest: rest // 2),
}


@dataclass(frozen=True)
class Preprocessing:
    """How a network wants its pictures.

    The shorter side becomes `resize` pixels by `interpolation`, and the central `crop` × `crop` pixels are taken.
    A channel's value x of 0 to 255 enters the network as (x - mean) / std.

    `rounding` says what becomes of half pixels, since one pixel to the side changes features to a cosine of 0.96:
    "torchvision" cuts the longer side's fraction off and rounds the crop's corner, "nearest" rounds the longer
    side and cuts the corner's fraction off.
    """

    resize: int
    crop: int
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    rounding: str = "torchvision"

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Preprocessing:
        """Read what `to_json` wrote; ValueError, TypeError or KeyError where it is something else."""
        resize, crop, interpolation = record["resize"], record["crop"], str(record["interpolation"])
        if not isinstance(resize, int) or not isinstance(crop, int):
            raise ValueError(f"impossible sizes: {resize}, {crop}")
        rounding = str(record["rounding"])
        if not 1 <= crop <= resize <= 4096 or interpolation not in _RESAMPLING or rounding not in _ROUNDING:
            raise ValueError(f"impossible preprocessing: {record}")
        numbers = [float(value) for value in (*record["mean"], *record["std"])]
        if len(numbers) != 6 or not all(map(math.isfinite, numbers)) or min(numbers[3:]) <= 0:
            raise ValueError(f"impossible normalisation: {numbers}")
        red, green, blue, *std = numbers
        return cls(resize, crop, interpolation, (red, green, blue), (std[0], std[1], std[2]), rounding)

    @property
    def decode_at_least(self) -> int:
        """Pixels that each side should keep when a JPEG is decoded at a reduced size (`images.read.decode`).

        Twice the resized side: the resampling filter then still averages over more than one decoded pixel.
        Features are at a cosine of 0.9995 from a full decode's on the mean, 0.998 at worst.
        """
        return 2 * self.resize


def fit(image: Image.Image, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """Resize and crop an RGB picture; the result has shape (crop, crop, 3), uint8, not normalised yet."""
    width, height = image.size
    side, crop = preprocessing.resize, preprocessing.crop
    length, corner = _ROUNDING[preprocessing.rounding]
    if width <= height:
        size = (side, length(side * height / width))
    else:
        size = (length(side * width / height), side)
    left, top = corner(size[0] - crop), corner(size[1] - crop)
    resampling = _RESAMPLING[preprocessing.interpolation]
    if max(size) > 8 * side:
        return _fit_sliver(image, size, (left, top), crop, resampling)
    if size != image.size:
        image = image.resize(size, resampling)
    return np.asarray(image.crop((left, top, left + crop, top + crop)))


def _fit_sliver(
    image: Image.Image, size: tuple[int, int], corner: tuple[int, int], crop: int, resampling: Image.Resampling
) -> npt.NDArray[np.uint8]:
    """The crop of a picture far longer than wide, without the gigabytes that the whole of it would take resized."""
    across, down = image.size[0] / size[0], image.size[1] / size[1]
    box = (corner[0] * across, corner[1] * down, (corner[0] + crop) * across, (corner[1] + crop) * down)
    return np.asarray(image.resize((crop, crop), resampling, box=box))
