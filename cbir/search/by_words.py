"""Searching an index by words: by the classes of rows, and by pictures too where there are some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cbir.search.combination import Combination
from cbir.search.queries import FeedbackQuery, TextQuery, WordQuery
from cbir.search.ranker import Ranker
from cbir.search.resolve import QueryPicture
from cbir.search.searched import AlikeBy, SearchedIndex
from cbir.search.sentences import Sentences
from cbir.search.strategy import Found, SearchRequest, Strategy
from cbir.utils.vectors import Floats
from cbir.words.score import LEAST_PROBABILITY, Scores, score_words, with_likeness

if TYPE_CHECKING:
    from cbir.search.objects import Sought
    from cbir.words.vocabulary import Word


class ByWords(Strategy[WordQuery | FeedbackQuery]):
    """Search by the classes of rows and their objects, and by a picture and judged ones too if there are some."""

    def __init__(self, searched: SearchedIndex) -> None:
        super().__init__(searched)
        self._sentences = Sentences(searched)
        self._last: tuple[WordQuery, Scores] | None = None

    def check(self, query: WordQuery | FeedbackQuery, request: SearchRequest) -> None:
        """Raise CbirError where the index has no classes; ValueError where words alone are to have a least cosine."""
        super().check(query, request)
        self.searched.classes()
        limits = request.limits
        if (
            not query.like
            and not self._has_texts(query)
            and (limits.min_score is not None or limits.min_percentile is not None)
        ):
            raise ValueError("words alone have a probability, and neither a cosine nor a percentile")

    def _has_texts(self, query: WordQuery | FeedbackQuery) -> bool:
        words = query.start if isinstance(query, FeedbackQuery) else query
        return isinstance(words, WordQuery) and isinstance(words.picture, TextQuery)

    def notices(self) -> tuple[str, ...]:
        """Return sentences where the classes or the objects of some pictures are not there yet."""
        return notices_of(self.searched)

    def sought(
        self, query: WordQuery | FeedbackQuery, images: Sequence[QueryPicture], request: SearchRequest
    ) -> list[Sought]:
        """Return what a detector believes to be one of the words, and the objects of the filter."""
        words = query.start if isinstance(query, FeedbackQuery) else query
        assert isinstance(words, WordQuery)
        found = [its for word in words.words if (its := sought(self.searched, word)) is not None]
        return found + super().sought(query, images, request)

    def find(
        self,
        query: WordQuery | FeedbackQuery,
        images: Sequence[QueryPicture],
        own: list[int],
        request: SearchRequest,
    ) -> Found:
        """Find the pictures with most evidence for the words, and for the pictures."""
        words = query.start if isinstance(query, FeedbackQuery) else query
        assert isinstance(words, WordQuery)
        scores, ranker = self._scores(words.scaled), self.searched.ranker(AlikeBy(request.class_name))
        evidence = scores.evidence
        by_text = isinstance(words.picture, TextQuery)
        feature = self._feature(query, images, evidence, ranker)
        if feature is not None:
            near = self._fit(feature, ranker) if by_text else ranker.scanner.likenesses(feature.direction)
            weight = 1.0 if words.picture is None else words.picture.weight
            evidence = with_likeness(evidence, near, weight / words.most_weight)
            evidence[own] = 0
        least = request.limits.min_probability
        # limits may leave out any number of those that come first
        is_limited = least is not None or request.has_least_cosine
        count = self.searched.index.rows if is_limited else request.last
        reranked = request.reranked and feature is None and scores.of_one_word
        rows, total = ranker.by_evidence(evidence, count, reranked=reranked, among=request.among)
        if least is not None:
            rows = rows[scores.shown[rows] >= least]
        likeness = None if feature is None else feature.likeness
        if likeness is not None and request.has_least_cosine:
            cosines = self.searched.ranker().scanner.cosines(likeness, rows)
            rows = rows[self._keep(cosines, request, self.searched.likenesses(likeness) if by_text else None)]
        total = len(rows) if is_limited else total
        rows = rows[: request.last]
        shown = scores.shown[rows]
        known = shown if likeness is None else self.searched.index.features(rows) @ likeness
        return self._matches(
            rows,
            known,
            request,
            total=total,
            alike=likeness is not None,
            quantiles=self.searched.likenesses(likeness) if by_text and likeness is not None else None,
            probability=shown.tolist(),
        )

    def _fit(self, feature: Combination, ranker: Ranker) -> Floats:
        """Return by how much each row fits texts better than rows do on the average, shape (rows,)."""
        cosines = ranker.scanner.cosines(feature.direction, np.arange(self.searched.index.rows))
        usual = np.mean(self.searched.sample @ feature.direction) if len(self.searched.sample) else 0
        return np.asarray(cosines - usual, dtype=np.float32)

    def _feature(
        self, query: WordQuery | FeedbackQuery, images: Sequence[QueryPicture], evidence: Floats, ranker: Ranker
    ) -> Combination | None:
        """Return one feature of a query's pictures and texts; None without any.

        Of words that have only been judged since, the pictures with most evidence stand for what was asked.
        """
        features = self._features(images)
        words = query.start if isinstance(query, FeedbackQuery) else query
        assert isinstance(words, WordQuery)
        asked: Combination | None = None
        if isinstance(words.picture, TextQuery):
            asked = self._sentences.asked(words.picture, features)
        elif query is words and words.picture is not None:
            asked = words.picture.combine(features)
        if isinstance(query, WordQuery):
            return asked
        if asked is None and not query.asked and query.images:
            asked = Combination(ranker.examples(evidence), None)
        return query.combine(features, asked)

    def _scores(self, words: WordQuery) -> Scores:
        """Score each row for words, 0 where nothing is known of it; kept for the next query by the same words."""
        last = self._last  # which other threads replace
        if last is not None and last[0] == words:
            return last[1]
        scores = scores_of(self.searched, words.words, words.without)
        self._last = words, scores
        return scores


def notices_of(searched: SearchedIndex) -> tuple[str, ...]:
    """Return sentences about pictures of an index that words do not find."""
    return searched.without_classes + (searched.without_objects if searched.has_objects else ())


def scores_of(searched: SearchedIndex, words: Sequence[Word], without: Sequence[Word] = ()) -> Scores:
    """Score each row of an index for words by its classes and objects, 0 where nothing is known of it."""

    def seen(word: Word) -> Floats | None:
        its = sought(searched, word)
        return None if its is None else its.scores(searched.objects(), 0)

    classes = searched.classes()
    scores = score_words(words, without, *classes, seen)
    is_known = classes.known | searched.objects().known if searched.has_objects else classes.known
    scores.shown[~is_known] = 0
    scores.evidence[~is_known] = 0
    return scores


def sought(searched: SearchedIndex, word: Word) -> Sought | None:
    """Return the objects of an index that a word stands for; None where its detector, if any, does not know it."""
    if not searched.has_objects:
        return None
    from cbir.search.objects import seek_word

    return seek_word(word, searched.objects())


def count_showing(searched: SearchedIndex, word: Word) -> int | None:
    """Count the pictures that show a word, as tags have it; None where neither network nor detector know of such."""
    if not word.exact and sought(searched, word) is None:
        return None
    shown = scores_of(searched, (word,)).shown
    return int(np.count_nonzero((shown >= LEAST_PROBABILITY) & searched.index.valid))
