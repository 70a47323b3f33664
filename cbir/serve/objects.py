"""The objects of an index as the server tells them: how many pictures show each, and those of one picture."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from cbir.detect.detection import Detection
from cbir.detect.of_index import pictures_by_name
from cbir.errors import IndexDamagedError
from cbir.index.columns.objects import BOXES, OBJECTS, unpack, unpack_boxes
from cbir.index.store import Index

logger = logging.getLogger("cbir")

# Names that are counted at most, those of most pictures.
_MOST = 100


def objects_by_name(index: Index) -> list[tuple[str, int]]:
    """Count the pictures that show each thing, as `pictures_by_name` does, up to a hundred things.

    None are where the objects are damaged, which is said.
    """
    try:
        return pictures_by_name(index)[:_MOST]
    except IndexDamagedError as error:
        logger.warning("Objects are not counted. %s", error)
        return []


def objects_of_row(index: Index, row: int) -> list[dict[str, Any]] | None:
    """Return the records of what a picture shows, as the detector believes, the surest first; None where unknown."""
    entry = index.meta.objects
    if entry is None:
        return None
    try:
        found = unpack(index.stored(OBJECTS, [row]), len(entry.classes))
        boxes = unpack_boxes(index.stored(BOXES, [row]))[0]
    except (IndexDamagedError, ValueError) as error:
        logger.warning("A picture's objects are not told. %s", error)
        return None
    if not found.known[0]:
        return None
    count = int(np.count_nonzero(found.scores[0] >= entry.least_score))
    shown = zip(found.classes[0, :count].tolist(), found.scores[0].tolist(), boxes.tolist(), strict=False)
    return [
        Detection((x, y, width, height), score, entry.classes[number]).to_dict()
        for number, score, (x, y, width, height) in shown
    ]
