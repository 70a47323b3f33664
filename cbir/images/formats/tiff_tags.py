"""The directory of a TIFF's page: its tags, where it begins, what numbers stand for."""

from __future__ import annotations

import io
import itertools
import struct
from enum import IntEnum

from PIL.TiffImagePlugin import ImageFileDirectory_v2

#: The third or fourth byte of a file whose offsets have 64 bits.
BIG = b"+"


class Tag(IntEnum):
    """The tags that are looked at, by what they say."""

    SUBFILE = 254
    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
    STRIPS = 273
    ORIENTATION = 274
    CHANNELS = 277
    ROWS_PER_STRIP = 278
    STRIP_BYTES = 279
    MOST = 281
    PLANES = 284
    PREDICTOR = 317
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    TILES = 324
    TILE_BYTES = 325
    INKS = 332
    EXTRA = 338
    FORMAT = 339
    PROFILE = 34675


class Meaning(IntEnum):
    """The meanings of a page's numbers that can be read by hand, as the tag PHOTOMETRIC gives them."""

    WHITE_IS_ZERO = 0
    BLACK_IS_ZERO = 1
    COLOURS = 2
    SEPARATED = 5
    LAB = 8
    ICC_LAB = 9


#: Channels that a meaning takes.
CHANNELS_OF: dict[int, int] = {
    Meaning.WHITE_IS_ZERO: 1,
    Meaning.BLACK_IS_ZERO: 1,
    Meaning.COLOURS: 3,
    Meaning.SEPARATED: 4,
    Meaning.LAB: 3,
    Meaning.ICC_LAB: 3,
}

#: More channels than satellites have that write TIFFs which anybody looks at.
MAX_CHANNELS = 64


def load(data: bytes, at: int) -> ImageFileDirectory_v2:
    """Return the directory that begins `at`."""
    directory = ImageFileDirectory_v2(data[: 16 if BIG in data[2:4] else 8])
    file = io.BytesIO(data)
    file.seek(at)
    directory.load(file)
    return directory


def beginning_at(data: bytes, at: int) -> bytes:
    """Return a TIFF whose first page is the one that begins `at`."""
    order = "<" if data[:1] == b"I" else ">"
    if BIG in data[2:4]:
        head, place = data[:8], struct.pack(order + "Q", at)
    else:
        head, place = data[:4], struct.pack(order + "I", at)
    return data if data.startswith(head + place) else head + place + data[len(head) + len(place) :]


def one(directory: ImageFileDirectory_v2, tag: int, default: int) -> int:
    """Return a tag's number; the first of several."""
    value = directory.get(tag, default)
    return int(next(itertools.chain(value), default) if isinstance(value, tuple) else value)


def all_of(directory: ImageFileDirectory_v2, tag: int) -> list[int]:
    """All of a tag's numbers."""
    value = directory.get(tag, ())
    return [int(each) for each in (value if isinstance(value, tuple) else (value,))]
