"""The memory that a picture takes on its way from a file's bytes to RGB, estimated from its header beforehand."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from PIL import Image

from cbir.errors import ImageReadError
from cbir.images.formats import png, tiff

#: A picture that needs more bytes than this is refused before it is decoded. Its file's own bytes do not count.
MAX_BYTES = 2 << 30

#: A function to call with the bytes that a picture will take, before it is decoded: whoever runs several decoders at
#: once may set it, to have them wait for each other.
reserve: Callable[[int], None] | None = None

# Bytes of a pixel that Pillow holds, by mode; all others take 4.
_SMALL = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}

_RGB = 4

# What decoders hold of each pixel beside the picture that Pillow makes of it: planes of colour, a whole canvas, the
# numbers of a wavelet. Measured with the libraries of Pillow 13; tests/images/test_cost.py measures it again.
_BESIDE = {"WEBP": 14, "AVIF": 9, "HEIF": 7, "SGI": 3, "DDS": 4, "QOI": 4, "BMP": 1, "DIB": 1}
_WAVELET = 5  # of each sample

_ROW = 8  # where it is, which counts in pictures a pixel wide

# what a decoder and the bands of a conversion take whatever the picture's size
_ALWAYS = 24 << 20


def memory_needed(image: Image.Image, size: tuple[int, int] | None = None) -> int:
    """Bytes that decoding a picture and bringing it to RGB take at most, about, its file's own not among them.

    `image` is opened, not loaded, and perhaps told to come at a reduced size; `size` is then the picture's own.
    """
    pixels = _pixels(image)
    if image.format == "TIFF":
        pixels = max(pixels, math.prod(tiff.tile_of(image)))
    own = _SMALL.get(image.mode, 4)
    if image.format == "GIF":
        own *= 3  # what was there before a frame, and what is there after it, are kept
    beside = int(getattr(image, "bytes_beside", _BESIDE.get(image.format or "", 0) * pixels))
    if image.format == "JPEG2000":
        beside = _WAVELET * len(image.getbands()) * pixels
    elif image.format in ("JPEG", "MPO") and image.info.get("progressive"):
        width, height = size or image.size
        beside = round(2 * _samples(image) * width * height)
    plain = image.mode == "RGB" and "transparency" not in image.info and "icc_profile" not in image.info
    if image.format == "PNG" and any(str(tile.args).endswith(";16B") for tile in getattr(image, "tile", ())):
        plain = False  # it may be decoded a second time, for the lower bytes
    decoding = own * pixels + beside
    converting = (own if plain else own + _RGB) * pixels
    rows = (1 if plain else 2) * _ROW * image.height
    return _ALWAYS + max(decoding, converting) + rows


def check(image: Image.Image, size: tuple[int, int], name: str) -> None:
    """ImageReadError where decoding `image` takes more memory than one picture may have; see `memory_needed`."""
    claim(memory_needed(image, size), name)


def claim(needed: int, name: str) -> None:
    """ImageReadError where so many bytes are more than one picture may have; else wait until there is room for them."""
    if needed > MAX_BYTES:
        raise ImageReadError(
            name, f"decoding it would take {needed / 1e9:.1f} GB of memory, more than {MAX_BYTES / 1e9:.1f} GB"
        )
    if reserve is not None:
        reserve(needed)


def _pixels(image: Image.Image) -> int:
    """Count the pixels to decode; an icon holds a PNG or bitmap of any size, whatever it says itself."""
    icon = getattr(image, "ico", None)
    if icon is None or not icon.entry:
        return image.width * image.height
    icon.buf.seek(icon.entry[icon.getentryindex(image.size)].offset)
    head = icon.buf.read(24)
    if len(head) < 24:
        return image.width * image.height
    width, height = (
        struct.unpack_from(">II", head, 16) if head.startswith(png.MARK) else struct.unpack("<4xii12x", head)
    )
    return int(abs(width) * abs(height))


def _samples(image: Image.Image) -> float:
    """Return the numbers per pixel that a progressive JPEG holds until its last scan."""
    layers = [(across, down) for _, across, down, _ in getattr(image, "layer", ())]
    widest = max((across for across, _ in layers), default=0) * max((down for _, down in layers), default=0)
    return sum(across * down for across, down in layers) / widest if widest else len(image.getbands())
