"""Small pictures of files, decoded quickly and by several threads."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image, ImageDraw

from cbir.errors import ImageReadError
from cbir.images.contents import read_bytes
from cbir.images.regions import Box
from cbir.images.safely import decode, read_thumbnail
from cbir.images.sources.address import Location

T = TypeVar("T")

#: The source of a picture: a file, or its content where it came without one.
Source = Location | bytes

# More would hold as many decoded pictures at a time, and wait for the disk.
_MOST_THREADS = 4

# Of a match that is there no more, and of a query that never was: said in other words on a small tile.
_GONE = "there is no such file"

# Pixels of the longer side of a picture that boxes are cut from; how much wider than a box the square around it is.
_LARGE, _AROUND = 2048, 1.4

#: Of a JPEG of a thumbnail: 320 pixels take some 15 KB.
_QUALITY = 82


@dataclass(frozen=True)
class Preview:
    """A small picture (upright, RGB) and the `size` of the large one, or the reason why there is none."""

    image: Image.Image | None
    size: tuple[int, int] = (0, 0)
    problem: str = ""

    def with_boxes(self, boxes: Sequence[Box]) -> Image.Image:
        """Return the image with outlines drawn on it of `boxes`, in pixels of the large picture, the first on top."""
        assert self.image is not None
        image = self.image
        for box in reversed(boxes):
            image = _outlined(image, box, self.size)
        return image


def thumbnails(sources: Iterable[Source], side: int) -> Iterator[tuple[Source, Preview]]:
    """Yield a thumbnail of at most `side` pixels in width and height for each of `sources`, each once, in order.

    A file that is gone or no picture has a thumbnail without an image.
    """
    return _ahead(dict.fromkeys(sources), lambda source: _thumbnail(source, side))


def cut_outs(boxes: Mapping[Source, Iterable[Box]], side: int) -> Iterator[tuple[Source, dict[Box, Preview]]]:
    """Yield what boxes of each source show, and a little around it: squares of at most `side` pixels, in order.

    Boxes are in pixels of the upright picture. They have no image where the file is gone or no picture.
    """
    return _ahead(boxes, lambda source: _cut_outs(source, list(boxes[source]), side))


def cut_out(data: bytes, box: Box, side: int, *, name: str) -> Image.Image:
    """Cut out what `cut_outs` does of the bytes of a picture file. ImageReadError where it cannot be read."""
    image, size = _large(data, [box], side, name)
    return _square(image, box, size, side)


def _ahead(sources: Iterable[Source], work: Callable[[Source], T]) -> Iterator[tuple[Source, T]]:
    """Yield each source and what becomes of it, in order, by several threads."""
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        # decoded ahead, but only so far that memory does not grow with the number of pictures
        waiting: deque[tuple[Source, Future[T]]] = deque()
        try:
            for source in sources:
                waiting.append((source, pool.submit(work, source)))
                if len(waiting) > 2 * threads:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def _thumbnail(source: Source, side: int) -> Preview:
    try:
        return Preview(*read_thumbnail(_content(source), side, name=_name(source)))
    except ImageReadError as error:
        return _gone(error)


def _cut_outs(source: Source, boxes: Sequence[Box], side: int) -> dict[Box, Preview]:
    try:
        image, size = _large(_content(source), boxes, side, _name(source))
    except ImageReadError as error:
        return dict.fromkeys(boxes, _gone(error))
    return {box: Preview(_square(image, box, size, side), size) for box in boxes}


def _large(data: bytes, boxes: Sequence[Box], side: int, name: str) -> tuple[Image.Image, tuple[int, int]]:
    """Read a picture with enough pixels for its boxes, as far as it has them, and its own width and height."""
    image, size = read_thumbnail(data, _LARGE, name=name)
    if image.width < size[0] and min(max(box[2:]) for box in boxes) * image.width < side * size[0]:
        image = decode(data, name=name)
    return image, size


def _square(image: Image.Image, box: Box, size: tuple[int, int], side: int) -> Image.Image:
    """Cut a square around a box of the large picture out of the image, as far as that goes."""
    scale = image.width / size[0]
    length = min(max(box.width, box.height) * _AROUND * scale, *image.size)
    corner = []
    for first, extent, most in ((box.x, box.width, image.width), (box.y, box.height, image.height)):
        corner.append(min(max((first + extent / 2) * scale - length / 2, 0), most - length))
    left, top = corner
    pixels = max(1, min(side, round(length)))
    return image.resize((pixels, pixels), Image.Resampling.LANCZOS, box=(left, top, left + length, top + length))


def _content(source: Source) -> bytes:
    return source if isinstance(source, bytes) else read_bytes(source)


def _name(source: Source) -> str:
    return "the picture" if isinstance(source, bytes) else str(source)


def _gone(error: ImageReadError) -> Preview:
    return Preview(None, problem="the file is not there" if error.reason == _GONE else error.reason)


def as_jpeg(image: Image.Image) -> bytes:
    """Return an RGB image as the bytes of a JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()


def _outlined(image: Image.Image, box: Box, size: tuple[int, int]) -> Image.Image:
    """Draw a white line around the box, between dark ones: it stands out from light and from dark."""
    across, down = image.width / size[0], image.height / size[1]
    left, top, width, height = box
    line = max(1, round(max(image.size) / 120))
    right = min(image.width - 1, round((left + width) * across) - 1)
    bottom = min(image.height - 1, round((top + height) * down) - 1)
    corners = max(0, round(left * across)), max(0, round(top * down)), right, bottom
    if corners[0] >= right or corners[1] >= bottom:
        return image  # nothing of it would be seen
    drawn = image.copy()
    draw = ImageDraw.Draw(drawn)
    for inset, thick, colour in ((0, 3 * line, (25, 25, 25)), (line, line, (255, 255, 255))):
        place = corners[0] + inset, corners[1] + inset, right - inset, bottom - inset
        if place[0] < place[2] and place[1] < place[3]:
            draw.rectangle(place, outline=colour, width=thick)
    return drawn
