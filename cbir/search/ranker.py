"""Ranking the rows of an index for a feature, by cosine or re-ranked, or by evidence for each row."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np

from cbir.index.quantiles import CosineQuantiles
from cbir.index.store import Index
from cbir.search.feedback import CANDIDATES, rerank_by_evidence
from cbir.search.filters import Among
from cbir.search.relevance import relevance_of
from cbir.search.rerank import COPY, SHORTLIST, expand, largest, rerank, select
from cbir.search.scanner import Scanner
from cbir.search.space import Shortlist, Space
from cbir.utils.vectors import Floats, Rows, l2_normalize

# The rows whose mean stands for what words ask for, where pictures have been judged since.
_EXAMPLES = 30


class Ranking(NamedTuple):
    """Rows of an index, best first, and their cosines with the query, both of shape (n,).

    `evidence`, shape (m,), is what the first m rows were re-ranked by, as `rerank` tells it; None where none were. The
    first `copies` of these are copies of the query.
    """

    rows: Rows
    cosines: Floats
    evidence: Floats | None = None
    copies: int = 0


class Ranker:
    """Puts the rows of one index in order, by their cosines in a space: without one, by those of their features."""

    def __init__(self, index: Index, space: Space | None = None) -> None:
        self.index = index
        self.space = space or Space()
        self.scanner = Scanner(index, self.space)

    @cached_property
    def quantiles(self) -> CosineQuantiles | None:
        """The distribution of the rows' cosines in the space; None where it is not known."""
        return self.space.quantiles(self.index.meta.cosines)

    def ranked(self, query: Floats, count: int, *, reranked: bool, among: Among | None = None) -> Ranking:
        """Rank at least the first `count` valid rows (fewer if there are no more).

        `query` is a vector of length 1, as the space has them: a feature. Re-ranking concerns up to SHORTLIST rows, the
        same ones whatever `count` is; the others follow by cosine. Where the rows are given that count, `among` them
        only.
        """
        sought = self.space.sought(query)
        if not reranked:
            return Ranking(*self.scanner.nearest(sought, count, among))
        first = self._reranked(query, sought, among)
        if count <= len(first.rows):
            return first
        others, scores = self.scanner.nearest(sought, count, among)
        new = ~np.isin(others, first.rows)
        rows, scores = np.concatenate([first.rows, others[new]]), np.concatenate([first.cosines, scores[new]])
        return first._replace(rows=rows, cosines=scores)

    def ranked_by_text(
        self, query: Floats, count: int, spread: float, *, reranked: bool, among: Among | None = None
    ) -> Ranking:
        """Rank at least the first `count` valid rows (fewer if there are no more) for a feature that is of no image.

        Images have much in common that a text has not, so it is no node of their graph: re-ranking takes its cosines
        for evidence, which a step of `spread`, that of its cosines with the index's rows, makes e times as strong.
        """
        rows, cosines = self.scanner.nearest(query, max(count, SHORTLIST) if reranked else count, among)
        if not reranked or not len(rows):
            return Ranking(rows, cosines)
        evidence = np.zeros(self.index.rows, dtype=np.float32)
        evidence[rows[:CANDIDATES]] = np.exp((cosines[:CANDIDATES] - cosines[0]) / np.float32(spread))
        first, _ = self.by_evidence(evidence, SHORTLIST + CANDIDATES, reranked=True, among=among)
        rows = np.concatenate([first, rows[~np.isin(rows, first)]])
        return Ranking(rows, self.scanner.cosines(query, rows))

    def relevance(self, ranking: Ranking) -> Floats | None:
        """Rate each row of a ranking by one feature for relevance, shape (n,); None where the index cannot tell it."""
        quantiles = self.quantiles
        if quantiles is None:
            return None
        cosines, evidence = ranking.cosines, ranking.evidence
        return relevance_of(cosines, evidence, quantiles, ranking.copies, learnt=self.space.is_learnt)

    def by_evidence(
        self, evidence: Floats, count: int, *, reranked: bool, among: Among | None = None
    ) -> tuple[Rows, int]:
        """Return the first `count` valid rows for which there is evidence, best first, and how many there are in all.

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
        total = int(np.count_nonzero(evidence) + np.count_nonzero(evidence[rows] == 0))
        if count > len(rows):
            others = largest(evidence, count)
            others = others[(evidence[others] > 0) & ~np.isin(others, rows)]
            rows = np.concatenate([rows, others])
        return rows[:count], total

    def examples(self, evidence: Floats) -> Floats:
        """Return the mean of the rows with most evidence, shape (dimension,), of length 1: zeros where none has any."""
        rows = largest(np.where(self.index.comparable, evidence, np.float32(0)), _EXAMPLES)
        return l2_normalize(evidence[rows] @ self.scanner.features(rows))

    def _reranked(self, query: Floats, sought: Floats, among: Among | None) -> Ranking:
        """Return the re-ranked rows: up to SHORTLIST of them, their cosines, and what they were re-ranked by."""
        rows, shortlist = self._shortlist(query, sought, among)
        if shortlist is None:
            return Ranking(rows, np.empty(0, dtype=np.float32))
        order, evidence = rerank(shortlist)
        copies = int(np.count_nonzero(shortlist.cosines >= COPY))
        return Ranking(rows[order], shortlist.scores[order], evidence, copies)

    def shortlist(self, query: Floats) -> tuple[Rows, Shortlist | None]:
        """Return the rows that are re-ranked for a query, beside it, copies first; none where there is no row."""
        return self._shortlist(query, self.space.sought(query), None)

    def _shortlist(self, query: Floats, sought: Floats, among: Among | None) -> tuple[Rows, Shortlist | None]:
        rows, scores, vectors = self.scanner.look(sought, SHORTLIST, among)
        if not len(rows):
            return rows, None
        centre = self.scanner.centre()
        shortlist = self.space.shortlist(query, vectors, scores, centre)
        direction = expand(shortlist)
        more = self.scanner.look_again(direction, centre, among)
        more = more[~np.isin(more, rows)]
        if len(more):
            fresh = self.scanner.features(more)
            sound = self.index.comparable[more]
            more, fresh = more[sound], fresh[sound]
            rows = np.concatenate([rows, more])
            shortlist = shortlist.joined(self.space.shortlist(query, fresh, fresh @ sought, centre))
        chosen = select(shortlist, direction)
        scores, cosines = shortlist.scores[chosen], shortlist.cosines[chosen]
        # copies by cosine, then by score, then by row: lexsort's last key counts first
        chosen = chosen[np.lexsort((rows[chosen], -scores, -np.where(cosines >= COPY, cosines, 0)))]
        return rows[chosen], shortlist.take(chosen)
