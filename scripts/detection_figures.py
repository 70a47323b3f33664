"""Draws the figures of docs/method/detection.md, with the code that they explain.

.venv/bin/python -m scripts.detection_figures
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cbir.backbones.backbone import describe
from cbir.backbones.catalog import BUNDLED
from cbir.detect.geometry import OVERLAP, suppress
from cbir.detect.layouts.layout import grid
from cbir.detect.objectness import LEARNT, proposals
from cbir.detect.region_detector import nodes_of
from cbir.engines.lazy import LazyEngine
from cbir.images.large import Large
from cbir.utils.boxes import overlaps

CHECKOUT = Path(__file__).parents[1]
FOLDER = CHECKOUT / "docs/method/detection"
PHOTO = CHECKOUT / "dataset/photos/hot_air_balloons/hot_air_balloons_03.jpg"

_INK, _GREY, _BLUE, _RED, _SHARED = "#222222", "#b8b8b8", "#2f6db5", "#c0392b", "#cfe0f3"

Box = tuple[float, float, float, float]


def main() -> None:
    """Draw all four."""
    FOLDER.mkdir(exist_ok=True)
    intersection_over_union().save(FOLDER / "iou.png", optimize=True)
    suppression().save(FOLDER / "suppression.png", optimize=True)
    anchors().save(FOLDER / "anchors.png", optimize=True)
    proposed(PHOTO).save(FOLDER / "proposals.jpg", quality=85)


def intersection_over_union() -> Image.Image:
    """Three pairs of boxes, what they share, and their IoU."""
    image, draw = _canvas(840, 230)
    one: Box = (30, 40, 160, 120)
    for place, (x, y, width, height) in enumerate(((110, 80, 160, 120), (55, 55, 160, 120), (30, 40, 190, 130))):
        left = 280 * place
        other: Box = (x, y, width, height)
        first, last = np.maximum(one[:2], other[:2]), np.minimum(np.add(one[:2], one[2:]), np.add(other[:2], other[2:]))
        draw.rectangle((left + first[0], first[1], left + last[0], last[1]), _SHARED)
        _box(draw, one, _INK, left)
        _box(draw, other, _BLUE, left)
        value = overlaps(np.array([one]), np.array([other]))[0, 0]
        _text(draw, (left + 30, 8), f"IoU {value:.2f}")
    return image


def suppression() -> Image.Image:
    """Boxes of two classes with their scores, and those that stay."""
    boxes = [(40, 60, 130, 130), (52, 70, 130, 130), (30, 50, 150, 150), (230, 80, 110, 90), (222, 74, 120, 100)]
    boxes.append((60, 40, 120, 160))
    names, scores = ["dog", "dog", "dog", "dog", "dog", "chair"], [0.9, 0.75, 0.6, 0.8, 0.3, 0.7]
    array = np.array(boxes, dtype=np.float32)
    classes = np.unique(names, return_inverse=True)[1]
    kept = suppress(array, np.array(scores, dtype=np.float32), classes).tolist()
    image, draw = _canvas(800, 240)
    for left, chosen, title in ((0, range(len(boxes)), "found"), (400, kept, f"kept, of overlaps up to {OVERLAP}")):
        _text(draw, (left + 30, 8), title)
        for place in chosen:
            colour = _BLUE if names[place] == "dog" else _RED
            _box(draw, boxes[place], colour, left)
            # a name in another corner for each class, where boxes of both are
            below = boxes[place][3] - 18 if names[place] == "dog" else 2
            corner = boxes[place][0] + left + 5, boxes[place][1] + below
            if place in kept:
                _text(draw, corner, f"{names[place]} {scores[place]}", colour)
    return image


def anchors() -> Image.Image:
    """Cells of three strides over a picture, and the box that one of each looks for."""
    side = 192
    cells = grid((side, side), (8, 16, 32))
    image, draw = _canvas(3 * (side + 60), side + 50)
    for place, stride in enumerate((8, 16, 32)):
        left, top = 30 + place * (side + 60), 35
        own = cells.corners[cells.strides == stride]
        _text(draw, (left, 8), f"stride {stride}: {len(own)} cells")
        for x, y in own.tolist():
            draw.rectangle((left + x, top + y, left + x + stride, top + y + stride), outline=_GREY)
        x, y = own[len(own) // 2 + round(side / stride) // 2].tolist()
        draw.rectangle((left + x, top + y, left + x + stride, top + y + stride), _BLUE)
        middle = x + stride / 2, y + stride / 2
        width, height = 2.2 * stride, 3 * stride
        _box(draw, (middle[0] - width / 2, middle[1] - height / 2, width, height), _RED, left, top)
    return image


def proposed(path: Path) -> Image.Image:
    """A photo's superpixels, regions that merging makes of them, and the first proposals."""
    photo = Image.open(path).convert("RGB")
    pixels = Large().make(photo, (0, 0, *photo.size), photo.size)["pixels"]
    cut, nodes = nodes_of(pixels, LazyEngine(describe(BUNDLED)))
    height, width = cut.labels.shape
    copy = photo.resize((width, height), Image.Resampling.LANCZOS)
    best = proposals(nodes, LEARNT.of(nodes), 6)
    # as many regions as a person might see
    top = [node for node in range(len(nodes)) if nodes.formed[node] <= _MERGED < nodes.gone[node]]
    regions = np.zeros(len(cut), dtype=np.int64)
    for number, node in enumerate(top):
        regions[nodes.members[node]] = number
    panels = [_outlined(copy, cut.labels), _outlined(copy, regions[cut.labels]), copy.copy()]
    draw = ImageDraw.Draw(panels[2])
    for box in nodes.boxes[best].tolist():
        _box(draw, (box[0], box[1], box[2] - 1, box[3] - 1), _RED)
    scale = 300 / width
    small = [panel.resize((300, round(height * scale)), Image.Resampling.LANCZOS) for panel in panels]
    image, draw = _canvas(960, small[0].height + 40)
    for place, (panel, title) in enumerate(zip(small, _TITLES, strict=True)):
        image.paste(panel, (10 + 320 * place, 35))
        _text(draw, (10 + 320 * place, 8), title)
    return image


#: Merges that cost more are not made where regions are shown.
_MERGED = 0.45

_TITLES = ("superpixels", "regions merged of them", "the first six proposals")


def _outlined(image: Image.Image, labels: np.ndarray) -> Image.Image:
    pixels = np.asarray(image).copy()
    edges = np.zeros(labels.shape, dtype=bool)
    edges[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edges[1:] |= labels[1:] != labels[:-1]
    pixels[edges] = (255, 255, 255)
    return Image.fromarray(pixels)


def _canvas(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (width, height), "white")
    return image, ImageDraw.Draw(image)


def _box(draw: ImageDraw.ImageDraw, box: Sequence[float], colour: str, left: float = 0, top: float = 0) -> None:
    x, y, width, height = box
    draw.rectangle((left + x, top + y, left + x + width, top + y + height), outline=colour, width=3)


def _text(draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, colour: str = _INK) -> None:
    draw.text(place, text, colour, font=ImageFont.load_default(15))


if __name__ == "__main__":
    main()
