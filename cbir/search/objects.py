"""The objects of an index as searches see them: which pictures show one how surely, and where in a picture it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cbir.detect.classes import numbers_below, numbers_of
from cbir.detect.detection import Detection
from cbir.detect.of_index import IndexObjects
from cbir.errors import CbirError, WordError
from cbir.index.columns.column import Mask
from cbir.index.columns.objects import MOST
from cbir.search.object_query import WantedObject
from cbir.search.rerank import largest
from cbir.utils.vectors import Floats, Rows

if TYPE_CHECKING:
    from cbir.words.vocabulary import Word

_numbers_of = lru_cache(256)(numbers_of)

#: How much the score of a class counts beside a likeness. With .3, .6 and 1.2 the mean average precision of 83 regions
#: of 64 photos is .78, .80, .79 by parts and .76, .77, .77 by whole pictures; without it .53 and .51.
WEIGHT = 0.6

#: The same beside the likeness of parts where it is not said whether the same kind of thing is looked for, or the same
#: thing again, of which more than that would lose half. docs/method/kinds.md.
WEIGHT_FOR_BOTH = 0.2

#: Rows whose likeness is computed because of their class, whatever it is.
MOST_SURE = 512


class Sought(NamedTuple):
    """Detections that are looked for: of the classes of some `numbers`, of the `least` score, `needed` of a picture."""

    numbers: tuple[int, ...]
    least: float = 0.0
    needed: int = 1

    @classmethod
    def of_class(cls, name: str, found: IndexObjects) -> Sought:
        """Look for what the detector believes to be of the class of just that name."""
        return cls(tuple(number for number, one in enumerate(found.names) if one == name), found.least_score)

    def scores(self, found: IndexObjects, least: float | None = None) -> Floats:
        """Return the score of the last of them that each row needs, float32, (rows,): 0 where it has too few.

        `least` is the least score in the place of its own.
        """
        is_one = np.zeros(len(found.names), dtype=np.bool_)
        is_one[list(self.numbers)] = True
        rows, classes, scores = found.found
        its = np.flatnonzero(is_one[classes])
        # those of a row follow each other, the best first
        first = np.flatnonzero(np.concatenate([[True], rows[its[1:]] != rows[its[:-1]]])) if len(its) else its
        last = first + self.needed - 1
        enough = last < len(its)
        enough[enough] = rows[its[last[enough]]] == rows[its[first[enough]]]
        which = its[last[enough]]
        which = which[scores[which] >= (self.least if least is None else least)]
        made = np.zeros(len(found.known), dtype=np.float32)
        made[rows[which]] = scores[which]
        return made


@dataclass(frozen=True)
class Bonus:
    """Points of rows for showing the object that a query's region shows, shape (rows,), added to their likeness."""

    points: Floats

    @classmethod
    def of(cls, shown: Detection, found: IndexObjects, weight: float) -> Bonus:
        """Return the score of each row's best detection of the same class, so many times."""
        return cls(np.float32(weight) * Sought.of_class(shown.name, found).scores(found, 0))

    def surest(self, count: int, mask: Mask) -> Rows:
        """Return the rows with most points, up to MOST_SURE or `count`, of those where a mask is true, (rows,)."""
        points = np.where(mask, self.points, np.float32(0))
        rows = largest(points, max(count, MOST_SURE))
        return rows[points[rows] > 0]

    def order(self, rows: Rows, likeness: Floats) -> Rows:
        """Return the positions of rows by their likeness, shape (n,), and points together, the best first."""
        return np.lexsort((rows, -(likeness + self.points[rows])))


def seek(wanted: WantedObject, found: IndexObjects, least: float) -> Sought:
    """Look an object up among the classes of an index's detector; `least` is its least score where it has none.

    WordError where no class is called so, or is a kind of it; CbirError where more are wanted than are kept.
    """
    if wanted.count > MOST:
        raise CbirError(f"An index keeps up to {MOST} objects of a picture: nobody knows which have {wanted.count:,}.")
    numbers = _numbers_of(wanted.name, found.names)
    return Sought(tuple(numbers), least if wanted.least_score is None else wanted.least_score, wanted.count)


def seek_word(word: Word, found: IndexObjects) -> Sought | None:
    """Look a word up among the classes of an index's detector, in one sense if it was chosen; None where it is none."""
    try:
        numbers = (
            _numbers_of(word.text, found.names)
            if word.chosen is None
            else numbers_below([sense.place for sense in word.used], found.names)
        )
    except WordError:
        return None
    return Sought(tuple(numbers), found.least_score) if numbers else None


def showing(objects: Iterable[WantedObject], without: Iterable[WantedObject], found: IndexObjects) -> Mask:
    """Tell which rows show all of `objects` and nothing of `without`, as the detector believes: shape (rows,).

    Those of which it is not known do not count. Raises what `seek` does.
    """
    mask = found.known.copy()
    for one in objects:
        mask &= seek(one, found, found.least_score).scores(found) > 0
    for one in without:
        mask &= seek(one, found, found.least_score).scores(found) == 0
    return mask


def detections(found: IndexObjects, rows: Sequence[int], sought: Sequence[Sought]) -> list[tuple[Detection, ...]]:
    """Return the detections of rows that were looked for, those of each in turn, the best first.

    IndexDamagedError where their boxes are damaged.
    """
    numbers = np.asarray(rows, dtype=np.int64)
    boxes = found.boxes(numbers)
    return [
        _of_row(found, classes, scores, its, sought)
        for classes, scores, its in zip(found.classes[numbers], found.scores[numbers], boxes, strict=True)
    ]


def _of_row(
    found: IndexObjects, classes: np.ndarray, scores: Floats, boxes: np.ndarray, sought: Sequence[Sought]
) -> tuple[Detection, ...]:
    places: list[int] = []
    for one in sought:
        its = np.flatnonzero(np.isin(classes, one.numbers) & (scores > 0) & (scores >= one.least))[: one.needed]
        places += [place for place in its.tolist() if place not in places]
    found_boxes = [(float(x), float(y), float(width), float(height)) for x, y, width, height in boxes[places].tolist()]
    return tuple(
        Detection(box, float(scores[place]), found.names[classes[place]])
        for box, place in zip(found_boxes, places, strict=True)
    )
