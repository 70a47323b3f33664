"""Searching an index for pictures that were treated like another one: by early maps of the network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cbir.errors import CbirError
from cbir.search.rerank import largest
from cbir.search.resolve import QueryPicture
from cbir.search.strategy import Found, SearchRequest, Strategy
from cbir.search.treatment_query import TreatmentQuery


class ByTreatment(Strategy[TreatmentQuery]):
    """Search by the cosines of treatments alone."""

    def check(self, query: TreatmentQuery, request: SearchRequest) -> None:
        """Raise CbirError where the index has no treatments, or the request is about what these do not have."""
        super().check(query, request)
        if request.class_name is not None or request.limits.min_probability is not None:
            raise CbirError("Treatments have no classes: leave weights of these and probabilities out.")
        self.searched.treatment_space()

    def notices(self) -> tuple[str, ...]:
        """Return a sentence where the treatments of some pictures are not there yet."""
        return self.searched.without_treatments

    def find(
        self, query: TreatmentQuery, images: Sequence[QueryPicture], own: list[int], request: SearchRequest
    ) -> Found:
        """Find the matches; their percentiles are among random pairs of treatments."""
        treatments, vector = self.searched.treatment_space(), images[0].treated
        assert vector is not None
        cosines, quantiles = treatments.cosines(vector, self._features(images)[0]), treatments.quantiles
        kept = self._counts(own, request, self.searched.index.valid)[treatments.rows]
        if request.limits.min_percentile is not None and quantiles is None:
            kept[:] = False
        elif request.has_least_cosine:
            kept &= request.limits.keep(cosines, quantiles)
        places = np.flatnonzero(kept)
        places = places[largest(cosines[places], request.last)]
        return self._matches(
            treatments.rows[places],
            cosines[places],
            request,
            total=int(np.count_nonzero(kept)),
            alike=False,
            quantiles=quantiles,
        )
