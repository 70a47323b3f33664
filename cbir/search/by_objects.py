"""Searching an index for objects: by the scores of its detections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cbir.search.object_query import ObjectQuery
from cbir.search.objects import Sought, seek, showing
from cbir.search.rerank import largest
from cbir.search.resolve import QueryPicture
from cbir.search.strategy import Found, SearchRequest, Strategy
from cbir.utils.vectors import Floats


class ByObjects(Strategy[ObjectQuery]):
    """Search by the best detections of what is wanted."""

    def check(self, query: ObjectQuery, request: SearchRequest) -> None:
        """Raise CbirError where the index has no objects, or none called so; ValueError where a percentile is asked."""
        super().check(query, request)
        if request.limits.min_percentile is not None:
            raise ValueError("objects have scores of a detector, and no percentiles")
        for one in query.objects + query.without:
            seek(one, self.searched.objects(), 0)

    def notices(self) -> tuple[str, ...]:
        """Return a sentence where the objects of some pictures are not there yet."""
        return self.searched.without_objects

    def sought(self, query: ObjectQuery, images: Sequence[QueryPicture], request: SearchRequest) -> list[Sought]:
        """Return those that are wanted, whatever their scores: they make the order."""
        found = self.searched.objects()
        return [seek(one, found, 0) for one in query.objects] + super().sought(query, images, request)

    def find(self, query: ObjectQuery, images: Sequence[QueryPicture], own: list[int], request: SearchRequest) -> Found:
        """Find the matches with the best scores, those of one in the order of the index."""
        scores = self._scores(query)
        counts = self._counts(own, request, self.searched.index.valid)
        scores[~(counts & self._keep(scores, request))] = 0
        rows = largest(scores, request.last)
        rows = rows[scores[rows] > 0]
        return self._matches(rows, scores[rows], request, total=int(np.count_nonzero(scores)), alike=False)

    def _scores(self, query: ObjectQuery) -> Floats:
        """Return the score of each row, shape (rows,); 0 where something is lacking, or is there that must not be."""
        found = self.searched.objects()
        scores = [seek(one, found, 0).scores(found) for one in query.objects]
        if not query.objects:  # those come first that are surest not to show what they must not
            scores = [1 - seek(one, found, 0).scores(found) for one in query.without]
        least = np.asarray(np.min(scores, axis=0))
        return np.where(showing((), query.without, found), least, np.float32(0))
