"""Which pictures of an index are near-duplicates of each other, pair by pair.

Candidates are each row's nearest by cosine, from the shortlist where there is one; their thumbnails decide. What is
needed of memory does not grow with the index, but for the pairs themselves.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from cbir.duplicates.align import PROMISING, align, moved, plain, starts
from cbir.index.store import Index
from cbir.index.thumbnails import THUMBNAILS

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
T = TypeVar("T")

#: How cosine, correlation and detail make a score: the logistic function of their weighted sum. Fitted to half of the
#: photos of docs/duplicates.md; the other half was to judge it.
WEIGHTS = (21.0, 29.0, 32.5)
BIAS = -70.5

#: Candidates of each row, and how many rows the shortlist is asked for to find them among.
NEAREST = 20
ASKED_FOR = 60

_QUERIES = 64  # rows whose candidates are looked for at a time
_PAIRS = 1024  # pairs whose thumbnails are compared at a time


class Pairs(NamedTuple):
    """Pairs of rows, the lower one first, and their scores: shapes (pairs,)."""

    first: Rows
    second: Rows
    scores: Floats


def score(cosines: Floats, correlations: Floats, details: Floats) -> Floats:
    """How probable it is that two pictures are the same one, from 0 to 1."""
    cosine, correlation, detail = WEIGHTS
    total = cosine * cosines + correlation * correlations + detail * details + BIAS
    return np.asarray(1 / (1 + np.exp(-np.clip(total, -50, 50))), dtype=np.float32)


def least_cosine(min_score: float) -> float:
    """The cosine below which no thumbnails, however alike, make a score of `min_score`."""
    if min_score <= 0:
        return -1.0
    logit = math.log(min_score / (1 - min_score)) if min_score < 1 else math.inf
    return (logit - BIAS - WEIGHTS[1] - WEIGHTS[2]) / WEIGHTS[0]


def find_pairs(index: Index, rows: Rows, same: Rows, min_score: float) -> Pairs:
    """The pairs of `rows`, shape (n,), ascending, that have a score of at least `min_score`.

    `same`, shape (index.rows,), leads from each row to the one of `rows` that stands for its content, or to -1.
    """
    if len(rows) < 2:
        nothing = np.empty(0, dtype=np.int64)
        return Pairs(nothing, nothing, np.empty(0, dtype=np.float32))
    first, second, cosines = _candidates(index, rows, same, least_cosine(min_score))
    return score_pairs(index, first, second, cosines, min_score)


def score_pairs(index: Index, first: Rows, second: Rows, cosines: Floats, min_score: float) -> Pairs:
    """Those of the given pairs that have a score of at least `min_score`."""

    def scored(start: int) -> tuple[Rows, Rows, Floats]:
        part = slice(start, start + _PAIRS)
        scores = _scores(index, first[part], second[part], cosines[part])
        kept = scores >= min_score
        return first[part][kept], second[part][kept], scores[kept]

    found = list(_in_threads(scored, range(0, len(first), _PAIRS)))
    if not found:
        return Pairs(first, second, cosines)
    return Pairs(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _scores(index: Index, first: Rows, second: Rows, cosines: Floats) -> Floats:
    rows, places = np.unique(np.concatenate([first, second]), return_inverse=True)
    grey = index.stored(THUMBNAILS, rows)["grey"][:, 0]
    one, other = places[: len(first)], places[len(first) :]
    # pairs are in the order of their first rows, of which there are few: these are moved, which is most of the work
    few, of_few = np.unique(one, return_inverse=True)
    looks, moves = plain(grey), moved(grey[few])
    start, promise = np.empty(len(first), dtype=np.intp), np.empty(len(first), dtype=np.float32)
    for begin in range(0, len(first), 256):  # what moved thumbnails take is ten times as much as they
        part = slice(begin, begin + 256)
        start[part], promise[part] = starts(looks[other[part]], moves[of_few[part]])
    scores = np.zeros(len(first), dtype=np.float32)
    going = np.flatnonzero(promise >= PROMISING)
    if len(going):
        aligned = align(grey[other[going]], grey[one[going]], start[going])
        found = score(cosines[going], aligned.correlation, aligned.detail)
        scores[going] = np.where(aligned.correlation > 0, found, 0)
    return scores


def _candidates(index: Index, rows: Rows, same: Rows, least: float) -> tuple[Rows, Rows, Floats]:
    """Pairs of `rows` that are among each other's nearest, each once, and their cosines."""
    shortlist = index.shortlist()
    covered = shortlist.rows if shortlist is not None else 0

    def nearest(start: int) -> tuple[Rows, Floats]:
        """Pairs as one number each."""
        its = rows[start : start + _QUERIES]
        queries = index.features(its)
        numbers: list[Rows] = []
        cosines: list[Floats] = []
        asked = [np.empty(0, dtype=np.int64) for _ in its]
        if shortlist is not None:
            asked = [shortlist.candidates(query, ASKED_FOR) for query in queries]
            wanted = np.unique(np.concatenate(asked))
            features = index.features(wanted)
        exact_rows, exact = _compared(index, queries, covered, least)
        for place, row in enumerate(its.tolist()):
            among, found = exact_rows[place], exact[place]
            if shortlist is not None:
                at = np.searchsorted(wanted, asked[place])
                among = np.concatenate([asked[place], among])
                found = np.concatenate([features[at] @ queries[place], found])
            others = same[among]
            keep = (others >= 0) & (others != row) & (found >= least)
            others, found = others[keep], found[keep]
            order = np.argsort(-found, kind="stable")
            others, found = others[order], found[order]
            _, once = np.unique(others, return_index=True)
            once = np.sort(once)[:NEAREST]
            others, found = others[once], found[once]
            numbers.append(np.minimum(others, row) * index.rows + np.maximum(others, row))
            cosines.append(found)
        return np.concatenate(numbers), np.concatenate(cosines)

    parts = list(_in_threads(nearest, range(0, len(rows), _QUERIES)))
    numbers, cosines = (np.concatenate(column) for column in zip(*parts, strict=True))
    numbers, once = np.unique(numbers, return_index=True)
    return numbers // index.rows, numbers % index.rows, cosines[once]


def _compared(index: Index, queries: Floats, start: int, least: float) -> tuple[list[Rows], list[Floats]]:
    """For each query the nearest rows from row `start` on, all of which are compared, and their cosines."""
    rows = [np.empty(0, dtype=np.int64) for _ in queries]
    cosines = [np.empty(0, dtype=np.float32) for _ in queries]
    if start >= index.rows:
        return rows, cosines
    for first, chunk in index.chunks(start):
        found = queries @ chunk.T
        for place in np.flatnonzero((found >= least).any(axis=1)).tolist():
            above = np.flatnonzero(found[place] >= least)
            rows[place] = np.concatenate([rows[place], first + above])
            cosines[place] = np.concatenate([cosines[place], found[place][above]])
            if len(rows[place]) > ASKED_FOR:
                best = np.argpartition(-cosines[place], ASKED_FOR - 1)[:ASKED_FOR]
                rows[place], cosines[place] = rows[place][best], cosines[place][best]
    return rows, cosines


def _in_threads(work: Callable[[int], T], items: Sequence[int]) -> Iterator[T]:
    """What `work` makes of each item, in order."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(max(1, min(cores, 8)), thread_name_prefix="pairs") as pool:
        yield from pool.map(work, items)
