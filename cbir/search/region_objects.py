"""The object that a query's region shows: as the index knows it, or as the index's detector finds it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cbir.detect.detection import Detection, Detections, Detector
from cbir.detect.geometry import overlaps
from cbir.errors import CbirError
from cbir.images.regions import Box
from cbir.search.queries import ImageQuery
from cbir.search.searched import SearchedIndex
from cbir.utils.printable import printable

#: A region shows what was found in a box that it overlaps by so much (intersection over union), with such a score at
#: least. It need not be believed, as somebody has pointed at it: of 83 regions of 64 photos these tell .86 their class,
#: those from .4 on .75, and the mean average precision then is .79 in the place of .75.
_OVERLAP, _LEAST_SCORE = 0.5, 0.1


class RegionObject(NamedTuple):
    """The object that a region shows; without one, perhaps a sentence that says why that is not known."""

    shown: Detection | None
    notice: str = ""


class RegionObjects:
    """Tells what regions of queries show. The detector is opened when a picture comes that the index does not have."""

    def __init__(self, searched: SearchedIndex) -> None:
        self._searched = searched
        self._opening = threading.Lock()
        self._detector: Detector | CbirError | None = None

    def of(self, query: ImageQuery, rows: Sequence[int], box: Box) -> RegionObject:
        """Find what is in a box of a query's picture, whose content `rows` of the index have."""
        try:
            found = self._searched.objects()
            known = next((row for row in rows if found.known[row]), None)
            if known is None:
                return RegionObject(_shown(self._detect(query), found.names, box))
            boxes = found.boxes(np.array([known]))[0].astype(np.float32)
            detections = Detections(boxes, found.scores[known], found.classes[known].astype(np.int64))
        except CbirError as error:
            return RegionObject(None, f"What the region of {printable(query.name)} shows is not known. {error}")
        return RegionObject(_shown(detections, found.names, box))

    def _detect(self, query: ImageQuery) -> Detections:
        from cbir.images.contents import read_bytes
        from cbir.images.safely import decode

        data = query.source if isinstance(query.source, bytes) else read_bytes(query.source)
        return self._opened().detect([np.asarray(decode(data, name=query.name))])[0]

    def _opened(self) -> Detector:
        """Open the detector, or say again why it cannot be."""
        from cbir.detect.remembered import open_for_index

        index = self._searched.index
        with self._opening:
            if self._detector is None:
                try:
                    self._detector, _, _ = open_for_index(index.directory.name, index.meta.objects, None)
                except CbirError as error:
                    self._detector = error
        if isinstance(self._detector, CbirError):
            raise self._detector
        return self._detector


def _shown(detections: Detections, names: Sequence[str], box: Box) -> Detection | None:
    """Return the detection that is in a box: the one of those that overlap it which fits and is believed best."""
    shares = overlaps(np.array([box], dtype=np.float64), detections.boxes)[0]
    fits = np.where((shares >= _OVERLAP) & (detections.scores >= _LEAST_SCORE), shares * detections.scores, 0)
    if not fits.any():
        return None
    return next(detections.chosen(np.array([int(fits.argmax())])).each(names))
