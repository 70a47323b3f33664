"""The detections that an index has of its pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from cbir.errors import CbirError, IndexDamagedError
from cbir.index.columns.column import Mask, Records
from cbir.index.columns.objects import BOXES, MOST, OBJECTS, ObjectRows, unpack, unpack_boxes
from cbir.index.datafile import how_to_repair
from cbir.index.store import Index
from cbir.utils.vectors import Floats, Rows


@dataclass(frozen=True)
class IndexObjects:
    """The detections of an index's rows, those that do not count included, the best score of each first.

    `classes` are numbers of `names`, uint16, `scores` float32, 0 where there are no more: shapes (rows, MOST). All of
    `detection.FLOOR` and more are there; from `least_score` on they are believed. `known` is a mask of the rows of
    which it is known what they have, if anything, shape (rows,).
    """

    index: Index
    names: tuple[str, ...]
    least_score: float
    classes: npt.NDArray[np.uint16]
    scores: Floats
    known: Mask

    @cached_property
    def found(self) -> tuple[Rows, npt.NDArray[np.uint16], Floats]:
        """The row, the class and the score of each detection, in the order of rows, three arrays of shape (n,)."""
        places = np.flatnonzero(self.scores)
        return places // MOST, self.classes.reshape(-1)[places], self.scores.reshape(-1)[places]

    def boxes(self, rows: Rows) -> npt.NDArray[np.int32]:
        """Read the boxes of rows: x, y, width and height in pixels of the upright picture, shape (n, MOST, 4).

        IndexDamagedError where there is not one of each detection.
        """
        try:
            boxes = unpack_boxes(self.index.stored(BOXES, rows))
        except ValueError as error:
            raise self._damaged(str(error)) from error
        if ((boxes[..., 2] > 0) != (self.scores[rows] > 0)).any():
            raise self._damaged("it has not as many of them as objects")
        return boxes

    def _damaged(self, problem: str) -> IndexDamagedError:
        directory = self.index.directory
        return IndexDamagedError(f"The boxes of {directory} are damaged ({problem}). {how_to_repair(directory)}")


def objects_of(index: Index) -> IndexObjects:
    """Read the classes and scores of an index's detections. IndexDamagedError where they are unsound.

    CbirError, which says what to do, where it is to have none.
    """
    entry = index.meta.objects
    if entry is None:
        raise CbirError(
            f"The index {index.directory.name} has no objects: `cbir index --index {index.directory.name} --objects` "
            "looks for them."
        )
    parts = index.parsed(OBJECTS, partial(unpack, classes=len(entry.classes)))
    found = ObjectRows(*map(np.concatenate, zip(*parts, strict=True))) if parts else unpack(OBJECTS.blank(0))
    return IndexObjects(index, entry.classes, entry.least_score, found.classes, found.scores, found.known)


def pictures_by_name(index: Index) -> list[tuple[str, int]]:
    """Count the pictures that show each thing, as the detector believes: those that any show, the most frequent first.

    A block is read at a time. IndexDamagedError where the detections are unsound; none where the index is to have none.
    """
    entry = index.meta.objects
    if entry is None:
        return []
    places = {
        name: number for number, name in enumerate(dict.fromkeys(entry.classes))
    }  # of several classes with one name a picture may show more than one
    numbers = np.array([places[name] for name in entry.classes], dtype=np.int64)
    start, counts = 0, np.zeros(len(places), dtype=np.int64)

    def count(records: Records) -> None:
        nonlocal start
        found = unpack(records, len(numbers))
        is_shown = (found.scores >= entry.least_score) & index.valid[start : start + len(found.known), np.newaxis]
        start += len(found.known)
        rows, which = np.nonzero(is_shown)
        once = np.unique(rows * len(places) + numbers[found.classes[rows, which]])
        counts[:] += np.bincount(once % len(places), minlength=len(places))

    index.parsed(OBJECTS, count)
    found = zip(places, counts.tolist(), strict=True)
    return sorted((one for one in found if one[1]), key=lambda one: -one[1])
