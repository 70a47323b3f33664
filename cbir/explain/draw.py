"""Pictures of an explanation: what speaks for the likeness at each place, and lines between places that agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cbir.explain.explainer import Explanation, Seen
from cbir.explain.likeness import Pair
from cbir.explain.looks import Look
from cbir.locate.overlay import under_heat
from cbir.utils.vectors import Floats

#: Pixels of the longer side of each picture, and between two.
SIDE, _GAP = 640, 12

# Levels below this share of the highest leave the picture as it is.
_COLD = 0.1

_DOT, _FONT = 11, 14
_FRAME = (255, 255, 255)


def heated(seen: Seen, shares: Floats, side: int = SIDE) -> Image.Image:
    """Return a picture, at most so many pixels a side, under the heat of its places' shares, shape (n,).

    Negative ones leave it as it is, and so does what the network does not see, which lies outside a thin frame.
    """
    image = _shown(seen, side)
    drawn = under_heat(image, spread_out(seen.look, shares, image.size))
    draw = ImageDraw.Draw(drawn)
    for extent in {pane.extent for pane in seen.look.panes}:
        left, top, right, bottom = (round(one * length) for one, length in zip(extent, image.size * 2, strict=True))
        if (right - left, bottom - top) != image.size:
            draw.rectangle([left, top, right - 1, bottom - 1], outline=_FRAME)
    return drawn


def drawn_pair(explanation: Explanation, side: int = SIDE) -> Image.Image:
    """Return both pictures side by side under their heat, with numbered lines between the places that agree most."""
    query = heated(explanation.query, explanation.of_query.above(explanation.query.look), side)
    match = heated(explanation.match, explanation.of_match.above(explanation.match.look), side)
    sheet = Image.new("RGB", (query.width + _GAP + match.width, max(query.height, match.height)), "white")
    sheet.paste(query, (0, 0))
    sheet.paste(match, (query.width + _GAP, 0))
    _draw_lines(sheet, explanation, explanation.pairs.strongest(), query.size, match.size)
    return sheet


def spread_out(look: Look, shares: Floats, size: tuple[int, int]) -> Floats:
    """Return the heat of each pixel of a picture of that width and height, from 0 to 1, shape (height, width)."""
    width, height = size
    heat = np.zeros((height, width), dtype=np.float32)
    for pane in look.panes:
        left, top, right, bottom = pane.extent
        across = max(round(left * width), 0), min(max(round(right * width), round(left * width) + 1), width)
        down = max(round(top * height), 0), min(max(round(bottom * height), round(top * height) + 1), height)
        grid = np.maximum(shares[pane.places], 0).reshape(pane.rows, pane.columns) / np.float32(pane.weight)
        room = across[1] - across[0], down[1] - down[0]
        smooth = Image.fromarray(grid.astype(np.float32)).resize(room, Image.Resampling.BICUBIC)
        heat[down[0] : down[1], across[0] : across[1]] += np.asarray(smooth)
    heat /= max(float(heat.max()), 1e-12)
    return np.asarray(np.clip((heat - _COLD) / (1 - _COLD), 0, 1), dtype=np.float32)


def _shown(seen: Seen, side: int) -> Image.Image:
    """Return a picture without what lies around its box, at most so many pixels a side."""
    left, top, right, bottom = seen.box
    scale = side / max(right - left, bottom - top)
    size = max(round((right - left) * scale), 1), max(round((bottom - top) * scale), 1)
    return seen.image.resize(size, Image.Resampling.BICUBIC, box=seen.box, reducing_gap=3.0)


def _draw_lines(
    sheet: Image.Image,
    explanation: Explanation,
    pairs: Sequence[Pair],
    query: tuple[int, int],
    match: tuple[int, int],
) -> None:
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=_FONT)
    ends = [
        (
            _middle(explanation.query.look, pair.query, query, 0),
            _middle(explanation.match.look, pair.match, match, query[0] + _GAP),
        )
        for pair in pairs
    ]
    strongest = max((pair.share for pair in pairs), default=1.0)
    for pair, (start, end) in zip(pairs, ends, strict=True):
        width = 1 + round(3 * pair.share / strongest)
        draw.line([start, end], fill="black", width=width + 2)
        draw.line([start, end], fill="white", width=width)
    for number, both in reversed(list(enumerate(ends, start=1))):
        for x, y in both:
            draw.ellipse([x - _DOT, y - _DOT, x + _DOT, y + _DOT], fill="white", outline="black", width=2)
            draw.text((x, y), str(number), fill="black", font=font, anchor="mm")


def _middle(look: Look, place: int, size: tuple[int, int], offset: int) -> tuple[float, float]:
    left, top, right, bottom = look.box(place)
    return offset + (left + right) / 2 * size[0], (top + bottom) / 2 * size[1]
