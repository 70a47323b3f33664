"""Re-ranking: the neighbourhood of a query says more than the query alone.

Diffusion within the shortlist, after Iscen, Tolias, Avrithis, Furon and Chum, "Efficient Diffusion on Region
Manifolds" (CVPR 2017), with the truncation of Iscen et al. 2018: likeness spreads from the query's neighbours to
their neighbours, so that a photo of the same thing from another side is found by way of those between.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

#: Rows that the diffusion looks at, best first.
SHORTLIST = 200

#: Fewer rows than this have no neighbourhoods to speak of, and keep their cosine order.
LEAST_ROWS = 20

#: Raw cosines from here on are copies of the query, re-encoded or resized: they stay first, in cosine order.
COPY = 0.92

_NEIGHBOURS = 10
_POWER = 3
_SPREAD = 0.9


def rerank(query: Floats, rows: Floats, cosines: Floats, mean: Floats) -> npt.NDArray[np.int64]:
    """The new order of a query's candidates, as positions in `rows`, best first.

    `query` has shape (dimension,) and `rows` (n, dimension), in descending order of `cosines`, shape (n,); all of
    length 1. `mean`, shape (dimension,), is the collection's: features are compared after it is taken off, since
    what all pictures share says nothing. Rows beyond SHORTLIST keep their places.
    """
    count = min(len(rows), SHORTLIST)
    if count < LEAST_ROWS:
        return np.arange(len(rows))
    centred = np.concatenate([rows[:count], query[np.newaxis]]) - mean
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    affinity = np.maximum(centred @ centred.T, 0).astype(np.float64) ** _POWER
    start = _strongest(affinity[-1:, :-1])[0]
    between = affinity[:-1, :-1]
    np.fill_diagonal(between, 0)
    strongest = _strongest(between)
    graph = np.maximum(strongest, strongest.T)
    degrees = np.sqrt(np.maximum(graph.sum(axis=1), 1e-12))
    graph /= degrees[:, np.newaxis] * degrees
    reached = np.linalg.solve(np.eye(count) - _SPREAD * graph, start)
    copies = cosines[:count] >= COPY
    # copies by cosine, then by what reached them, then by cosine: lexsort's last key counts first
    order = np.lexsort((-cosines[:count], np.where(copies, 0, -reached), ~copies))
    return np.concatenate([order, np.arange(count, len(rows))])


def _strongest(affinity: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`affinity`, shape (n, m), with all but the _NEIGHBOURS largest of each row set to zero."""
    kept = np.zeros_like(affinity)
    nearest = np.argpartition(-affinity, min(_NEIGHBOURS, affinity.shape[1] - 1), axis=1)[:, :_NEIGHBOURS]
    np.put_along_axis(kept, nearest, np.take_along_axis(affinity, nearest, axis=1), axis=1)
    return kept
