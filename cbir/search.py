"""From a query picture to the most similar pictures of an index."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cbir.backbones.registry import Backbone
from cbir.backbones.weights import Weights
from cbir.errors import ImageReadError, IndexConflictError, IndexDamagedError
from cbir.extract import Extractor
from cbir.index.home import index_directory, the_only_directory
from cbir.index.shortlist import CANDIDATES, SMALL, Shortlist
from cbir.index.store import Index
from cbir.rerank import SHORTLIST, Centre, expand, largest, rerank, select

logger = logging.getLogger("cbir")

#: Rows whose mean stands for that of all rows of a large index.
CENTRE_ROWS = 512

#: Features of a small index that are kept in memory, as float32, from the first search on.
CACHE_BYTES = 128 << 20

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Query:
    """A picture to search by: a path, or bytes (of a picture from stdin, say) with a name for them."""

    source: Path | bytes
    name: str

    @classmethod
    def from_path(cls, path: str | Path) -> Query:
        """A query by a file."""
        return cls(Path(path), os.fspath(path))


@dataclass(frozen=True)
class Match:
    """A picture that was found. `score` is the cosine of its features and the query's: 1 is the same picture."""

    rank: int
    path: Path
    score: float


@dataclass(frozen=True)
class SearchResult:
    """What one query brought: matches, best first, or the reason why the query could not be read."""

    query: Query
    matches: list[Match] = field(default_factory=list)
    error: ImageReadError | None = None


def open_index(name: str | Path | None = None) -> Index:
    """Open an index by its name or path; without one, the only index there is. Raises IndexNotFoundError."""
    return Index.open(the_only_directory() if name is None else index_directory(str(name)))


def backbone_of(index: Index, *, weights: str | None = None) -> Backbone:
    """The network that made an index.

    `weights` names the file that holds its weights now, if they are not where they were; IndexConflictError where
    that file holds others.
    """
    try:
        backbone = Backbone.from_json(index.model)
    except (ValueError, TypeError, KeyError) as error:
        raise IndexDamagedError(
            f"{index.directory} names no backbone that this cbir knows ({error}): index the folder again."
        ) from error
    if backbone.dimension != index.meta.dimension:
        raise IndexDamagedError(
            f"{index.directory} holds {index.meta.dimension} numbers a row, but its backbone {backbone.name} "
            f"makes {backbone.dimension}: index the folder again."
        )
    if weights is None:
        return backbone
    chosen = Weights.untrained() if weights == "untrained" else Weights.from_file(Path(weights))
    if not chosen.matches(backbone.weights):
        raise IndexConflictError(
            f"The index {index.directory} was made with other weights than {weights} "
            f"(SHA-256 {backbone.weights.identity[:12]}…, not {chosen.identity[:12]}…): "
            "leave --weights out, or make another index with --index NAME."
        )
    return Backbone(backbone.name, backbone.dimension, backbone.preprocessing, chosen)


class Searcher:
    """Searches one index. The network is loaded when the first query is not in the index already."""

    def __init__(self, index: Index, *, engine: str | None = None, weights: str | None = None, queries: int = 1):
        self.index = index
        self.backbone = backbone_of(index, weights=weights)
        self._extractor = Extractor(self.backbone, engine=engine, pictures=queries)
        self._centre: Centre | None = None
        self._cached: Floats | None = None
        self._lengths: Floats | None = None
        self._has_shortlist = True

    def search(
        self,
        queries: Iterable[Query | str | Path],
        *,
        count: int = 10,
        reranked: bool = True,
        include_self: bool = False,
        min_score: float | None = None,
    ) -> Iterator[SearchResult]:
        """One result a query, in order, each with the first `count` matches.

        The query's own file is left out unless `include_self`; `reranked` orders by the neighbourhood of the
        query (see `cbir.rerank`) and not by cosine alone; `min_score` is the least cosine that counts.
        """
        listed = [query if isinstance(query, Query) else Query.from_path(query) for query in queries]
        known: dict[str, list[int]] = {}

        def is_known(sha256: str) -> bool:
            known[sha256] = self.index.find(sha256)
            return bool(known[sha256])

        pairs = ((query, query.source) for query in listed)
        features: dict[str, Floats] = {}
        for result in self._extractor.run(pairs, is_known):
            if result.error is not None:
                yield SearchResult(result.key, error=result.error)
                continue
            if result.feature is not None:
                feature = features[result.sha256] = result.feature / np.linalg.norm(result.feature)
            elif known[result.sha256]:
                feature = self.index.features(known[result.sha256][:1])[0]
            else:  # the same picture came twice in one call
                feature = features[result.sha256]
            own = None if include_self else self._own_row(result.key, known[result.sha256])
            rows, scores = self._ranked(feature, count + (own is not None), reranked)
            keep = rows != (-1 if own is None else own)
            if min_score is not None:
                keep &= scores >= min_score
            yield SearchResult(result.key, self._matches(rows[keep][:count], scores[keep][:count]))

    def _ranked(self, feature: Floats, count: int, reranked: bool) -> tuple[Rows, Floats]:
        """At least the first `count` valid rows (fewer if there are no more), best first, and their raw cosines.

        Re-ranking concerns up to SHORTLIST rows, the same ones whatever `count` is; the others follow by cosine.
        """
        if not reranked:
            return self._nearest(feature, count)
        rows, scores = self._reranked(feature)
        if count > len(rows):
            others, other_scores = self._nearest(feature, count)
            new = ~np.isin(others, rows)
            rows, scores = np.concatenate([rows, others[new]]), np.concatenate([scores, other_scores[new]])
        return rows, scores

    def _reranked(self, feature: Floats) -> tuple[Rows, Floats]:
        """The re-ranked shortlist: up to SHORTLIST rows and their raw cosines."""
        rows, scores, features = self._look(feature, SHORTLIST)
        if not len(rows):
            return rows, scores
        centre = self._collection_centre()
        lengths = centre.lengths(features)
        direction = expand(feature, features, scores, lengths, centre)
        more = self._look_again(direction, centre)
        more = more[~np.isin(more, rows)]
        if len(more):
            fresh = self._features(more)
            rows, features = np.concatenate([rows, more]), np.concatenate([features, fresh])
            scores = np.concatenate([scores, fresh @ feature])
            lengths = np.concatenate([lengths, centre.lengths(fresh)])
        chosen = select(features, scores, lengths, centre, direction)
        chosen = chosen[np.lexsort((rows[chosen], -scores[chosen]))]
        rows, scores = rows[chosen], scores[chosen]
        order = rerank(feature, features[chosen], scores, lengths[chosen], centre)
        return rows[order], scores[order]

    def _nearest(self, feature: Floats, count: int) -> tuple[Rows, Floats]:
        """The first `count` valid rows by exact cosine, from the shortlist where there is one that goes so far."""
        goes_so_far = count * 10 <= self.index.rows
        shortlist = self._shortlist() if goes_so_far else None
        return self._compared(feature, count, shortlist, max(CANDIDATES, count + count // 2))[:2]

    def _look(self, feature: Floats, count: int) -> tuple[Rows, Floats, Floats]:
        """About the first `count` valid rows by cosine, their cosines and their features."""
        return self._compared(feature, count, self._shortlist(), count, keep=True)

    def _look_again(self, direction: Floats, centre: Centre) -> Rows:
        """Valid rows near a centred `direction`, by the way of `_look`, without a second scan of a large index."""
        if (shortlist := self._shortlist()) is not None:
            # what the shortlist takes off is its own mean
            rows = shortlist.candidates(shortlist.projection[0] + direction, SHORTLIST)
            return rows[self.index.valid[rows]]
        if (cached := self._cache()) is None:
            return np.empty(0, dtype=np.int64)
        if self._lengths is None:
            self._lengths = centre.lengths(cached)
        cosines = centre.cosines(cached, self._lengths, direction)
        cosines[~self.index.valid] = -2
        return largest(cosines, min(SHORTLIST, len(self.index)))

    def _compared(
        self, feature: Floats, count: int, shortlist: Shortlist | None, candidates: int, keep: bool = False
    ) -> tuple[Rows, Floats, Floats]:
        """The first `count` valid rows by exact cosine, among `candidates` of the shortlist and all rows beyond it.

        Without a shortlist, all rows are compared. The features are empty unless they are to be kept.
        """
        index = self.index
        first = 0
        rows: list[Rows] = []
        scores: list[Floats] = []
        features: list[Floats] = []

        def add(some: Rows, their: Floats) -> None:
            cosines = their @ feature
            valid = index.valid[some]
            if len(some) > count:
                best = largest(np.where(valid, cosines, -2), count)
                best = best[valid[best]]
            else:
                best = np.flatnonzero(valid)
            rows.append(some[best])
            scores.append(cosines[best])
            if keep:
                features.append(their if len(best) == len(their) else their[best])

        if shortlist is None and (cached := self._cache()) is not None:
            add(np.arange(len(cached)), cached)
        else:
            if shortlist is not None:
                first = shortlist.rows
                near = shortlist.candidates(feature, candidates)
                add(near, index.features(near))
            for start, chunk in index.chunks(first):
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

    def _cache(self) -> Floats | None:
        """All features of a small index, kept from the first call on; None if it is none."""
        index = self.index
        if self._cached is None and 0 < index.rows <= SMALL and 4 * index.rows * index.meta.dimension <= CACHE_BYTES:
            self._cached = np.concatenate([chunk for _, chunk in index.chunks()])
        return self._cached

    def _features(self, rows: Rows) -> Floats:
        return self._cached[rows] if self._cached is not None else self.index.features(rows)

    def _shortlist(self) -> Shortlist | None:
        """The index's shortlist; where it is damaged, all rows are compared, and a line says so."""
        if self._has_shortlist:
            try:
                return self.index.shortlist()
            except IndexDamagedError as error:
                self._has_shortlist = False
                logger.warning("%s All pictures are compared instead.", error)
        return None

    def _own_row(self, query: Query, same_content: Sequence[int]) -> int | None:
        """The row of the query's own file, if it is in the index."""
        if isinstance(query.source, bytes) or not same_content:
            return None
        real = os.path.realpath(query.source)
        for row in same_content:
            if os.path.realpath(self.index.root / self.index.record(row).path) == real:
                return row
        return None

    def _collection_centre(self) -> Centre:
        """The mean of a small index's features, and about that of a large one's."""
        if self._centre is None:
            valid = np.flatnonzero(self.index.valid)
            cached = self._cache()
            if cached is None and len(valid) > CENTRE_ROWS:
                sample = self.index.features(valid[np.linspace(0, len(valid) - 1, CENTRE_ROWS).astype(np.int64)])
            else:
                sample = self._features(valid)
            self._centre = Centre.of(sample, len(valid))
        return self._centre

    def _matches(self, rows: Rows, scores: Floats) -> list[Match]:
        root = self.index.root
        return [
            # float16 rows make a picture's cosine with itself miss 1 by a ten-thousandth, either way
            Match(rank, root / self.index.record(int(row)).path, min(float(score), 1.0))
            for rank, (row, score) in enumerate(zip(rows, scores, strict=True), start=1)
        ]
