"""JPEG XL, read with the extra `cbir[jxl]`: Pillow's plugin, kept from pictures that are too large."""

from __future__ import annotations

import importlib
import io
from functools import cache

from PIL import Image, ImageFile

from cbir.errors import ImageReadError
from cbir.images import cost
from cbir.images.formats.first_bytes import JXL_STARTS
from cbir.images.notes import EXIF_OF_NOTES

_FORMAT = "JXL"

# Sides of pictures as their header has it: of the number that follows, the bits; of a width, its share of the height.
_BITS = (9, 13, 18, 30)
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))

# Bytes of a pixel that the decoder holds: planes of float32, and what it gives away.
_BYTES = 24


def is_jxl(data: bytes) -> bool:
    """Tell whether a file says that it is JPEG XL."""
    return data.startswith(JXL_STARTS)


def open_jxl(data: bytes, name: str) -> ImageFile.ImageFile:
    """Open a JPEG XL file. Its pixels are decoded at once, so it is refused before if there are too many.

    Raises ImageReadError, and what Pillow does of pictures that are too large.
    """
    if not _register():
        raise ImageReadError(name, "JPEG XL pictures need an extra: install cbir[jxl]")
    try:
        width, height = size_of(data)
    except ValueError as error:
        raise ImageReadError(name, f"it is a damaged JPEG XL picture ({error})") from error
    if width * height > 2 * (Image.MAX_IMAGE_PIXELS or 0):
        raise Image.DecompressionBombError(f"{width} x {height} pixels")
    cost.claim(_BYTES * width * height, name)
    try:
        image: ImageFile.ImageFile = Image.OPEN[_FORMAT][0](io.BytesIO(data), "")
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # what Rust calls a panic is no Exception
        raise ImageReadError(name, "it is a damaged JPEG XL picture") from error
    if not getattr(image, "jpeg", False):
        # turned by its decoder already: what EXIF says of that does not count, as in browsers
        image.info[EXIF_OF_NOTES] = image.info.pop("exif", None)
    return image


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height as the header of a JPEG XL file has them; ValueError where it has none."""
    bits = _Bits(_codestream(data))
    is_small = bits.take(1)
    height = 8 * (bits.take(5) + 1) if is_small else 1 + bits.take(_BITS[bits.take(2)])
    ratio = bits.take(3)
    if ratio:
        over, under = _RATIOS[ratio - 1]
        return height * over // under, height
    return 8 * (bits.take(5) + 1) if is_small else 1 + bits.take(_BITS[bits.take(2)]), height


class _Bits:
    """The bits of a header, the lowest of each byte first."""

    def __init__(self, header: bytes) -> None:
        self._value, self._left = int.from_bytes(header, "little"), 8 * len(header)

    def take(self, count: int) -> int:
        """Return the number that the next so many bits make; ValueError where there are fewer."""
        if count > self._left:
            raise ValueError("its header ends too early")
        found = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        return found


def _codestream(data: bytes) -> bytes:
    """Return the first bytes of the picture itself, behind its mark."""
    if data.startswith(JXL_STARTS[0]):
        return data[2:16]
    place = 0
    while place + 8 <= len(data):
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        start = place + 8
        if length == 1:
            length, start = int.from_bytes(data[start : start + 8], "big"), start + 8
        if kind in (b"jxlc", b"jxlp"):
            start += 4 * (kind == b"jxlp")
            if data[start : start + 2] == JXL_STARTS[0]:
                return data[start + 2 : start + 16]
        if length < 8:
            break
        place += length
    raise ValueError("it has no picture in it")


@cache
def _register() -> bool:
    """Have Pillow read JPEG XL from now on; False where the extra is missing."""
    try:
        importlib.import_module("pillow_jxl")
    except ImportError:
        return False
    return _FORMAT in Image.OPEN
