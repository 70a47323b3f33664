"""Strategies: how each type of query finds pictures in an index. A new type is a class and a line in `Strategies`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cbir.errors import CbirError, ModelError
from cbir.index.ann.base import SMALL
from cbir.notions.notion import PARTS, PICTURES
from cbir.notions.rows import ROWS
from cbir.search.by_kind import ByKind
from cbir.search.by_words import ByWords
from cbir.search.combination import Combination
from cbir.search.learnt_parts import gated_by_parts, learnt_parts
from cbir.search.object_query import ObjectQuery
from cbir.search.queries import (
    AnyQuery,
    CombinedQuery,
    FaceQuery,
    FeedbackQuery,
    ImageQuery,
    NounQuery,
    PersonQuery,
    Text,
    TextQuery,
    TreatmentQuery,
    VectorQuery,
    WordQuery,
)
from cbir.search.rerank import SHORTLIST
from cbir.search.resolve import QueryPicture
from cbir.search.searched import SearchedIndex
from cbir.search.sentences import Sentences
from cbir.search.strategy import Found, SearchRequest, Strategy
from cbir.utils.vectors import Floats, Rows

if TYPE_CHECKING:
    from cbir.search.objects import Bonus


class ByVector(Strategy[AnyQuery]):
    """Search by the features of whole pictures, or of a region that is compared with whole pictures."""

    notions_of: ClassVar[tuple[str, ...]] = (PICTURES,)
    goes_across = True

    def gated(self, query: AnyQuery, images: Sequence[QueryPicture], request: SearchRequest) -> SearchRequest:
        """Return the same request, without its notion where that claims none of what matches are to be like."""
        if request.learnt is None:
            return request
        _, claimed = self.searched.learnt(request.learnt).queries(np.stack(self._features(images)))
        like = set(query.like)
        is_claimed = any(its and one in like for one, its in zip(query.images, claimed.tolist(), strict=True))
        return request if is_claimed else replace(request, learnt=None)

    def find(
        self,
        query: AnyQuery,
        images: Sequence[QueryPicture],
        own: list[int],
        request: SearchRequest,
    ) -> Found:
        """Find the matches nearest to one feature, that of the image or of all together."""
        assert not isinstance(query, (WordQuery, TextQuery, ObjectQuery, PersonQuery))  # which have other strategies
        features = self._features(images)
        if request.learnt is not None:
            features = list(self.searched.learnt(request.learnt).queries(np.stack(features))[0])
        if request.across:
            treatments = [one.treatment for one in images]
            features = list(self.searched.across(request.across).queries(np.stack(features), treatments))
        feature = query.combine(features)
        assert feature is not None  # as there are images
        if (bonus := self._bonus(images)) is not None:
            return self._found_by_class(feature.direction, bonus, own, request)
        return self._found(feature, query, own, request)

    def _found_by_class(self, feature: Floats, bonus: Bonus, own: list[int], request: SearchRequest) -> Found:
        """Find the matches by their cosines with a region and the points of their objects, not re-ranked."""
        counts = self._counts(own, request)
        near, _ = self.searched.ranker().scanner.nearest(
            feature, max(request.last + len(own), SHORTLIST), request.among
        )
        rows = np.union1d(near[counts[near]], bonus.surest(request.last, counts))
        scores = self.searched.index.features(rows) @ feature
        order = bonus.order(rows, scores)
        order = order[self._keep(scores[order], request)]
        total = None if request.has_least_cosine else int(np.count_nonzero(counts))
        return self._matches(rows[order], scores[order], request, total=total)

    def _found(
        self, feature: Combination, query: AnyQuery, own: list[int], request: SearchRequest, *, alike: bool = True
    ) -> Found:
        index, ranker = self.searched.index, self.searched.ranker(request.by)
        count = request.last + len(own)
        if request.has_least_cosine:
            # those that are re-ranked may have smaller cosines than those that follow; a small index is looked at whole
            count = index.rows if index.rows <= SMALL else count + SHORTLIST
        quantiles = None
        if alike:
            ranking = ranker.ranked(feature.direction, count, reranked=request.reranked, among=request.among)
        else:
            spread = self.searched.spread(feature.direction)
            ranking = ranker.ranked_by_text(
                feature.direction, count, spread, reranked=request.reranked, among=request.among
            )
            quantiles = self.searched.likenesses(feature.direction if feature.likeness is None else feature.likeness)
        relevance = ranker.relevance(ranking) if alike and _is_plain(query) else None
        rows, scores = ranking.rows, ranking.cosines
        is_by_score = feature.likeness is feature.direction and request.class_name is None
        if feature.likeness is not None and not is_by_score:
            scores = self._likeness(rows, feature.likeness, request)
        chosen = np.flatnonzero(~np.isin(rows, own) & self._keep(scores, request, quantiles))
        total = None
        if not request.has_least_cosine:
            total = self._left(own, request)
        elif count >= index.rows or (is_by_score and len(chosen) < request.last):
            total = len(chosen)
        chosen = chosen[: request.last]
        its = None if relevance is None else relevance[chosen].tolist()
        return self._matches(
            rows[chosen], scores[chosen], request, total=total, alike=alike, quantiles=quantiles, relevance=its
        )

    def _left(self, own: list[int], request: SearchRequest) -> int:
        """Count the pictures that are compared with a query, `own` left out."""
        return int(np.count_nonzero(self._counts(own, request)))

    def _likeness(self, rows: Rows, wanted: Floats, request: SearchRequest) -> Floats:
        """Return the mean cosines of rows with the pictures that they are to be like."""
        by = request.by._replace(class_name=None)
        return self.searched.ranker(by).scanner.cosines(wanted, rows)


class ByParts(Strategy[ImageQuery]):
    """Search by the window of each picture that is most like the image or its region."""

    notions_of = (PARTS,)

    def check(self, query: ImageQuery, request: SearchRequest) -> None:
        """Raise CbirError where the index has no such parts, or the request speaks of whole pictures."""
        super().check(query, request)
        from cbir.parts.learning import check_parts

        if not self.suits(request):
            raise CbirError("Parts have no percentiles, and no weights of classes: leave those out, or the parts.")
        check_parts(self.searched.index, self.searched.backbone)

    def suits(self, request: SearchRequest) -> bool:
        """Tell whether a request asks for nothing that parts do not have."""
        if (request.class_name, request.limits.min_percentile) != (None, None) or request.across:
            return False
        return request.learnt is None or self.searched.is_of_parts(request.learnt)

    def gated(self, query: ImageQuery, images: Sequence[QueryPicture], request: SearchRequest) -> SearchRequest:
        """Return the same request, without its notion where that claims nothing of the part."""
        return gated_by_parts(self.searched, images, request)

    def notices(self) -> tuple[str, ...]:
        """Return a sentence where the parts of some pictures are not there yet."""
        return self.searched.without_parts

    def find(self, query: ImageQuery, images: Sequence[QueryPicture], own: list[int], request: SearchRequest) -> Found:
        """Find the matches with their boxes."""
        from cbir.search.by_parts import best_parts

        part, bonus = images[0].part, self._bonus(images, for_both=True)
        assert part is not None
        surest = None if bonus is None else bonus.surest(request.last, self._counts(own, request))
        learnt = learnt_parts(self.searched, images, request)
        best = best_parts(self.searched.index, part, request.last, own, request.among, besides=surest, learnt=learnt)
        if bonus is not None:
            best = best.take(bonus.order(best.rows, best.scores))
        found = best.first(request.last)
        keep = self._keep(found.scores, request)
        boxes = [box for box, is_kept in zip(found.boxes, keep.tolist(), strict=True) if is_kept]
        total = len(boxes) if len(boxes) < request.last else None  # as they come by score
        return self._matches(found.rows[keep], found.scores[keep], request, total=total, alike=False, box=boxes)


class ByText(ByVector):
    """Search by features that the network's text encoder makes, by a picture and judgements too if there are some."""

    notions_of = ()
    goes_across = False

    def __init__(self, searched: SearchedIndex) -> None:
        super().__init__(searched)
        self._sentences = Sentences(searched)

    def check(self, query: AnyQuery, request: SearchRequest) -> None:
        """Raise CbirError where classes of ImageNet are to weigh, or to be probable: only images have them."""
        super().check(query, request)
        if request.limits.min_probability is not None:
            raise CbirError("The index has no classes, and texts have no probability: give a least score.")
        if request.class_name is not None:
            raise CbirError("--class-weights are for queries by pictures: leave them out, or the text.")

    def find(self, query: AnyQuery, images: Sequence[QueryPicture], own: list[int], request: SearchRequest) -> Found:
        """Find the matches that fit the texts best."""
        text = query.start if isinstance(query, FeedbackQuery) else query
        assert isinstance(text, TextQuery)
        features = self._features(images)
        asked = self._sentences.asked(text, features)
        if isinstance(query, FeedbackQuery) and len(features) > len(text.images):
            moved = query.combine(features, asked)
            assert moved is not None
            asked = moved
        return self._found(asked, query, own, request, alike=False)


class Newest(Strategy[FeedbackQuery]):
    """All pictures where nothing was asked, those that were taken last first, whatever the notion."""

    notions_of = tuple(ROWS)
    goes_across = True

    def find(
        self, query: FeedbackQuery, images: Sequence[QueryPicture], own: list[int], request: SearchRequest
    ) -> Found:
        """Find the newest pictures; their score is 0, as nothing was compared."""
        rows = self.searched.newest
        if request.among is not None:
            rows = rows[request.among.mask[rows]]
        return self._matches(rows, np.zeros(len(rows), dtype=np.float32), request, total=len(rows), alike=False)


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
        self._by_objects: Strategy[ObjectQuery] | None = None
        self._by_face: Strategy[FaceQuery] | None = None
        self._by_person: Strategy[PersonQuery] | None = None
        self._by_treatment: Strategy[TreatmentQuery] | None = None
        self._by_type = {of: strategy(searched) for of, strategy in self._BY_TYPE.items()}
        self._by_kind, self._by_parts, self._newest = ByKind(searched), ByParts(searched), Newest(searched)

    def settled(self, query: AnyQuery, request: SearchRequest) -> AnyQuery:
        """Return the same query by parts, if it says nothing of them, they suit, and it is by a region or by kind.

        The same thing again is found by parts alone, and a notion of parts orders nothing else. ValueError where it is
        to be found without. Of texts, return their nouns where the network reads no text, ModelError where there are
        none; of words, return them as texts where it reads these and knows no classes.
        """
        start = query.start if isinstance(query, FeedbackQuery) else query
        if isinstance(start, (WordQuery, TextQuery)):
            put = self._put(start, request)
            return replace(query, start=put) if isinstance(query, FeedbackQuery) else put
        if not isinstance(query, ImageQuery) or isinstance(query, (FaceQuery, TreatmentQuery)):
            return query
        if query.kind is False:
            if query.parts is False:
                raise ValueError("the same thing again is found by parts, and not without")
            return replace(query, parts=True)
        if self._searched.is_of_parts(request.learnt):
            return replace(query, parts=query.parts is not False)
        if query.parts is not None or (query.region is None and query.kind is None):
            return query
        has_parts = self._searched.index.meta.parts is not None
        return replace(query, parts=True) if has_parts and self._by_parts.suits(request) else query

    def _put(self, query: WordQuery | TextQuery, request: SearchRequest) -> WordQuery | TextQuery:
        """Return the same query by words, by texts or by both, as the index knows them."""
        texts = query if isinstance(query, TextQuery) else query.picture
        if not self._searched.backbone.reads_text:
            if not isinstance(texts, TextQuery):
                return query
            nouns = self._nouns(texts, request)
            if isinstance(query, TextQuery):
                return nouns
            return replace(nouns, words=query.words + nouns.words, without=query.without + nouns.without)
        if isinstance(query, TextQuery) or self._searched.has_classes:
            return query
        wanted, without = (
            tuple(Text(word.text, word.counts) for word in some) for some in (query.words, query.without)
        )
        if isinstance(query.picture, TextQuery):
            inner = query.picture
            return TextQuery(inner.texts + wanted, inner.without + without, inner.picture)
        if not wanted and query.picture is None:
            raise ModelError(
                f"The network of the index {self._searched.index.directory.name} knows no classes: say also what "
                "pictures are to show, with --word or --text, or name a picture."
            )
        return TextQuery(wanted, without, query.picture)

    def _nouns(self, query: TextQuery, request: SearchRequest) -> NounQuery:
        from cbir.words.nouns import nouns_in

        wanted, without = (
            tuple(dict.fromkeys(replace(word, counts=one.weight) for one in some for word in nouns_in(one.sentence)))
            for some in (query.texts, query.without)
        )
        index, network = self._searched.index.directory.name, self._searched.backbone.name
        reads_none = f"The network of the index {index}, {network}, reads no text"
        if not wanted and not without:
            raise ModelError(
                f"{reads_none}, and there is no noun in it that WordNet knows: search by a picture, or by words "
                "(`--word`)."
            )
        if request.has_least_cosine and query.picture is None:
            raise ModelError(f"{reads_none}, so that there is no least score: leave it out.")
        nouns = " and ".join([*(word.text for word in wanted), *(f"not {word.text}" for word in without)])
        said = f"{reads_none}: pictures are looked for that show {nouns}, by words (`--word`)."
        return NounQuery(wanted, without, query.picture, said=said)

    def of(self, query: AnyQuery) -> Strategy[Any]:
        """Return the strategy of a query. TypeError where it is none."""
        if isinstance(query, (FaceQuery, PersonQuery)):
            return self._for_people(query)
        if isinstance(query, TreatmentQuery):
            if self._by_treatment is None:
                from cbir.search.by_treatment import ByTreatment

                self._by_treatment = ByTreatment(self._searched)
            return self._by_treatment
        if isinstance(query, ImageQuery) and (query.kind or query.parts):
            return self._by_kind if query.kind else self._by_parts
        if isinstance(query, ObjectQuery):
            if self._by_objects is None:
                from cbir.search.by_objects import ByObjects  # which no other search needs

                self._by_objects = ByObjects(self._searched)
            return self._by_objects
        asked: type = type(query)
        if isinstance(query, FeedbackQuery):
            if query.start is None and not query.images:
                return self._newest
            asked = type(query.start) if isinstance(query.start, (WordQuery, TextQuery)) else VectorQuery
        for one in asked.__mro__:
            if one in self._by_type:
                return self._by_type[one]
        raise TypeError(
            f"a query is a picture, words, a text, objects, people or a combination, and no {type(query).__name__}"
        )

    def _for_people(self, query: FaceQuery | PersonQuery) -> Strategy[Any]:
        """Return the strategy of a query for people, which no other search needs."""
        if isinstance(query, FaceQuery):
            if self._by_face is None:
                from cbir.search.by_faces import ByFace

                self._by_face = ByFace(self._searched)
            return self._by_face
        if self._by_person is None:
            from cbir.search.by_person import ByPerson

            self._by_person = ByPerson(self._searched)
        return self._by_person


def _is_plain(query: AnyQuery) -> bool:
    """Tell whether relevance is known of a query's matches: of whole pictures, and nothing to be unlike."""
    return query.images == query.like and all(image.region is None for image in query.like)
