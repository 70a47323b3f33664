"""The rows of an index near a feature, by exact cosine, among candidates where there are such."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from cbir.errors import BackendError, IndexDamagedError
from cbir.index.ann.base import SMALL, USUAL, Candidates
from cbir.index.store import SCAN_BYTES, Index
from cbir.search.centre import Centre
from cbir.search.filters import Among
from cbir.search.keeping import KEPT
from cbir.search.rerank import SHORTLIST, largest
from cbir.search.space import Space
from cbir.utils.vectors import Floats, Rows

logger = logging.getLogger("cbir")

T = TypeVar("T")

#: Rows whose mean stands for that of all rows of a large index.
CENTRE_ROWS = 512

#: So many rows that a filter leaves are all compared, and their features kept; of more, candidates, so many times as
#: many as wanted.
FEW, _SPARE = 12_500, 1.25

# Seconds after which a server that did not answer is asked for candidates again.
_ASK_AGAIN = 60.0

#: Bytes of all features, as float32, of a small index: they are kept from the first search on.
CACHE_BYTES = 128 << 20


class Scanner:
    """Finds rows of one index, and reads their features.

    What is compared are the vectors that a `space` makes of features. Where it has no candidates, all rows are
    compared, whatever the index's size.
    """

    def __init__(self, index: Index, space: Space) -> None:
        self.index = index
        self.space = space
        self._width = space.width(index.dimension)
        self._remembering = threading.RLock()  # what is read of the index once, for all threads
        self._centre: Centre | None = None
        self._cached: Floats | None = None
        self._lengths: Floats | None = None
        self._without_until = -math.inf if space.has_candidates else math.inf

    def likenesses(self, feature: Floats) -> Floats:
        """Compute cosines of `feature`, shape (dimension,), and all rows, each less the collection's mean."""
        centre = self.centre()
        direction = centre.direction(self.space.sought(feature))
        parts = [centre.cosines(rows, centre.lengths(rows), direction) for _, rows in self._chunks()]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)

    def cosines(self, feature: Floats, rows: Rows) -> Floats:
        """Compute the cosines of `feature`, shape (dimension,), and any number of rows, a piece of these at a time."""
        vector = self.space.sought(feature)
        parts = [self.features(some) @ vector for some in self._pieces(rows)]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)

    def nearest(self, sought: Floats, count: int, only: Among | None = None) -> tuple[Rows, Floats]:
        """Return the first `count` valid rows by exact cosine, of all or `only` of some.

        They are from candidates where these go so far.
        """
        return self._or_without_candidates(lambda: self._nearest(sought, count, only))

    def _nearest(self, sought: Floats, count: int, only: Among | None) -> tuple[Rows, Floats]:
        if only is None:
            among = max(USUAL, count + count // 2)
            candidates = self._candidates() if count * 10 <= self.index.rows else None
            if candidates is not None and among > candidates.most:
                candidates = None
            found = list(self._compared(sought, count, candidates, among))
        else:
            found = list(self._compared_of(only, sought, count))
        rows = np.concatenate([some for some, _, _ in found]) if found else np.empty(0, dtype=np.int64)
        scores = np.concatenate([cosines for _, cosines, _ in found]) if found else np.empty(0, dtype=np.float32)
        # equal scores in the order of rows, so that results do not depend on the way they were found
        order = np.lexsort((rows, -scores))[:count]
        return rows[order], scores[order]

    def look(self, sought: Floats, count: int, only: Among | None = None) -> tuple[Rows, Floats, Floats]:
        """Find about the first `count` valid rows by cosine, with their cosines and their features, in no order."""
        return self._or_without_candidates(lambda: self._look(sought, count, only))

    def _look(self, sought: Floats, count: int, only: Among | None) -> tuple[Rows, Floats, Floats]:
        if only is None:
            found = list(self._compared(sought, count, self._candidates(), count))
        else:
            found = list(self._compared_of(only, sought, count))
        if not found:
            nothing = np.empty((0, self._width), dtype=np.float32)
            return np.empty(0, dtype=np.int64), nothing[:, 0], nothing
        rows, scores, features = found[0]
        if len(found) > 1:
            rows, scores, features = map(np.concatenate, zip(*found, strict=True))
            best = largest(scores, count)
            rows, scores, features = rows[best], scores[best], features[best]
        return rows, scores, features

    def look_again(self, direction: Floats, centre: Centre, only: Among | None = None) -> Rows:
        """Valid rows near a centred `direction`, by the way of `look`, without a second scan of a large index."""
        return self._or_without_candidates(lambda: self._look_again(direction, centre, only))

    def _look_again(self, direction: Floats, centre: Centre, only: Among | None) -> Rows:
        if only is not None and self._cache() is None:
            near = self._proposed(only, lambda count: self._directed(direction, count), SHORTLIST)
            return near if near is not None else self._along(direction, centre, only)
        if (candidates := self._candidates()) is not None:
            rows = self.space.towards(candidates, direction, SHORTLIST)
            return rows[self.index.comparable[rows]]
        if (cached := self._cache()) is None:
            return np.empty(0, dtype=np.int64)
        with self._remembering:
            if self._lengths is None:
                self._lengths = centre.lengths(cached)
        cosines = centre.cosines(cached, self._lengths, direction)
        counts = self.index.comparable if only is None else self.index.comparable & only.mask
        cosines[~counts] = -2
        return largest(cosines, min(SHORTLIST, int(counts.sum())))

    def _directed(self, direction: Floats, count: int) -> Rows:
        candidates = self._candidates()
        return np.empty(0, dtype=np.int64) if candidates is None else self.space.towards(candidates, direction, count)

    def _along(self, direction: Floats, centre: Centre, only: Among) -> Rows:
        """Return the rows of a few that are nearest to a centred `direction`, exactly."""
        if len(only.rows) <= SHORTLIST:  # which have been looked at
            return np.empty(0, dtype=np.int64)
        parts = [centre.cosines(features, lengths, direction) for _, features, lengths in self._all_of(only)]
        cosines = np.where(self.index.comparable[only.rows], np.concatenate(parts), np.float32(-2))
        best = largest(cosines, SHORTLIST)
        return only.rows[best[cosines[best] > -2]]

    def _compared_of(self, only: Among, sought: Floats, count: int) -> Iterator[tuple[Rows, Floats, Floats]]:
        """Yield the first `count` of some rows, of each chunk of those that are compared, as `_compared` does."""

        def near(number: int) -> Rows:
            candidates = self._candidates()
            assert candidates is not None
            return self.space.near(candidates, sought, number)

        proposed = self._proposed(only, near, count)
        if proposed is None:
            for some, features, _ in self._all_of(only):
                yield self._first(sought, count, some, features)
        else:
            for some in self._pieces(np.sort(proposed)):
                yield self._first(sought, count, some, self.features(some))

    def _all_of(self, only: Among) -> Iterator[tuple[Rows, Floats, Floats]]:
        """Yield all of some rows in chunks, their features, and the lengths of these less the collection's mean.

        Those of a few are kept, as a conversation asks for the same again and again.
        """
        centre = self.centre()
        if len(only.rows) > FEW or 4 * len(only.rows) * (self._width + 1) > KEPT.most:
            for rows in self._pieces(only.rows):
                features = self.features(rows)
                yield rows, features, centre.lengths(features)
            return

        def of_few() -> tuple[Floats, Floats]:
            features = self.features(only.rows)
            return features, centre.lengths(features)

        with self._remembering:
            features, lengths = KEPT.of(self, only, of_few)
        yield only.rows, features, lengths

    def _proposed(self, only: Among, near: Callable[[int], Rows], count: int) -> Rows | None:
        """Return candidates among some rows, at least `count`; None where all of these are to be compared instead.

        `near` gives so many candidates among all rows. Those that candidates do not cover come with them.
        """
        candidates = self._candidates() if len(only.rows) > FEW else None
        if candidates is None:
            return None
        covered = int(np.searchsorted(only.rows, candidates.rows))
        spare = max(USUAL, round(_SPARE * count))
        number = spare * candidates.rows // max(covered, 1)
        if number >= min(len(only.rows), candidates.most):
            return None
        rows = near(number)
        rows = rows[only.mask[rows]]
        if len(rows) < count:  # those near the query are mostly others
            return None
        return np.concatenate([rows[:spare], only.rows[covered:]])

    def _pieces(self, rows: Rows) -> Iterator[Rows]:
        step = max(1, SCAN_BYTES // (4 * self._width))
        return (rows[start : start + step] for start in range(0, len(rows), step))

    def _compared(
        self, sought: Floats, count: int, candidates: Candidates | None, among: int
    ) -> Iterator[tuple[Rows, Floats, Floats]]:
        """Yield the first `count` valid rows, `among` so many candidates, then of each chunk beyond these.

        With them come their exact cosines and their features. Without candidates, all rows are compared.
        """
        if candidates is None and (cached := self._cache()) is not None:
            yield self._first(sought, count, np.arange(len(cached)), cached)
            return
        first = 0
        if candidates is not None:
            first = candidates.rows
            near = np.sort(self.space.near(candidates, sought, among))  # which are read in the file's order
            yield self._first(sought, count, near, self.features(near))
        for start, chunk in self._chunks(first):
            yield self._first(sought, count, np.arange(start, start + len(chunk)), chunk)

    def _first(self, sought: Floats, count: int, rows: Rows, features: Floats) -> tuple[Rows, Floats, Floats]:
        """Choose the first `count` of `rows` that are valid; of equal ones, those that come first."""
        cosines = features @ sought
        valid = self.index.comparable[rows]
        if len(rows) <= count and valid.all():
            return rows, cosines, features
        best = largest(np.where(valid, cosines, -2), count)
        best = best[valid[best]]
        return rows[best], cosines[best], features[best]

    def _chunks(self, first: int = 0) -> Iterator[tuple[int, Floats]]:
        for start, chunk in self.index.chunks(first):
            yield start, self.space.of_rows(np.arange(start, start + len(chunk)), chunk)

    def features(self, rows: Rows) -> Floats:
        """Make the vectors of `rows`, shape (n, width); from memory, where many queries have asked for them."""
        if self._cached is not None:
            return self._cached[rows]
        count = self.index.rows
        if count * (4 * self._width + 1) > KEPT.most:
            return self.space.of_rows(rows, self.index.features(rows))
        with self._remembering:
            kept, is_kept = KEPT.of(
                self, None, lambda: (np.empty((count, self._width), dtype=np.float32), np.zeros(count, dtype=np.bool_))
            )
        new = rows[~is_kept[rows]]
        if len(new):
            kept[new] = self.space.of_rows(new, self.index.features(new))
            is_kept[new] = True  # only now: other threads may be asking
        return kept[rows]

    def _cache(self) -> Floats | None:
        """All features of a small index, kept from the first call on; None if it is none."""
        index = self.index
        if not 0 < index.rows <= SMALL or 4 * index.rows * self._width > CACHE_BYTES:
            return None
        with self._remembering:
            if self._cached is None:
                self._cached = np.concatenate([chunk for _, chunk in self._chunks()])
            return self._cached

    def _candidates(self) -> Candidates | None:
        """Return the finder of candidates; where it is damaged, None, and a line says that all rows are compared."""
        if time.monotonic() >= self._without_until:
            try:
                return self.index.candidates()
            except IndexDamagedError as error:
                self._leave(error)
        return None

    def _or_without_candidates(self, find: Callable[[], T]) -> T:
        """Call what asks for candidates; once more without these where they turn out not to be there."""
        try:
            return find()
        except BackendError as error:
            self._leave(error)
            return find()

    def _leave(self, error: IndexDamagedError) -> None:
        """Do without candidates from now on, those of a server for a while, and say so. Raises the error where features
        would come from that server, too."""
        if isinstance(error, BackendError) and self.index.features_are_elsewhere:
            raise error
        with self._remembering:
            if time.monotonic() >= self._without_until:
                self._without_until = time.monotonic() + (_ASK_AGAIN if isinstance(error, BackendError) else math.inf)
                logger.warning("%s All pictures are compared instead.", error)

    def centre(self) -> Centre:
        """Return the mean of a small index's features, and about that of a large one's."""
        with self._remembering:
            if self._centre is None:
                self._centre = self.space.centre(self._sample)
            return self._centre

    def _sample(self) -> tuple[Floats, int]:
        """Read the vectors of the rows that count, of a large index those of some, and how many count."""
        cached = self._cache()
        valid = np.flatnonzero(self.index.comparable)
        some = valid
        if cached is None and len(valid) > CENTRE_ROWS:
            some = valid[np.linspace(0, len(valid) - 1, CENTRE_ROWS).astype(np.int64)]
        return self.features(some), len(valid)
