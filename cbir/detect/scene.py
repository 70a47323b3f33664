"""A drawn scene on which a detector of everyday things finds something, if pixels enter it as they should.

YOLOX-nano is sure of a stop sign and a clock in it (.95), and finds nothing where values of 0 to 1 take the place of
0 to 255, which no error would tell.
"""

from __future__ import annotations

import math

from PIL import Image, ImageDraw, ImageFont

#: Width and height in pixels.
SIZE = (640, 480)

_INK = (20, 20, 20)


def draw() -> Image.Image:
    """Draw a stop sign, a clock, a ball and traffic lights before sky and grass, RGB."""
    scene = Image.new("RGB", SIZE, (150, 190, 235))
    pen = ImageDraw.Draw(scene)
    pen.rectangle((0, 298, *SIZE), fill=(110, 140, 80))
    pen.rectangle((122, 168, 134, 408), fill=(120, 120, 120))
    for radius, colour in ((96, (250, 250, 250)), (88, (190, 20, 30))):
        pen.polygon(_around(128, 168, radius, 8, math.pi / 8), fill=colour)
    font = ImageFont.load_default(size=60)
    pen.text((128, 168), "STOP", fill="white", font=font, anchor="mm", stroke_width=2, stroke_fill="white")
    _clock(pen, 333, 144, 91)
    _disc(pen, 512, 374, 43, (235, 120, 40), outline=_INK)
    pen.line((469, 374, 555, 374), fill=_INK, width=3)
    pen.line((512, 331, 512, 417), fill=_INK, width=3)
    pen.rectangle((525, 48, 575, 178), fill=(30, 30, 30))
    for number, colour in enumerate(((230, 40, 30), (240, 200, 40), (40, 200, 70))):
        _disc(pen, 550, 72 + 41 * number, 16, colour)
    return scene


def _clock(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float) -> None:
    _disc(pen, x, y, radius, (60, 40, 30))
    face = 0.88 * radius
    _disc(pen, x, y, face, (250, 248, 240))
    inner, outer = _around(x, y, 0.8 * face, 12), _around(x, y, 0.95 * face, 12)
    for start, end in zip(inner, outer, strict=True):
        pen.line((*start, *end), fill=_INK, width=4)
    for angle, length, width in ((-0.5, 0.5, 7), (-2.0, 0.75, 5)):
        pen.line((x, y, *_around(x, y, length * face, 1, angle)[0]), fill=_INK, width=width)


def _disc(
    pen: ImageDraw.ImageDraw,
    x: float,
    y: float,
    radius: float,
    colour: tuple[int, int, int],
    outline: tuple[int, int, int] | None = None,
) -> None:
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline=outline, width=3)


def _around(x: float, y: float, radius: float, count: int, first: float = 0.0) -> list[tuple[float, float]]:
    """Return points on a circle, as many as asked for."""
    angles = [first + 2 * math.pi * number / count for number in range(count)]
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]
