"""Re-ranking: the neighbourhood of a query says more than the query alone.

Three steps, which docs/reranking.md explains and docs/method/reranking.md measures. *Query expansion* (Chum et al.,
"Total Recall", ICCV 2007; weighted as in Radenovic, Tolias and Chum, "Fine-tuning CNN Image Retrieval with No Human
Annotation", TPAMI 2019) looks again with the query moved towards its nearest rows. *Smoothing* averages every row of
the shortlist with its own nearest (Arandjelovic and Zisserman, "Three things everyone should know ...", CVPR 2012,
there for a whole database). *Diffusion* (Iscen, Tolias, Avrithis, Furon and Chum, "Efficient Diffusion on Region
Manifolds", CVPR 2017, truncated to a shortlist as in "Fast Spectral Ranking for Similarity Search", CVPR 2018) lets
likeness spread from the query to its neighbours and on to theirs, so that a photo of the same thing from another side
is found by way of those between.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cbir.search.centre import Centre, affinities, as_cosines, scale_both, square_roots
from cbir.search.space import Shortlist
from cbir.utils.vectors import Floats

Positions = npt.NDArray[np.int64]

#: Rows that are re-ranked; those beyond follow by cosine.
SHORTLIST = 300

#: Fewer rows than this keep their cosine order: there is no neighbourhood.
LEAST_ROWS = 4

#: Raw cosines from here on are copies of the query, re-encoded or resized: they stay first, in cosine order.
COPY = 0.92

#: Raw cosines from here on are the query's own picture: they tell nothing that the query does not.
IDENTICAL = 0.998

# Rows as alike as this, by the cosines that make the graph, are one node of it.
_SAME = 0.97

_EXPANSIONS, _EXPANSION_ROWS, _EXPANSION_POWER = 2, 10, 3
_SMOOTHING_ROWS = 5
# A node's first neighbour counts 0.93 in its neighbourhood, the next 0.93 squared, and so on.
_NEIGHBOURS, _RANK_DECAY = 30, 0.93
_SOURCES, _SOURCE_POWER, _QUERY_SOURCE = 10, 8, 2.0
_SPREAD = 0.85
_ITERATIONS = 20
_COSINE_SHARE, _FLOOR = 2.0, 1e-3
# Where the query's three nearest are less alike to it than _THIN, a row that leads by _LEAD in cosine stays first, and
# below _BARREN any does. The lead is relative to what cosines come to after the mean is taken off.
_THIN, _LEAD, _BARREN = 0.3, 0.015, 0.12

_TINY = 1e-12


def expand(shortlist: Shortlist) -> Floats:
    """Return the direction of a query, of length 1, moved towards its nearest among the candidates, twice.

    Rows that are the query itself move nothing.
    """
    direction, likeness = shortlist.direction, shortlist.likeness
    own = shortlist.cosines >= IDENTICAL
    for number in range(_EXPANSIONS):
        if number:
            likeness = shortlist.along(direction)
        likeness[own] = 0
        nearest = largest(likeness, _EXPANSION_ROWS)
        weights = np.maximum(likeness[nearest], 0) ** _EXPANSION_POWER
        direction = shortlist.moved(direction, weights, nearest)
        direction /= max(float(np.linalg.norm(direction)), _TINY)
    return direction


def select(shortlist: Shortlist, direction: Floats) -> Positions:
    """Select SHORTLIST of the candidates to re-rank: positions, in no useful order.

    They are the copies of the query and the nearest to the expanded `direction`.
    """
    cosines, likeness = shortlist.cosines, shortlist.along(direction)
    return largest(np.where(cosines >= COPY, 2 + cosines, likeness), SHORTLIST)


def rerank(shortlist: Shortlist) -> tuple[Positions, Floats | None]:
    """Order a query's shortlist anew: positions in it, best first, and their evidence in that order.

    Copies of the query come first in it, by their cosines. The evidence, shape (n,), is what reaches a row and its
    likeness, on one scale; it falls but for copies and a first place that was kept. Those that are the query itself
    have 0. There is none where too few rows keep their order.
    """
    cosines = shortlist.cosines
    count = len(cosines)
    own = int(np.count_nonzero(cosines >= IDENTICAL))
    if count - own < LEAST_ROWS:
        return np.arange(count), None
    affinity, place = _nodes(shortlist.affinities(own))
    reached = _diffuse(affinity)[place][1:]
    score = np.log(reached + np.float32(_FLOOR)) + np.float32(_COSINE_SHARE) * shortlist.likeness[own:]
    copies = cosines >= COPY
    score = np.concatenate([np.zeros(own, dtype=np.float32), score])
    # copies by cosine, then by score, then by cosine: lexsort's last key counts first
    order = np.lexsort((np.arange(count), np.where(copies, 0, -score), ~copies))
    nearest = float(np.sort(affinity[0, 1:])[-3:].mean())
    is_led = nearest < _BARREN or (nearest < _THIN and shortlist.lead(own, int(order[own])) >= _LEAD)
    if not copies[own] and is_led:
        others = order[own:]
        order = np.concatenate([order[:own], [own], others[others != own]])
    return order, np.asarray(score[order], dtype=np.float32)


class Spread(NamedTuple):
    """Likeness as it spreads over the graph of a query and its shortlist, whose nodes are m rows; node 0 is the query.

    `edges`, shape (m, m), say how much of what has reached one node goes on to another, `source`, shape (m,), what
    begins at each, and `reached` what comes to it by all ways: reached = source + edges @ reached. `affinity`, shape
    (m, m), is how alike nodes are. `place`, shape (n,), has the node of each row of the shortlist, -1 of those that
    are the query itself.
    """

    edges: Floats
    source: Floats
    reached: Floats
    affinity: Floats
    place: Positions


def spread(shortlist: Shortlist) -> Spread | None:
    """Return the spread by which `rerank` orders the rows of a shortlist; None where too few keep their order."""
    own = int(np.count_nonzero(shortlist.cosines >= IDENTICAL))
    if len(shortlist.cosines) - own < LEAST_ROWS:
        return None
    affinity, place = _nodes(shortlist.affinities(own))
    if len(affinity) < 2:
        return None
    edges, source, reached = _flow(_smoothed(affinity))
    return Spread(edges, source, reached, affinity, np.concatenate([np.full(own, -1), place[1:]]))


def largest(values: Floats, count: int) -> Positions:
    """Positions of the `count` largest of `values`, shape (n,), largest first; of equal ones, those that come first."""
    if count < len(values):
        least = np.partition(values, len(values) - count)[len(values) - count]
        above, equal = np.flatnonzero(values > least), np.flatnonzero(values == least)
        positions = np.concatenate([above, equal[: count - len(above)]])
    else:
        positions = np.arange(len(values))
    return positions[np.argsort(-values[positions], kind="stable")]


def reach(rows: Floats, source: Floats, centre: Centre) -> Floats:
    """Spread `source` over the graph of `rows`, shape (n, dimension), and return how much reaches each of them.

    `source`, shape (n,), is not negative. The largest of the result, shape (n,), is 1, unless nothing reaches any row.
    """
    affinity, place = _nodes(affinities(square_roots(rows), centre))
    of_node = np.zeros(len(affinity), dtype=np.float32)
    np.maximum.at(of_node, place, source)
    reached = np.maximum(_solve(_graph(_smoothed(affinity)), of_node), 0)
    reached /= max(float(reached.max()), _TINY)
    return np.asarray(reached[place], dtype=np.float32)


def _nodes(affinity: Floats) -> tuple[Floats, Positions]:
    """Return the affinities of the graph's nodes, shape (m, m), and the node of each row, shape (n,).

    A row that is the same as one before it goes where that goes, and is no neighbour of its own.
    """
    alike = affinity >= _SAME
    if np.count_nonzero(alike) == len(alike):
        return affinity, np.arange(len(alike))
    same = np.argmax(alike, axis=1)
    nodes = np.flatnonzero(same == np.arange(len(same)))
    place = np.zeros(len(same), dtype=np.int64)
    place[nodes] = np.arange(len(nodes))
    # a node's first may itself be the same as one before it
    while not np.array_equal(same, same[same]):
        same = same[same]
    return affinity if len(nodes) == len(same) else affinity[np.ix_(nodes, nodes)], place[same]


def _diffuse(affinity: Floats) -> Floats:
    """Return what reaches each node, shape (n,), from node 0, the query; `affinity`, shape (n, n), has unit diagonal.

    The largest, the query's own aside, is 1.
    """
    if len(affinity) < 2:
        return np.ones(len(affinity), dtype=np.float32)
    _, _, reached = _flow(_smoothed(affinity))
    reached = reached / max(float(reached[1:].max()), _TINY)
    return np.minimum(reached, 1)


def _flow(smooth: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the graph of some smoothed affinities, shape (n, n), what begins at each node, and what reaches it."""
    spread = _graph(smooth)
    source = np.zeros(len(smooth), dtype=np.float32)
    likeness = np.maximum(smooth[0, 1:], 0)
    nearest = largest(likeness, _SOURCES)
    source[1 + nearest] = (likeness[nearest] / max(float(likeness.max()), _TINY)) ** _SOURCE_POWER
    source[0] = _QUERY_SOURCE
    return spread, source, np.maximum(_solve(spread, source), 0)


def _smoothed(affinity: Floats) -> Floats:
    """`affinity`, shape (n, n), after each node moved to the weighted mean of itself and its nearest."""
    near, nearness = _nearest(np.maximum(affinity, 0), _SMOOTHING_ROWS + 1)
    weights = (nearness * nearness * nearness)[:, np.newaxis]
    # weights @ affinity @ weights.T, of which each row of weights has but a few
    moved = np.asarray(weights @ affinity[near], dtype=np.float32)[:, 0]
    smooth = np.asarray(weights @ np.ascontiguousarray(moved.T)[near], dtype=np.float32)[:, 0]
    scale_both(smooth, np.asarray(1 / np.sqrt(np.maximum(np.diag(smooth), 1e-8)), dtype=np.float32))
    return as_cosines(smooth)


def _graph(affinity: Floats) -> Floats:
    """Return the graph in which likeness spreads, shape (n, n): symmetric, normalised by degrees, times _SPREAD.

    An edge is strong where two nodes are alike, compared with the most alike that either has; where one is early
    among the other's neighbours; and where they have neighbours in common, which is what k-reciprocal encoding
    builds on (Zhong, Zheng, Cao and Li, "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017).
    """
    nearness = np.maximum(affinity, 0)
    np.fill_diagonal(nearness, 2)  # a node is the first in its own neighbourhood
    columns, strength = _nearest(nearness, _NEIGHBOURS + 1)
    places = columns + len(affinity) * np.arange(len(affinity))[:, np.newaxis]
    decay = np.float32(_RANK_DECAY) ** np.arange(columns.shape[1], dtype=np.float32)
    near = np.zeros_like(affinity)
    near.reshape(-1)[places] = decay
    strength[:, 0] = 0
    scale = np.sqrt(np.maximum(strength[:, :2].max(axis=1), np.float32(1e-3)))
    strength /= scale[:, np.newaxis] * scale[columns]
    np.minimum(strength, np.float32(1.5), out=strength)
    # the fourth power of an affinity: `** 4` takes fifty times as long
    strength *= strength
    strength *= strength
    strength *= (near @ near.T).reshape(-1)[places] * decay
    edges = np.zeros_like(affinity)
    edges.reshape(-1)[places] = strength
    edges = np.maximum(edges, edges.T)
    scale_both(edges, np.sqrt(np.float32(_SPREAD) / np.maximum(edges.sum(axis=1), _TINY)))
    return edges


def _solve(spread: Floats, source: Floats) -> Floats:
    """f of (1 - spread) f = source, shape (n,), by conjugate gradients.

    The eigenvalues of `spread` are within ±_SPREAD, so that a fixed number of steps is enough for any of them.
    """
    solution = source.copy()
    rest = spread @ source  # source - (1 - spread) source
    step, size = rest.copy(), float(rest @ rest)
    for _ in range(_ITERATIONS):
        if size < 1e-12:
            break
        image = step - spread @ step
        length = size / float(step @ image)
        solution += np.float32(length) * step
        rest -= np.float32(length) * image
        size, before = float(rest @ rest), size
        step *= np.float32(size / before)
        step += rest
    return solution


def _nearest(nearness: Floats, count: int) -> tuple[Positions, Floats]:
    """Find the `count` largest of each row of `nearness`, shape (n, n), which is not negative, largest first.

    Returned are their columns and they themselves, both of shape (n, count); of equal ones, those that come first.
    """
    last = len(nearness) - 1
    # a float64 has 29 bits more than a float32, which have room for the column: to sort is quicker than to argsort
    keys = nearness.astype(np.float64)
    bits = keys.view(np.int64)
    bits |= np.arange(last, -1, -1)
    if count <= last:
        keys.partition(last + 1 - count, axis=1)
        keys = keys[:, last + 1 - count :]
    keys = np.sort(keys, axis=1)[:, ::-1]
    return last - (keys.view(np.int64) & ((1 << 29) - 1)), keys.astype(np.float32)
