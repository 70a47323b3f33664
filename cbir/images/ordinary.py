"""Telling an ordinary photo from what may take long, or much memory, to decode: by its structure, in microseconds."""

from __future__ import annotations

import struct

#: Bytes of a file, and pixels, at most; so much is decoded in about a second.
MAX_BYTES = 40_000_000
MAX_PIXELS = 40_000_000

#: Scans of a JPEG at most, those of a thumbnail within it too; each is decoded over all pixels. Ten are usual.
MAX_SCANS = 24

#: Bytes at most of what a file has beside its pixels: profiles, texts.
_MAX_BESIDE = 4_000_000

_FRAMES = {0xC0, 0xC1, 0xC2}
_NO_LENGTH = {0x01, *range(0xD0, 0xD9)}

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_PLAIN = {
    b"IHDR",
    b"PLTE",
    b"IDAT",
    b"IEND",
    b"tRNS",
    b"gAMA",
    b"cHRM",
    b"sRGB",
    b"pHYs",
    b"bKGD",
    b"tIME",
    b"sBIT",
}
_PNG_TEXTS = {b"tEXt", b"eXIf"}  # not compressed, so that they cannot be larger than they are


def is_ordinary(data: bytes) -> bool:
    """Tell whether a file's content is a JPEG or PNG of an ordinary size and structure."""
    if len(data) > MAX_BYTES:
        return False
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return _is_ordinary_jpeg(data)
        return data.startswith(_PNG) and _is_ordinary_png(data)
    except (struct.error, IndexError):  # it is cut off
        return False


def _is_ordinary_jpeg(data: bytes) -> bool:
    place = 2
    while place < _MAX_BESIDE:
        if data[place] != 0xFF:
            return False
        kind = data[place + 1]
        if kind == 0xFF or kind in _NO_LENGTH:
            place += 1 if kind == 0xFF else 2
            continue
        if kind in _FRAMES:
            precision, height, width, parts = struct.unpack_from(">BHHB", data, place + 4)
            is_small = 0 < width * height <= MAX_PIXELS and precision == 8 and parts in (1, 3)
            return is_small and data.count(b"\xff\xda") <= MAX_SCANS
        if kind in (0xD9, 0xDA):
            return False
        (length,) = struct.unpack_from(">H", data, place + 2)
        place += 2 + length
    return False


def _is_ordinary_png(data: bytes) -> bool:
    place, beside = len(_PNG), 0
    width, height = struct.unpack_from(">II", data, 16)
    if not 0 < width * height <= MAX_PIXELS:
        return False
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind not in _PNG_PLAIN and kind not in _PNG_TEXTS:
            return False
        if kind != b"IDAT":
            beside += length
        if beside > _MAX_BESIDE:
            return False
        if kind == b"IEND":
            return True
        place += 12 + length
    return False
