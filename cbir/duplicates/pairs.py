"""Finding the near-duplicates among the pictures of an index, pair by pair.

Candidates are each content's nearest by cosine, from the index's own candidates where it has them; their thumbnails
decide. The memory needed does not grow with the index, but for the pairs themselves.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from cbir.duplicates.align import PROMISING, align, moved, plain, prepared, starts
from cbir.index.ann.base import Candidates
from cbir.index.ann.projection import principal_directions, project
from cbir.index.columns.thumbnails import THUMBNAILS
from cbir.index.exact import RowSource
from cbir.index.store import Index
from cbir.utils.shares import Told, between, nobody, telling
from cbir.utils.threads import in_threads
from cbir.utils.vectors import Floats, Rows, nearest_of
from cbir.utils.workers import usable_cores

#: Weights of cosine, correlation and detail: the logistic function of their weighted sum is the score. Fitted to half
#: of the photos of docs/method/duplicates.md; the other half was to judge it.
WEIGHTS = (21.0, 29.0, 32.5)
BIAS = -70.5

#: Candidates of each content; how many rows the index's candidates are asked for to find them among, and at the most
#: where so many are copies of one content.
NEAREST = 20
ASKED_FOR, MOST_ASKED_FOR = 60, 4000

# rows whose candidates are looked for at a time: with candidates of the index, whose features are read, and without
_QUERIES, _QUERIES_OF_ALL = 64, 512
_PAIRS = 4096  # pairs whose thumbnails are compared at a time

# of what brings like rows together: principal directions that are looked at, rows a pivot, and the most pivots
_DIRECTIONS, _ROWS_A_PIVOT, _PIVOTS = 32, 80, 4096
_SEED = 1


def threads() -> int:
    """Count the threads that compare pairs; each of more than eight would take its memory, too."""
    return min(usable_cores(), 8)


class Pairs(NamedTuple):
    """Pairs of rows, the lower one first, and their scores: shapes (pairs,).

    `maps`, shape (pairs, 6), lead from the second picture to the first, as `align.Aligned` has them.
    """

    first: Rows
    second: Rows
    scores: Floats
    maps: Floats


def score(cosines: Floats, correlations: Floats, details: Floats) -> Floats:
    """Return the probabilities that two pictures are the same one, from 0 to 1."""
    cosine, correlation, detail = WEIGHTS
    total = cosine * cosines + correlation * correlations + detail * details + BIAS
    return np.asarray(1 / (1 + np.exp(-np.clip(total, -50, 50))), dtype=np.float32)


def raised(score: float, by: float) -> float:
    """Return a score whose weighted sum is larger by that much, or smaller."""
    if not 0 < score < 1:
        return score
    return 1 / (1 + (1 - score) / score * math.exp(-by))


def least_cosine(min_score: float) -> float:
    """Return the cosine below which no thumbnails, however alike, make a score of `min_score`."""
    if min_score <= 0:
        return -1.0
    logit = math.log(min_score / (1 - min_score)) if min_score < 1 else math.inf
    return (logit - BIAS - WEIGHTS[1] - WEIGHTS[2]) / WEIGHTS[0]


def find_pairs(index: Index, rows: Rows, same: Rows, min_score: float, told: Told = nobody) -> Pairs:
    """Return the pairs of `rows`, shape (n,), ascending, that have a score of at least `min_score`.

    `same`, shape (index.rows,), leads from each row to the one of `rows` that stands for its content, or to -1.
    """
    if len(rows) < 2:
        nothing = np.empty(0, dtype=np.int64)
        return Pairs(nothing, nothing, np.empty(0, dtype=np.float32), np.empty((0, 6), dtype=np.float32))
    first, second, cosines = _candidates(index, rows, same, least_cosine(min_score), between(told, 0, 0.8))
    return score_pairs(index, first, second, cosines, min_score, between(told, 0.8, 1))


def score_pairs(
    index: Index, first: Rows, second: Rows, cosines: Floats, min_score: float, told: Told = nobody
) -> Pairs:
    """Those of the given pairs that have a score of at least `min_score`, in their order.

    The quicker, the more of them that follow each other are of the same rows.
    """

    def scored(start: int) -> Pairs:
        part = slice(start, start + _PAIRS)
        scores, maps = _scores(index, first[part], second[part], cosines[part])
        kept = scores >= min_score
        return Pairs(first[part][kept], second[part][kept], scores[kept], maps[kept])

    begins = range(0, len(first), _PAIRS)
    found = list(telling(in_threads(scored, begins, threads()), told, len(begins)))
    if not found:
        return Pairs(first, second, cosines, np.empty((0, 6), dtype=np.float32))
    return Pairs(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _scores(index: Index, first: Rows, second: Rows, cosines: Floats) -> tuple[Floats, Floats]:
    rows, places = np.unique(np.concatenate([first, second]), return_inverse=True)
    thumbnails = prepared(index.stored(THUMBNAILS, rows)["grey"][:, 0])
    one, other = places[: len(first)], places[len(first) :]
    # pairs are in the order of their first rows, of which there are few: these are moved, which is most of the work
    few, of_few = np.unique(one, return_inverse=True)
    looks, moves = plain(thumbnails), moved(thumbnails, few)
    start, promise = np.empty(len(first), dtype=np.intp), np.empty(len(first), dtype=np.float32)
    for begin in range(0, len(first), 256):  # what moved thumbnails take is ten times as much as they
        part = slice(begin, begin + 256)
        start[part], promise[part] = starts(looks[other[part]], moves[of_few[part]])
    scores, maps = np.zeros(len(first), dtype=np.float32), np.zeros((len(first), 6), dtype=np.float32)
    going = np.flatnonzero(promise >= PROMISING)
    if len(going):
        aligned = align(thumbnails, other[going], one[going], start[going])
        found = score(cosines[going], aligned.correlation, aligned.detail)
        scores[going] = np.where(aligned.correlation > 0, found, 0)
        maps[going] = aligned.maps
    return scores, maps


def _candidates(index: Index, rows: Rows, same: Rows, least: float, told: Told) -> tuple[Rows, Rows, Floats]:
    """Pairs of `rows` that are among each other's nearest, each once, like beside like, and their cosines."""
    candidates = index.candidates()
    covered = candidates.rows if candidates is not None else 0
    step = _QUERIES_OF_ALL if candidates is None else _QUERIES
    if candidates is not None:
        rows = _like_beside_like(index, rows)

    def nearest(start: int) -> tuple[Rows, Floats]:
        """Pairs as one number each."""
        its = rows[start : start + step]
        queries = index.features(its)
        among, found = _compared(index, queries, its, same, covered, least)
        if candidates is not None:
            listed = _listed(index, candidates, queries, its, same, least)
            among, found = np.concatenate([among, listed[0]], axis=1), np.concatenate([found, listed[1]], axis=1)
            among, found = _first(among, found)
        place, column = np.nonzero(found >= least)
        one, other = its[place], among[place, column]
        return np.minimum(one, other) * index.rows + np.maximum(one, other), found[place, column]

    begins = range(0, len(rows), step)
    parts = list(telling(in_threads(nearest, begins, threads()), told, len(begins)))
    numbers, cosines = (np.concatenate(column) for column in zip(*parts, strict=True))
    # as they were first come upon: a pair's rows are near to those of the next
    once = np.sort(np.unique(numbers, return_index=True)[1])
    return numbers[once] // index.rows, numbers[once] % index.rows, cosines[once]


def _like_beside_like(source: RowSource, rows: Rows) -> Rows:
    """Order `rows` by which of some of them, drawn at random, they are nearest to.

    So the candidates of rows that follow each other are the same ones: they are read from the disk, and compared, once.
    """
    directions = principal_directions(source)[: 1 + _DIRECTIONS]
    count = min(_PIVOTS, max(1, len(rows) // _ROWS_A_PIVOT))
    drawn = np.random.default_rng(_SEED).choice(rows, count, replace=False)
    pivots = project(source.features(np.sort(drawn)), directions)
    nearest = [nearest_of(project(chunk, directions), pivots)[0] for _, chunk in source.chunks()]
    return rows[np.argsort(np.concatenate(nearest)[rows], kind="stable")]


def _first(rows: Rows, cosines: Floats) -> tuple[Rows, Floats]:
    """Keep the NEAREST of rows and their cosines, shapes (queries, any)."""
    if cosines.shape[1] <= NEAREST:
        return rows, cosines
    best = np.argpartition(-cosines, NEAREST - 1, axis=1)[:, :NEAREST]
    return np.take_along_axis(rows, best, axis=1), np.take_along_axis(cosines, best, axis=1)


def _compared(
    source: RowSource, queries: Floats, its: Rows, same: Rows, start: int, least: float
) -> tuple[Rows, Floats]:
    """Find each query's nearest contents from row `start` on, comparing all of them, and their cosines.

    Shapes (queries, at most NEAREST); what is below `least` has -1.
    """
    rows = np.zeros((len(its), 0), dtype=np.int64)
    cosines = np.zeros((len(its), 0), dtype=np.float32)
    if start >= source.rows:
        return rows, cosines
    for first, chunk in source.chunks(start):
        numbers = np.arange(first, first + len(chunk))
        found = queries @ chunk.T
        found[:, same[numbers] != numbers] = -1
        itself = np.flatnonzero((its >= first) & (its < first + len(chunk)))
        found[itself, its[itself] - first] = -1
        found[found < least] = -1
        # few chunks have any that are near: the others are not sorted
        near = np.flatnonzero((found > -1).any(axis=0))
        if len(near):
            rows = np.concatenate([rows, np.broadcast_to(numbers[near], (len(its), len(near)))], axis=1)
            rows, cosines = _first(rows, np.concatenate([cosines, found[:, near]], axis=1))
    return rows, cosines


def _listed(
    source: RowSource, candidates: Candidates, queries: Floats, its: Rows, same: Rows, least: float
) -> tuple[Rows, Floats]:
    """Find each query's nearest contents among its candidates, and their cosines; -1 where there are no more."""
    rows, cosines = np.zeros((len(its), NEAREST), dtype=np.int64), np.full((len(its), NEAREST), -1, dtype=np.float32)
    waiting, count = list(range(len(its))), ASKED_FOR
    while waiting and count <= MOST_ASKED_FOR:
        again: list[int] = []
        step = max(1, _QUERIES * ASKED_FOR // count)  # as many features at a time, however many each asks for
        for some in (waiting[begin : begin + step] for begin in range(0, len(waiting), step)):
            asked = candidates.search(queries[some], count)
            contents = [np.unique(same[one]) for one in asked]
            wanted = np.unique(np.concatenate(contents))
            wanted = wanted[wanted >= 0]
            features = source.features(wanted)
            for place, one, its_contents in zip(some, asked, contents, strict=True):
                others = its_contents[(its_contents >= 0) & (its_contents != its[place])]
                found = features[np.searchsorted(wanted, others)] @ queries[place]
                best = np.argsort(-found, kind="stable")[:NEAREST]
                rows[place, : len(best)], cosines[place, : len(best)] = others[best], found[best]
                # copies took the places of other contents, which may be near as well
                if len(best) < NEAREST and (len(best) == 0 or found[best[-1]] >= least) and len(one) >= count:
                    again.append(place)
        waiting, count = again, count * 4
    return rows, cosines
