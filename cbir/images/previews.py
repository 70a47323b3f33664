"""Small pictures of files, decoded quickly and by several threads."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image, ImageDraw

from cbir.errors import ImageReadError
from cbir.images.contents import read_bytes
from cbir.images.regions import Box
from cbir.images.safely import read_thumbnail
from cbir.images.sources.address import Location

#: The source of a picture: a file, or its content where it came without one.
Source = Location | bytes

# More would hold as many decoded pictures at a time, and wait for the disk.
_MOST_THREADS = 4

# Of a match that is there no more, and of a query that never was: said in other words on a small tile.
_GONE = "there is no such file"

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
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        # decoded ahead, but only so far that memory does not grow with the number of pictures
        waiting: deque[tuple[Source, Future[Preview]]] = deque()
        try:
            for source in dict.fromkeys(sources):
                waiting.append((source, pool.submit(_thumbnail, source, side)))
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
        data = source if isinstance(source, bytes) else read_bytes(source)
        image, size = read_thumbnail(data, side, name="the picture" if isinstance(source, bytes) else str(source))
    except ImageReadError as error:
        return Preview(None, problem="the file is not there" if error.reason == _GONE else error.reason)
    return Preview(image, size)


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
