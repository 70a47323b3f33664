"""The output of `cbir verify`: what can be said of two faces, and which ones they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cbir.cli.render.faces import how_many
from cbir.cli.terminal import output

if TYPE_CHECKING:
    from cbir.faces.compare import Comparison
    from cbir.faces.face import Face
    from cbir.faces.finder import FaceFinder

_SENTENCES = {
    "same": "They show the same person",
    "different": "They show different people",
    "cannot say": "It cannot be said whether they show the same person",
}


@dataclass(frozen=True)
class Taken:
    """A picture's faces, and the number of the one that was asked for, if any was."""

    name: str
    size: tuple[int, int]
    faces: Sequence[Face]
    asked: int | None

    @property
    def number(self) -> int:
        """The number of the face that is compared, from 1 on."""
        return self.asked or 1

    @property
    def face(self) -> Face:
        """The face that is compared."""
        return self.faces[self.number - 1]

    @property
    def is_small(self) -> bool:
        """True if the face is so small that its person is often not recognised."""
        from cbir.faces.compare import RECOGNISABLE

        return self.face.height < RECOGNISABLE


def record(comparison: Comparison, taken: Sequence[Taken], finder: FaceFinder) -> dict[str, Any]:
    """Return a JSON object of all that can be said."""
    return {
        **comparison.to_dict(),
        "thresholds": {"same": finder.thresholds.same, "different": finder.thresholds.different},
        "model": finder.name,
        "images": [
            {
                "image": one.name,
                "width": one.size[0],
                "height": one.size[1],
                "faces": len(one.faces),
                "face": {"number": one.number, **one.face.to_dict(), "small": one.is_small},
            }
            for one in taken
        ],
    }


def write_table(comparison: Comparison, taken: Sequence[Taken]) -> None:
    """Write for people what can be said, by which faces, and how sure it is."""
    output.say(f"{comparison.answer}: {_SENTENCES[comparison.answer]}.")
    output.say(f"distance {comparison.distance:.3f}, probability {_percent(comparison.probability)} of the same person")
    for one in taken:
        which = "" if len(one.faces) == 1 else f"; {_which(one)} is taken"
        small = f", only {one.face.height} pixels high" if one.is_small else ""
        output.say(f"{one.name}: {how_many(len(one.faces))}{which} ({','.join(map(str, one.face.box))}{small})")


def _which(taken: Taken) -> str:
    return "the largest" if taken.asked is None else f"number {taken.number}"


def _percent(probability: float) -> str:
    """Return a probability that never is all or nothing."""
    return f"{min(max(100 * probability, 0.1), 99.9):.1f} %"
