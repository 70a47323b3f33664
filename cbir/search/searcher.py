"""From a query to the most similar pictures of an index."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cbir.engines.lazy import LazyEngine
from cbir.errors import CbirError, IndexDamagedError
from cbir.extract.extractor import Extractor
from cbir.extract.of_index import backbone_of
from cbir.index.columns.classes import RowClasses
from cbir.index.columns.parts import SIGNS
from cbir.index.store import Index
from cbir.search.queries import AnyQuery, Combination, CombinedQuery, Query, WordQuery
from cbir.search.ranker import Ranker
from cbir.search.resolve import QueryPicture, QueryPictures
from cbir.search.results import Match, SearchResult
from cbir.utils.vectors import Floats
from cbir.words.of_index import classes_of
from cbir.words.score import Scores, score_words, with_likeness

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Wanted:
    """Which matches of a query are wanted, as `Searcher.search` was told."""

    class_weights: str | None
    count: int
    reranked: bool
    include_self: bool
    min_score: float | None
    min_percentile: float | None
    min_probability: float | None


class Searcher:
    """Searches one index. The network is loaded when the first query is not in the index already."""

    def __init__(self, index: Index, *, engine: str | None = None, weights: str | None = None, expected: int = 1):
        self.index = index
        self.backbone = backbone_of(index, weights=weights)
        shared = LazyEngine(self.backbone, engine, expected=expected)
        self._pictures = QueryPictures(index, Extractor(self.backbone, engine=shared, expected=expected), shared)
        self._remembering = threading.RLock()  # what is read of the index once, for all threads; no network's work
        self._rankers: dict[str | None, Ranker] = {None: Ranker(index)}
        self._classes: RowClasses | None = None
        self._last_scores: tuple[WordQuery, Scores] | None = None

    def search(
        self,
        queries: Iterable[AnyQuery | str | Path | None],
        *,
        count: int = 10,
        reranked: bool = True,
        include_self: bool = False,
        min_score: float | None = None,
        min_percentile: float | None = None,
        min_probability: float | None = None,
        class_name: str | None = None,
    ) -> Iterator[SearchResult]:
        """One result a query, in order, each with the first `count` matches.

        Queries are taken as they come, some hundred of them ahead of their results. None among them says that the next
        may be long in coming, so that those before it are answered first.

        The files of the query's own pictures are left out unless `include_self`; `reranked` orders by the
        neighbourhood of the query (see `search.rerank`) and not by cosine alone; `min_score` is the least cosine that
        counts, `min_percentile` the least `Match.percentile`, `min_probability` the least `Match.probability`. With
        `class_name`, a class of ImageNet, features are ranked by what speaks for or against that class (see
        `cbir.backbones.head`); scores stay as they are.

        Of queries by words, only those by one word alone are re-ranked: docs/method/words.md says why.

        Raises ModelError where there is no such class, or the network has none; CbirError where the index has no
        percentiles to compare with, or no classes to look for words in; ValueError where words alone are to have a
        least cosine or percentile.
        """
        if min_percentile is not None and self.index.meta.cosines is None:
            raise CbirError(
                f"The index {self.index.directory} does not know how alike its pictures are: an older cbir made it, "
                f"or it has fewer than two. `cbir index --index {self.index.directory.name}` adds that; "
                "until then only a cosine can be the least score."
            )
        ranker = self._ranker(class_name)
        class_weights = None
        if class_name is not None:
            from cbir.backbones.imagenet import find_class

            class_weights = find_class(class_name).name
        wanted = _Wanted(class_weights, count, reranked, include_self, min_score, min_percentile, min_probability)
        if isinstance(queries, Sequence):  # what can be told before the first answer
            for query in queries:
                if isinstance(query, WordQuery):
                    self._check_words(query, wanted)
        return self._search(queries, ranker, wanted)

    def ranked(self, feature: Floats, count: int, *, reranked: bool, own: Sequence[int] = ()) -> tuple[Rows, Floats]:
        """The first `count` valid rows (fewer if there are no more), best first, and their cosines.

        `feature`, shape (dimension,), has length 1; the rows `own` are left out. Up to `rerank.SHORTLIST` rows
        are re-ranked, the same ones whatever `count` is; the others follow by cosine.
        """
        rows, scores = self._rankers[None].ranked(feature, count + len(own), reranked=reranked)
        if len(own):
            keep = ~np.isin(rows, own)
            rows, scores = rows[keep], scores[keep]
        return rows[:count], scores[:count]

    def _search(
        self, queries: Iterable[AnyQuery | str | Path | None], ranker: Ranker, wanted: _Wanted
    ) -> Iterator[SearchResult]:
        asked = (Query.from_path(one) if isinstance(one, (str, Path)) else one for one in queries)
        asked = (self._by_parts(query, ranker, wanted) for query in asked)
        for query, pictures in self._pictures.of(asked):
            if isinstance(query, WordQuery):
                self._check_words(query, wanted)
            error = next((picture.error for picture in pictures if picture.error is not None), None)
            yield SearchResult(
                query,
                self.index.directory,
                self.backbone.name,
                [] if error else self._found(query, pictures, ranker, wanted),
                error,
                tuple(picture.box for picture in pictures),
                wanted.class_weights,
                self._notices(query),
            )

    def _by_parts(self, query: AnyQuery | None, ranker: Ranker, wanted: _Wanted) -> AnyQuery | None:
        """The same query, which says whether it finds pictures by their parts; CbirError where it cannot, but must."""
        if not isinstance(query, Query) or query.parts is False or (query.parts is None and query.region is None):
            return query
        from cbir.parts.learning import check_parts

        can_be = ranker is self._rankers[None] and wanted.min_percentile is None
        if query.parts is None and (self.index.meta.parts is None or not can_be):
            return query
        if not can_be:
            raise CbirError("Parts have no percentiles, and no weights of classes: leave those out, or the parts.")
        check_parts(self.index, self.backbone)
        return replace(query, parts=True)

    def _notices(self, query: AnyQuery) -> tuple[str, ...]:
        """Sentences about what a search by `query` could not find."""
        if isinstance(query, WordQuery):
            return self._without_classes
        return self._without_parts if isinstance(query, Query) and query.parts else ()

    @cached_property
    def _without_classes(self) -> tuple[str, ...]:
        """A sentence where the classes of some pictures are not there yet."""
        if (self._known_classes().known | ~self.index.valid).all():
            return ()
        return _notice(
            self.index,
            self.index.without_classes(),
            "Words do not find {count} of the index's {pictures} pictures, whose classes it does not have yet: "
            "`cbir index --index {name}` looks for them.",
        )

    @cached_property
    def _without_parts(self) -> tuple[str, ...]:
        """A sentence where the parts of some pictures are not there yet."""
        return _notice(
            self.index,
            self.index.missing(SIGNS),
            "Parts do not find {count} of the index's {pictures} pictures, whose parts it does not have yet: "
            "`cbir index --index {name}` reads them.",
        )

    def _check_words(self, query: WordQuery, wanted: _Wanted) -> None:
        """Raise what a search by words can be refused for: see `search`."""
        self._known_classes()
        if query.picture is None and (wanted.min_score is not None or wanted.min_percentile is not None):
            raise ValueError("words alone have a probability, and neither a cosine nor a percentile")

    def _found(self, query: AnyQuery, found: Sequence[QueryPicture], ranker: Ranker, wanted: _Wanted) -> list[Match]:
        """The matches of a query, of whose images this was `found`."""
        features = [self._feature(picture) for picture in found if picture.part is None]
        own: list[int] = []
        if not wanted.include_self:
            pictures = zip(query.images, found, strict=True)
            own = [row for picture, what in pictures for row in self._own_rows(picture, what.rows)]
        if isinstance(query, Query) and found[0].part is not None:
            return self._found_by_parts(found[0].part, own, wanted)
        if isinstance(query, WordQuery):
            return self._found_by_words(query, features, own, ranker, wanted)
        feature = _combine(query, features)
        rows, scores = ranker.ranked(feature.direction, wanted.count + len(own), reranked=wanted.reranked)
        if isinstance(query, CombinedQuery) or ranker is not self._rankers[None]:
            scores = self.index.features(rows) @ feature.likeness
        keep = ~np.isin(rows, own) & self._score_enough(scores, wanted)
        return self._matches(rows[keep][: wanted.count], scores[keep][: wanted.count])

    def _found_by_parts(self, part: Floats, own: list[int], wanted: _Wanted) -> list[Match]:
        from cbir.search.by_parts import find_parts

        found = find_parts(self.index, part, wanted.count, own)
        keep = self._score_enough(found.scores, wanted)
        matches = self._matches(found.rows[keep], found.scores[keep], alike=False)
        boxes = [box for box, is_kept in zip(found.boxes, keep, strict=True) if is_kept]
        return [replace(match, box=box) for match, box in zip(matches, boxes, strict=True)]

    def _found_by_words(
        self, query: WordQuery, features: Sequence[Floats], own: Sequence[int], ranker: Ranker, wanted: _Wanted
    ) -> list[Match]:
        """What words find, by themselves or with a picture, of which `features` and the rows `own` are."""
        scores = self._scores(query)
        evidence = scores.evidence
        feature = None if query.picture is None else _combine(query.picture, features)
        if feature is not None:
            evidence = with_likeness(evidence, ranker.likenesses(feature.direction))
            evidence[list(own)] = 0
        # the least probability may leave out any number of those that come first
        count = self.index.rows if wanted.min_probability is not None else wanted.count
        reranked = wanted.reranked and feature is None and scores.of_one_word
        rows = ranker.by_evidence(evidence, count, reranked=reranked)
        if wanted.min_probability is not None:
            rows = rows[scores.shown[rows] >= wanted.min_probability]
        rows = rows[: wanted.count]
        shown = scores.shown[rows]
        if feature is None:
            return self._matches(rows, shown, shown, alike=False)
        cosines = self.index.features(rows) @ feature.likeness
        keep = self._score_enough(cosines, wanted)
        return self._matches(rows[keep], cosines[keep], shown[keep])

    def _score_enough(self, scores: Floats, wanted: _Wanted) -> npt.NDArray[np.bool_]:
        """Which cosines are as large as they are wanted."""
        keep = np.ones(len(scores), dtype=np.bool_)
        if wanted.min_score is not None:
            keep &= scores >= wanted.min_score
        if wanted.min_percentile is not None:
            keep &= np.array([(self._percentile(score) or 0) >= wanted.min_percentile for score in scores], dtype=bool)
        return keep

    def _known_classes(self) -> RowClasses:
        """The classes of all rows, read once."""
        with self._remembering:
            if self._classes is None:
                self._classes = self._read_classes()
            return self._classes

    def _read_classes(self) -> RowClasses:
        try:
            classes = classes_of(self.index)
        except IndexDamagedError:
            raise
        except CbirError as error:
            raise CbirError(f"{self.index.directory.name} cannot be searched by words. {error}") from error
        return classes

    def _scores(self, query: WordQuery) -> Scores:
        """What its words make of each row, nothing of one without classes; kept for the next query by the same."""
        words = query.alone
        last = self._last_scores  # which other threads replace
        if last is not None and last[0] == words:
            return last[1]
        classes = self._known_classes()
        scores = score_words(words.words, words.without, *classes)
        scores.shown[~classes.known] = 0
        scores.evidence[~classes.known] = 0
        self._last_scores = words, scores
        return scores

    def _feature(self, picture: QueryPicture) -> Floats:
        return self.index.features(picture.rows[:1])[0] if picture.feature is None else picture.feature

    def _own_rows(self, query: Query, same_content: Sequence[int]) -> list[int]:
        """The row of the query's own file, if it is in the index."""
        if isinstance(query.source, bytes) or not same_content:
            return []
        real = os.path.realpath(query.source)
        return [row for row in same_content if os.path.realpath(self.index.root / self.index.record(row).path) == real][
            :1
        ]

    def _ranker(self, class_name: str | None) -> Ranker:
        with self._remembering:
            if class_name not in self._rankers:
                assert class_name is not None
                # only then: the names of a thousand classes are no part of a usual search's start
                from cbir.backbones.head import class_weights

                self._rankers[class_name] = Ranker(self.index, class_weights(self.backbone, class_name))
            return self._rankers[class_name]

    def _percentile(self, score: float) -> float | None:
        cosines = self.index.meta.cosines
        return None if cosines is None else cosines.percentile(float(score))

    def _matches(
        self, rows: Rows, scores: Floats, probabilities: Floats | None = None, *, alike: bool = True
    ) -> list[Match]:
        """Matches in the order of `rows`; unless they are `alike` a picture, scores are no cosines."""
        root = self.index.root
        shown: Sequence[float | None] = [None] * len(rows) if probabilities is None else probabilities.tolist()
        return [
            # float16 rows make a picture's cosine with itself miss 1 by a ten-thousandth, either way
            Match(
                rank,
                root / self.index.record(int(row)).path,
                min(float(score), 1.0),
                self._percentile(score) if alike else None,
                probability,
                int(row),
            )
            for rank, (row, score, probability) in enumerate(zip(rows, scores, shown, strict=True), start=1)
        ]


def _notice(index: Index, missing: npt.NDArray[np.bool_], sentence: str) -> tuple[str, ...]:
    """The sentence about rows, shape (rows,), of which something is missing; none where there are none."""
    count = int((missing & index.valid).sum())
    told = sentence.format(count=f"{count:,}", pictures=f"{len(index):,}", name=index.directory.name)
    return (told,) if count else ()


def _combine(query: Query | CombinedQuery, features: Sequence[Floats]) -> Combination:
    """One feature of those of a query's pictures."""
    return query.combine(features) if isinstance(query, CombinedQuery) else Combination(features[0], features[0])
