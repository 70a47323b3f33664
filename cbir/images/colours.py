"""What the numbers of a picture mean as colours, and the way from there to sRGB."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from PIL import ImageCms

#: The largest profiles in use, those of presses, have 3 MB.
MAX_PROFILE_BYTES = 8_000_000

# Colours that a profile moves by less than this are left alone: the many profiles of sRGB itself differ by 1 or 2.
_VISIBLE = 3

# the mode that pictures of a profile's colour space have
_MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}


def transform_of(
    image: Image.Image, data: bytes, *, is_grey: bool
) -> tuple[str, Callable[[Image.Image], Image.Image]] | None:
    """From which mode (RGB, L or CMYK) a picture is brought to sRGB, and by what; None where that changes nothing.

    An embedded profile of greys is for grey pictures only, one of inks for CMYK only, one of RGB for all others.
    """
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 0 < len(profile) <= MAX_PROFILE_BYTES:
        return None
    mode = _MODES.get(profile[16:20])
    if mode is None or (mode == "CMYK") != (image.mode == "CMYK") or (mode == "L" and not is_grey):
        return None
    if image.mode == "LAB":
        return None
    transform = _transform(profile, mode)
    return None if transform is None else (mode, transform.apply)


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
