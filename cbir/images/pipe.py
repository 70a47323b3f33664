"""The pipe to a process that decodes (`images.child`): what goes through it, at both of its ends.

Requests go to its stdin: the lengths of what follows, what is wanted (`Wanted`, in JSON), the file's name, its content.
Answers come from its stdout: a letter, the length of what follows, and that. Before a picture that takes much memory is
decoded, the parent is asked, which answers when there is enough.

Nothing here imports what decodes, since a parent need not.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import IO, Any

from PIL import Image

from cbir.images.fit import Preprocessing

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


@dataclass(frozen=True)
class Wanted:
    """What is to be made of a picture: with a `preprocessing`, what `images.read.read_fitted` returns.

    With `thumbnails`, also what `read_fitted_and_thumbnail` does, with `large`, what `read_fitted_thumbnail_and_large`
    does. Without, the picture itself, reduced to `at_least` as by `decode_reduced`, or whole.
    """

    preprocessing: Preprocessing | None = None
    thumbnails: bool = False
    large: bool = False
    at_least: int | None = None
    max_pixels: int = MAX_PIXELS

    @cached_property
    def encoded(self) -> bytes:
        """As JSON; `load` reads it."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, data: bytes) -> Wanted:
        """What `encoded` is."""
        record: dict[str, Any] = json.loads(data)
        if record["preprocessing"] is not None:
            record["preprocessing"] = Preprocessing.from_json(record["preprocessing"])
        return cls(**record)


def read(stream: IO[bytes], length: int) -> bytes:
    """So many bytes; EOFError where there are less."""
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data


def receive_picture(stream: IO[bytes]) -> tuple[Image.Image, tuple[float, float, float, float], tuple[int, int]]:
    """The parent's end of it: what `decode_with_size` returned."""
    width, height, left, top, right, bottom, own_width, own_height = PICTURE.unpack(read(stream, PICTURE.size))
    image = Image.new("RGB", (width, height))
    for row in range(0, height, ROWS):
        rows = min(ROWS, height - row)
        image.paste(Image.frombytes("RGB", (width, rows), read(stream, width * rows * 3)), (0, row))
    return image, (left, top, right, bottom), (own_width, own_height)
