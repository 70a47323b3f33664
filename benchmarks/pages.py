"""Pages, chats, screenshots and the like, drawn: different ones of one layout, which nobody would call the same.

A seed makes a page, and the same one each time. What stands on all pages of a kind (letterheads, title bars, staves,
frames) is what people have on theirs; all else differs.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_WORDS = (
    *("the", "of", "and", "a", "to", "in", "he", "have", "it", "that", "for", "they", "with", "as", "not", "on", "she"),
    *("by", "this", "we", "you", "do", "but", "from", "or", "which", "one", "would", "all", "will", "there", "say"),
    *("make", "when", "can", "more", "if", "no", "man", "out", "other", "so", "what", "time", "up", "go", "about"),
    *("into", "could", "state", "only", "new", "year", "some", "take", "come", "these", "know", "see", "use", "get"),
    *("then", "first", "any", "work", "now", "may", "such", "give", "over", "think", "most", "even", "find", "day"),
    *("after", "way", "many", "must", "look", "before", "great", "back", "through", "long", "where", "much", "should"),
    *("people", "down", "own", "just", "because", "good", "each", "those", "feel", "seem", "how", "high", "too"),
    *("little", "world", "very", "still", "nation", "hand", "old", "life", "tell", "write", "than", "well", "place"),
)

_NAMES = (
    *("Anna", "Bora", "Chen", "Dana", "Emil", "Faye", "Goran", "Hana", "Ines", "Jonas", "Kofi", "Lena", "Marek"),
    *("Nuria", "Omar", "Petra", "Quinn", "Rosa", "Sven", "Tara"),
)

_INK, _PAPER, _BLUE = (25, 25, 25), (250, 250, 248), (7, 94, 84)


@cache
def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def _line(rnd: random.Random, draw: ImageDraw.ImageDraw, width: float, font: Font) -> str:
    """Words that fill a width."""
    text = rnd.choice(_WORDS)
    while draw.textlength(f"{text} {(word := rnd.choice(_WORDS))}", font=font) < width:
        text += " " + word
    return text


def _blank(size: tuple[int, int], ground: Colour = _PAPER) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", size, ground)
    return image, ImageDraw.Draw(image)


def _text(rnd: random.Random, draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], size: int) -> None:
    """Paragraphs of justified-left text that fill a box."""
    left, y, right, bottom = box
    font, step = _font(size), round(size * 1.3)
    while y < bottom - step:
        for _ in range(rnd.randint(3, 7)):
            if y > bottom - step:
                return
            draw.text((left, y), _line(rnd, draw, right - left, font), font=font, fill=_INK)
            y += step
        draw.text((left, y), _line(rnd, draw, (right - left) * rnd.uniform(0.2, 0.8), font), font=font, fill=_INK)
        y += step + step // 2


def book(rnd: random.Random) -> Image.Image:
    """A page of a book, full of text."""
    image, draw = _blank((850, 1100))
    _text(rnd, draw, (80, 80, 770, 1020), 20)
    draw.text((415, 1050), str(rnd.randint(1, 600)), font=_font(18), fill=_INK)
    return image


def letter(rnd: random.Random) -> Image.Image:
    """A letter with the same head as all others."""
    image, draw = _blank((850, 1100))
    draw.text((80, 70), "Example & Daughters, 12 Sample Street", font=_font(24), fill=_INK)
    draw.line((80, 110, 770, 110), fill=_INK, width=2)
    draw.text((560, 140), f"{rnd.randint(1, 28)} May {rnd.randint(1990, 2025)}", font=_font(20), fill=_INK)
    draw.text((80, 190), f"Dear {rnd.choice(_NAMES)},", font=_font(20), fill=_INK)
    _text(rnd, draw, (80, 240, 770, rnd.randint(600, 950)), 20)
    draw.text((80, 970), "Yours sincerely, Sam Example", font=_font(20), fill=_INK)
    return image


def chat(rnd: random.Random) -> Image.Image:
    """A messenger on a phone: bars above and below, bubbles between them."""
    image, draw = _blank((720, 1280), (236, 229, 221))
    draw.rectangle((0, 0, 720, 110), _BLUE)
    draw.text((90, 35), rnd.choice(_NAMES), font=_font(34), fill=(255, 255, 255))
    draw.rectangle((0, 1180, 720, 1280), (245, 245, 245))
    draw.rounded_rectangle((20, 1200, 600, 1260), 30, (255, 255, 255))
    draw.ellipse((630, 1198, 696, 1264), _BLUE)
    y, font = 130, _font(24)
    while y < 1090:
        lines, width, is_own = rnd.choice((1, 1, 2, 3)), rnd.randint(200, 480), rnd.random() < 0.5
        height, left = 24 + 34 * lines, 700 - width if is_own else 20
        if y + height > 1170:
            break
        draw.rounded_rectangle((left, y, left + width, y + height), 16, (220, 248, 198) if is_own else (255, 255, 255))
        for line in range(lines):
            draw.text((left + 14, y + 10 + 34 * line), _line(rnd, draw, width - 30, font), font=font, fill=_INK)
        y += height + 22
    return image


def receipt(rnd: random.Random) -> Image.Image:
    """A shop's receipt: the same head and foot, other things and prices."""
    image, draw = _blank((480, 1100))
    draw.text((110, 30), "SAMPLE MARKET", font=_font(32), fill=_INK)
    draw.text((120, 75), "12 Example Road, Anytown", font=_font(18), fill=_INK)
    y = 130
    for _ in range(rnd.randint(14, 22)):
        draw.text((30, y), f"{rnd.choice(_WORDS)} {rnd.choice(_WORDS)}".upper(), font=_font(22), fill=_INK)
        draw.text((380, y), f"{rnd.uniform(0.3, 40):6.2f}", font=_font(22), fill=_INK)
        y += 34
    draw.line((30, y, 450, y), fill=_INK, width=2)
    draw.text((30, y + 12), f"TOTAL  {rnd.uniform(20, 300):.2f}", font=_font(28), fill=_INK)
    draw.text((90, 1040), "THANK YOU, COME AGAIN", font=_font(22), fill=_INK)
    return image


def screen(rnd: random.Random) -> Image.Image:
    """A list in an app: bars and icons are those of all screens, names and lines are not."""
    image, draw = _blank((720, 1280), (255, 255, 255))
    draw.rectangle((0, 0, 720, 120), (40, 70, 160))
    draw.text((40, 40), "Inbox", font=_font(40), fill=(255, 255, 255))
    for row in range(8):
        y = 140 + 130 * row
        draw.ellipse((30, y, 120, y + 90), (200, 205, 215))
        draw.text((150, y), f"{rnd.choice(_NAMES)} {rnd.choice(_NAMES)}", font=_font(30), fill=_INK)
        draw.text((150, y + 40), _line(rnd, draw, 480, _font(24)), font=_font(24), fill=(110, 110, 110))
        draw.line((150, y + 110, 720, y + 110), fill=(225, 225, 225), width=2)
    for column in range(4):
        draw.rounded_rectangle((60 + 170 * column, 1200, 130 + 170 * column, 1260), 12, (160, 165, 175))
    return image


def slide(rnd: random.Random) -> Image.Image:
    """A slide of one template."""
    image, draw = _blank((1024, 768), (255, 255, 255))
    draw.rectangle((0, 0, 1024, 130), (30, 60, 120))
    draw.text((50, 40), _line(rnd, draw, rnd.randint(300, 800), _font(44)), font=_font(44), fill=(255, 255, 255))
    draw.rectangle((0, 720, 1024, 768), (220, 225, 235))
    draw.text((50, 730), "Sample University", font=_font(22), fill=_INK)
    for line in range(rnd.randint(4, 6)):
        y = 180 + 90 * line
        draw.ellipse((60, y + 12, 76, y + 28), (30, 60, 120))
        draw.text((100, y), _line(rnd, draw, rnd.randint(300, 820), _font(32)), font=_font(32), fill=_INK)
    return image


def form(rnd: random.Random) -> Image.Image:
    """A form that somebody filled in: the printed part is the same."""
    image, draw = _blank((850, 1100))
    draw.text((80, 50), "Application for a sample", font=_font(34), fill=_INK)
    for row in range(14):
        y = 130 + 66 * row
        draw.text((80, y), f"{row + 1}. {_WORDS[6 * row]} {_WORDS[5 * row + 1]}", font=_font(18), fill=_INK)
        draw.rectangle((280, y - 8, 770, y + 38), outline=_INK, width=2)
        draw.text((295, y - 2), _line(rnd, draw, rnd.randint(120, 440), _font(28)), font=_font(28), fill=(20, 40, 150))
    return image


def table(rnd: random.Random) -> Image.Image:
    """A sheet of numbers."""
    image, draw = _blank((1024, 768), (255, 255, 255))
    for row in range(24):
        draw.line((0, 32 * row, 1024, 32 * row), fill=(200, 200, 200))
        for column in range(8):
            draw.line((128 * column, 0, 128 * column, 768), fill=(200, 200, 200))
            draw.text((128 * column + 20, 32 * row + 5), f"{rnd.lognormvariate(5, 2):.2f}", font=_font(20), fill=_INK)
    return image


def code(rnd: random.Random) -> Image.Image:
    """A dark editor."""
    image, draw = _blank((1024, 768), (30, 30, 34))
    draw.rectangle((0, 0, 1024, 40), (50, 50, 56))
    indent = 0
    for line in range(28):
        draw.text((20, 52 + 25 * line), str(line + 1), font=_font(18), fill=(110, 110, 110))
        indent = max(0, min(4, indent + rnd.choice((-1, 0, 0, 1))))
        text = _line(rnd, draw, rnd.randint(80, 600), _font(20))
        colour = rnd.choice(((200, 200, 210), (120, 180, 250), (230, 160, 110)))
        draw.text((80 + 40 * indent, 50 + 25 * line), text, font=_font(20), fill=colour)
    return image


def music(rnd: random.Random) -> Image.Image:
    """Sheet music: the staves are the same, the notes are not."""
    image, draw = _blank((850, 1100))
    for stave in range(9):
        top = 80 + 112 * stave
        for line in range(5):
            draw.line((60, top + 12 * line, 790, top + 12 * line), fill=_INK, width=2)
        for bar in range(5):
            draw.line((60 + 182 * bar, top, 60 + 182 * bar, top + 48), fill=_INK, width=2)
        for note in range(16):
            x, y = 80 + 44 * note + 6 * (note // 4), top + 6 * rnd.randint(-1, 9)
            draw.ellipse((x, y - 6, x + 15, y + 6), fill=_INK)
            if rnd.random() < 0.8:
                draw.line((x + 14, y, x + 14, y - 38), fill=_INK, width=2)
    return image


def squares(rnd: random.Random) -> Image.Image:
    """A code of squares, for phones to read: three corners are the same."""
    cells = np.array([[rnd.random() < 0.5 for _ in range(33)] for _ in range(33)])
    corner = np.ones((8, 8), dtype=bool)
    corner[:7, :7] = False
    corner[1:6, 1:6] = True
    corner[2:5, 2:5] = False
    cells[:8, :8], cells[:8, -8:], cells[-8:, :8] = corner, corner[:, ::-1], corner[::-1]
    image = Image.fromarray(np.where(np.pad(cells, 4, constant_values=True), 255, 0).astype(np.uint8))
    return image.resize((41 * 16, 41 * 16), Image.Resampling.NEAREST).convert("RGB")


def streets(rnd: random.Random) -> Image.Image:
    """A map of a town's streets."""
    image, draw = _blank((900, 900), (240, 237, 230))
    for _ in range(4):
        x, y, side = rnd.randint(0, 900), rnd.randint(0, 900), rnd.randint(60, 200)
        draw.ellipse((x, y, x + side, y + side), rnd.choice(((200, 225, 190), (175, 205, 230))))
    for _ in range(24):
        start, width = (rnd.randint(0, 900), rnd.randint(0, 900)), rnd.choice((6, 8, 14))
        end = (start[0] + rnd.randint(-700, 700), start[1] + rnd.randint(-700, 700))
        draw.line((*start, *end), fill=(190, 185, 175), width=width + 4)
        draw.line((*start, *end), fill=(255, 255, 255) if width < 14 else (250, 220, 140), width=width)
    for _ in range(14):
        draw.text((rnd.randint(0, 800), rnd.randint(0, 880)), rnd.choice(_NAMES) + " St", font=_font(18), fill=_INK)
    return image


def identity(rnd: random.Random) -> Image.Image:
    """A scan of a card: frame and pattern are the same, face and words are not."""
    image, draw = _blank((860, 540), (225, 232, 240))
    for wave in range(0, 1200, 22):
        draw.arc((wave - 600, -200, wave + 200, 700), 0, 360, fill=(200, 212, 226), width=2)
    draw.text((40, 25), "SAMPLE STATE - IDENTITY CARD", font=_font(32), fill=(40, 60, 120))
    skin, hair = rnd.choice(((240, 200, 170), (200, 150, 110), (120, 80, 60))), rnd.choice((20, 90, 160))
    draw.rectangle((50, 110, 290, 430), (245, 245, 245))
    draw.ellipse((95 + rnd.randint(-8, 8), 150, 245, 370 + rnd.randint(-15, 15)), skin)
    draw.pieslice((90, 135 + rnd.randint(-8, 8), 250, 330), 180, 360, (hair, hair // 2, hair // 3))
    for eye in (140, 200):
        draw.ellipse((eye, 245, eye + rnd.randint(8, 16), 257), _INK)
    draw.arc((135, 270, 205, 270 + rnd.randint(40, 70)), 20, 160, fill=(150, 50, 50), width=4)
    for row, label in enumerate(("Name", "Born", "Number", "Until")):
        value = f"{rnd.choice(_NAMES)} {rnd.choice(_NAMES)}" if not row else str(rnd.randint(10**6, 10**8))
        draw.text((330, 110 + 84 * row), label, font=_font(18), fill=(90, 100, 120))
        draw.text((330, 134 + 84 * row), value, font=_font(30), fill=_INK)
    return image


def comic(rnd: random.Random) -> Image.Image:
    """A strip: the same hero in front of the same ground says something else, and stands elsewhere."""
    image, draw = _blank((1000, 420), (255, 255, 255))
    for panel in range(3):
        left = 20 + 325 * panel
        draw.rectangle((left, 20, left + 310, 400), (250, 235, 190), _INK, 4)
        draw.rectangle((left + 4, 320, left + 306, 396), (150, 190, 120))
        x, lean = left + rnd.randint(60, 210), rnd.randint(-30, 30)
        draw.line((x, 250, x + lean, 330), fill=_INK, width=6)
        for limb in (-1, 1):
            draw.line((x + lean, 330, x + lean + limb * rnd.randint(5, 40), 390), fill=_INK, width=6)
            draw.line((x, 270, x + limb * 45, 270 + rnd.randint(-40, 40)), fill=_INK, width=6)
        draw.ellipse((x - 28, 194, x + 28, 250), (255, 220, 190), _INK, 4)
        draw.ellipse((left + 25, 40, left + 285, 150), (255, 255, 255), _INK, 3)
        for line in range(2):
            draw.text((left + 65, 62 + 30 * line), _line(rnd, draw, 170, _font(22)), font=_font(22), fill=_INK)
    return image


def spectrogram(rnd: random.Random) -> Image.Image:
    """A sound's frequencies over time."""
    rng = np.random.default_rng(rnd.randint(0, 10**9))
    level = rng.gamma(2.0, 10.0, (256, 512)) * np.linspace(0.2, 1.6, 256)[:, np.newaxis]
    for _ in range(10):
        start, length, pitch = rng.integers(0, 470), rng.integers(15, 90), rng.integers(30, 60)
        for overtone in range(1, 5):
            level[max(0, 256 - overtone * pitch) :][:3, start : start + length] += 220 / overtone
    grey = Image.fromarray(np.clip(level, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.7))
    return ImageOps.colorize(grey, (10, 5, 40), (255, 240, 160), (190, 40, 90)).resize((1024, 512))


def chart(rnd: random.Random) -> Image.Image:
    """A line over the same axes."""
    image, draw = _blank((1000, 640), (255, 255, 255))
    for line in range(6):
        draw.line((80, 60 + 96 * line, 960, 60 + 96 * line), fill=(215, 215, 215), width=2)
        draw.text((20, 50 + 96 * line), f"{100 - 20 * line}", font=_font(20), fill=_INK)
    draw.text((380, 15), "Samples a day", font=_font(28), fill=_INK)
    level, points = rnd.uniform(150, 450), []
    for step in range(45):
        level = min(530, max(70, level + rnd.gauss(0, 35)))
        points.append((80 + 20 * step, level))
    draw.line(points, fill=(30, 80, 190), width=5)
    return image


#: What draws a page of each kind.
KINDS: dict[str, Callable[[random.Random], Image.Image]] = {
    "book": book,
    "letter": letter,
    "chat": chat,
    "receipt": receipt,
    "screen": screen,
    "slide": slide,
    "form": form,
    "table": table,
    "code": code,
    "music": music,
    "squares": squares,
    "streets": streets,
    "identity": identity,
    "comic": comic,
    "spectrogram": spectrogram,
    "chart": chart,
}


def page(kind: str, seed: int) -> Image.Image:
    """The page of a kind that a seed makes."""
    return KINDS[kind](random.Random(f"{kind} {seed}"))


def _saved(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as opened:
        return opened.convert("RGB")


def _resized(image: Image.Image, factor: float) -> Image.Image:
    size = round(image.width * factor), round(image.height * factor)
    return image.resize(size, Image.Resampling.LANCZOS)


def _trimmed(image: Image.Image, share: float) -> Image.Image:
    across, down = round(image.width * share), round(image.height * share)
    return image.crop((across, down, image.width - across, image.height - down))


#: What people make of a page.
COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG quality 40": lambda image: _saved(image, 40),
    "70 % of the size": lambda image: _resized(image, 0.7),
    "messenger": lambda image: _saved(_resized(image, 0.5), 45),
    "greyed": lambda image: ImageOps.grayscale(image).convert("RGB"),
    "brighter": lambda image: ImageEnhance.Brightness(ImageEnhance.Contrast(image).enhance(0.8)).enhance(1.15),
    "edges cut off": lambda image: _trimmed(image, 0.02),
}
