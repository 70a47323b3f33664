"""A page of a TIFF that Pillow does not read, or reads wrongly: deep, signed, in planes, of channels beyond its modes.

libtiff, through Pillow, unpacks whatever compression a file has, if it is told that a row is so many greys of 8 bits.
What those bytes mean is worked out here.
"""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from cbir.images.colour import depth
from cbir.images.formats.tiff_tags import BIG, CHANNELS_OF, MAX_CHANNELS, Meaning, Tag, all_of, beginning_at, one

_MODE_OF = {1: "L", 3: "RGB", 4: "CMYK"}

_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED = 1, 2, 3, 4
_LABS = (Meaning.LAB, Meaning.ICC_LAB)
_ALPHA = (1, 2)  # multiplied into the colours, and not

# Held while Pillow's limit is lifted, which is one for all threads.
_LIMIT = threading.Lock()

_LEAST_TILE = 8  # by the standard 16; each takes a moment

_BAND = 1 << 20  # numbers that are worked on at once


class DeepTiff(ImageFile.ImageFile):
    """A page of a TIFF, brought to 8 bits when it is loaded, as what its numbers stand for: L, LA, RGB, CMYK, LAB …"""

    format = "TIFF"

    def __init__(self, data: bytes, directory: ImageFileDirectory_v2) -> None:
        self._data = data
        self.tag_v2 = directory
        super().__init__(io.BytesIO(data), "")

    def _open(self) -> None:
        tags = self.tag_v2
        self._size = one(tags, Tag.WIDTH, 0), one(tags, Tag.HEIGHT, 0)
        self._photometric = int(tags.get(Tag.PHOTOMETRIC, 0))
        self._channels = one(tags, Tag.CHANNELS, 1)
        bits, formats = set(tags.get(Tag.BITS, (1,))), set(tags.get(Tag.FORMAT, (1,)))
        wanted = CHANNELS_OF.get(self._photometric)
        if wanted is None or self._channels < wanted:
            raise SyntaxError(f"{self._channels} channels of kind {self._photometric} are not read")
        if self._photometric == Meaning.SEPARATED and tags.get(Tag.INKS, 1) != 1:
            raise SyntaxError("inks other than cyan, magenta, yellow and black are not read")
        if len(bits) != 1 or len(formats) != 1 or tags.get(Tag.FILL_ORDER, 1) != 1 or self._channels > MAX_CHANNELS:
            raise SyntaxError("channels of different kinds are not read")
        self._bits, self._kind = bits.pop(), formats.pop()
        self._dtype = self._type_of_numbers()
        if self._photometric in _LABS and self._dtype not in (np.uint8, np.uint16):
            raise SyntaxError("a Lab picture of this depth is not read")
        self._colours = wanted
        self._alpha = self._channel_of_alpha()
        mode = "LAB" if self._photometric in _LABS else _MODE_OF[wanted]
        premultiplied = self._alpha is not None and self._kind_of_extra(self._alpha) == 1
        self._mode = mode if self._alpha is None else mode + ("a" if premultiplied else "A")
        if isinstance(profile := tags.get(Tag.PROFILE), bytes):
            self.info["icc_profile"] = profile
        turn = tags.get(Tag.ORIENTATION, 1)
        if isinstance(turn, int) and 2 <= turn <= 8:
            exif = Image.Exif()
            exif[Tag.ORIENTATION] = turn
            self.info["exif"] = exif.tobytes()
        self.tile = []

    @property
    def bytes_beside(self) -> int:
        """Memory that decoding takes beside the picture in 8 bits."""
        height, across = self.height, self.width
        if Tag.TILES in self.tag_v2:
            side = max(1, one(self.tag_v2, Tag.TILE_WIDTH, 1))
            height, across = max(height, one(self.tag_v2, Tag.TILE_HEIGHT, 1)), -(-across // side) * side
        return int(across * height * self._channels * max(self._bits, 8) // 8)

    def load(self) -> Any:
        """Decode the page."""
        if self._im is None:
            made = self._decode()
            self._im = made.im
            self._data = b""
        return Image.Image.load(self)

    def _type_of_numbers(self) -> np.dtype[Any]:
        """Return the type of numbers once they are unpacked."""
        if self._kind == _UNSIGNED or (self._kind == _UNDEFINED and self._bits <= 32):
            if self._bits in (8, 16, 32):
                return np.dtype(f"u{self._bits // 8}")
            if 1 <= self._bits < 16:
                return np.dtype("u2")
        if self._kind == _SIGNED and self._bits in (8, 16, 32):
            return np.dtype(f"i{self._bits // 8}")
        if self._kind == _FLOAT and self._bits in (16, 32, 64):
            return np.dtype(f"f{self._bits // 8}")
        raise SyntaxError(f"numbers of {self._bits} bits, of kind {self._kind}, are not read")

    def _kind_of_extra(self, channel: int) -> int:
        extra = self.tag_v2.get(Tag.EXTRA, ())
        place = channel - self._colours
        if not extra and self._colours in (1, 3) and self._channels == self._colours + 1:
            return 2  # nobody says what it is, as many do of alpha
        return int(extra[place]) if place < len(extra) else 0

    def _channel_of_alpha(self) -> int | None:
        if self._colours not in (1, 3) or self._photometric in _LABS:
            return None
        return next((n for n in range(self._colours, self._channels) if self._kind_of_extra(n) in _ALPHA), None)

    def _decode(self) -> Image.Image:
        scales: list[Callable[[depth.Numbers, int], depth.Bytes]]
        planes = self._planes()
        wanted = [*range(self._colours), *([] if self._alpha is None else [self._alpha])]
        if self._photometric in _LABS:
            scales = [self._lab_to_bytes] * self._colours
        else:
            colours = self._scale(planes, wanted[: self._colours])
            if self._photometric == Meaning.WHITE_IS_ZERO:
                scales = [lambda numbers, channel: 255 - colours(numbers, channel)]
            else:
                scales = [colours] * self._colours
            if self._alpha is not None:
                scales.append(self._scale(planes, [self._alpha]))
        made = Image.new(self.mode, self.size)
        for top, numbers in self._bands(planes):
            parts = [scale(numbers[..., channel], channel) for scale, channel in zip(scales, wanted, strict=True)]
            made.paste(self._image_of(np.stack(parts, axis=-1)), (0, top))
        return made

    def _image_of(self, values: depth.Bytes) -> Image.Image:
        if self.mode == "L":
            return Image.fromarray(values[..., 0])
        size = values.shape[1], values.shape[0]
        return Image.frombuffer(self.mode, size, np.ascontiguousarray(values).tobytes(), "raw", self.mode, 0, 1)

    def _scale(self, planes: list[Image.Image], channels: list[int]) -> Callable[[depth.Numbers, int], depth.Bytes]:
        """Choose the function that brings numbers of these channels to bytes, by the range of all of them."""
        if self._dtype == np.uint8 and self._bits == 8:
            return lambda numbers, channel: numbers
        seen = depth.survey(
            (numbers[..., channels] for _, numbers in self._bands(planes)), self.width * self.height * len(channels)
        )
        scale = depth.to_bytes(seen, self._dtype, self._declared())
        return lambda numbers, channel: scale(numbers)

    def _declared(self) -> float | None:
        """Return the largest number that the file says there may be, where that is less than would fit."""
        if self._bits not in (8, 16, 32, 64):
            return float(2**self._bits - 1)
        most = self.tag_v2.get(Tag.MOST)
        most = max(most) if isinstance(most, tuple) and most else most
        if self._dtype.kind == "f" or not isinstance(most, int):
            return None
        return float(most) if 255 <= most < np.iinfo(self._dtype).max else None

    def _lab_to_bytes(self, numbers: depth.Numbers, channel: int) -> depth.Bytes:
        high: depth.Bytes = numbers if numbers.dtype == np.uint8 else (numbers >> 8).astype(np.uint8)
        if channel and self._photometric == Meaning.LAB:  # a and b have a sign
            return high
        return high ^ np.uint8(128) if channel else high  # as Pillow packs them

    # unpacking

    def _planes(self) -> list[Image.Image]:
        """Unpack the bytes of each plane to a picture of greys: a row of it is a row, or one of all tiles abreast."""
        apart = self.tag_v2.get(Tag.PLANES, 1) == 2 and self._channels > 1
        count = self._channels if apart else 1
        is_tiled = Tag.TILES in self.tag_v2
        places, lengths = (Tag.TILES, Tag.TILE_BYTES) if is_tiled else (Tag.STRIPS, Tag.STRIP_BYTES)
        where, how_long = all_of(self.tag_v2, places), all_of(self.tag_v2, lengths)
        if not where or len(where) % count or len(how_long) != len(where):
            raise SyntaxError("its strips are not listed")
        each = len(where) // count
        made = []
        for plane in range(count):
            part = slice(plane * each, (plane + 1) * each)
            made.append(self._unpack(where[part], how_long[part], 1 if apart else self._channels, is_tiled=is_tiled))
        return made

    def _unpack(self, where: list[int], how_long: list[int], channels: int, *, is_tiled: bool) -> Image.Image:
        tags = self.tag_v2
        entries: dict[int, list[int]] = {
            Tag.HEIGHT: [self.height],
            Tag.BITS: [8],
            Tag.PHOTOMETRIC: [Meaning.BLACK_IS_ZERO],
        }
        entries |= {Tag.COMPRESSION: [int(tags.get(Tag.COMPRESSION, 1))], Tag.CHANNELS: [1], Tag.PLANES: [1]}
        width = self._row_bytes(channels)
        if is_tiled:
            side = one(tags, Tag.TILE_WIDTH, 0)
            if side < _LEAST_TILE or one(tags, Tag.TILE_HEIGHT, 0) <= 0:
                raise SyntaxError("its tiles have no size")
            tile = -(-side * channels * self._bits // 8)
            width = tile * -(-self.width // side)
            entries |= {Tag.TILE_WIDTH: [tile], Tag.TILE_HEIGHT: [one(tags, Tag.TILE_HEIGHT, 0)]}
            entries |= {Tag.TILES: where, Tag.TILE_BYTES: how_long}
        else:
            rows = min(one(tags, Tag.ROWS_PER_STRIP, self.height), self.height)
            entries |= {Tag.ROWS_PER_STRIP: [rows], Tag.STRIPS: where, Tag.STRIP_BYTES: how_long}
        entries[Tag.WIDTH] = [width]
        greys = _Greys(io.BytesIO(_with_directory(self._data, entries)))
        greys.load()
        return greys

    def _row_bytes(self, channels: int) -> int:
        return int(-(-self.width * channels * self._bits // 8))

    def _bands(self, planes: list[Image.Image]) -> Iterator[tuple[int, depth.Numbers]]:
        """Yield each band of rows: its first row and its numbers, shape (rows, columns, channels)."""
        rows = max(1, _BAND // (self.width * self._channels))
        for top in range(0, self.height, rows):
            bottom = min(top + rows, self.height)
            parts = [
                self._numbers(np.asarray(plane.crop((0, top, plane.width, bottom))), self._channels // len(planes))
                for plane in planes
            ]
            yield top, parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def _numbers(self, raw: depth.Bytes, channels: int) -> depth.Numbers:
        """Unpack the bytes of some rows to numbers, shape (rows, columns, channels)."""
        tags, rows = self.tag_v2, len(raw)
        side = one(tags, Tag.TILE_WIDTH, 0) if Tag.TILES in tags else self.width
        pieces = []
        for left in range(0, self.width, side):
            begin = (left // side) * -(-side * channels * self._bits // 8)
            piece = np.ascontiguousarray(raw[:, begin : begin + -(-side * channels * self._bits // 8)])
            pieces.append(self._numbers_of_tile(piece, side, channels))
        joined = pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)
        return joined[:, : self.width].reshape(rows, self.width, channels)

    def _numbers_of_tile(self, raw: depth.Bytes, width: int, channels: int) -> depth.Numbers:
        rows, predictor = len(raw), self.tag_v2.get(Tag.PREDICTOR, 1)
        order = "<" if self._data_order == b"I" else ">"
        if self._bits not in (8, 16, 32, 64):
            if predictor != 1:
                raise SyntaxError("packed numbers with a predictor are not read")
            bits = np.unpackbits(raw, axis=1)[:, : width * channels * self._bits]
            weights = 1 << np.arange(self._bits - 1, -1, -1)
            return (bits.reshape(rows, width, channels, self._bits) @ weights).astype(self._dtype)
        size = self._bits // 8
        if predictor == 3:
            summed = np.cumsum(raw.reshape(rows, width * size, channels), axis=1, dtype=np.uint8)
            planes = summed.reshape(rows, size, width * channels)
            return np.ascontiguousarray(planes.transpose(0, 2, 1)).view(f">f{size}").reshape(rows, width, channels)
        if predictor == 2:
            stored = raw.view(f"{order}u{size}").reshape(rows, width, channels).astype(f"u{size}")
            return np.cumsum(stored, axis=1, dtype=stored.dtype).view(self._dtype)
        stored = raw.view(f"{order}{self._dtype.kind}{size}").reshape(rows, width, channels)
        return stored.astype(self._dtype, copy=False)

    @property
    def _data_order(self) -> bytes:
        return bytes(self.tag_v2.prefix[:1])


class _Greys(TiffImageFile):
    """A TIFF whose rows have as many greys as they have bytes: Pillow's limit of pixels is not meant for these."""

    def load_prepare(self) -> None:
        with _LIMIT:
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                super().load_prepare()
            finally:
                Image.MAX_IMAGE_PIXELS = limit


def _with_directory(data: bytes, entries: dict[int, list[int]]) -> bytes:
    """Return a TIFF whose only page has these entries, and its pixels where those of `data` are."""
    order = "<" if data[:1] == b"I" else ">"
    is_big = BIG in data[2:4]
    place, count, room = ("Q", "Q", 8) if is_big else ("I", "H", 4)
    kind = 16 if is_big else 4
    at = len(data) + -len(data) % 8
    size = struct.calcsize(f"={count}") + len(entries) * (12 + (8 if is_big else 0)) + room
    beyond, fields = b"", b""
    for tag, values in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(values)}{place}", *values)
        fields += struct.pack(f"{order}HH{place}", tag, kind, len(values))
        if len(values) == 1:
            fields += packed
        else:
            fields += struct.pack(order + place, at + size + len(beyond))
            beyond += packed
    directory = struct.pack(order + count, len(entries)) + fields + bytes(room)
    return beginning_at(b"".join((data, bytes(at - len(data)), directory, beyond)), at)
