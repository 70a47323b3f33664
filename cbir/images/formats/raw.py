"""Raw photos, read with the extra `cbir[raw]`: the picture that a camera put beside them, or their own pixels."""

from __future__ import annotations

import importlib
import io
from typing import Any, NamedTuple

from PIL import Image

from cbir.images import cost
from cbir.images.formats.first_bytes import RAW_STARTS
from cbir.images.formats.suffixes import RAW_SUFFIXES, suffix_of
from cbir.images.orientation import ORIENTATION

#: A preview stands for the photo if its longer side has so many pixels, or half of the photo's.
ENOUGH = 1000

_DNG_VERSION = 50706  # a tag of TIFF

# How LibRaw and EXIF call the same turns; a camera knows no others.
_TURNS = {3: 3, 5: 8, 6: 6}

# Bytes of a pixel that LibRaw holds while it makes a picture of half the size: what the sensor saw, four colours, RGB.
_BYTES = 8


def is_raw(data: bytes, name: str) -> bool:
    """Tell whether a file is a raw photo by its name or its first bytes."""
    return (
        suffix_of(name) in RAW_SUFFIXES
        or data.startswith(RAW_STARTS)
        or data[4:12] == b"ftypcrx "
        or (data[:2] == b"II" and data[8:10] == b"CR")
        or _has_tag(data, _DNG_VERSION)
    )


class RawPicture(NamedTuple):
    """The picture of a raw photo, its turn in its EXIF, and the bytes that it is decoded from, if it is not yet."""

    image: Image.Image
    data: bytes = b""


def open_raw(data: bytes, name: str) -> RawPicture | None:
    """Return the picture of a raw photo.

    None where the extra is missing, or the file is no raw photo that it reads. Raises what Pillow does of pictures that
    are too large, and ImageReadError where it takes too much memory.
    """
    try:
        rawpy: Any = importlib.import_module("rawpy")
    except ImportError:
        return None
    refusals: tuple[type[Exception], ...] = (rawpy.LibRawError, rawpy.NotSupportedError, ValueError)
    try:
        photo = rawpy.imread(io.BytesIO(data))
    except refusals:
        return None
    with photo:
        sizes = photo.sizes
        if sizes.raw_width * sizes.raw_height > 2 * (Image.MAX_IMAGE_PIXELS or 0):
            raise Image.DecompressionBombError(f"{sizes.raw_width} x {sizes.raw_height} pixels")
        preview = _preview(photo, refusals)
        if preview is not None and max(preview.image.size) >= min(ENOUGH, max(sizes.width, sizes.height) / 2):
            return preview
        cost.claim(_BYTES * sizes.raw_width * sizes.raw_height, name)
        try:
            # LibRaw turns it upright itself
            return RawPicture(Image.fromarray(photo.postprocess(half_size=True, use_camera_wb=True, output_bps=8)))
        except refusals:
            return preview


def _preview(photo: Any, refusals: tuple[type[Exception], ...]) -> RawPicture | None:
    """Return the picture that a camera put beside a raw photo; None where there is none that can be read."""
    try:
        found = photo.extract_thumb()
        image: Image.Image
        if found.format.name == "JPEG":
            data = bytes(found.data)
            image = Image.open(io.BytesIO(data), formats=["JPEG"])
        else:
            data, image = b"", Image.fromarray(found.data.copy())
        turn = _TURNS.get(photo.sizes.flip)
        exif = image.getexif()
    except refusals:
        return None
    except (OSError, SyntaxError, TypeError, KeyError):  # it is damaged
        return None
    if turn in (6, 8):
        # a camera may have turned it already; what its own EXIF says is not always so
        is_landscape = photo.sizes.width > photo.sizes.height
        exif[ORIENTATION] = turn if (image.width > image.height) == is_landscape else 1
    elif turn is not None and ORIENTATION not in exif:
        exif[ORIENTATION] = turn
    return RawPicture(image, data)


def _has_tag(data: bytes, tag: int) -> bool:
    """Tell whether the first folder of a TIFF has a tag."""
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(data[:4])
    if order is None:
        return False
    numbers: Any = order
    start = int.from_bytes(data[4:8], numbers)
    count = int.from_bytes(data[start : start + 2], numbers)
    tags = (data[start + 2 + 12 * number : start + 4 + 12 * number] for number in range(min(count, 1000)))
    return any(int.from_bytes(found, numbers) == tag for found in tags)
