"""The overlay of a segmentation: an image under its segments' colours, outlines and numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from cbir.segment.describe import Labels, Segment

#: The share of a segment's own colour that the overlay lays over the picture.
OPACITY = 0.42

#: Pixels of the overlay's longer side, at most: it is for the eye, and writing 12 megapixels as a PNG takes a second.
OVERLAY_SIDE = 2048

#: Points on the overlay's longer side at which room for the numbers is looked for.
_ROOM_SIDE = 400

#: Places with this much of the most room that a segment has are as good; the one nearest to its middle is taken.
_ROOMY = 0.85

#: The height of numbers, in pixels: below it none is written. The largest are a part of the overlay's longer side.
_LEAST_FONT, _LARGEST_FONT = 9, 1 / 26

#: The greatest height of a number, by its digits, in radii of the largest circle within its segment.
_FONT_OF_RADIUS = (1.5, 1.25, 0.95)


class Spot(NamedTuple):
    """The centre of the largest circle within a segment, (x, y), and its radius, in pixels."""

    x: float
    y: float
    radius: float


def overlay(image: Image.Image, label_map: Image.Image, segments: Sequence[Segment]) -> Image.Image:
    """Draw translucent colours of segments over an image, with outlines and the labels' numbers.

    `label_map` is an indexed image of the same size. The result has that size, but at most OVERLAY_SIDE pixels a side.
    Outlines are white between dark ones, which stand out from light and from dark. Segments that have no room for a
    number go without.
    """
    if max(image.size) > OVERLAY_SIDE:
        image = image.copy()
        image.thumbnail((OVERLAY_SIDE, OVERLAY_SIDE), Image.Resampling.BOX)
        label_map = label_map.resize(image.size, Image.Resampling.NEAREST)
    labels = np.asarray(label_map)
    mixed = Image.blend(image, label_map.convert("RGB"), OPACITY)
    _draw_outlines(mixed, labels)
    _draw_numbers(mixed, labels, segments)
    return mixed


def _draw_outlines(image: Image.Image, labels: Labels) -> None:
    """White lines where labels differ, between darker ones, smooth where there are pixels enough for that."""
    edges = np.zeros(labels.shape, dtype=np.uint8)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= down
    edges[:-1] |= down
    radius = max(max(image.size) / 1000, 0.8)
    blurred = Image.fromarray(edges * np.uint8(255)).filter(ImageFilter.GaussianBlur(radius))
    # how bright the middle of a straight line of two pixels is now
    middle = 255 * math.erf(1 / (radius * math.sqrt(2)))
    for colour, opacity, outside, inside in (("black", 0.65, 0.08, 0.35), ("white", 1.0, 0.55, 0.95)):
        levels = np.clip((np.arange(256) / middle - outside) / (inside - outside), 0, 1)
        table = np.round(255 * opacity * levels).astype(int).tolist()
        image.paste(Image.new("RGB", image.size, colour), mask=blurred.point(table))


def _draw_numbers(image: Image.Image, labels: Labels, segments: Sequence[Segment]) -> None:
    draw = ImageDraw.Draw(image)
    largest = max(image.size) * _LARGEST_FONT
    for segment, spot in zip(segments, roomy_spots(labels, len(segments)), strict=True):
        text = str(segment.label)
        size = round(min(max(largest, 14), spot.radius * _FONT_OF_RADIUS[len(text) - 1]))
        if size < _LEAST_FONT:
            continue
        font = ImageFont.load_default(size=size)
        stroke = max(1, round(size / 12))
        draw.text(
            (spot.x, spot.y), text, fill="white", font=font, anchor="mm", stroke_width=stroke, stroke_fill="black"
        )


def roomy_spots(labels: Labels, count: int) -> list[Spot]:
    """Find where each segment has the most room, near its middle; (0, 0, 0) for one too thin to see.

    Looked for on a coarse grid of the labels, so the radius is right to one of its steps.
    """
    from scipy.ndimage import distance_transform_edt

    step = max(1, round(max(labels.shape) / _ROOM_SIDE))
    small = labels[step // 2 :: step, step // 2 :: step]
    is_edge = np.ones((small.shape[0] + 2, small.shape[1] + 2), dtype=np.bool_)
    is_edge[1:-1, 1:-1] = False
    across, down = small[:, 1:] != small[:, :-1], small[1:] != small[:-1]
    is_edge[1:-1, 2:-1] |= across
    is_edge[2:-1, 1:-1] |= down
    room = distance_transform_edt(~is_edge)[1:-1, 1:-1]
    rows, columns = np.arange(small.shape[0])[:, np.newaxis], np.arange(small.shape[1])
    spots = []
    for label in range(count):
        inside = small == label
        if not inside.any():
            spots.append(Spot(0, 0, 0))
            continue
        own = np.where(inside, room, 0)
        is_roomy = own >= _ROOMY * own.max()
        y, x = (float(np.broadcast_to(axis, small.shape)[inside].mean()) for axis in (rows, columns))
        away = np.where(is_roomy, np.hypot(rows - y, columns - x), np.inf)
        row, column = np.unravel_index(int(away.argmin()), small.shape)
        offset = step // 2 + 0.5
        spots.append(Spot(float(column * step + offset), float(row * step + offset), float(room[row, column] * step)))
    return spots
