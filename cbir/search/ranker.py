"""Ranking the rows of an index for a feature, by cosine or re-ranked, or by evidence for each row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cbir.index.store import Index
from cbir.search.feedback import rerank_by_evidence
from cbir.search.filters import Among
from cbir.search.relevance import relevance_of
from cbir.search.rerank import SHORTLIST, expand, largest, rerank, select
from cbir.search.scanner import Scanner
from cbir.utils.vectors import Floats, Rows, l2_normalize

# The rows whose mean stands for what words ask for, where pictures have been judged since.
_EXAMPLES = 30


class Ranking(NamedTuple):
    """Rows of an index, best first, and their cosines with the query, both of shape (n,).

    `evidence`, shape (m,), is what the first m rows were re-ranked by, as `rerank` tells it; None where none were.
    """

    rows: Rows
    cosines: Floats
    evidence: Floats | None = None


class Ranker:
    """Puts the rows of one index in order. `scale` is that of a `Scanner`."""

    def __init__(self, index: Index, scale: Floats | None = None) -> None:
        self.index = index
        self.scanner = Scanner(index, scale)
        self._is_scaled = scale is not None

    def ranked(self, feature: Floats, count: int, *, reranked: bool, among: Among | None = None) -> Ranking:
        """Rank at least the first `count` valid rows (fewer if there are no more).

        `feature`, shape (dimension,), has length 1. Re-ranking concerns up to SHORTLIST rows, the same ones whatever
        `count` is; the others follow by cosine. Where the rows are given that count, `among` them only.
        """
        feature = self.scanner.scaled(feature)
        if not reranked:
            return Ranking(*self.scanner.nearest(feature, count, among))
        rows, scores, evidence = self._reranked(feature, among)
        if count > len(rows):
            others, other_scores = self.scanner.nearest(feature, count, among)
            new = ~np.isin(others, rows)
            rows, scores = np.concatenate([rows, others[new]]), np.concatenate([scores, other_scores[new]])
        return Ranking(rows, scores, evidence)

    def relevance(self, ranking: Ranking) -> Floats | None:
        """Rate each row of a ranking by one feature for relevance, shape (n,); None where the index cannot tell it."""
        quantiles = self.index.meta.cosines
        if quantiles is None or self._is_scaled:
            return None
        return relevance_of(ranking.cosines, ranking.evidence, quantiles)

    def by_evidence(self, evidence: Floats, count: int, *, reranked: bool, among: Among | None = None) -> Rows:
        """Return the first `count` valid rows for which there is evidence (fewer if there are no more), best first.

        `evidence`, shape (index.rows,), is not negative; with `among`, only these rows count. Re-ranking concerns
        some hundred rows, the same ones whatever `count` is, and can bring rows without evidence among them; the others
        follow by evidence.
        """
        counts = self.index.comparable if among is None else self.index.comparable & among.mask
        evidence = np.where(counts, evidence, np.float32(0))
        rows = np.empty(0, dtype=np.int64)
        if reranked:
            centre = self.scanner.centre()
            rows = rerank_by_evidence(
                evidence,
                self.scanner.features,
                lambda direction: self.scanner.look_again(direction, centre, among),
                centre,
            )
            rows = rows[counts[rows]]
        if count > len(rows):
            others = largest(evidence, count)
            others = others[(evidence[others] > 0) & ~np.isin(others, rows)]
            rows = np.concatenate([rows, others])
        return rows[:count]

    def examples(self, evidence: Floats) -> Floats:
        """Return the mean of the rows with most evidence, shape (dimension,), of length 1: zeros where none has any."""
        rows = largest(np.where(self.index.comparable, evidence, np.float32(0)), _EXAMPLES)
        return l2_normalize(evidence[rows] @ self.scanner.features(rows))

    def _reranked(self, feature: Floats, among: Among | None) -> tuple[Rows, Floats, Floats | None]:
        """Return the re-ranked rows: up to SHORTLIST of them, their cosines, and what they were re-ranked by."""
        rows, scores, features = self.scanner.look(feature, SHORTLIST, among)
        if not len(rows):
            return rows, scores, None
        centre = self.scanner.centre()
        lengths = centre.lengths(features)
        direction = expand(feature, features, scores, lengths, centre)
        more = self.scanner.look_again(direction, centre, among)
        more = more[~np.isin(more, rows)]
        if len(more):
            fresh = self.scanner.features(more)
            sound = self.index.comparable[more]
            more, fresh = more[sound], fresh[sound]
            rows, features = np.concatenate([rows, more]), np.concatenate([features, fresh])
            scores = np.concatenate([scores, fresh @ feature])
            lengths = np.concatenate([lengths, centre.lengths(fresh)])
        chosen = select(features, scores, lengths, centre, direction)
        chosen = chosen[np.lexsort((rows[chosen], -scores[chosen]))]
        rows, scores = rows[chosen], scores[chosen]
        order, evidence = rerank(feature, features[chosen], scores, lengths[chosen], centre)
        return rows[order], scores[order], evidence
