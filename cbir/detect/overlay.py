"""Pictures of detections: boxes, names and masks over an image, and each cut out of it."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Sequence

from PIL import Image, ImageDraw, ImageFont

from cbir.detect.detection import Detection
from cbir.detect.geometry import whole_pixels

#: Pixels of the overlay's longer side, at most: it is for the eye.
SIDE = 2048

#: The share of its colour that lies over what a mask shows.
_OPACITY = 0.45

# Turns of the circle of hues from one class to the next: no few of them in a row are like each other.
_TURN = 0.61803

_LEAST_FONT = 11

#: What is said of masks that the detector did not tell.
APPROXIMATE = "approximate masks"

_NOTE = (235, 235, 235)

Colour = tuple[int, int, int]


def overlay(image: Image.Image, detections: Sequence[Detection], classes: Sequence[str]) -> Image.Image:
    """Draw boxes with class and score over an RGB image, in a colour for each class, and masks under them.

    The result has the image's size, but at most SIDE pixels a side. The best detections are drawn last, above others.
    Where masks are approximate, a line at the foot says so.
    """
    scale = min(1.0, SIDE / max(image.size))
    drawn = image.copy()
    if scale < 1:
        drawn.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    numbers = {name: number for number, name in reversed(list(enumerate(classes)))}
    for one in reversed(detections):
        if one.mask is not None:
            _shade(drawn, one, image.size, colour_of(numbers[one.name]))
    pen = ImageDraw.Draw(drawn)
    line = max(2, round(max(drawn.size) / 300))
    font = ImageFont.load_default(size=max(_LEAST_FONT, round(max(drawn.size) / 45)))
    for one in reversed(detections):
        colour = colour_of(numbers[one.name])
        x, y, width, height = (side * scale for side in one.box)
        box = (round(x), round(y), max(round(x + width) - 1, round(x)), max(round(y + height) - 1, round(y)))
        pen.rectangle((box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1), outline=(20, 20, 20), width=line + 2)
        pen.rectangle(box, outline=colour, width=line)
    for one in reversed(detections):
        x, y = (round(place * scale) for place in one.box[:2])
        _label(pen, (x, y), f"{_shown(one.name)} {one.score:.2f}", font, colour_of(numbers[one.name]), drawn.size)
    if any(one.is_approximate and one.mask is not None for one in detections):
        _label(pen, (1, drawn.height), APPROXIMATE, font, _NOTE, drawn.size)
    return drawn


def cut_outs(image: Image.Image, detections: Sequence[Detection]) -> Iterator[Image.Image]:
    """Cut out each detection: as large as its box, RGB, or RGBA where it has a mask, transparent outside of that."""
    for one in detections:
        x, y, width, height = whole_pixels(one.box, image.size)
        cut = image.crop((x, y, x + width, y + height))
        if one.mask is None:
            yield cut
            continue
        # what is hidden is black, so that it neither costs space nor gives away what was there
        whole = Image.new("RGBA", cut.size)
        whole.paste(cut, mask=Image.fromarray(one.mask))
        yield whole


def colour_of(number: int) -> Colour:
    """Return the colour of a class by its number: bright, and unlike those of the classes near it."""
    red, green, blue = colorsys.hsv_to_rgb(number * _TURN % 1.0, 0.75 + 0.25 * (number % 2), 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def _shade(drawn: Image.Image, one: Detection, size: tuple[int, int], colour: Colour) -> None:
    """Lay a class's colour over what a mask shows in an image of `size`; `drawn` may be a smaller copy."""
    assert one.mask is not None
    x, y, width, height = whole_pixels(one.box, size)
    across, down = drawn.width / size[0], drawn.height / size[1]
    left, top = round(x * across), round(y * down)
    wide, high = max(round((x + width) * across) - left, 1), max(round((y + height) * down) - top, 1)
    mask = Image.fromarray(one.mask).convert("L").resize((wide, high), Image.Resampling.BILINEAR)
    drawn.paste(Image.new("RGB", (wide, high), colour), (left, top), mask.point(lambda level: level * _OPACITY))


def _label(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    colour: Colour,
    size: tuple[int, int],
) -> None:
    """Write a text on its colour above a place, or below where there is no room, within an image of `size`."""
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    width, height = round(right - left) + 6, round(bottom - top) + 6
    x = min(max(place[0] - 1, 0), max(size[0] - width, 0))
    y = place[1] - height if place[1] >= height else place[1]
    y = min(y, max(size[1] - height, 0))
    pen.rectangle((x, y, x + width, y + height), fill=colour)
    light = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140
    pen.text((x + 3 - left, y + 3 - top), text, font=font, fill=(0, 0, 0) if light else (255, 255, 255))


def _shown(name: str) -> str:
    """Return a class's name as the font that comes with Pillow can draw it; it may be long, and of any script."""
    text = "".join(letter if letter.isprintable() else " " for letter in name)
    return text if len(text) <= 40 else f"{text[:39]}…"
