"""The meaning of a picture's numbers as colours, and their conversion to sRGB."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cbir.images.colour import profiles
from cbir.images.colour.profiles import MAX_PROFILE_BYTES
from cbir.images.formats import png

if TYPE_CHECKING:
    from PIL import ImageCms

# Colours that a profile moves by less than this are left alone: the many profiles of sRGB itself differ by 1 or 2.
_VISIBLE = 3

# the mode that pictures of a profile's colour space have
_MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}

_INTEROPERABILITY, _INDEX = 0xA005, 1

# Boxes and headers that say colours stand near a file's beginning.
_HEAD = 1 << 16


def transform_of(
    image: Image.Image, data: bytes, *, is_grey: bool
) -> tuple[str, Callable[[Image.Image], Image.Image]] | None:
    """Return the mode (RGB, L or CMYK) and the function that bring a picture to sRGB; None where nothing would change.

    An embedded profile of greys is for grey pictures only, one of inks for CMYK only, one of RGB for all others.
    """
    profile = _profile_of(image, data)
    if profile is None or not 0 < len(profile) <= MAX_PROFILE_BYTES:
        return None
    mode = _MODES.get(profile[16:20])
    if mode is None or (mode == "CMYK") != (image.mode == "CMYK") or (mode == "L" and not is_grey):
        return None
    if image.mode == "LAB":
        return None
    transform = _transform(profile, mode)
    return None if transform is None else (mode, transform.apply)


def _profile_of(image: Image.Image, data: bytes) -> bytes | None:
    """Return the profile of a picture's colours: what its file embeds, else one made of what it says in other ways."""
    format_, embedded = image.format, image.info.get("icc_profile")
    if format_ == "PNG":
        if (codes := png.chunk(data, b"cICP")) is not None and len(codes) == 4:  # goes before an embedded one
            return profiles.of_codes(codes[0], codes[1])
        if not embedded and "srgb" not in image.info:
            return _png_profile(image)
    if isinstance(embedded, bytes) and embedded:
        return embedded
    try:
        if format_ in ("JPEG", "MPO"):
            return profiles.of_gamma(563 / 256, profiles.ADOBE_RGB) if _is_adobe_rgb(image) else None
        if format_ in ("AVIF", "HEIF") and (at := data.find(b"colrnclx", 0, _HEAD)) >= 0:
            return profiles.of_codes(*struct.unpack_from(">HH", data, at + 8))
        if format_ == "JPEG2000" and (at := data.find(b"colr\x02", 0, _HEAD)) >= 4:
            length = int.from_bytes(data[at - 4 : at], "big")
            return data[at + 7 : at - 4 + length]
        if format_ == "BMP" and len(data) > 138 and data[70:74] == b"DEBM":
            where, length = struct.unpack_from("<II", data, 126)
            return data[14 + where : 14 + where + length]
    except struct.error:  # cut short
        pass
    return None


def _png_profile(image: Image.Image) -> bytes | None:
    """Make a profile from the chunks gAMA and cHRM; without the first the second says nothing."""
    gamma, chromaticity = image.info.get("gamma"), image.info.get("chromaticity")
    if not gamma:
        return None
    if chromaticity is None or len(chromaticity) != 8:
        return profiles.of_gamma(1 / gamma)
    white, red, green, blue = (tuple(chromaticity[n : n + 2]) for n in range(0, 8, 2))
    return profiles.of_gamma(1 / gamma, (red, green, blue, white))


def _is_adobe_rgb(image: Image.Image) -> bool:
    """Tell whether a camera says of a JPEG that it is in Adobe RGB (DCF, optional colour space)."""
    if b"R03" not in image.info.get("exif", b""):
        return False
    try:
        return bool(image.getexif().get_ifd(_INTEROPERABILITY).get(_INDEX) == "R03")
    except Exception:  # broken EXIF raises nearly anything
        return False


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Make the transform from a mode (RGB, L or CMYK) in the colours of `profile` to RGB in those of sRGB.

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
