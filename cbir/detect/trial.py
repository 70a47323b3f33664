"""The trial of a graph file, in a process of its own: what a stranger's file makes of OpenVINO ends only that.

The process reads the file, compiles its network, runs it on a drawn scene, and says what came out; that is kept in the
cache with the compiled network, so that a file is tried once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cbir.backbones.graph_trial import SECONDS, RefusedError, ask
from cbir.detect.detection import FLOOR
from cbir.detect.layouts.layout import Input, Layout
from cbir.detect.layouts.registry import from_json, to_json
from cbir.errors import WeightsError, reason_of
from cbir.images.entering import COLOURS, RANGES, read_words
from cbir.images.framed import PLACES, Framed
from cbir.index.entries import MOST_CLASSES
from cbir.utils.printable import printable
from cbir.utils.python_child import calling

#: Counts changes of what is compiled and told, so that what older versions kept is not used any more.
VERSION = 1

#: Characters of a class's name and of a refusal.
LONGEST_NAME, LONGEST_REASON = 500, 1_000

# Words for how pixels enter a network.
_WORDS = {"colours": COLOURS, "range": tuple(RANGES), "place": PLACES}

_CHILD = calling("cbir.detect.trial_child")
_MOST_HEADER = MOST_CLASSES * (LONGEST_NAME + 4)


@dataclass(frozen=True)
class Asked:
    """A wish for another way of pixels than is usual for a layout; None and 0 where it is as usual."""

    colours: str | None = None
    range: str | None = None
    place: str | None = None
    width: int = 0
    height: int = 0

    def over(self, usual: Input) -> Input:
        """Return how pixels enter a network of which `usual` is usual."""
        return Input(self.colours or usual.colours, self.range or usual.range, self.place or usual.place)

    @property
    def words(self) -> str:
        """The same as words with commas between them; `of_words` reads them back."""
        size = f"{self.width}x{self.height}" if self.width else None
        return ",".join(word for word in (self.colours, self.range, self.place, size) if word)

    @classmethod
    def of_words(cls, text: str) -> Asked:
        """Read words with commas between them, one of each kind at most. ValueError, which says why, for others."""
        return cls(**read_words(text, _WORDS))


@dataclass(frozen=True)
class Tried:
    """Findings of a trial: a network's layout, the way of pixels into it, its frame, the names in the file, if any.

    `best` is the best score on the drawn scene; where that is no detection, `better` are ranges in which there is one.
    """

    layout: Layout
    input: Input
    frame: Framed
    names: tuple[str, ...] = ()
    best: float = 0.0
    better: tuple[str, ...] = field(default=())

    @property
    def finds_something(self) -> bool:
        """True if anything at all was found in the scene."""
        return self.best >= FLOOR

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; `from_json` reads it back."""
        return {
            "layout": to_json(self.layout),
            "input": asdict(self.input),
            "frame": self.frame.to_json(),
            "names": list(self.names),
            "best": self.best,
            "better": list(self.better),
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Tried:
        """Read what `to_json` wrote; ValueError, TypeError or KeyError where it is something else."""
        entering = Input(**record["input"])
        if entering.colours not in COLOURS or entering.range not in RANGES or entering.place not in PLACES:
            raise ValueError("impossible input")
        layout, names = from_json(record["layout"]), [str(name)[:LONGEST_NAME] for name in record["names"]]
        if not 1 <= layout.classes <= MOST_CLASSES or (names and len(names) != layout.classes):
            raise ValueError("impossible classes")
        better = tuple(one for one in RANGES if one in record["better"])
        frame = Framed.from_json(record["frame"])
        return cls(layout, entering, frame, tuple(names), float(record["best"]), better)


def try_out(path: Path, asked: Asked, *, names: int | None, precision: str) -> tuple[Tried, bytes]:
    """Try a graph file out; with what was found comes the compiled network.

    `names` is how many classes the user has named, if that is so. WeightsError, which says why, where the file is no
    such network, or ends or delays the process.
    """
    wanted = {"asked": asdict(asked), "names": names, "precision": precision}
    try:
        header, blob = ask(path, _CHILD, wanted, seconds=SECONDS, most_header=_MOST_HEADER)
        return Tried.from_json(header), blob
    except RefusedError as error:
        raise unusable(path, str(error)) from error
    except (ValueError, KeyError, TypeError) as error:
        reason = f"its trial answered what it was not asked for ({reason_of(error)})"
        raise unusable(path, reason) from error


def unusable(path: Path, reason: str) -> WeightsError:
    """Return the error that says why a graph file is of no use."""
    return WeightsError(f"{path} cannot be used as a detector: {printable(reason)[:LONGEST_REASON]}.")
