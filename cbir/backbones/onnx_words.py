"""Words behind an ONNX file, `onnx:FILE,WORDS`: how pixels enter its network, and which of its outputs is meant.

They are those of `images.entering` that detectors' `--input` takes, and some that only networks of features need. Those
that change features are part of the network's name in an index.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from cbir.backbones.names import ONNX
from cbir.errors import ModelError
from cbir.images.entering import COLOURS, RANGES, read_words
from cbir.images.fit import FILTERS, Preprocessing
from cbir.utils.printable import printable, shortened

# Ranges that only networks of features are used to have.
_RANGES = {
    **RANGES,
    "-1-1": ((127.5,) * 3, (127.5,) * 3),
    "clip": ((122.7709, 116.7460, 104.0937), (68.5005, 66.6322, 70.3232)),
}

_CROP, _STRETCH = "crop", "stretch"
_KINDS = {"colours": COLOURS, "range": tuple(_RANGES), "place": (_CROP, _STRETCH), "filter": FILTERS}
_OTHERS = "a size such as 224 or 224of256, mean=…, std=… or output=…"

_OF = re.compile(r"([1-9][0-9]{1,3})of([1-9][0-9]{1,3})")
_SPLIT = re.compile(rf"(.*\.{ONNX}),(.*)", re.IGNORECASE | re.DOTALL)

#: Pixels of the side of images where neither a file nor a user says another.
USUAL_SIDE = 224

#: The share of the shorter side that is cropped where nothing says another: ImageNet's.
USUAL_CROP = 0.875

_Three = tuple[float, float, float]


class FileAndWords(NamedTuple):
    """The file of a network, as a user names it, and the words behind it."""

    file: str
    words: str


def split_words(name: str) -> FileAndWords:
    """Take `onnx:FILE,WORDS` apart; a file may have commas in its name, and none of its words."""
    text = name.removeprefix(f"{ONNX}:")
    places = [place for place, sign in enumerate(text) if sign == ","]
    if not places or os.path.isfile(text):
        return FileAndWords(text, "")
    for place in places:
        if os.path.isfile(text[:place]):
            return FileAndWords(text[:place], text[place + 1 :])
    match = _SPLIT.fullmatch(text)
    return FileAndWords(match[1], match[2]) if match else FileAndWords(text, "")


@dataclass(frozen=True)
class InputWords:
    """A wish for another way of pixels than is usual, or than a JSON file says; None and 0 where nothing is wished."""

    colours: str | None = None
    range: str | None = None
    mean: _Three | None = None
    std: _Three | None = None
    place: str | None = None
    filter: str | None = None
    width: int = 0
    resize: int = 0
    output: str | None = None

    @classmethod
    def of_words(cls, text: str) -> InputWords:
        """Read words with commas between them. ValueError, which says why, where they are none or do not agree."""
        if not text:
            return cls()
        found = read_words(text, _KINDS, _read, _OTHERS)
        height = found.pop("height", 0)
        words = cls(**found)
        if height not in (0, words.width):
            raise ValueError(f"{words.width}x{height} is no square, which networks of features take")
        if words.range and (words.mean or words.std):
            raise ValueError(f"{words.range} says what mean=… and std=… say, too")
        if words.resize and words.place == _STRETCH:
            raise ValueError(f"{words.width}of{words.resize} is about a crop, and stretch about none")
        return words

    @property
    def for_name(self) -> str:
        """The words that are part of a network's name, always in the same order; its output stands elsewhere there."""
        size = f"{self.width}of{self.resize}" if self.resize else str(self.width) if self.width else None
        mean, std = (None if one is None else ":".join(f"{x:.7g}" for x in one) for one in (self.mean, self.std))
        words = (
            "bgr" if self.colours == "bgr" else None,
            self.range,
            f"mean={mean}" if mean else None,
            f"std={std}" if std else None,
            self.place,
            self.filter,
            size,
        )
        return ",".join(word for word in words if word)

    @property
    def is_bgr(self) -> bool:
        """True if blue comes first."""
        return self.colours == "bgr"

    def over(self, base: Preprocessing) -> Preprocessing:
        """Return how pixels enter where `base` is usual, but for the order of colours. ValueError if that cannot be."""
        crop = self.width or base.crop
        is_squashed = base.is_squashed if self.place is None else self.place == _STRETCH
        resize = self.resize or math.floor(crop * base.resize / base.crop)
        if is_squashed and not base.is_squashed:
            resize = crop
        elif base.is_squashed and not is_squashed and not self.resize:
            resize = math.floor(crop / USUAL_CROP)
        mean, std = _RANGES[self.range] if self.range else (self.mean or base.mean, self.std or base.std)
        wanted = replace(
            base,
            crop=crop,
            resize=resize,
            is_squashed=is_squashed,
            interpolation=self.filter or base.interpolation,
            mean=mean,
            std=std,
        )
        return Preprocessing.from_json(wanted.to_json())


def words_behind(name: str) -> InputWords:
    """Read the words behind a file. ModelError, which says why, where they are none."""
    file, words = split_words(name)
    try:
        return InputWords.of_words(words)
    except ValueError as error:
        raise ModelError(f"Behind {printable(file)} stand words that say how pixels enter it, but {error}.") from error


def words_in(stored: str) -> InputWords:
    """Read the words in the name that an index keeps of a network. ModelError where a stranger wrote others."""
    try:
        return InputWords.of_words(stored.partition(",")[2])
    except ValueError as error:
        raise ModelError(f"The name of the network {shortened(stored)} cannot be read: {error}.") from error


def named(plain: str, words: InputWords) -> str:
    """Return the name that an index keeps of a network whose pixels enter as `words` say."""
    return f"{plain},{words.for_name}" if words.for_name else plain


def as_asked(path: str, stored: str) -> str:
    """Return what a user writes for the file of a network that an index calls so."""
    output, words = stored.partition(",")[0].partition("/")[2], stored.partition(",")[2]
    return ",".join(one for one in (f"{ONNX}:{path}", f"output={output}" if output else "", words) if one)


def _read(word: str) -> dict[str, Any]:
    """Read a word that networks of features have alone; nothing where it is none."""
    if (match := _OF.fullmatch(word.lower())) is not None:
        return {"width": int(match[1]), "height": int(match[1]), "resize": int(match[2])}
    key, sign, value = word.partition("=")
    if not sign or not value:
        return {}
    if key.lower() == "output":
        return {"output": value}
    if key.lower() in ("mean", "std"):
        try:
            numbers = [float(one) for one in value.split(":")]
        except ValueError:
            return {}
        three = numbers * 3 if len(numbers) == 1 else numbers
        if len(three) == 3 and all(map(math.isfinite, three)):
            return {key.lower(): (three[0], three[1], three[2])}
    return {}
