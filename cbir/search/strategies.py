"""Strategies: how each type of query finds pictures in an index. A new type is a class and a line in `Strategies`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from cbir.errors import CbirError, ModelError
from cbir.index.quantiles import CosineQuantiles
from cbir.search.queries import AnyQuery, Combination, CombinedQuery, ImageQuery, TextQuery, VectorQuery, WordQuery
from cbir.search.resolve import QueryPicture
from cbir.search.results import Match
from cbir.search.searched import SearchedIndex
from cbir.utils.vectors import Floats, Rows, l2_normalize
from cbir.words.score import Scores, score_words, with_likeness

Of = TypeVar("Of", bound=AnyQuery)


class SearchLimits(NamedTuple):
    """Least numbers that matches must have: a cosine, a percentile, and with words a probability."""

    min_score: float | None = None
    min_percentile: float | None = None
    min_probability: float | None = None

    def keep(self, scores: Floats, quantiles: CosineQuantiles | None) -> npt.NDArray[np.bool_]:
        """Return which of some cosines, shape (n,), are large enough. Without quantiles, none has a percentile."""
        keep = np.ones(len(scores), dtype=np.bool_)
        if self.min_score is not None:
            keep &= scores >= self.min_score
        if self.min_percentile is not None:
            known = [0.0 if quantiles is None else quantiles.percentile(float(score)) for score in scores]
            keep &= np.array(known, dtype=np.float64) >= self.min_percentile
        return keep


NO_LIMITS = SearchLimits()


@dataclass(frozen=True)
class SearchRequest:
    """The matches wanted of each query, and their order: see `Searcher.search`."""

    count: int = 10
    reranked: bool = True
    include_self: bool = False
    limits: SearchLimits = NO_LIMITS
    class_name: str | None = None


class Strategy(ABC, Generic[Of]):
    """Finds the matches of one type of query."""

    def __init__(self, searched: SearchedIndex) -> None:
        self.searched = searched

    def check(self, query: Of, request: SearchRequest) -> None:
        """Raise what this index, or this request, cannot answer: CbirError for users, ValueError for programmers."""

    def notices(self) -> tuple[str, ...]:
        """Return sentences about what no search of this kind finds in the index."""
        return ()

    @abstractmethod
    def find(self, query: Of, images: Sequence[QueryPicture], own: list[int], request: SearchRequest) -> list[Match]:
        """Return the matches, best first; `images` are the query's, in order, rows `own` are left out."""

    def _features(self, images: Sequence[QueryPicture]) -> list[Floats]:
        index = self.searched.index
        return [index.features(one.rows[:1])[0] if one.feature is None else one.feature for one in images]

    def _keep(self, scores: Floats, request: SearchRequest) -> npt.NDArray[np.bool_]:
        return request.limits.keep(scores, self.searched.index.meta.cosines)

    def _matches(self, rows: Rows, scores: Floats, *, alike: bool = True, **more: Sequence[Any] | None) -> list[Match]:
        """Matches in the order of `rows`, with percentiles if scores are of two images, and with `more` fields."""
        index, percentile = self.searched.index, self.searched.percentile
        # float16 rows make a picture's cosine with itself miss 1 by a ten-thousandth, either way
        matches = [
            Match(
                rank,
                index.root / index.record(row).path,
                min(score, 1.0),
                percentile(score) if alike else None,
                row=row,
            )
            for rank, (row, score) in enumerate(zip(rows.tolist(), scores.tolist(), strict=True), start=1)
        ]
        for name, values in more.items():
            if values is not None:
                matches = [replace(match, **{name: value}) for match, value in zip(matches, values, strict=True)]
        return matches


class ByVector(Strategy[ImageQuery | CombinedQuery | VectorQuery]):
    """Search by the features of whole pictures, or of a region that is compared with whole pictures."""

    def check(self, query: ImageQuery | CombinedQuery | VectorQuery, request: SearchRequest) -> None:
        """Raise ValueError where a vector is no feature of the index's network."""
        wanted = (self.searched.index.dimension,)
        if isinstance(query, VectorQuery) and query.vector.shape != wanted:
            raise ValueError(f"a vector to search by has shape {wanted} here, and not {query.vector.shape}")

    def find(
        self,
        query: ImageQuery | CombinedQuery | VectorQuery,
        images: Sequence[QueryPicture],
        own: list[int],
        request: SearchRequest,
    ) -> list[Match]:
        """Return the matches nearest to one feature, that of the image or of all together."""
        features = [l2_normalize(query.vector)] if isinstance(query, VectorQuery) else self._features(images)
        feature, ranker = _combine(query, features), self.searched.ranker(request.class_name)
        ranking = ranker.ranked(feature.direction, request.count + len(own), reranked=request.reranked)
        relevance = ranker.relevance(ranking) if _is_plain(query) else None
        rows, scores = ranking.rows, ranking.cosines
        if isinstance(query, CombinedQuery) or request.class_name is not None:
            scores = self.searched.index.features(rows) @ feature.likeness
        chosen = np.flatnonzero(~np.isin(rows, own) & self._keep(scores, request))[: request.count]
        return self._matches(
            rows[chosen], scores[chosen], relevance=None if relevance is None else relevance[chosen].tolist()
        )


class ByParts(Strategy[ImageQuery]):
    """Search by the window of each picture that is most like the image or its region."""

    def check(self, query: ImageQuery, request: SearchRequest) -> None:
        """Raise CbirError where the index has no such parts, or the request speaks of whole pictures."""
        from cbir.parts.learning import check_parts

        if not self.suits(request):
            raise CbirError("Parts have no percentiles, and no weights of classes: leave those out, or the parts.")
        check_parts(self.searched.index, self.searched.backbone)

    @staticmethod
    def suits(request: SearchRequest) -> bool:
        """Tell whether a request asks for nothing that parts do not have."""
        return request.class_name is None and request.limits.min_percentile is None

    def notices(self) -> tuple[str, ...]:
        """Return a sentence where the parts of some pictures are not there yet."""
        return self.searched.without_parts

    def find(
        self, query: ImageQuery, images: Sequence[QueryPicture], own: list[int], request: SearchRequest
    ) -> list[Match]:
        """Return the matches with their boxes."""
        from cbir.search.by_parts import find_parts

        part = images[0].part
        assert part is not None
        found = find_parts(self.searched.index, part, request.count, own)
        keep = self._keep(found.scores, request)
        boxes = [box for box, is_kept in zip(found.boxes, keep.tolist(), strict=True) if is_kept]
        return self._matches(found.rows[keep], found.scores[keep], alike=False, box=boxes)


class ByWords(Strategy[WordQuery]):
    """Search by the classes of rows, and by a picture too if there is one."""

    def __init__(self, searched: SearchedIndex) -> None:
        super().__init__(searched)
        self._last: tuple[WordQuery, Scores] | None = None

    def check(self, query: WordQuery, request: SearchRequest) -> None:
        """Raise CbirError where the index has no classes; ValueError where words alone are to have a least cosine."""
        self.searched.classes()
        limits = request.limits
        if query.picture is None and (limits.min_score is not None or limits.min_percentile is not None):
            raise ValueError("words alone have a probability, and neither a cosine nor a percentile")

    def notices(self) -> tuple[str, ...]:
        """Return a sentence where the classes of some pictures are not there yet."""
        return self.searched.without_classes

    def find(
        self, query: WordQuery, images: Sequence[QueryPicture], own: list[int], request: SearchRequest
    ) -> list[Match]:
        """Return the pictures with most evidence for the words, and for the picture."""
        scores, ranker = self._scores(query.alone), self.searched.ranker(request.class_name)
        evidence = scores.evidence
        feature = None if query.picture is None else _combine(query.picture, self._features(images))
        if feature is not None:
            evidence = with_likeness(evidence, ranker.scanner.likenesses(feature.direction))
            evidence[own] = 0
        least = request.limits.min_probability
        # the least probability may leave out any number of those that come first
        count = request.count if least is None else self.searched.index.rows
        reranked = request.reranked and feature is None and scores.of_one_word
        rows = ranker.by_evidence(evidence, count, reranked=reranked)
        if least is not None:
            rows = rows[scores.shown[rows] >= least]
        rows = rows[: request.count]
        shown = scores.shown[rows]
        if feature is None:
            return self._matches(rows, shown, alike=False, probability=shown.tolist())
        cosines = self.searched.index.features(rows) @ feature.likeness
        keep = self._keep(cosines, request)
        return self._matches(rows[keep], cosines[keep], probability=shown[keep].tolist())

    def _scores(self, words: WordQuery) -> Scores:
        """Score each row for words, 0 where it has no classes; kept for the next query by the same words."""
        last = self._last  # which other threads replace
        if last is not None and last[0] == words:
            return last[1]
        classes = self.searched.classes()
        scores = score_words(words.words, words.without, *classes)
        scores.shown[~classes.known] = 0
        scores.evidence[~classes.known] = 0
        self._last = words, scores
        return scores


class ByText(Strategy[TextQuery]):
    """Search by the feature that the network's encoder of texts makes."""

    def check(self, query: TextQuery, request: SearchRequest) -> None:
        """Raise ModelError where the network has no encoder of texts; ValueError where a percentile is asked for."""
        backbone = self.searched.backbone
        if "text" not in backbone.modalities:
            raise ModelError(
                f"The network of the index {self.searched.index.directory.name}, {backbone.name}, has no encoder of "
                "texts: search by a picture, or by words (`--word`)."
            )
        if request.limits.min_percentile is not None:
            raise ValueError("a text has cosines with pictures, and no percentiles")

    def find(
        self, query: TextQuery, images: Sequence[QueryPicture], own: list[int], request: SearchRequest
    ) -> list[Match]:
        """Return the matches nearest to the text."""
        feature = l2_normalize(self.searched.engine.opened().text([query.text])[0])
        ranking = self.searched.ranker(request.class_name).ranked(feature, request.count, reranked=request.reranked)
        keep = np.flatnonzero(self._keep(ranking.cosines, request))[: request.count]
        return self._matches(ranking.rows[keep], ranking.cosines[keep], alike=False)


class Strategies:
    """The strategies of one index, by the types of queries."""

    _BY_TYPE: ClassVar[dict[type, type[Strategy[Any]]]] = {
        ImageQuery: ByVector,
        CombinedQuery: ByVector,
        VectorQuery: ByVector,
        WordQuery: ByWords,
        TextQuery: ByText,
    }

    def __init__(self, searched: SearchedIndex) -> None:
        self._searched = searched
        self._by_type = {of: strategy(searched) for of, strategy in self._BY_TYPE.items()}
        self._by_parts = ByParts(searched)

    def settled(self, query: AnyQuery, request: SearchRequest) -> AnyQuery:
        """Return the same query by parts, if it is by a region and says nothing of parts, and they suit."""
        if not isinstance(query, ImageQuery) or query.parts is not None or query.region is None:
            return query
        has_parts = self._searched.index.meta.parts is not None
        return replace(query, parts=True) if has_parts and self._by_parts.suits(request) else query

    def of(self, query: AnyQuery) -> Strategy[Any]:
        """Return the strategy of a query. TypeError where it is none."""
        if isinstance(query, ImageQuery) and query.parts:
            return self._by_parts
        for one in type(query).__mro__:
            if one in self._by_type:
                return self._by_type[one]
        raise TypeError(f"a query is a picture, words, a text or a combination, and no {type(query).__name__}")


def _combine(query: ImageQuery | CombinedQuery | VectorQuery, features: Sequence[Floats]) -> Combination:
    """One feature of those of a query's pictures."""
    return query.combine(features) if isinstance(query, CombinedQuery) else Combination(features[0], features[0])


def _is_plain(query: ImageQuery | CombinedQuery | VectorQuery) -> bool:
    """Tell whether relevance is known of a query's matches: of whole pictures, and nothing to be unlike."""
    return query.images == query.like and all(image.region is None for image in query.like)
