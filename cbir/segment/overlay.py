"""Pictures of a segmentation: the overlay for people, the label map for programs."""

from __future__ import annotations

import colorsys

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from cbir.segment.parts import Labels, Segmentation

#: How much of a part's own colour the overlay lays over the picture.
OPACITY = 0.45


def palette(count: int) -> npt.NDArray[np.uint8]:
    """`count` colours far from each other, shape (count, 3): hues by the golden angle, in three brightnesses."""
    colours = [
        colorsys.hsv_to_rgb((0.58 + i * 0.381966) % 1, (0.85, 0.55, 1.0)[i % 3], (1.0, 0.95, 0.7)[i // 3 % 3])
        for i in range(count)
    ]
    return np.round(np.asarray(colours).reshape(-1, 3) * 255).astype(np.uint8)


def label_map(segmentation: Segmentation) -> Image.Image:
    """The labels as an indexed image: `numpy.asarray` of it gives the labels, viewers show the parts' colours."""
    image = Image.fromarray(segmentation.labels)
    image.putpalette(palette(256).tobytes())
    return image


def overlay(segmentation: Segmentation) -> Image.Image:
    """The picture under the translucent colours of its parts, with white outlines and the labels' numbers."""
    pixels = np.asarray(segmentation.image, dtype=np.float32)
    colours = palette(256)[segmentation.labels]
    mixed = (pixels * (1 - OPACITY) + colours * OPACITY).astype(np.uint8)
    mixed[_outlines(segmentation.labels, max(1, max(segmentation.image.size) // 500))] = 255
    image = Image.fromarray(mixed)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=max(12, max(image.size) // 24))
    for part in segmentation.parts:
        x, y = _inner_point(segmentation.labels == part.label)
        draw.text((x, y), str(part.label), fill="white", font=font, anchor="mm", stroke_width=2, stroke_fill="black")
    return image


def _outlines(labels: Labels, width: int) -> npt.NDArray[np.bool_]:
    """Where the label differs from the one `width` pixels to the right or below."""
    edges = np.zeros(labels.shape, dtype=np.bool_)
    for step in range(1, width + 1):
        edges[:, :-step] |= labels[:, step:] != labels[:, :-step]
        edges[:-step] |= labels[step:] != labels[:-step]
    return edges


def _inner_point(inside: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """A point (x, y) well inside a part: the last that is left when its edge is taken off again and again."""
    step = max(1, max(inside.shape) // 128)
    small = inside[::step, ::step]
    if not small.any():  # a part thinner than the steps
        small, step = inside, 1
    while True:
        padded = np.pad(small, 1)
        eroded = small & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        if not eroded.any():
            break
        small = eroded
    rows, columns = np.nonzero(small)
    middle = len(rows) // 2
    return (float(columns[middle]) + 0.5) * step, (float(rows[middle]) + 0.5) * step
