"""Re-ranking of a word's pictures by their features: those that look like the likeliest ones come with them.

The network's classes are a narrow view of its features. The pictures for which the evidence is strongest are taken for
examples (Rocchio, "Relevance Feedback in Information Retrieval", 1971; without a user's judgement as in Yan, Hauptmann
and Jin, "Multimedia Search with Pseudo-Relevance Feedback", CIVR 2003), and what they speak for
spreads from them over the graph of their neighbours (`rerank.reach`). A picture with the wrong class among many of
the right one is found that way. docs/method/words.md has what it gains.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cbir.search.centre import Centre
from cbir.search.rerank import LEAST_ROWS, largest, reach
from cbir.utils.vectors import Floats, Rows

#: Rows that are re-ranked for their evidence; about as many as `near` gives are for their features.
CANDIDATES = 200

# The examples: whose mean is the direction in which to look for more, and from which evidence spreads, by its square.
_DIRECTION_ROWS, _SOURCES, _SOURCE_POWER = 30, 100, 2
_EVIDENCE_SHARE, _FLOOR = 0.2, 1e-3

_TINY = 1e-12


def rerank_by_evidence(
    evidence: Floats, features: Callable[[Rows], Floats], near: Callable[[Floats], Rows], centre: Centre
) -> Rows:
    """Return the rows of the shortlist in their new order, best first; empty where there is no evidence for any row.

    `evidence`, shape (rows,), is not negative, and 0 for rows that do not count. `features` gives rows of the
    collection, shape (n, dimension), each of length 1; `near` some hundred rows near a centred direction of length 1,
    shape (dimension,), in any order. Rows that are not in the result follow by evidence.
    """
    first = largest(evidence, CANDIDATES)
    first = first[evidence[first] > 0]
    if len(first) < LEAST_ROWS:
        return first
    own = features(first)
    examples = evidence[first[:_DIRECTION_ROWS]] / centre.lengths(own[:_DIRECTION_ROWS])
    direction = examples @ own[:_DIRECTION_ROWS] - examples.sum() * centre.mean
    direction /= max(float(np.linalg.norm(direction)), _TINY)
    more = near(np.asarray(direction, dtype=np.float32))
    more = np.setdiff1d(more, first)
    rows = np.concatenate([first, more])
    relative = evidence[rows] / evidence[first[0]]
    source = np.zeros(len(rows), dtype=np.float32)
    sources = min(_SOURCES, len(first))
    source[:sources] = relative[:sources] ** _SOURCE_POWER
    reached = reach(np.concatenate([own, features(more)]), source, centre)
    score = np.log(reached + _FLOOR) + _EVIDENCE_SHARE * np.log(relative + _FLOOR)
    # of equal scores, the one with more evidence, then the earlier row
    return np.asarray(rows[np.lexsort((rows, -relative, -score))], dtype=np.int64)
