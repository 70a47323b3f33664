"""A decoded picture as every network takes it: in mode RGB, in the colours of sRGB."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from cbir.images.colour import alpha, depth, spaces
from cbir.images.colour.bands import BAND, bands

_GREYS = ("1", "L", "LA", "La", "I", "F")


def to_rgb(image: Image.Image, data: bytes = b"") -> Image.Image:
    """Return a loaded picture in mode RGB and sRGB colours: transparency laid on a ground, deep greys scaled to 8 bits.

    Colours are those that the file says, `data`, by an embedded profile (perceptual intent) where it is sound and fits
    the picture's mode, or by what its format has instead. `image` may not be used any more.
    """
    if alpha.is_no_transparency(image, data):
        image = alpha.without_alpha(image)
    convert = _conversion(image, data)
    if convert is None:
        return image
    if image.width * image.height <= BAND:
        return convert(image)
    rgb = Image.new("RGB", image.size)
    for top, band in bands(image):
        rgb.paste(convert(band), (0, top))
    return rgb


def _conversion(image: Image.Image, data: bytes) -> Callable[[Image.Image], Image.Image] | None:
    """Choose the function that makes RGB of a band of `image`; None where it is RGB already."""
    transform = spaces.transform_of(image, data, is_grey=_is_grey(image))
    to_base = _to_base(image)
    if transform is None:
        return to_base
    mode, apply = transform
    if mode == "CMYK":
        return apply
    if to_base is None:
        return apply
    if mode == "RGB":
        return lambda band: apply(to_base(band))
    if image.mode == "L" and not alpha.has_alpha(image):
        return apply
    return lambda band: apply(to_base(band).convert("L"))


def _is_grey(image: Image.Image) -> bool:
    return image.mode in _GREYS or image.mode.startswith("I;16")


def _to_base(image: Image.Image) -> Callable[[Image.Image], Image.Image] | None:
    """Choose the function that makes RGB of a band, colour profiles aside; None where it is RGB already."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _from_deep(image)
    if alpha.has_alpha(image):
        if alpha.is_opaque(image):
            return lambda band: band.convert("RGB")
        ground = alpha.ground_of(image)
        return lambda band: alpha.lay_on(band, ground)
    if image.mode == "RGB":
        return None
    return lambda band: band.convert("RGB")


def _from_deep(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """Choose the function that makes RGB of bands of deep greys, by the range of all of them."""
    seen = depth.survey((_numbers(band) for _, band in bands(image)), image.width * image.height)
    declared = 65535.0 if image.format == "PPM" and image.mode == "I" else None  # Pillow has scaled it
    scale = depth.to_bytes(seen, _numbers(image.crop((0, 0, 1, 1))).dtype, declared)
    hole = image.info.get("transparency")
    if not isinstance(hole, int):
        return lambda band: Image.fromarray(scale(_numbers(band))).convert("RGB")

    def with_alpha(band: Image.Image) -> Image.Image:
        numbers = _numbers(band)
        made = Image.fromarray(scale(numbers))
        made.putalpha(Image.fromarray(np.where(numbers == hole, np.uint8(0), np.uint8(255))))
        return made

    ground = alpha.ground_of(with_alpha(alpha.sample_of(image)))
    return lambda band: alpha.lay_on(with_alpha(band), ground)


def _numbers(band: Image.Image) -> depth.Numbers:
    numbers = np.asarray(band)
    return numbers.astype(np.uint16, copy=False) if band.mode.startswith("I;16") else numbers
