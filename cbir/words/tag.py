"""A tag: a word for a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cbir.words.wordnet import wordnet


@dataclass(frozen=True)
class Tag:
    """A word for a picture, and the probability that the picture shows one.

    `place` is the number of its synset in `wordnet()`, None of a class that a user has taught, or that a detector has
    and WordNet has not; `is_class` tells a class of ImageNet, or of a detector, from a word above some.
    """

    word: str
    probability: float
    place: int | None
    is_class: bool

    @property
    def synset(self) -> str | None:
        """Its id in WordNet, such as n02012849; None where it has none."""
        return None if self.place is None else wordnet().wordnet_id(self.place)

    def to_dict(self) -> dict[str, Any]:
        """Return the tag as JSON records have it: the word and the probability."""
        return {"word": self.word, "probability": round(self.probability, 4)}
