"""The rows of an index near a feature, by exact cosine, among candidates where there are such."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import numpy as np

from cbir.errors import IndexDamagedError
from cbir.index.ann.base import SMALL, USUAL, Candidates
from cbir.index.store import Index
from cbir.search.rerank import SHORTLIST, Centre, largest
from cbir.utils.vectors import Floats, Rows, l2_normalize

logger = logging.getLogger("cbir")

#: Rows whose mean stands for that of all rows of a large index.
CENTRE_ROWS = 512

#: Features of a small index that are kept in memory, as float32, from the first search on.
CACHE_BYTES = 128 << 20


class Scanner:
    """Finds rows of one index, and reads their features.

    `scale`, shape (dimension,), not negative, is how much each number of a feature counts: features, of queries and
    of rows, are multiplied by it and made length 1 again. Candidates are those of plain cosines, so with a scale
    all rows are compared, whatever the index's size.
    """

    def __init__(self, index: Index, scale: Floats | None = None) -> None:
        self.index = index
        self._scale = scale
        self._remembering = threading.RLock()  # what is read of the index once, for all threads
        self._centre: Centre | None = None
        self._cached: Floats | None = None
        self._lengths: Floats | None = None
        self._has_candidates = scale is None

    def likenesses(self, feature: Floats) -> Floats:
        """Compute cosines of `feature`, shape (dimension,), and all rows, each less the collection's mean."""
        centre = self.centre()
        direction = centre.direction(self.scaled(feature))
        parts = [centre.cosines(rows, centre.lengths(rows), direction) for _, rows in self._chunks()]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)

    def nearest(self, feature: Floats, count: int) -> tuple[Rows, Floats]:
        """Return the first `count` valid rows by exact cosine, from candidates where these go so far."""
        goes_so_far = count * 10 <= self.index.rows
        candidates = self._candidates() if goes_so_far else None
        return self._compared(feature, count, candidates, max(USUAL, count + count // 2))[:2]

    def look(self, feature: Floats, count: int) -> tuple[Rows, Floats, Floats]:
        """Find about the first `count` valid rows by cosine, with their cosines and their features."""
        return self._compared(feature, count, self._candidates(), count, keep=True)

    def look_again(self, direction: Floats, centre: Centre) -> Rows:
        """Valid rows near a centred `direction`, by the way of `look`, without a second scan of a large index."""
        if (candidates := self._candidates()) is not None:
            rows = candidates.search_direction(direction, SHORTLIST)
            return rows[self.index.comparable[rows]]
        if (cached := self._cache()) is None:
            return np.empty(0, dtype=np.int64)
        with self._remembering:
            if self._lengths is None:
                self._lengths = centre.lengths(cached)
        cosines = centre.cosines(cached, self._lengths, direction)
        cosines[~self.index.comparable] = -2
        return largest(cosines, min(SHORTLIST, len(self.index)))

    def _compared(
        self, feature: Floats, count: int, candidates: Candidates | None, among: int, keep: bool = False
    ) -> tuple[Rows, Floats, Floats]:
        """Return the first `count` valid rows by exact cosine, `among` so many candidates and all rows beyond these.

        Without candidates, all rows are compared. The features are empty unless they are to be kept.
        """
        index = self.index
        first = 0
        rows: list[Rows] = []
        scores: list[Floats] = []
        features: list[Floats] = []

        def add(some: Rows, their: Floats) -> None:
            cosines = their @ feature
            valid = index.comparable[some]
            if len(some) > count:
                best = largest(np.where(valid, cosines, -2), count)
                best = best[valid[best]]
            else:
                best = np.flatnonzero(valid)
            rows.append(some[best])
            scores.append(cosines[best])
            if keep:
                features.append(their if len(best) == len(their) else their[best])

        if candidates is None and (cached := self._cache()) is not None:
            add(np.arange(len(cached)), cached)
        else:
            if candidates is not None:
                first = candidates.rows
                near = candidates.search(feature[np.newaxis], among)[0]
                add(near, self.features(near))
            for start, chunk in self._chunks(first):
                add(np.arange(start, start + len(chunk)), chunk)
        if not rows:
            nothing = np.empty(0, dtype=np.float32)
            return np.empty(0, dtype=np.int64), nothing, nothing
        all_rows, all_scores = np.concatenate(rows), np.concatenate(scores)
        # equal scores in the order of rows, so that results do not depend on the way they were found
        order = np.lexsort((all_rows, -all_scores))[:count]
        if not keep:
            return all_rows[order], all_scores[order], all_scores[:0]
        kept = (features[0] if len(features) == 1 else np.concatenate(features))[order]
        return all_rows[order], all_scores[order], kept

    def scaled(self, features: Floats) -> Floats:
        """`features`, the last axis being the dimension, by the scale."""
        return features if self._scale is None else l2_normalize(features * self._scale)

    def _chunks(self, first: int = 0) -> Iterator[tuple[int, Floats]]:
        return ((start, self.scaled(chunk)) for start, chunk in self.index.chunks(first))

    def features(self, rows: Rows) -> Floats:
        return self._cached[rows] if self._cached is not None else self.scaled(self.index.features(rows))

    def _cache(self) -> Floats | None:
        """All features of a small index, kept from the first call on; None if it is none."""
        index = self.index
        if not 0 < index.rows <= SMALL or 4 * index.rows * index.meta.dimension > CACHE_BYTES:
            return None
        with self._remembering:
            if self._cached is None:
                self._cached = np.concatenate([chunk for _, chunk in self._chunks()])
            return self._cached

    def _candidates(self) -> Candidates | None:
        """Return the finder of candidates; where it is damaged, None, and a line says that all rows are compared."""
        if self._has_candidates:
            try:
                return self.index.candidates()
            except IndexDamagedError as error:
                with self._remembering:
                    if self._has_candidates:
                        self._has_candidates = False
                        logger.warning("%s All pictures are compared instead.", error)
        return None

    def centre(self) -> Centre:
        """Return the mean of a small index's features, and about that of a large one's."""
        with self._remembering:
            if self._centre is None:
                cached = self._cache()
                valid = np.flatnonzero(self.index.comparable)
                if cached is None and len(valid) > CENTRE_ROWS:
                    sample = self.features(valid[np.linspace(0, len(valid) - 1, CENTRE_ROWS).astype(np.int64)])
                else:
                    sample = self.features(valid)
                self._centre = Centre.of(sample, len(valid))
            return self._centre
