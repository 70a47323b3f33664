"""The systems to compare: a network's features in cosine order or re-ranked, and classical features."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean, median
from typing import Protocol

import numpy as np

from cbir.engines.precision import last_measured
from cbir.errors import IndexDamagedError
from cbir.evaluation.ground_truth import Items
from cbir.index.ann import base as ann
from cbir.index.ann.base import Candidates
from cbir.index.exact import RowSource
from cbir.index.format import Meta
from cbir.index.store import Index
from cbir.notions.notion import LearntRows
from cbir.notions.store import load_notion
from cbir.search.rerank import SHORTLIST
from cbir.search.searcher import Searcher
from cbir.utils.vectors import Floats, Rows

COSINE, RERANKED = "cosine", "re-ranked"

#: What is said of the method where the means of folders are taken off.
LESS_MEANS = "less means"

#: Matches of a usual search: what is timed, and what the candidates' recall is about.
USUAL = 10

#: The part of a large index's ranking that is searched among candidates; what follows is in order of cosine.
DEPTH = max(ann.USUAL, SHORTLIST)

#: Searches that are timed.
TIMED = 100

# Cosines that are held at a time: 32 MB.
_COSINES = 8_000_000

# Two ways of adding up a cosine differ by less than this.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class Timing:
    """The time that a search for the first ten takes, from a query's features on: medians in milliseconds.

    `candidates` is the part of finding candidates in it; None where there are none and all rows are compared.
    """

    milliseconds: float
    candidates: float | None = None


@dataclass(frozen=True)
class Cost:
    """The cost of a picture: milliseconds of its network on this processor, where that was measured; bytes of its
    features in an index.
    """

    network_ms: float | None = None
    feature_bytes: int | None = None


class System(Protocol):
    """One way to rank pictures. They are numbered by their place in the list of paths that all systems share."""

    @property
    def name(self) -> str:
        """A name for people."""

    @property
    def model(self) -> str:
        """The backbone, or the classical features."""

    @property
    def method(self) -> str:
        """The method by which rows are put in order."""

    def rankings(self, queries: Sequence[int]) -> Iterator[Items]:
        """Yield for each query all pictures, best first, the query itself somewhere among them."""

    def timing(self, queries: Sequence[int]) -> Timing:
        """Measure searches by these queries."""

    def candidates_recall(self, queries: Sequence[int]) -> float | None:
        """Return the share of the exact first ten that a search finds; None where every search is exact."""

    def cost(self) -> Cost:
        """Tell what a picture costs."""


class IndexSystem:
    """Searches an index as `cbir search` does, by the features of its rows.

    `row_of` is the row of each picture. Rows of the index that are none of these are left out of rankings. `learnt` is
    a notion of the index, by which pictures are alike, `across` are folders of it whose means are taken off. Raises
    what `load_notion` does.
    """

    def __init__(
        self,
        index: Index,
        row_of: Rows,
        *,
        reranked: bool,
        learnt: str | None = None,
        across: tuple[str, ...] = (),
    ) -> None:
        self.index = _ClockedIndex(index.directory, index.meta)
        self._searcher = Searcher(self.index)
        self.model = self._searcher.backbone.label
        self._notion = None if learnt is None else load_notion(index, learnt)
        method = RERANKED if reranked else COSINE
        by = learnt if learnt is not None else LESS_MEANS if across else None
        self.method = method if by is None else f"{method}, {by}"
        self.name = f"{self.model} {self.method}"
        self._reranked, self._learnt, self._across = reranked, learnt, across
        self._row_of = row_of
        self._item_of = np.full(index.rows, -1, dtype=np.int64)
        self._item_of[row_of] = np.arange(len(row_of))

    def rankings(self, queries: Sequence[int]) -> Iterator[Items]:
        """Yield a search's ranking of all pictures for each query; where there are candidates, from these as far as
        DEPTH.

        A search for so many looks at all rows, whatever the index's size, which is not how users search a large one. So
        there a search for the first DEPTH comes first, and then what it did not bring, by exact cosine.
        """
        depth = DEPTH if self.has_candidates else self.index.rows
        for query, exact in self._exact(queries):
            found = self._search(query, depth, self._reranked)
            others = np.ones(self.index.rows, dtype=np.bool_)
            others[found] = False
            order = np.argsort(-exact, kind="stable")
            items = self._item_of[np.concatenate([found, order[others[order]]])]
            yield items[items >= 0]

    def timing(self, queries: Sequence[int]) -> Timing:
        """Medians over searches for the first ten, the query itself one more."""
        seconds: list[float] = []
        in_candidates: list[float] = []
        # the first search opens what the others use, and does not count
        for query in [queries[0], *queries]:
            feature = self.index.features(self._row_of[[query]])[0]
            self.index.spent.clear()
            started = time.perf_counter()
            self._ranked(query, feature, USUAL + 1, self._reranked)
            seconds.append(time.perf_counter() - started)
            in_candidates.append(sum(self.index.spent))
        candidates = 1000 * median(in_candidates[1:]) if self.has_candidates else None
        return Timing(1000 * median(seconds[1:]), candidates)

    def candidates_recall(self, queries: Sequence[int]) -> float | None:
        """Measure recall by cosine, since re-ranking takes what candidates bring; rows as near as the tenth count."""
        if not self.has_candidates:
            return None
        shares = []
        for query, exact in self._exact(queries):
            own = self._row_of[query]
            found = self._search(query, USUAL + 1, reranked=False)
            found = found[found != own][:USUAL]
            exact[own] = -np.inf
            nearest = np.sort(exact)[-USUAL:]
            shares.append((exact[found] >= nearest[0] - _ROUNDING).sum() / len(nearest))
        return fmean(shares)

    def cost(self) -> Cost:
        """Add up what was measured of its networks here, for each view, and the bytes of its features."""
        backbone = self._searcher.backbone
        measured = [last_measured(network.name) for network in backbone.networks]
        rates = [one.trials[one.precision].pictures_per_second for one in measured if one is not None]
        is_known = len(rates) == len(measured) and min(rates, default=0) > 0
        milliseconds = backbone.views * sum(1000 / rate for rate in rates) if is_known else None
        return Cost(milliseconds, backbone.dimension * np.dtype(np.float16).itemsize)

    @cached_property
    def has_candidates(self) -> bool:
        """True if a search looks at a part of the rows only."""
        try:
            return self.index.candidates() is not None
        except IndexDamagedError:  # the searcher says so, and compares all rows
            return False

    def _search(self, query: int, count: int, reranked: bool) -> Rows:
        return self._ranked(query, self.index.features(self._row_of[[query]])[0], count, reranked)

    def _ranked(self, query: int, feature: Floats, count: int, reranked: bool) -> Rows:
        """Return the rows that a search finds, best first: the one place that knows how a search is made."""
        row = int(self._row_of[query])
        rows, _ = self._searcher.ranked(
            feature, count, reranked=reranked, learnt=self._learnt, across=self._across, row=row
        )
        return rows

    def _exact(self, queries: Sequence[int]) -> Iterator[tuple[int, Floats]]:
        """Each query and its cosines with all rows, as a notion has them; with rows that do not count, -inf."""
        batch = max(1, min(64, _COSINES // max(1, self.index.rows)))
        for start in range(0, len(queries), batch):
            part = queries[start : start + batch]
            features = self.index.features(self._row_of[list(part)])
            if self._across:
                its = zip(part, features, strict=True)
                cosines = np.stack(
                    [self._searcher.likeness_across(one, self._across, int(self._row_of[query])) for query, one in its]
                )
            else:
                cosines = _cosines(self.index, features)
            if self._notion is not None:
                claimed = self._notion.claims(self._notion.scores(features))
                vectors = self._notion.vectors(features[claimed])
                cosines[claimed] = _cosines(LearntRows(self.index, self._notion), vectors)
            cosines[:, ~self.index.valid] = -np.inf
            yield from zip(part, cosines, strict=True)


class ClassicalSystem:
    """Compares features that lie in memory, one row a picture, each of length 1; `less` is what was taken off them."""

    def __init__(self, model: str, features: Floats, less: str | None = None) -> None:
        self.model = model
        self.method = COSINE if less is None else f"{COSINE}, {less}"
        self.name = model if less is None else f"{model} {self.method}"
        self._features = features

    def rankings(self, queries: Sequence[int]) -> Iterator[Items]:
        """Rank by cosine; equal ones in the order of pictures."""
        for query in queries:
            yield np.argsort(-(self._features @ self._features[query]), kind="stable")

    def timing(self, queries: Sequence[int]) -> Timing:
        """Medians over comparisons with all pictures."""
        seconds = []
        for query in queries:
            started = time.perf_counter()
            cosines = self._features @ self._features[query]
            nearest = np.argpartition(-cosines, min(USUAL, len(cosines) - 1))[: USUAL + 1]
            nearest[np.argsort(-cosines[nearest], kind="stable")]
            seconds.append(time.perf_counter() - started)
        return Timing(1000 * median(seconds))

    @property
    def features(self) -> Floats:
        """The features that are compared, shape (pictures, dimension)."""
        return self._features

    def candidates_recall(self, queries: Sequence[int]) -> float | None:
        """All pictures are compared."""
        return None

    def cost(self) -> Cost:
        """No index has such features, and no network makes them."""
        return Cost()


def _cosines(source: RowSource, vectors: Floats) -> Floats:
    """Return the cosines of vectors of length 1, shape (n, dimension), and all rows: shape (n, rows)."""
    return np.concatenate([vectors @ chunk.T for _, chunk in source.chunks()], axis=1)


class _ClockedIndex(Index):
    """An index that notes in `spent` how many seconds each question for candidates took."""

    def __init__(self, directory: Path, meta: Meta) -> None:
        super().__init__(directory, meta)
        self.spent: list[float] = []

    def candidates(self) -> Candidates | None:
        """Return the finder of candidates, with a clock in it."""
        candidates = super().candidates()
        return None if candidates is None else _Clocked(candidates, self.spent)


@dataclass(frozen=True)
class _Clocked:
    """Candidates that note how long they take."""

    candidates: Candidates
    spent: list[float]

    @property
    def rows(self) -> int:
        """The number of rows that they cover."""
        return self.candidates.rows

    @property
    def most(self) -> int:
        """The most rows that can be asked for at once."""
        return self.candidates.most

    def search(self, queries: Floats, count: int) -> Sequence[Rows]:
        """Return the same rows, and the time that they took."""
        with self._clock():
            return self.candidates.search(queries, count)

    def search_direction(self, direction: Floats, count: int) -> Rows:
        """Return the same rows, and the time that they took."""
        with self._clock():
            return self.candidates.search_direction(direction, count)

    def check(self) -> None:
        """Nothing is clocked here."""
        self.candidates.check()

    @contextmanager
    def _clock(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.spent.append(time.perf_counter() - started)
