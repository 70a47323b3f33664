"""Words for how pixels enter a network, as users write them with commas between them: `bgr,0-1,640`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from cbir.utils.printable import shortened

#: Ranges that pixel values are brought to, x to (x - mean) / deviation: of red, green and blue.
RANGES: Mapping[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "0-255": ((0, 0, 0), (1, 1, 1)),
    "0-1": ((0, 0, 0), (255, 255, 255)),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}

#: Orders of colours.
COLOURS = ("rgb", "bgr")

_SIZE = re.compile(r"([1-9][0-9]{1,3})(?:x([1-9][0-9]{1,3}))?")


def read_words(
    text: str,
    kinds: Mapping[str, Collection[str]],
    read_other: Callable[[str], Mapping[str, Any]] = lambda word: {},
    others: str = "a size",
) -> dict[str, Any]:
    """Read words with commas between them, one of each kind at most: the word by its kind, `width` and `height`.

    What is no word of `kinds`, and no size, `read_other` reads; it returns nothing where it cannot, and `others` says
    what it can. ValueError, which says why, where a word is none, or says what another did.
    """
    found: dict[str, Any] = {}
    for word in (one.strip() for one in text.split(",")):
        plain = word.lower()
        if (size := _SIZE.fullmatch(plain)) is not None:
            new: Mapping[str, Any] = {"width": int(size[1]), "height": int(size[2] or size[1])}
        else:
            new = {kind: plain for kind, words in kinds.items() if plain in words} or read_other(word)
        if not new:
            known = ", ".join(one for words in kinds.values() for one in words)
            raise ValueError(f"{shortened(text)} has {shortened(word)}, which is neither of {known}, nor {others}")
        if not found.keys().isdisjoint(new):
            raise ValueError(f"{shortened(text)} says something twice")
        found |= new
    return found
