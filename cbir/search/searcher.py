"""Searching an index for pictures, by queries of any type."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cbir.engines.lazy import LazyEngine, lazy_engine
from cbir.errors import CbirError
from cbir.extract.extractor import Extractor
from cbir.extract.of_index import backbone_of
from cbir.images.sources.address import is_same_place
from cbir.index.store import Index
from cbir.search.aside import while_others_follow
from cbir.search.filters import RowFilter
from cbir.search.queries import AnyQuery, FeedbackQuery, ImageQuery, NounQuery, as_query
from cbir.search.resolve import QueryPicture, QueryPictures, Resolved
from cbir.search.results import Match, SearchResult
from cbir.search.searched import AlikeBy, SearchedIndex
from cbir.search.strategies import Strategies
from cbir.search.strategy import Found, SearchLimits, SearchRequest
from cbir.utils.printable import printable
from cbir.utils.vectors import Floats, Rows

if TYPE_CHECKING:
    from cbir.images.source import ImageSource, NamedImage
    from cbir.search.objects import Sought
    from cbir.search.region_objects import RegionObjects


class Searcher:
    """Searches one index. The network is loaded when the first query is not in the index already.

    `engine` is as in `open_engine`, or one that is shared; `weights` is the file of the network's weights, if they have
    moved; `expected` is about how many queries there will be. Any number of threads may share a searcher.
    """

    def __init__(
        self,
        index: Index,
        *,
        engine: LazyEngine | str | None = None,
        weights: str | None = None,
        expected: int = 1,
    ) -> None:
        self.index = index
        self.backbone = backbone_of(index, weights=weights)
        shared = lazy_engine(self.backbone, engine, expected=expected)
        self.engine = shared
        self._pictures = QueryPictures(index, Extractor(self.backbone, engine=shared, expected=expected), shared)
        self._searched = SearchedIndex(index, shared)
        self._strategies = Strategies(self._searched)
        self._region_objects: RegionObjects | None = None

    def search(
        self,
        queries: Iterable[AnyQuery | ImageSource | NamedImage],
        *,
        count: int = 10,
        offset: int = 0,
        reranked: bool = True,
        include_self: bool = False,
        among: RowFilter | None = None,
        min_score: float | None = None,
        min_percentile: float | None = None,
        min_probability: float | None = None,
        class_name: str | None = None,
        learnt: str | None = None,
        across: str | Path | Iterable[str | Path] = (),
    ) -> Iterator[SearchResult]:
        """Return one result a query, in order, each with the first `count` matches after `offset` ones.

        Queries are taken as they come, some hundred of them ahead of their results. Where they come slowly, search by
        each batch of those that are there.

        The files of the query's own pictures are left out unless `include_self`; `reranked` orders by the
        neighbourhood of the query (see `search.rerank`) and not by cosine alone; `min_score` is the least cosine that
        counts, `min_percentile` the least `Match.percentile`, `min_probability` the least `Match.probability`. With
        `class_name`, a class of ImageNet, features are ranked by what speaks for or against that class (see
        `cbir.backbones.head`); scores stay as they are. With `learnt`, a notion of the index, pictures are as alike as
        it was taught: order, scores, percentiles and relevance are its own; one that is of parts orders searches by
        parts. A query that the notion does not claim is searched without it, and `SearchResult.learnt` is None.

        With `across`, folders of the index, each of which has the pictures of one treatment, photos and drawings say,
        pictures are compared less the mean of their own treatment; those in none of the folders are one more. Order,
        scores, percentiles and relevance are those that come of it, and `SearchResult.treatments` tells that of the
        query: its folder's, else that with the nearest mean.

        Only pictures that the filter `among` leaves are found, and re-ranked among each other; with objects in it,
        matches have these as `Match.objects`. Those that a query
        judges `less` are never found.

        Of queries by words, only those by one word alone are re-ranked: docs/words.md says why.

        Raises ModelError where there is no such class, or the network has none; CbirError where there is no such
        notion, or another network learnt it, where one of the folders `across` has no pictures, or all are of one
        treatment, where the index has no percentiles to compare with, or cannot tell what is left by the filter;
        WordError by its tags.

        What concerns one query is raised at its turn: CbirError where the index has no
        classes to look for words in, or no parts; ModelError where its network reads no text and there is no noun
        in it; ValueError where words alone are to have a least cosine or percentile.
        """
        folders = (across,) if isinstance(across, (str, Path)) else across
        by = AlikeBy(class_name, learnt, tuple(dict.fromkeys(map(str, folders))))
        limits = SearchLimits(min_score, min_percentile, min_probability)
        if min_percentile is not None:
            self._searched.check_percentiles(by)
        if not self._searched.is_of_parts(learnt):
            self._searched.ranker(by)
        request = SearchRequest(
            count, reranked, include_self, limits, class_name, self._searched.among(among), offset, learnt, by.across
        )
        if among is not None and (among.objects or among.not_objects):
            request = replace(request, objects=among.objects, notices=self._searched.without_objects)
        return self._search(queries, request)

    @property
    def searched(self) -> SearchedIndex:
        """The index with what is read of it once, for whoever explains what was found."""
        return self._searched

    def settled(self, query: AnyQuery) -> AnyQuery:
        """Return a query as this index answers it: a region by parts, a text by its nouns.

        ModelError where it cannot.
        """
        return self._strategies.settled(query, SearchRequest())

    def features(self, query: AnyQuery) -> list[Floats]:
        """Return the features of a query's images, in order, each of shape (dimension,) and of length 1.

        Regions are as compared with whole pictures. Raises ImageReadError and RegionError.
        """
        (resolved,) = self._pictures.of([query])
        error = next((picture.error for picture in resolved.pictures if picture.error is not None), None)
        if error is not None:
            raise error
        return self._searched.features(resolved.pictures)

    def left(self, among: RowFilter) -> int:
        """Return how many pictures a filter leaves. Raises what `search` does of it."""
        found = self._searched.among(among)
        return len(self.index) if found is None else len(found.rows)

    def ranked(
        self,
        feature: Floats,
        count: int,
        *,
        reranked: bool,
        own: Sequence[int] = (),
        learnt: str | None = None,
        across: tuple[str, ...] = (),
        row: int | None = None,
    ) -> tuple[Rows, Floats]:
        """Return the first `count` valid rows (fewer if there are no more), best first, and their cosines.

        `feature`, shape (dimension,), has length 1; the rows `own` are left out. Up to `rerank.SHORTLIST` rows
        are re-ranked, the same ones whatever `count` is; the others follow by cosine. `learnt` is a notion, by which
        rows are as alike as it was taught, if it claims the feature; `across` are the folders of treatments, of which
        the feature's is that of its `row`, or the nearest.
        """
        ranker, query = self._searched.ranker(), feature
        if learnt is not None:
            (vector,), (is_claimed,) = self._searched.learnt(learnt).queries(feature[np.newaxis])
            if is_claimed:
                ranker, query = self._searched.ranker(AlikeBy(learnt=learnt)), vector
        if across:
            ranker, query = self._searched.ranker(AlikeBy(across=across)), self._across(feature, across, row)
        ranking = ranker.ranked(query, count + len(own), reranked=reranked)
        rows, cosines = ranking.rows, ranking.cosines
        if len(own):
            keep = ~np.isin(rows, own)
            rows, cosines = rows[keep], cosines[keep]
        return rows[:count], cosines[:count]

    def likeness_across(self, feature: Floats, across: tuple[str, ...], row: int | None = None) -> Floats:
        """Return how alike all rows, shape (rows,), are to a feature across the treatments of some folders.

        `feature` and `row` are as in `ranked`.
        """
        ranker = self._searched.ranker(AlikeBy(across=across))
        return ranker.scanner.cosines(self._across(feature, across, row), np.arange(self.index.rows))

    def _across(self, feature: Floats, across: tuple[str, ...], row: int | None) -> Floats:
        """Return a feature as it is compared across treatments: see `ranked`."""
        space = self._searched.across(across)
        treatment = space.treatments.nearest(feature) if row is None else int(space.treatments.of_rows[row])
        found: Floats = space.queries(feature[np.newaxis], [treatment])[0]
        return found

    def _search(
        self, queries: Iterable[AnyQuery | ImageSource | NamedImage], request: SearchRequest
    ) -> Iterator[SearchResult]:
        refused: CbirError | ValueError | TypeError | None = None
        class_weights = _class_called(request.class_name)

        def accepted() -> Iterator[AnyQuery]:
            nonlocal refused
            for one in queries:
                try:
                    query = self._strategies.settled(as_query(one), request)
                    self._strategies.of(query).check(query, request)
                except (CbirError, ValueError, TypeError) as error:
                    refused = error  # those before it are answered first
                    return
                yield query

        def result(resolved: Resolved) -> SearchResult:
            found = self._result(resolved.query, resolved.pictures, request)
            return replace(found, class_weights=class_weights)

        yield from while_others_follow(result, self._pictures.of(accepted()))
        if refused is not None:
            raise refused

    def _result(self, query: AnyQuery, pictures: list[QueryPicture], request: SearchRequest) -> SearchResult:
        strategy = self._strategies.of(query)
        error = next((picture.error for picture in pictures if picture.error is not None), None)
        own = [] if error else self._left_out(query, pictures, request)
        start = query.start if isinstance(query, FeedbackQuery) else query
        said = tuple(start.remarks) if isinstance(start, NounQuery) else ()
        notices, wanted = tuple(dict.fromkeys(said + strategy.notices() + request.notices)), request
        if error is None and request.learnt is not None:
            request = strategy.gated(query, pictures, request)
            if request.learnt is None and query.images:
                notices += (_unclaimed(query, str(wanted.learnt)),)
        if error is None and self._may_recognise(query, request):
            pictures, why_not = self._recognised(query, pictures)
            notices += why_not
        treatments: tuple[str | None, ...] = ()
        if error is None and request.across:
            pictures, treatments, guessed = self._treated(query, pictures, request)
            notices += guessed
        found = Found([]) if error else strategy.find(query, pictures, own, request)
        sought = strategy.sought(query, pictures, request) if found.matches else []
        return SearchResult(
            query,
            self.index.directory,
            self.backbone.name,
            self._with_objects(found.matches, sought),
            error,
            tuple(picture.box for picture in pictures),
            notices=notices,
            learnt=request.learnt,
            treatments=treatments,
            total=found.total,
            shown=pictures[0].shown if pictures else None,
            indexes=self.index.directories,
        )

    def _may_recognise(self, query: AnyQuery, request: SearchRequest) -> bool:
        """Tell whether it counts what object a query shows: of one region, unless the same thing is to be found."""
        if not isinstance(query, ImageQuery) or query.region is None or query.kind is False:
            return False
        return (
            self._searched.has_objects and (request.class_name, request.learnt) == (None, None) and not request.across
        )

    def _treated(
        self, query: AnyQuery, pictures: list[QueryPicture], request: SearchRequest
    ) -> tuple[list[QueryPicture], tuple[str | None, ...], tuple[str, ...]]:
        """Return the pictures of a query with their treatments, the names of these, and sentences about guesses."""
        treatments = self._searched.across(request.across).treatments
        treated, guesses = [], []
        for image, picture in zip(query.images, pictures, strict=True):
            number = None
            if isinstance(image, ImageQuery) and not isinstance(image.source, bytes):
                number = treatments.of_path(image.source, self.index.root)
            rows = picture.rows if picture.own is None else [picture.own]
            if number is None and rows:
                number = int(treatments.of_rows[rows[0]])
            if number is None:
                feature = self.index.features(picture.rows[:1])[0] if picture.feature is None else picture.feature
                number = treatments.nearest(feature)
                guesses.append(_guessed(image.name, treatments.names[number]))
            treated.append(replace(picture, treatment=number))
        return treated, tuple(treatments.names[one.treatment] for one in treated), tuple(guesses)

    def _recognised(self, query: AnyQuery, pictures: list[QueryPicture]) -> tuple[list[QueryPicture], tuple[str, ...]]:
        """Return the picture of a query by a region with what that shows, and sentences where it is not known."""
        if self._region_objects is None:
            from cbir.search.region_objects import RegionObjects

            self._region_objects = RegionObjects(self._searched)
        (picture,), (image,) = pictures, query.images
        assert isinstance(image, ImageQuery)
        assert picture.box is not None
        shown, notice = self._region_objects.of(image, picture.rows, picture.box)
        return [replace(picture, shown=shown)], (notice,) if notice else ()

    def _with_objects(self, matches: list[Match], sought: list[Sought]) -> list[Match]:
        """Return the matches with the detections that were looked for, if any were."""
        if not sought:
            return matches
        from cbir.search.objects import detections

        found = detections(self._searched.objects(), [match.row for match in matches], sought)
        return [replace(match, objects=its) for match, its in zip(matches, found, strict=True)]

    def _left_out(self, query: AnyQuery, pictures: list[QueryPicture], request: SearchRequest) -> list[int]:
        """Return the rows of the query's own files, of each at most one, and those of all that was judged `less`."""
        less = len(query.less) if isinstance(query, FeedbackQuery) else 0
        found = [row for known in pictures[len(pictures) - less :] for row in known.rows]
        asked = query.asked if isinstance(query, FeedbackQuery) else query.images
        for image, known in zip(() if request.include_self else asked, pictures, strict=False):
            if known.own is not None:
                found.append(known.own)
            elif isinstance(image, ImageQuery) and not isinstance(image.source, bytes) and known.rows:
                files = ((row, self.index.root / self.index.record(row).path) for row in known.rows)
                found += [row for row, path in files if is_same_place(path, image.source)][:1]
        return found


def _guessed(name: str, folder: str | None) -> str:
    """Return a sentence about a picture that is in none of the folders of treatments, and what it is taken for."""
    taken = "the pictures in none of these folders" if folder is None else f"those in {printable(folder) or '.'}"
    return f"{printable(name)} is taken for one of {taken}, whose mean it is nearest to (--across)."


def _unclaimed(query: AnyQuery, notion: str) -> str:
    return f"The notion {printable(notion)} claims nothing of {printable(query.name)}, which is searched without it."


def _class_called(name: str | None) -> str | None:
    """Return the name of the class of ImageNet that somebody called so."""
    if name is None:
        return None
    from cbir.backbones.imagenet import find_class

    return find_class(name).name
