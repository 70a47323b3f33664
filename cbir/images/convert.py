"""A decoded picture as every network takes it: upright, in mode RGB, in the colours of sRGB."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbir.images.fit import Box

if TYPE_CHECKING:
    from PIL import ImageCms

#: The white that stands behind transparent pixels: what a viewer shows, and what logos are drawn for.
BACKGROUND = (255, 255, 255)

# The largest profiles in use, those of presses, have 3 MB.
_MAX_PROFILE_BYTES = 8_000_000

# Colours that a profile moves by less than this are left alone: the many profiles of sRGB itself differ by 1 or 2.
_VISIBLE = 3

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# each turn is a mirroring across, one down, or both, and then perhaps a swap of the axes
_MIRRORS_ACROSS = frozenset(
    {
        Image.Transpose.FLIP_LEFT_RIGHT,
        Image.Transpose.ROTATE_180,
        Image.Transpose.ROTATE_90,
        Image.Transpose.TRANSVERSE,
    }
)
_MIRRORS_DOWN = frozenset(
    {
        Image.Transpose.FLIP_TOP_BOTTOM,
        Image.Transpose.ROTATE_180,
        Image.Transpose.ROTATE_270,
        Image.Transpose.TRANSVERSE,
    }
)
_SWAPS = frozenset(
    {
        Image.Transpose.TRANSPOSE,
        Image.Transpose.TRANSVERSE,
        Image.Transpose.ROTATE_90,
        Image.Transpose.ROTATE_270,
    }
)


def is_on_its_side(image: Image.Image) -> bool:
    """Whether `turn_upright` makes the width of `image` its height."""
    return _turn_of(image) in _SWAPS


def _turn_of(image: Image.Image) -> Image.Transpose | None:
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken EXIF raises nearly anything, and costs the picture nothing but its orientation
        return None


def turn_upright(image: Image.Image, box: Box) -> tuple[Image.Image, Box]:
    """`image` turned as its EXIF orientation says, and where a `box` of it then is; as it is where EXIF is broken."""
    turn = _turn_of(image)
    if turn is None:
        return image, box
    left, top, right, bottom = box
    width, height = image.size
    if turn in _MIRRORS_ACROSS:
        left, right = width - right, width - left
    if turn in _MIRRORS_DOWN:
        top, bottom = height - bottom, height - top
    if turn in _SWAPS:
        left, top, right, bottom = top, left, bottom, right
    return image.transpose(turn), (left, top, right, bottom)


def to_rgb(image: Image.Image) -> Image.Image:
    """`image` in mode RGB and sRGB colours: transparency over white, deep greys scaled to 8 bits.

    An embedded colour profile is followed (perceptual intent) where it is sound and fits the picture's mode.
    """
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 0 < len(profile) <= _MAX_PROFILE_BYTES:
        return _without_profile(image)
    if image.mode in ("L", "CMYK") and "transparency" not in image.info:
        transform = _transform(profile, image.mode)
        return _without_profile(image) if transform is None else transform.apply(image)
    rgb = _without_profile(image)
    if image.mode in ("RGB", "RGBA", "RGBX", "RGBa", "P", "PA"):
        transform = _transform(profile, "RGB")
        if transform is not None:
            return transform.apply(rgb)
    return rgb


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a mode (RGB, L or CMYK) in the colours of `profile` to RGB in those of sRGB.

    None where that changes nothing to speak of, or where the profile is broken or belongs to another mode. Most
    photos come with one of a handful of profiles, so that this is worked out once for each of them.
    """
    try:
        from PIL import ImageCms

        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        transform = ImageCms.ImageCmsTransform(source, target, mode, "RGB", ImageCms.Intent.PERCEPTUAL)
        if mode == "CMYK":
            return transform
        sample = _sample(mode)
        moved = np.asarray(transform.apply(sample), dtype=np.int16) - np.asarray(sample.convert("RGB"))
    except Exception:  # a build without LittleCMS, or a profile that it will not have
        return None
    return transform if np.abs(moved).max() >= _VISIBLE else None


def _sample(mode: str) -> Image.Image:
    """Colours from all over mode RGB or L."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[np.newaxis])
    steps = np.arange(0, 256, 51, dtype=np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3))


def _without_profile(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips at 255, which turns a 16-bit scan white
        return Image.fromarray((np.asarray(image, dtype=np.uint16) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        return Image.fromarray(_stretch(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        # `convert` twice: RGBa and La go straight to no other mode, and a palette's transparency becomes alpha
        rgba = image.convert("RGBA")
        canvas = Image.new("RGBA", rgba.size, (*BACKGROUND, 255))
        return Image.alpha_composite(canvas, rgba).convert("RGB")
    return image.convert("RGB")


def _stretch(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Greys of unknown range, shape (height, width), as uint8.

    Values of 0 to 1, 255 or 65535 keep that scale; anything else is stretched between its extremes. What is not
    finite counts as 0.
    """
    low, high, whole = np.inf, -np.inf, True
    for _, band in _bands(values):
        low, high = min(low, float(band.min())), max(high, float(band.max()))
        whole = whole and np.array_equal(band, np.round(band))
    if low >= 0 and high <= 65535:
        spread = 1.0 if high <= 1 and not whole else 255.0 if high <= 255 else 65535.0
        low = 0.0
    else:
        spread = (high - low) or 1.0  # a picture of one grey
    greys = np.empty(values.size, dtype=np.uint8)
    for start, band in _bands(values):
        greys[start : start + band.size] = np.round((band - low) * (255.0 / spread))
    return greys.reshape(values.shape)


def _bands(values: npt.NDArray[Any], size: int = 1 << 20) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
    """All of `values` in a row, `size` at a time: where each band starts, and its numbers, finite and in float64.

    At once, the 250 megapixels of the largest picture would take several times 2 GB.
    """
    flat = values.reshape(-1)
    for start in range(0, flat.size, size):
        band = flat[start : start + size].astype(np.float64)
        yield start, np.nan_to_num(band, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
