"""Text on a picture, in whatever script: Pillow's own font first, then those of the system.

Pillow's font, which is always there, has little more than the letters of English. What it lacks is looked for in the
fonts of the system: one that has all of a text, else letter by letter. What no font has is written as an escape
(`\\u4e2d`), which says at least what it is.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from PIL import ImageDraw, ImageFont

from cbir.utils.printable import printable

Font = ImageFont.FreeTypeFont

#: Fonts with many letters, by the starts of their files' names: they are tried before others.
_GOOD = (
    *("DejaVuSans.", "NotoSans-Regular", "LiberationSans-Regular", "arial.", "Arial Unicode", "segoeui."),
    *("NotoSansCJK-Regular", "NotoSansCJK", "SourceHanSans", "wqy-", "DroidSansFallback", "msyh", "msgothic"),
    *("malgun", "PingFang", "Hiragino", "AppleSDGothic", "NotoSans", "Noto", "FreeSans", "unifont"),
)

# Nothing has a letter here: what fonts show for it is what they show for every letter that they lack.
_MISSING = "\U0010ffff"

_SAMPLE = 20  # pixels of the letters that are compared


class Lettering:
    """Draws text at many sizes. Fonts are looked for when the first text needs them."""

    def __init__(self) -> None:
        self._files: list[str | None] = [None]  # None is Pillow's own font
        self._others: Iterator[str] = _system_fonts()
        self._font_of: dict[str, int | None] = {}
        self._fonts: dict[tuple[int, int], Font] = {}
        self._blanks: dict[int, bytes] = {}
        self._known: dict[tuple[int, str], bool] = {}

    def length(self, text: str, size: int) -> float:
        """Return the width of `text` in pixels."""
        return sum(self._font(number, size).getlength(run) for number, run in self._runs(text))

    def draw(
        self, draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, size: int, colour: tuple[int, int, int]
    ) -> None:
        """Write `text` on one line; `place` is the left end of its base line."""
        x, y = place
        for number, run in self._runs(text):
            font = self._font(number, size)
            draw.text((x, y), run, font=font, fill=colour, anchor="ls")
            x += font.getlength(run)

    def shorten(self, text: str, size: int, width: float) -> str:
        """`text`, if it is wider than `width` pixels without its start, which an ellipsis stands for."""
        text = self.readable(text)
        if self.length(text, size) <= width:
            return text
        low, high = 0, len(text)  # how many letters of the end fit
        while low < high:
            middle = (low + high + 1) // 2
            if self.length("…" + _end(text, middle), size) <= width:
                low = middle
            else:
                high = middle - 1
        return "…" + _end(text, low)

    def wrap(self, text: str, size: int, width: float, lines: int) -> list[str]:
        """`text` on at most `lines` lines of at most `width` pixels, broken between words where that is possible."""
        words = self.readable(text).split(" ")
        wrapped: list[str] = []
        while words and len(wrapped) < lines:
            count = len(words)
            while count > 1 and self.length(" ".join(words[:count]), size) > width:
                count -= 1
            if len(wrapped) == lines - 1:
                wrapped.append(self._cut(" ".join(words), size, width))
                break
            line = " ".join(words[:count])
            kept = len(line)
            while kept > 1 and self.length(line[:kept], size) > width:  # one word that is too long by itself
                kept -= 1
            wrapped.append(line[:kept])
            words = ([line[kept:]] if kept < len(line) else []) + words[count:]
        return wrapped

    def _cut(self, text: str, size: int, width: float) -> str:
        """`text`, if it is wider than `width` pixels without its end."""
        if self.length(text, size) <= width:
            return text
        kept = len(text)
        while kept and self.length(text[:kept] + "…", size) > width:
            kept -= 1
        return text[:kept] + "…"

    def readable(self, text: str) -> str:
        """`text` on one line, composed, with escapes for what is no letter or what no font here has."""
        text = unicodedata.normalize("NFC", printable(text))
        return "".join(char if self._number(char) is not None else ascii(char)[1:-1] for char in text)

    def _runs(self, text: str) -> Iterator[tuple[int, str]]:
        """Pieces of `text` of one font each, and the fonts' numbers: one piece, if a font has all of it."""
        numbers = {self._number(char) or 0 for char in text}
        for number in sorted(numbers):
            if len(numbers) == 1 or all(self._has(number, char) for char in set(text)):
                yield number, text
                return
        run, of_run = "", 0
        for char in text:
            number = self._number(char) or 0
            belongs = number == of_run or char == " " or unicodedata.combining(char) > 0
            if run and not belongs:
                yield of_run, run
                run = ""
            if not run:
                of_run = number
            run += char
        if run:
            yield of_run, run

    def _number(self, char: str) -> int | None:
        """Return the number of the first font that has a letter; None where none has it."""
        if char not in self._font_of:
            self._font_of[char] = self._find(char)
        return self._font_of[char]

    def _find(self, char: str) -> int | None:
        for number in range(len(self._files)):
            if self._has(number, char):
                return number
        for file in self._others:
            self._files.append(file)
            if self._has(len(self._files) - 1, char):
                return len(self._files) - 1
        return None

    def _has(self, number: int, char: str) -> bool:
        """Tell whether a font has a letter: it shows something else for it than for one that no font has."""
        if char.isspace() or unicodedata.combining(char):
            return True
        if (number, char) not in self._known:
            self._known[number, char] = self._shows(number, char)
        return self._known[number, char]

    def _shows(self, number: int, char: str) -> bool:
        try:
            if number not in self._blanks:
                self._blanks[number] = _picture(self._font(number, _SAMPLE), _MISSING)
            return _picture(self._font(number, _SAMPLE), char) not in (self._blanks[number], b"")
        except (OSError, ValueError):  # a font of fixed sizes, such as those of emoji, or a broken one
            return False

    def _font(self, number: int, size: int) -> Font:
        if (number, size) not in self._fonts:
            file = self._files[number]
            font = ImageFont.load_default(size) if file is None else ImageFont.truetype(file, size)
            assert isinstance(font, ImageFont.FreeTypeFont)
            self._fonts[number, size] = font
        return self._fonts[number, size]


def _picture(font: Font, char: str) -> bytes:
    mask = font.getmask(char)
    return bytes(mask) if mask.getbbox() else b""


def _end(text: str, count: int) -> str:
    """Return the last `count` letters, without marks whose letter is cut off."""
    end = text[len(text) - count :] if count else ""
    while end and unicodedata.combining(end[0]):
        end = end[1:]
    return end


def _system_fonts() -> Iterator[str]:
    """Yield the files of the system's fonts, those with many letters first."""

    def place(file: str) -> tuple[int, str]:
        name = os.path.basename(file)
        return next((number for number, start in enumerate(_GOOD) if name.startswith(start)), len(_GOOD)), name

    yield from sorted(_font_files(), key=place)


@lru_cache(maxsize=1)
def _font_files() -> tuple[str, ...]:
    """All files of outline fonts in the folders in which Pillow looks, too."""
    home = Path.home()
    if sys.platform == "win32":
        folders = [Path(os.environ.get("WINDIR", r"C:\Windows")) / "Fonts"]
        folders += [Path(os.environ.get("LOCALAPPDATA", home)) / "Microsoft/Windows/Fonts"]
    elif sys.platform == "darwin":
        folders = [Path("/Library/Fonts"), Path("/System/Library/Fonts"), home / "Library/Fonts"]
    else:
        data = [os.environ.get("XDG_DATA_HOME") or str(home / ".local/share")]
        data += (os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(":")
        folders = [Path(one) / "fonts" for one in data] + [home / ".fonts"]
    return tuple(
        os.path.join(folder, name)
        for top in folders
        for folder, _, names in os.walk(top)
        for name in names
        if name.lower().endswith((".ttf", ".otf", ".ttc"))
    )
