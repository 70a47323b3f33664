"""TIFFs: which of their pages stands for the picture, and who reads it."""

from __future__ import annotations

import io
import math

from PIL import Image, ImageFile, TiffImagePlugin
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from cbir.images.formats.deep_tiff import DeepTiff
from cbir.images.formats.tiff_tags import BIG, CHANNELS_OF, MAX_CHANNELS, Meaning, Tag, beginning_at, load, one

#: Pages that are looked at: more stand in files of scanned books only, whose first pages are their picture.
MAX_PAGES = 16

# A first page whose longer side has at most this many pixels, and a quarter of another's, is that one's thumbnail.
_THUMBNAIL = 320


def pages(data: bytes) -> list[int]:
    """Find where the pages of a TIFF begin, the one that stands for the picture first, thumbnails left out.

    Raises SyntaxError where there are none.
    """
    found: list[tuple[int, int, int]] = []  # where, pixels, the longer side
    smaller: list[int] = []
    directory = ImageFileDirectory_v2(data[: 16 if BIG in data[2:4] else 8])
    seen: set[int] = set()
    while directory.next and directory.next not in seen and len(seen) < MAX_PAGES:
        at = directory.next
        seen.add(at)
        try:
            directory = load(data, at)
            size = one(directory, Tag.WIDTH, 0), one(directory, Tag.HEIGHT, 0)
            is_smaller = bool(one(directory, Tag.SUBFILE, 0) & 1)
        except Exception:  # a broken page ends the list
            break
        if min(size) <= 0:
            continue
        if is_smaller:
            smaller.append(at)
        else:
            found.append((at, math.prod(size), max(size)))
    if not found:
        if not smaller:
            raise SyntaxError("it has no page")
        return smaller
    if found[0][2] <= _THUMBNAIL:
        found = next((found[n:] for n, page in enumerate(found) if page[1] >= 4 * found[0][1]), found)
    return [at for at, _, _ in found]


def open_page(data: bytes, at: int) -> ImageFile.ImageFile:
    """Return the page of a TIFF that begins `at`, not decoded yet."""
    directory = load(data, at)
    if _is_for_pillow(directory):
        return TiffImageFile(io.BytesIO(beginning_at(data, at)))
    return DeepTiff(data, directory)


def tile_of(image: Image.Image) -> tuple[int, int]:
    """Return the sides of a TIFF's tiles, decoded as a whole even if larger than the picture; else 0, 0."""
    tags = getattr(image, "tag_v2", {})
    return int(tags.get(Tag.TILE_WIDTH, 0)), int(tags.get(Tag.TILE_HEIGHT, 0))


def _is_for_pillow(directory: ImageFileDirectory_v2) -> bool:
    """Tell whether Pillow reads a page as it is meant, so far as its header tells."""
    if set(directory.get(Tag.BITS, (1,))) - {1, 2, 4, 8} or set(directory.get(Tag.FORMAT, (1,))) - {1, 4}:
        return directory.get(Tag.COMPRESSION) in (6, 7)  # JPEG of 12 bits, which no one reads
    photometric = directory.get(Tag.PHOTOMETRIC, 0)
    if photometric not in CHANNELS_OF or directory.get(Tag.COMPRESSION) in (6, 7):
        return True  # palettes; subsampled colours, which libtiff knows how to read
    if photometric == Meaning.ICC_LAB or (directory.get(Tag.PLANES, 1) == 2 and one(directory, Tag.CHANNELS, 1) > 1):
        return False
    order = directory.get(Tag.FILL_ORDER, 1)
    bits, extra = directory.get(Tag.BITS, (1,)), directory.get(Tag.EXTRA, ())
    channels = one(directory, Tag.CHANNELS, len(bits))
    if channels > MAX_CHANNELS:
        raise SyntaxError(f"{channels} channels are not read")
    if 1 in extra:  # Pillow divides by it at once, and what is divided by 0 is lost
        return False
    if len(bits) == 1 < channels:
        bits = bits * channels
    return (directory.prefix, photometric, (1,), order, bits, extra) in TiffImagePlugin.OPEN_INFO
