"""Choosing the frame of an animation, or page of a document, that stands for the picture: the first, unless blank."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageFile

from cbir.images.formats import tiff

#: Formats of which a file may hold several frames. An MPO's others are the same picture again, seen from beside it.
_ANIMATED = frozenset({"GIF", "PNG", "WEBP", "AVIF", "HEIF", "TIFF"})

# How many frames are looked at, and how many pixels they may have together: two seconds of a film, or so.
_FRAMES = 60
_PIXELS = 64_000_000

# Frames above this many pixels are not looked for a better one: several at once take memory that nobody foretold.
_LARGE = 16_000_000

_SIDE = 64

#: Grey levels by which the pixels of a frame differ that has something on it: more than a line of text, or a shadow.
LEAST_CONTRAST = 4.0


def may_be_several(image: Image.Image) -> bool:
    """Tell whether a file may hold frames other than `image`, its first, that could stand for the picture."""
    if image.format not in _ANIMATED or image.width * image.height > _LARGE:
        return False
    return image.format in ("GIF", "TIFF") or bool(getattr(image, "is_animated", False))


def contrast(rgb: Image.Image) -> float:
    """Return by how many levels the pixels of an RGB picture differ, looked at from afar."""
    small = np.asarray(rgb.resize((_SIDE, _SIDE), Image.Resampling.BOX, reducing_gap=4.0), dtype=np.float64)
    return float(small.reshape(-1, 3).std(axis=0).max())


def is_blank(rgb: Image.Image) -> bool:
    """Tell whether there is hardly anything on an RGB picture."""
    return contrast(rgb) < LEAST_CONTRAST


def others(image: ImageFile.ImageFile, data: bytes) -> Iterator[ImageFile.ImageFile]:
    """Yield the frames or pages after the first, as far as they are looked at, not loaded; a broken one ends them."""
    pixels = image.width * image.height
    most = min(_FRAMES, _PIXELS // pixels)
    if image.format == "TIFF":
        for at in tiff.pages(data)[1 : most + 1]:
            page = tiff.open_page(data, at)
            pixels += page.width * page.height
            if pixels > _PIXELS:
                return
            yield page
        return
    for number in range(1, most + 1):
        try:
            image.seek(number)
        except EOFError:
            return
        yield image
