"""Records of detections for an index, made of images as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from cbir.detect.detection import Detections, Detector
from cbir.detect.registry import open_detector
from cbir.detect.wish import Wish
from cbir.engines.lazy import LazyEngine
from cbir.extract.looking import records_of
from cbir.extract.records import Item
from cbir.images.views import View
from cbir.index.columns.column import Records
from cbir.index.columns.objects import BOXES, MOST, OBJECTS, pack
from cbir.utils.vectors import Rows


class ObjectMaker:
    """Makes the records of images' detections with a detector, which is opened anew by `wish` where this is unpickled.

    It computes beside the network of the engine.
    """

    columns = (OBJECTS.name, BOXES.name)
    needs_features = False

    def __init__(self, detector: Detector, wish: Wish) -> None:
        self._detector = detector
        self._wish = wish

    def __reduce__(self) -> tuple[Callable[[Wish], ObjectMaker], tuple[Wish]]:
        """Pickle what the detector is opened with."""
        return _opened, (self._wish,)

    @property
    def view(self) -> View:
        """The view of an image that the detector takes."""
        return self._detector.view

    def run(self, items: Iterable[Item], engine: LazyEngine) -> Iterator[Mapping[str, Records]]:
        """Make the detections of each image, some of them under way at a time."""
        return records_of(self._detector, items, _packed)


def _packed(detections: Detections) -> Mapping[str, Records]:
    found = detections.chosen(worth_keeping(detections.classes))
    objects, boxes = pack(found.classes, found.scores, found.boxes)
    return {OBJECTS.name: objects, BOXES.name: boxes}


def worth_keeping(classes: Rows) -> Rows:
    """Choose the detections of an image that an index keeps, by their classes, the best score first: their places.

    Of more than MOST the best of each class come first, then the second best: a crowd of people hides no dog.
    """
    if len(classes) <= MOST:
        return np.arange(len(classes))
    ranks = np.zeros(len(classes), dtype=np.int64)
    for one in np.unique(classes):
        its = np.flatnonzero(classes == one)
        ranks[its] = np.arange(len(its))
    return np.sort(np.argsort(ranks, kind="stable")[:MOST])


def _opened(wish: Wish) -> ObjectMaker:
    return ObjectMaker(open_detector(wish), wish)
