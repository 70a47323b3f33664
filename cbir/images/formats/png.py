"""PNGs without what says nothing of their pixels: words of megabytes, packed or not, that viewers pass over."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from cbir.images.colour import depth
from cbir.images.colour.bands import bands
from cbir.images.colour.profiles import MAX_PROFILE_BYTES

MARK = b"\x89PNG\r\n\x1a\n"

# What Pillow takes from a PNG, and we from Pillow.
_WANTED = frozenset(
    {
        b"IHDR",
        b"PLTE",
        b"tRNS",
        b"IDAT",
        b"IEND",
        b"acTL",
        b"fcTL",
        b"fdAT",
        b"gAMA",
        b"cHRM",
        b"sRGB",
        b"eXIf",
        b"iCCP",
    }
)

# Pillow's limit of what a profile unpacks to; beyond, it refuses the picture.
_PILLOW_UNPACKS = 1 << 20

# Words that may unpack to any length.
_PACKED_WORDS = (b"zTXt", b"iTXt")

_LITTLE = 1 << 16

# Where a PNG says how many bits a number has, and of which kinds they are: grey with alpha among them.
_BITS, _COLOURS, _GREY_AND_ALPHA = 24, 25, 4

# What has Pillow unpack the lower bytes of 16 bits; those of grey with alpha come beside the upper ones.
_LOWER = {2: "RGB;16L", 6: "RGBA;16L", _GREY_AND_ALPHA: "RGBA"}

# An upper byte that cameras of 14 bits do not reach.
_UPPER_UNUSED = 64

# Pixels that it would take too long to look at twice more.
_LARGE = 64_000_000


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Each chunk's kind, where it begins, and where the next does; as far as they are whole."""
    at = len(MARK)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            return
        yield kind, at, end
        at = end


def without_words(data: bytes) -> tuple[bytes, bytes | None]:
    """Return a PNG without chunks that say nothing of its pixels, where those are many, large or packed.

    With it comes a profile that Pillow would not unpack. What is no PNG, or damaged, is returned as it is.
    """
    if not data.startswith(MARK):
        return data, None
    kept: list[tuple[int, int]] = []
    dropped, profile, end = 0, None, len(MARK)
    for kind, at, end in chunks(data):
        if kind not in _WANTED:
            dropped += _LITTLE if kind in _PACKED_WORDS else end - at
        elif kind == b"iCCP" and (large := _large_profile(data[at + 8 : end - 4])) is not None:
            profile, dropped = large or None, dropped + _LITTLE
        elif kept and kept[-1][1] == at:
            kept[-1] = kept[-1][0], end
        else:
            kept.append((at, end))
    if dropped < _LITTLE:
        return data, None
    pieces = [MARK, *(data[at:stop] for at, stop in kept), data[end:]]
    return b"".join(pieces), profile


def open_png(data: bytes) -> PngImageFile:
    """Return a PNG, its pixels not decoded yet, whatever its words are."""
    lean, profile = without_words(data)
    image = PngImageFile(io.BytesIO(lean), "")
    if profile is not None:
        image.info["icc_profile"] = profile
    bits, clear = data[_BITS], image.info.get("transparency")
    if isinstance(clear, tuple) and bits == 16:  # Pillow compares it with the upper bytes
        image.info["transparency"] = tuple(value >> 8 for value in clear)
    elif isinstance(clear, int) and image.mode == "L" and bits in (2, 4):  # and with what it has scaled
        image.info["transparency"] = (clear & (2**bits - 1)) * 255 // (2**bits - 1)
    return image


def add_lower_bytes(image: Image.Image, data: bytes) -> None:
    """Bring a loaded PNG of 16 bits and several channels, of which Pillow has only the upper bytes, to 8 bits.

    That changes it where the upper bits are unused: 12 bits of a camera in 16. The largest are left as they are.
    """
    raw_mode = _LOWER.get(data[_COLOURS]) if data[_BITS] == 16 else None
    if raw_mode is None or image.width * image.height > _LARGE or _reaches(image, _UPPER_UNUSED):
        return
    again = open_png(data)
    again.tile = [tile._replace(args=raw_mode) for tile in again.tile]
    again.load()
    places = [1, 1, 1, 3] if data[_COLOURS] == _GREY_AND_ALPHA else [*range(len(image.getbands()))]

    def numbers() -> Iterator[tuple[int, depth.Numbers]]:
        for (top, upper), (_, lower) in zip(bands(image), bands(again), strict=True):
            yield top, (np.asarray(upper).astype(np.uint16) << 8) | np.asarray(lower)[..., places]

    count = image.width * image.height
    kinds = [slice(0, 3), slice(3, 4)][: len(places) - 2]
    scales = [
        depth.to_bytes(depth.survey((each[..., kind] for _, each in numbers()), count), np.dtype(np.uint16))
        for kind in kinds
    ]
    for top, each in numbers():
        made = [scale(each[..., kind]) for scale, kind in zip(scales, kinds, strict=True)]
        image.paste(Image.fromarray(np.concatenate(made, axis=-1)), (0, top))


def _reaches(image: Image.Image, level: int) -> bool:
    """Tell whether red, green or blue is anywhere at that level or above."""
    counts = image.histogram()
    return any(any(counts[256 * n + level : 256 * (n + 1)]) for n in range(3))


def chunk(data: bytes, kind: bytes) -> bytes | None:
    """Return the content of the first chunk of a kind before the pixels; None where there is none."""
    for name, at, end in chunks(data):
        if name == kind:
            return data[at + 8 : end - 4]
        if name == b"IDAT":
            break
    return None


def exif_of(data: bytes) -> bytes:
    """Return the EXIF of a PNG, wherever it stands; empty where there is none."""
    return next((data[at + 8 : end - 4] for kind, at, end in chunks(data) if kind == b"eXIf"), b"")


def _large_profile(content: bytes) -> bytes | None:
    """Unpack the profile of an iCCP chunk that Pillow would not; empty where it is larger than any, or broken."""
    name, _, packed = content.partition(b"\0")
    if len(name) > 79 or not packed or packed[0]:
        return b""
    unpacking = zlib.decompressobj()
    try:
        profile = unpacking.decompress(packed[1:], _PILLOW_UNPACKS)
        if not unpacking.unconsumed_tail:
            return None
        profile += unpacking.decompress(unpacking.unconsumed_tail, MAX_PROFILE_BYTES)
    except zlib.error:
        return b""
    return b"" if unpacking.unconsumed_tail else profile
