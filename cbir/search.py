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
from cbir.index.shortlist import CANDIDATES, Shortlist
from cbir.index.store import Index
from cbir.rerank import SHORTLIST, rerank

logger = logging.getLogger("cbir")

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
        self._mean: Floats | None = None
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
        rows, scores = self._nearest(feature, max(count, SHORTLIST) if reranked else count)
        if reranked and len(rows):
            head = slice(SHORTLIST)
            order = rerank(feature, self.index.features(rows[head]), scores[head], self._collection_mean())
            rows[head], scores[head] = rows[order], scores[order]
        return rows, scores

    def _nearest(self, feature: Floats, count: int) -> tuple[Rows, Floats]:
        """The first `count` valid rows by exact cosine, from the shortlist where there is one that goes so far."""
        index = self.index
        shortlist = self._shortlist() if count * 10 <= index.rows else None
        first = 0
        rows: list[Rows] = []
        scores: list[Floats] = []
        if shortlist is not None:
            first = shortlist.rows
            near = shortlist.candidates(feature, max(CANDIDATES, count + count // 2))
            rows.append(near)
            scores.append(index.features(near) @ feature)
        for start, chunk in index.chunks(first):
            rows.append(np.arange(start, start + len(chunk)))
            scores.append(chunk @ feature)
        if not rows:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        all_rows, all_scores = np.concatenate(rows), np.concatenate(scores)
        valid = index.valid[all_rows]
        all_rows, all_scores = all_rows[valid], all_scores[valid]
        # equal scores in the order of rows, so that results do not depend on the way they were found
        order = np.lexsort((all_rows, -all_scores))[:count]
        return all_rows[order], all_scores[order]

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

    def _collection_mean(self) -> Floats:
        if self._mean is None:
            shortlist = self._shortlist()
            if shortlist is not None:
                self._mean = shortlist.projection[0]
            else:
                total = np.zeros(self.index.meta.dimension, dtype=np.float64)
                for start, chunk in self.index.chunks():
                    total += chunk[self.index.valid[start : start + len(chunk)]].sum(axis=0)
                self._mean = np.asarray(total / max(len(self.index), 1), dtype=np.float32)
        return self._mean

    def _matches(self, rows: Rows, scores: Floats) -> list[Match]:
        root = self.index.root
        return [
            # float16 rows make a picture's cosine with itself miss 1 by a ten-thousandth, either way
            Match(rank, root / self.index.record(int(row)).path, min(float(score), 1.0))
            for rank, (row, score) in enumerate(zip(rows, scores, strict=True), start=1)
        ]
