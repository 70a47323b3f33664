"""The pipe to a process that decodes (`images.child`): what goes through it, at both of its ends.

Requests go to its stdin: the lengths of what follows, what is wanted (`Wanted`, pickled), the file's name, its content.
Answers come from its stdout: a letter, the length of a text that follows, and that; or the arrays of views, or a whole
picture, which say themselves how long they are. Before a picture that takes much memory is decoded, the parent is
asked, which answers when there is enough.

A decoder that a file takes over may answer anything, so the parent takes only what it asked for: arrays by the names,
dtypes and shapes of its views, and a picture within its limits. Nothing here imports what decodes, since a parent
need not.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbir.images.fit import Extent
from cbir.images.views import AnyView, Layout, Size, Viewed

#: Above this a picture is refused before it is decoded; a photo of today's cameras has at most 200 megapixels.
MAX_PIXELS = 250_000_000

LENGTHS = struct.Struct("<IIQ")
ANSWER = struct.Struct("<cQ")

#: Of answers: that the process is ready, a question for so many bytes of memory, a picture, and the two refusals.
READY, ASKED, DONE, REFUSED, REFUSED_NOW = b"!", b"?", b"+", b"-", b"~"
GRANTED, DENIED = b"y", b"n"

#: Of a whole picture: width and height of what follows, the box of it that the picture fills, the picture's own size.
PICTURE = struct.Struct("<II4dII")

#: Rows of a picture that are sent at a time.
ROWS = 256


#: Bytes of a refusal's text at most.
LONGEST_TEXT = 1 << 16

_SIZE = struct.Struct("<II")

# Of an array: the lengths of its name and of its dtype's, and the number of its sides, whose lengths follow.
_ARRAY = struct.Struct("<BBB")


class NotAskedFor(ValueError):
    """An answer that does not fit its question."""


@dataclass(frozen=True)
class Wanted:
    """The `views` that are to be made of a picture, as by `images.read.read_views`.

    Without any, the picture itself, reduced to `at_least` as by `decode_reduced`, or whole.
    """

    views: tuple[AnyView, ...] = ()
    at_least: int | None = None
    max_pixels: int = MAX_PIXELS

    @cached_property
    def encoded(self) -> bytes:
        """The message to the process that decodes, which imports the modules of the views; `load` reads it."""
        return pickle.dumps((self.views, self.at_least, self.max_pixels))

    @classmethod
    def load(cls, data: bytes) -> Wanted:
        """Read `encoded`, in the process that decodes."""
        return cls(*pickle.loads(data))


def read(stream: IO[bytes], length: int) -> bytes:
    """Read `length` bytes. Raises EOFError where there are fewer."""
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data


def pieces(viewed: Viewed, views: Sequence[AnyView]) -> Iterator[bytes | memoryview]:
    """Yield what `receive_views` reads, one after the other; large arrays are not copied."""
    yield _SIZE.pack(*viewed.size)
    for view in views:
        for key, array in viewed.arrays[view.name].items():
            name, dtype = f"{view.name}/{key}".encode(), array.dtype.str.encode()
            yield _ARRAY.pack(len(name), len(dtype), array.ndim)
            yield name + dtype + struct.pack(f"<{array.ndim}I", *array.shape)
            yield np.ascontiguousarray(array).data


def receive_views(stream: IO[bytes], wanted: Wanted) -> Viewed:
    """Read the arrays of the views that were wanted; NotAskedFor where something else comes."""
    size = _size(_SIZE.unpack(read(stream, _SIZE.size)), wanted.max_pixels)
    return Viewed(
        size,
        {
            view.name: {
                key: _receive_array(stream, f"{view.name}/{key}", layout) for key, layout in view.layouts.items()
            }
            for view in wanted.views
        },
    )


def _receive_array(stream: IO[bytes], name: str, layout: Layout) -> npt.NDArray[Any]:
    name_length, dtype_length, sides = _ARRAY.unpack(read(stream, _ARRAY.size))
    found = read(stream, name_length).decode("utf-8", "replace")
    dtype = read(stream, dtype_length).decode("utf-8", "replace")
    shape = struct.unpack(f"<{sides}I", read(stream, 4 * sides))
    if found != name or not layout.allows(dtype, shape):
        raise NotAskedFor(f"{found!a} of dtype {dtype!a} and shape {shape}, and not {name} of {layout}")
    array = np.empty(shape, dtype=layout.dtype)
    if array.nbytes and stream.readinto(array.data.cast("B")) < array.nbytes:  # type: ignore[attr-defined]
        raise EOFError
    return array


def receive_picture(stream: IO[bytes], wanted: Wanted) -> tuple[Image.Image, Extent, Size]:
    """Read what `decode_with_size` returned; NotAskedFor where that cannot be."""
    width, height, left, top, right, bottom, *own = PICTURE.unpack(read(stream, PICTURE.size))
    _size((width, height), wanted.max_pixels)
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise NotAskedFor(f"a picture of {width} x {height} pixels cannot fill {(left, top, right, bottom)}")
    size = _size((own[0], own[1]), wanted.max_pixels)
    image = Image.new("RGB", (width, height))
    for row in range(0, height, ROWS):
        rows = min(ROWS, height - row)
        image.paste(Image.frombytes("RGB", (width, rows), read(stream, width * rows * 3)), (0, row))
    return image, (left, top, right, bottom), size


def _size(size: Size, max_pixels: int) -> Size:
    width, height = size
    if not (width and height and width * height <= max_pixels):
        raise NotAskedFor(f"a picture of {width} x {height} pixels")
    return width, height
