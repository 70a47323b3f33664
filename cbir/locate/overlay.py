"""A picture of where something was found: how like it each place is, and the box."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from cbir.locate.locator import Located
from cbir.segment.layers import colour_map
from cbir.segment.overlay import OVERLAY_SIDE
from cbir.utils.vectors import Floats

#: The opacity of the heat where it is greatest.
_OPACITY = 0.6

#: Heat of this much, and less, leaves the picture as it is; of this much and more it is drawn the brightest.
_COLD, _HOT = 0.05, 0.6


def overlay(image: Image.Image, located: Located) -> Image.Image:
    """Return the picture, darker where nothing was found, under the heat, with the box in white between black lines.

    It has the picture's size, but at most `segment.overlay.OVERLAY_SIDE` pixels a side.
    """
    scale = min(1.0, OVERLAY_SIDE / max(image.size))
    if scale < 1:
        image = image.copy()
        image.thumbnail((OVERLAY_SIDE, OVERLAY_SIDE), Image.Resampling.BOX)
    levels = np.clip((located.heat - _COLD) / (_HOT - _COLD), 0, 1).astype(np.float32)
    smooth = np.clip(np.asarray(Image.fromarray(levels).resize(image.size, Image.Resampling.BICUBIC)), 0, 1)
    drawn = under_heat(image, smooth)
    x, y, width, height = (value * scale for value in located.box)
    draw = ImageDraw.Draw(drawn)
    line = max(2, round(max(image.size) / 250))
    corners = [round(x), round(y), round(x + width) - 1, round(y + height) - 1]
    outer = [max(corners[0] - 1, 0), max(corners[1] - 1, 0), corners[2] + 1, corners[3] + 1]
    draw.rectangle(outer, outline="black", width=line + 2)
    draw.rectangle(corners, outline="white", width=line)
    return drawn


def under_heat(image: Image.Image, levels: Floats) -> Image.Image:
    """Return an RGB picture, greyer, under the colours of some levels from 0 to 1, shape (height, width)."""
    heat = Image.fromarray(colour_map()[np.round(levels * 255).astype(np.uint8)])
    opacity = Image.fromarray(np.round(_OPACITY * 255 * np.sqrt(levels)).astype(np.uint8))
    grey = Image.blend(image, image.convert("L").convert("RGB"), 0.6)
    return Image.composite(heat, grey, opacity)
