"""Detections of rows, as a block's `objects-….npy` and `boxes-….npy` have them: up to 32 of each picture.

`objects` has their classes and scores, which searches read of all rows, `boxes` their places, which are read of few.
A picture that nobody has looked at yet is all zeros in both. One in which nothing was found, and one that cannot be
read any more, are told by numbers that no class and no box has.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cbir.index.columns.column import Column, Mask, Records
from cbir.index.entries import MOST_CLASSES

#: Detections of a picture at most, the best score first.
MOST = 32

#: A detection: the number of its class, and its score times 65,535, which is 1 at least.
RECORD = np.dtype([("class", "<u2"), ("score", "<u2")])

#: Its place: x, y, width and height in pixels of the upright picture.
BOX = np.dtype([("box", "<u4", (4,))])

_NOTHING, _UNAVAILABLE = 0xFFFE, 0xFFFF
_NO_BOX, _UNAVAILABLE_BOX = 0xFFFFFFFE, 0xFFFFFFFF
_ONE = 0xFFFF

# Rows that are checked at a time, so that they stay in the processor's cache.
_PART = 2048

# Pixels of a picture's side at most: a place and a length together fit into 32 bits.
_LARGEST = 1 << 28


class ObjectRows(NamedTuple):
    """The detections of rows, the best score first: shapes (rows, MOST), scores of 0 where there are no more.

    `known` is a mask of the rows of which it is known, shape (rows,); these may have none.
    """

    classes: npt.NDArray[np.uint16]
    scores: npt.NDArray[np.float32]
    known: Mask


def pack(
    classes: npt.NDArray[np.integer], scores: npt.NDArray[np.floating], boxes: npt.NDArray[np.floating]
) -> tuple[Records, Records]:
    """Pack the detections of one picture, up to MOST and the best first, as they are stored: each of shape (MOST,).

    `classes` and `scores` have shape (n,), `boxes` (n, 4); these come to be whole pixels, one in each direction at
    least.
    """
    count = len(scores)
    objects, places = np.zeros(MOST, dtype=RECORD), np.zeros(MOST, dtype=BOX)
    if not count:
        objects["class"][0], places["box"][0, 2] = _NOTHING, _NO_BOX
        return objects, places
    objects["class"][:count] = classes
    objects["score"][:count] = np.clip(np.rint(np.asarray(scores, dtype=np.float64) * _ONE), 1, _ONE)
    last = np.clip(np.rint(boxes[:, :2] + boxes[:, 2:]), 1, _LARGEST)
    first = np.clip(np.rint(boxes[:, :2]), 0, last - 1)
    places["box"][:count] = np.concatenate([first, last - first], axis=1)
    return objects, places


def unpack(records: Records, classes: int = MOST_CLASSES) -> ObjectRows:
    """Check and unpack classes and scores, shape (rows, MOST), of a detector of so many classes.

    Raises ValueError where they are unsound.
    """
    found = ObjectRows(
        np.empty(records.shape, dtype=np.uint16),
        np.empty(records.shape, dtype=np.float32),
        np.empty(len(records), dtype=np.bool_),
    )
    for start in range(0, len(records), _PART):
        some = slice(start, start + _PART)
        numbers, scores = records["class"][some].copy(), records["score"][some].copy()
        has = scores > 0
        is_first, first = has[:, 0], numbers[:, 0]
        found.known[some] = is_first | (first == _NOTHING)
        if (scores[:, 1:] > scores[:, :-1]).any():
            raise ValueError("the best score does not come first")
        if not (is_first | np.isin(first, (0, _NOTHING, _UNAVAILABLE))).all() or (numbers[:, 1:] * ~has[:, 1:]).any():
            raise ValueError("a class has no score")
        numbers *= has
        if numbers.max(initial=0) >= classes:
            raise ValueError("there is no class of such a number")
        found.classes[some] = numbers
        np.multiply(scores, np.float32(1 / _ONE), out=found.scores[some])
    return found


def unpack_boxes(records: Records) -> npt.NDArray[np.int32]:
    """Check and unpack places of rows, shape (rows, MOST): shape (rows, MOST, 4), zeros where there are none.

    Raises ValueError where they are unsound.
    """
    boxes = records["box"].copy()
    boxes[boxes[:, 0, 2] >= _NO_BOX, 0] = 0
    has = boxes[..., 2] > 0
    if boxes.size and (boxes.max() > _LARGEST or (has != (boxes[..., 3] > 0)).any()):
        raise ValueError("a box is none")
    return boxes.astype(np.int32)


def places_of(objects: Records, boxes: Records, least: float) -> npt.NDArray[np.int32]:
    """Return the boxes of one picture's detections with at least that score, shape (n, 4), by its records, (MOST,)."""
    count = int((objects["score"] >= least * _ONE).sum())
    return np.asarray(boxes["box"][:count].astype(np.int32))


def _unavailable() -> tuple[Records, Records]:
    objects, boxes = pack(np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 4)))
    objects["class"][0], boxes["box"][0, 2] = _UNAVAILABLE, _UNAVAILABLE_BOX
    return objects, boxes


def _are_missing(records: Records) -> Mask:
    return np.asarray((records["score"][:, 0] == 0) & (records["class"][:, 0] == 0))


def _are_unavailable(records: Records) -> Mask:
    return np.asarray((records["score"][:, 0] == 0) & (records["class"][:, 0] == _UNAVAILABLE))


#: Classes and scores.
OBJECTS = Column(
    "objects",
    RECORD,
    MOST,
    _unavailable()[0],
    _are_missing,
    _are_unavailable,
    unpack,
    of_image=True,
    group="objects",
    advice="`cbir index --index {index}` looks for those of the others",
    offer="none: `cbir index --index {index} --objects` looks for them",
)

#: Places.
BOXES = Column(
    "boxes",
    BOX,
    MOST,
    _unavailable()[1],
    is_missing=lambda records: np.asarray(records["box"][:, 0, 2] == 0),
    is_unavailable=lambda records: np.asarray(records["box"][:, 0, 2] == _UNAVAILABLE_BOX),
    check=unpack_boxes,
    of_image=True,
    group="objects",
)
