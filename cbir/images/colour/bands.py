"""Large pictures in pieces, so that what is made on the way to another picture takes no copy of the whole."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

#: Pixels that are worked on at once.
BAND = 1 << 20


def bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """All rows of a loaded picture, some at a time: where each band begins, and its pixels."""
    rows = max(1, BAND // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))
