"""A picture of what a network's stages respond to: the mean activation of each, beside the picture itself.

Activations count by their size: some stages end without a ReLU, and what is negative in them is a response, too.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from cbir.engines.engine import Engine
from cbir.images.large import network_size
from cbir.utils.vectors import Floats

#: Pixels of the longer side when the picture enters the network, of each panel's, and what lies around a panel.
_WORKING_SIDE, _PANEL_SIDE, _GAP = 480, 480, 16

#: The height of titles, in pixels, and how much more a line of them takes.
_FONT, _LINE = 17, 10

#: Mirrored around the picture, so that its border does not show up; a whole number of cells in every stage.
_MARGIN = 64

#: The darkest and brightest are a hundredth of the cells each, so that a single one does not dim all others.
_PERCENTILES = (1, 99)


def mean_activations(image: Image.Image, engine: Engine) -> list[tuple[Floats, int, int]]:
    """Return each stage, from fine to coarse: its mean over channels, shape (rows, columns), their number, its stride.

    The stride is the width of a cell in pixels of the network's input.
    """
    size = network_size(image.size, min(_WORKING_SIDE, max(image.size)))
    pixels = np.asarray(image.resize(size, Image.Resampling.LANCZOS))
    padded = np.pad(pixels, ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)), mode="symmetric")
    found = []
    for (stage,) in engine.stages(padded[np.newaxis]):
        stride = round(padded.shape[0] / stage.shape[1])
        edge = _MARGIN // stride
        found.append((np.abs(stage).mean(axis=0)[edge:-edge, edge:-edge], len(stage), stride))
    return found


def layers_picture(image: Image.Image, engine: Engine) -> Image.Image:
    """Return the picture and the mean activation of each stage, side by side, with titles.

    The brighter, the more a stage's channels respond there on average; each stage has its own scale.
    """
    scale = _PANEL_SIDE / max(image.size)
    width, height = (max(round(side * scale), 1) for side in image.size)
    panels = [(f"picture: {image.width} x {image.height}", image.resize((width, height), Image.Resampling.LANCZOS))]
    for number, (activation, channels, stride) in enumerate(mean_activations(image, engine), 1):
        coloured = Image.fromarray(colour_map()[_levels(activation)])
        title = f"stage {number}: {channels} channels at 1/{stride}"
        panels.append((title, coloured.resize((width, height), Image.Resampling.NEAREST)))
    return _sheet(panels)


def _levels(activation: Floats) -> npt.NDArray[np.uint8]:
    low, high = np.percentile(activation, _PERCENTILES)
    scaled = (activation - low) / max(float(high - low), 1e-6)
    return np.asarray(np.round(np.clip(scaled, 0, 1) * 255), dtype=np.uint8)


def _sheet(panels: list[tuple[str, Image.Image]]) -> Image.Image:
    """Panels of one size on white, each under its title; full rows, and a sheet of about 3 : 2, are preferred."""
    width, height = panels[0][1].size
    font = ImageFont.load_default(size=_FONT)
    title_width = math.ceil(max(font.getlength(title) for title, _ in panels))
    across, down = max(width, title_width) + _GAP, height + _FONT + _LINE + _GAP

    def faults(columns: int) -> float:
        rows = -(-len(panels) // columns)
        return abs(math.log(columns * across / (rows * down) / 1.5)) + (rows * columns - len(panels)) / len(panels)

    columns = min(range(1, len(panels) + 1), key=faults)
    rows = -(-len(panels) // columns)
    sheet = Image.new("RGB", (columns * across + _GAP, rows * down + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (title, panel) in enumerate(panels):
        x, y = _GAP + number % columns * across, _GAP + number // columns * down
        draw.text((x, y), title, fill="black", font=font)
        sheet.paste(panel, (x, y + _FONT + _LINE))
    return sheet


@cache
def colour_map() -> npt.NDArray[np.uint8]:
    """256 colours of evenly growing lightness, from a dark blue over red to a light yellow, shape (256, 3)."""
    from skimage.color import lab2rgb

    at = np.linspace(0, 1, 256)
    lightness = 8 + 86 * at
    hue = np.radians(-80 + 175 * at)
    chroma = 12 + 58 * np.sin(np.pi * at**0.9)
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1)
    return np.asarray(np.round(np.clip(lab2rgb(lab[np.newaxis])[0], 0, 1) * 255), dtype=np.uint8)
