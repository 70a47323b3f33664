"""Searching an index for things of the same kind: by the classes of whole pictures, and by parts where it has some."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cbir.errors import CbirError
from cbir.notions.notion import PARTS
from cbir.search.learnt_parts import gated_by_parts, learnt_parts
from cbir.search.queries import ImageQuery
from cbir.search.rerank import largest
from cbir.search.resolve import QueryPicture
from cbir.search.strategy import Found, SearchRequest, Strategy
from cbir.utils.half import to_float32
from cbir.words.score import weighted_sums

#: Pictures whose parts are compared because of their classes, whatever their parts' signs say.
_BY_CLASSES = 256


class ByKind(Strategy[ImageQuery]):
    """Search by what a picture or its region is a kind of. docs/method/kinds.md has how well that finds.

    The likeness of classes is the sum of the roots of their probabilities' products (Bhattacharyya, "On a measure of
    divergence between two statistical populations", 1943); where there are parts, its mean with the best part's.
    """

    notions_of = (PARTS,)

    def check(self, query: ImageQuery, request: SearchRequest) -> None:
        """Raise CbirError where the index has no classes, or not the parts that are wanted."""
        super().check(query, request)
        if request.class_name is not None or request.limits.min_percentile is not None:
            raise CbirError("The same kind of thing has no percentiles, and no weights of classes: leave those out.")
        self.searched.classes("cannot be searched for the same kind of thing")
        if request.learnt is not None and not query.parts:
            raise CbirError("A notion of parts (--learnt) orders what is found by parts: leave it or --no-parts out.")
        if query.parts:
            from cbir.parts.learning import check_parts

            check_parts(self.searched.index, self.searched.backbone)

    def gated(self, query: ImageQuery, images: Sequence[QueryPicture], request: SearchRequest) -> SearchRequest:
        """Return the same request, without its notion where that claims nothing of the part."""
        return gated_by_parts(self.searched, images, request)

    def notices(self) -> tuple[str, ...]:
        """Return a sentence where the classes of some pictures are not there yet."""
        return self.searched.without_classes

    def find(self, query: ImageQuery, images: Sequence[QueryPicture], own: list[int], request: SearchRequest) -> Found:
        """Find the matches, by parts with their boxes."""
        index, (asked,) = self.searched.index, images
        assert asked.classes is not None
        likeness = weighted_sums(asked.classes, self.searched.classes().numbers, self._roots)
        counts = self._counts(own, request, index.valid)
        likeness[~counts] = 0
        bonus = self._bonus(images)
        evidence = likeness if bonus is None else likeness + np.where(counts, bonus.points, np.float32(0))
        if asked.part is None:
            rows = np.flatnonzero((evidence > 0) & self._keep(likeness, request))
            first = rows[largest(evidence[rows], request.last)]
            return self._matches(first, likeness[first], request, total=len(rows), alike=False)
        from cbir.search.by_parts import BestParts, best_parts

        first = largest(evidence, max(_BY_CLASSES, request.last))
        besides, learnt = first[counts[first]], learnt_parts(self.searched, images, request)
        found = best_parts(index, asked.part, request.last, own, request.among, besides=besides, learnt=learnt)
        scores = np.float32(0.5) * (found.scores + likeness[found.rows])
        order = np.lexsort((found.rows, -scores)) if bonus is None else bonus.order(found.rows, scores)
        order = order[self._keep(scores[order], request)]
        best = BestParts(found.rows[order], scores[order], found.boxes[order]).first(request.last)
        all_of_them = len(order) if len(order) < request.last else None
        return self._matches(best.rows, best.scores, request, total=all_of_them, alike=False, box=best.boxes)

    @cached_property
    def _roots(self) -> npt.NDArray[np.float16]:
        """The roots of the probabilities of rows' classes, shape (rows, n)."""
        return np.sqrt(to_float32(self.searched.classes().probabilities)).astype(np.float16)
