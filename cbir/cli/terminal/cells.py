"""Text as a terminal shows it: how many of its cells it takes, and how it is cut to so many."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

ELLIPSIS = "…"

# Makes the character before it an emoji, which takes two cells.
_AS_EMOJI = "\ufe0f"


def width(text: str) -> int:
    """Count the cells that `text`, without control characters, takes: 2 for a wide character, 0 for a combining one.

    A sequence of emoji that is drawn as one counts as all of its parts, which is what many terminals make of it.
    """
    if text.isascii():
        return len(text)
    return sum(map(_width_of, text)) + sum(
        after == _AS_EMOJI and _width_of(before) == 1 for before, after in pairwise(text)
    )


def _width_of(character: str) -> int:
    if character < "\u0300":
        return 1
    if unicodedata.category(character) in ("Mn", "Me", "Cf") or "\u1160" <= character <= "\u11ff":  # joined Hangul
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def first(text: str, cells: int) -> str:
    """Return as much of the beginning of `text` as takes no more than `cells`."""
    if width(text) <= cells:
        return text
    end = min(len(text), cells)
    while end < len(text) and width(text[: end + 1]) <= cells:  # what follows may take no cells
        end += 1
    while width(text[:end]) > cells:
        end -= 1
    return text[:end]


def cut_end(text: str, cells: int) -> str:
    """`text`, its end replaced by an ellipsis if it takes more than `cells`."""
    return text if width(text) <= cells else first(text, cells - 1) + ELLIPSIS


def cut_start(path: str, cells: int) -> str:
    """`path`, its beginning replaced by an ellipsis if it takes more than `cells`; from a folder on where that fits."""
    if width(path) <= cells:
        return path
    start = max(0, len(path) - 2 * cells)
    while start < len(path) and (width(path[start:]) > cells - 1 or _width_of(path[start]) == 0):
        start += 1
    folder = path.find("/", start)
    if folder >= 0 and width(path[folder:]) * 3 >= 2 * cells:
        start = folder
    return ELLIPSIS + path[start:]


def wrap(text: str, cells: int) -> list[str]:
    """`text` in lines of no more than `cells`, broken at spaces where there are any."""
    lines, line = [], ""
    for word in text.split(" "):
        if line and width(line) + 1 + width(word) > cells:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
        while width(line) > cells and len(line) > 1:
            head = first(line, cells) or line[0]
            lines.append(head)
            line = line[len(head) :]
    return [*lines, line]


def pad(text: str, cells: int, *, right: bool = False) -> str:
    """`text` with spaces after it, or before it, that take it to `cells`."""
    spaces = " " * (cells - width(text))
    return spaces + text if right else text + spaces
