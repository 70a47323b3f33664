"""Small tools that every scene uses: the array type, blends, unit vectors and the canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Vector = Sequence[float] | Array


@dataclass(frozen=True)
class Canvas:
    """The size of the finished photo in pixels, and how many samples a side are drawn for each of them."""

    width: int
    height: int
    samples: int = 2

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the drawn image."""
        return self.height * self.samples, self.width * self.samples

    def pixels(self) -> tuple[Array, Array]:
        """Coordinates (x, y) of the drawn pixels' centres, in units of the image's height, y downward."""
        rows, columns = self.shape
        y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
        return (x + 0.5) / rows, (y + 0.5) / rows


def colour(value: Vector) -> Array:
    """A colour as float32 of shape (3,)."""
    return np.asarray(value, np.float32)


def hexed(code: str) -> Array:
    """Linear light, shape (3,), from a colour as it looks on a screen: "#aabbcc"."""
    levels = np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)], np.float32) / 255
    return np.asarray(levels**2.2, np.float32)


def smoothstep(low: float | Array, high: float | Array, x: Array) -> Array:
    """0 below `low`, 1 above `high`, and a smooth S between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def mix(a: Array, b: Array, share: Array | float) -> Array:
    """From colour `a` to colour `b`; `share` (0..1) has one axis fewer than the colours."""
    weight = np.asarray(share, np.float32)[..., None]
    return np.asarray(a * (1 - weight) + b * weight)


def unit(vector: Vector) -> Array:
    """The vector, or the vectors along the last axis, at length 1 (float32)."""
    v = np.asarray(vector, np.float32)
    return np.asarray(v / np.maximum(np.sqrt(dot(v, v)), 1e-9)[..., None])


def direction(azimuth: float, elevation: float) -> Array:
    """A unit vector from degrees; azimuth 0 looks along +z, 90 along +x; y is up."""
    a, e = np.radians(azimuth), np.radians(elevation)
    return colour([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])


def dot(a: Array, b: Array) -> Array:
    """Scalar products along the last axis, of length 3."""
    return np.asarray(a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2])


def pick(rng: np.random.Generator, low: float, high: float) -> float:
    """A uniform random number as a plain float."""
    return float(rng.uniform(low, high))


def jitter(rng: np.random.Generator, base: Array, amount: float) -> Array:
    """The colour with each channel scaled by a random factor near 1, and all by another."""
    return np.asarray(base * rng.uniform(1 - amount, 1 + amount, 3) * rng.uniform(1 - amount, 1 + amount), np.float32)


def over(image: Array, paint: Array, alpha: Array, x: int = 0, y: int = 0) -> None:
    """Lay `paint` (h, w, 3) or (3,) with coverage `alpha` (h, w) on `image` in place, its corner at column x, row y.

    What would fall outside the image is cut off.
    """
    rows, columns = alpha.shape
    top, left = max(0, -y), max(0, -x)
    bottom, right = min(rows, image.shape[0] - y), min(columns, image.shape[1] - x)
    if top >= bottom or left >= right:
        return
    part = image[y + top : y + bottom, x + left : x + right]
    if paint.ndim == 3:
        paint = paint[top:bottom, left:right]
    part += alpha[top:bottom, left:right, None] * (paint - part)
