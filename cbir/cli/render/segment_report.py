"""The page of `cbir segment`: each picture, its overlay, and a table of its segments that shows where each is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from cbir.errors import CbirError
from cbir.images.regions import Box
from cbir.images.sources.address import Location, link_to, named_after
from cbir.report.page import jpeg_uri, write_page
from cbir.segment.polygons import Ring, outlines

if TYPE_CHECKING:
    from cbir.segment.segmentation import Segmentation

#: Pictures that a page holds, and pixels of the longer side of each.
MOST, SIDE = 300, 900

# The longer side of the label map whose outlines are drawn: finer ones would be more than the eye sees.
_OUTLINED = 450


@dataclass(frozen=True)
class _Row:
    """A segment's row of the table. `colour` is what the overlay gives it, `mean` what the picture shows there."""

    label: int
    share: float
    area: int
    box: Box
    colour: str
    mean: str
    likeliest: str
    path: Markup


@dataclass(frozen=True)
class _Picture:
    name: str
    file: Location | None
    width: int
    height: int
    picture: Markup
    overlay: Markup
    canvas: tuple[int, int]
    classes: str
    segments: Sequence[_Row]


class SegmentPage:
    """The pictures of a run, as they come: small copies, and outlines as paths. CbirError where they are too many."""

    def __init__(self, inputs: Sequence[Location], model: str) -> None:
        if len(inputs) > MOST:
            raise CbirError(f"{len(inputs):,} pictures are too many for one page: name at most {MOST} with --html.")
        self._inputs = inputs
        self._model = model
        self._pictures: list[_Picture] = []
        self._problems: list[str] = []

    def add(self, segmentation: Segmentation, image: Location, record: dict[str, Any]) -> None:
        """Note one picture; `record` is what is told of it on stdout."""
        small = segmentation.image.copy()
        small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
        over = segmentation.overlay()
        over.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        canvas, paths = _paths(segmentation)
        rows = [
            _Row(
                segment.label,
                segment.share,
                segment.area,
                segment.box,
                "#{:02x}{:02x}{:02x}".format(*segmentation.colours[segment.label].tolist()),
                segment.hex_colour,
                _likeliest(described),
                path,
            )
            for segment, described, path in zip(segmentation.segments, record["segments"], paths, strict=True)
        ]
        self._pictures.append(
            _Picture(
                str(image),
                link_to(image),
                segmentation.image.width,
                segmentation.image.height,
                jpeg_uri(small),
                jpeg_uri(over),
                canvas,
                _likeliest(record, 3),
                rows,
            )
        )

    def fail(self, problem: str) -> None:
        """Note that a picture could not be read."""
        self._problems.append(problem)

    def write(self, path: Path, *, force: bool = False) -> None:
        """Write the page; CbirError where that cannot be."""
        write_page(
            "segment.html",
            [],
            path,
            others=map(named_after, self._inputs),
            force=force,
            pictures=self._pictures,
            problems=self._problems,
            most_segments=max((len(picture.segments) for picture in self._pictures), default=0),
            model=self._model,
            when=time.strftime("%Y-%m-%d at %H:%M"),
        )


def _likeliest(record: dict[str, Any], count: int = 1) -> str:
    return ", ".join(f"{one['name']} {one['probability']:.0%}" for one in record.get("classes", [])[:count])


def _paths(segmentation: Segmentation) -> tuple[tuple[int, int], list[Markup]]:
    """Return width and height of the drawing, and each segment's outline in it, as a path of SVG."""
    map_ = segmentation.label_map()
    scale = min(1.0, _OUTLINED / max(map_.size))
    size = max(1, round(map_.width * scale)), max(1, round(map_.height * scale))
    small = np.asarray(map_.resize(size, Image.Resampling.NEAREST))
    found = [_path([*outline.polygons, *outline.holes]) for outline in outlines(small)]
    # a segment that is too thin to be seen at this size has none
    return size, found + [Markup("")] * (len(segmentation.segments) - len(found))


def _path(rings: Sequence[Ring]) -> Markup:
    """Rings whose edges are across and down by turns, beginning across, as steps from corner to corner."""
    pieces = []
    for ring in rings:
        xs, ys = ring[0::2], ring[1::2]
        pieces.append(f"M{xs[0]} {ys[0]}")
        for number in range(1, len(xs)):
            step = xs[number] - xs[number - 1]
            pieces.append(f"h{step}" if step else f"v{ys[number] - ys[number - 1]}")
        pieces.append("z")
    return Markup("".join(pieces))
