"""Comparing two faces: the same person, different ones, or neither can be said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cbir.faces.face import Face
from cbir.faces.likeness import Thresholds, distance

#: The answers about two faces.
SAME, DIFFERENT, CANNOT_SAY = "same", "different", "cannot say"

#: Pixels of a face's height from which on the same person is recognised nearly as often as in large ones. Of faces that
#: are smaller, one or the other looks different without being it.
RECOGNISABLE = 32


@dataclass(frozen=True)
class Comparison:
    """An answer about two faces, one of SAME, DIFFERENT and CANNOT_SAY, and the distance that it comes from.

    `probability` is that of the same person where that was as likely as not before.
    """

    answer: str
    distance: float
    probability: float

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            "answer": self.answer,
            "distance": round(self.distance, 4),
            "probability": round(self.probability, 4),
        }


def compare(one: Face, other: Face, thresholds: Thresholds) -> Comparison:
    """Compare two faces. Between the thresholds nothing can be said, nor of small faces that they are different."""
    apart = distance(one.vector, other.vector)
    answer = CANNOT_SAY
    if apart <= thresholds.same:
        answer = SAME
    elif apart >= thresholds.different and min(one.height, other.height) >= RECOGNISABLE:
        answer = DIFFERENT
    return Comparison(answer, apart, thresholds.probability(apart))
