"""The page of `cbir detect`: each picture with its boxes, and a table of them that shows where each is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from PIL import Image

from cbir.detect.geometry import whole_pixels
from cbir.detect.overlay import colour_of
from cbir.errors import CbirError
from cbir.images.regions import Box, Mask
from cbir.images.sources.address import Location, link_to
from cbir.report.page import jpeg_uri, write_page
from cbir.segment.polygons import outlines

if TYPE_CHECKING:
    from cbir.detect.detection import Detection, Detector
    from cbir.search.queries import ImageQuery

#: Pictures that a page holds, boxes of each, and pixels of the longer side.
MOST, MOST_BOXES, SIDE = 300, 100, 900


@dataclass(frozen=True)
class _Row:
    """A detection's row of the table; its box on the page is in shares of the picture, in percent."""

    number: int
    name: str
    score: float
    box: str
    colour: str
    left: float
    top: float
    width: float
    height: float
    mask: str


@dataclass(frozen=True)
class _Picture:
    name: str
    file: Location | None
    width: int
    height: int
    canvas: tuple[int, int]
    picture: Markup
    objects: Sequence[_Row]
    left_out: int


class DetectPage:
    """The pictures of a run, as they come: small copies. CbirError where they are too many."""

    def __init__(self, count: int, detector: Detector) -> None:
        if count > MOST:
            raise CbirError(f"{count:,} pictures are too many for one page: name at most {MOST} with --html.")
        self._detector = detector
        self._numbers = {name: number for number, name in reversed(list(enumerate(detector.classes)))}
        self._pictures: list[_Picture] = []
        self._problems: list[str] = []
        self._is_approximate = False

    def add(self, picture: ImageQuery, image: Image.Image, found: Sequence[Detection]) -> None:
        """Note one picture."""
        small = image.copy()
        small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
        rows = [
            self._row(number, one, image.size, small.size) for number, one in enumerate(found[:MOST_BOXES], start=1)
        ]
        self._is_approximate |= any(one.is_approximate and one.mask is not None for one in found)
        file = None if isinstance(picture.source, bytes) else link_to(picture.source)
        left_out = len(found) - len(rows)
        self._pictures.append(_Picture(picture.name, file, *image.size, small.size, jpeg_uri(small), rows, left_out))

    def fail(self, problem: str) -> None:
        """Note that a picture could not be read."""
        self._problems.append(problem)

    def write(self, path: Path, *, others: Sequence[Path], force: bool = False) -> None:
        """Write the page; CbirError where that cannot be."""
        write_page(
            "detect.html",
            [],
            path,
            others=others,
            force=force,
            pictures=self._pictures,
            problems=self._problems,
            most_objects=max((len(picture.objects) for picture in self._pictures), default=0),
            detector=self._detector.name,
            is_approximate=self._is_approximate,
            when=time.strftime("%Y-%m-%d at %H:%M"),
        )

    def _row(self, number: int, one: Detection, size: tuple[int, int], canvas: tuple[int, int]) -> _Row:
        x, y, width, height = one.box
        left, top, wide, high = (
            round(100 * part / side, 2) for part, side in zip(one.box, (*size, *size), strict=True)
        )
        return _Row(
            number,
            one.name,
            one.score,
            ", ".join(f"{side:.0f}" for side in (x, y, width, height)),
            "#{:02x}{:02x}{:02x}".format(*colour_of(self._numbers[one.name])),
            *(left, top, wide, high),
            "" if one.mask is None else _path(one.mask, whole_pixels(one.box, size), size, canvas),
        )


def _path(mask: Mask, place: Box, size: tuple[int, int], canvas: tuple[int, int]) -> str:
    """Return the outline of a mask as an SVG path in pixels of the small copy, whose size is `canvas`."""
    x, y = place.x * canvas[0] / size[0], place.y * canvas[1] / size[1]
    wide, high = (max(round(side * of / all_), 1) for side, of, all_ in zip(place[2:], canvas, size, strict=True))
    small = Image.fromarray(mask).convert("L").resize((wide, high), Image.Resampling.BILINEAR)
    found = outlines((np.asarray(small) >= 128).astype(np.uint8))
    rings = [ring for outline in found[1:] for ring in (*outline.polygons, *outline.holes)]
    corners = ([(x + ring[at], y + ring[at + 1]) for at in range(0, len(ring), 2)] for ring in rings)
    return "".join("M" + "L".join(f"{across:.1f} {down:.1f}" for across, down in ring) + "z" for ring in corners)
