"""Pictures on a grid, like beside like.

Linear assignment sorting (Barthel, Hezel, Jung and Schall: Improved Evaluation and Generation of Grid Layouts using
Distance Preservation Quality and Linear Assignment Sorting, Computer Graphics Forum 42, 2023): the vectors that stand
on the grid are smoothed over it, each vector is assigned to the place whose smoothed one it is most like, and the
smoothing gets narrower from step to step, so that first the whole and then the neighbourhoods fall into order. As in
the paper's fast variant, vectors change places within random groups of cells, which is nearly as good and far faster.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cbir.utils.shares import Told, nobody
from cbir.utils.vectors import Floats

Cells = npt.NDArray[np.int64]

#: Principal components that the layout sees. Fewer lose neighbours, more change nothing.
DIMENSION = 50

_SEED = 1
_GROUP = 256  # cells within which vectors change places; an assignment's time grows with the third power of it
_NARROWER = 0.9  # of the smoothing's radius from step to step
_ROUNDS = 2  # with each radius


class Grid(NamedTuple):
    """A grid of cells, in columns and rows; cell `row * columns + column` is at (column, row)."""

    columns: int
    rows: int


def grid_for(count: int, aspect: float) -> Grid:
    """Return the smallest grid of at least `count` cells, about `aspect` times as wide as high."""
    columns = max(1, min(count, math.ceil(math.sqrt(count * aspect))))
    return Grid(columns, max(1, math.ceil(count / columns)))


def arrange(vectors: Floats, grid: Grid, seed: int = _SEED, told: Told = nobody) -> Cells:
    """Return a cell of its own for each of `vectors` so that neighbours are alike: shape (n,).

    `vectors`, shape (n, dimension), are of length 1, their first dimensions those in which they differ most; some 50
    are enough. The same on every run with one `seed`. ValueError where the grid has too few cells.
    """
    cells = grid.columns * grid.rows
    if len(vectors) > cells:
        raise ValueError(f"{len(vectors)} vectors do not fit into {cells} cells")
    held = np.full(cells, -1)  # which vector stands in a cell; -1 for none
    held[by_median_splits(vectors[:, :2], grid)] = np.arange(len(vectors))
    random = np.random.default_rng(seed)
    radius = widest = max(grid) / 2
    while radius > 1:
        told(1 - math.log(radius) / math.log(widest))
        radius = max(1.0, radius * _NARROWER)
        smooth = _smoothed(vectors, held, grid, round(radius))
        for _ in range(_ROUNDS):
            order = random.permutation(cells)
            for start in range(0, cells, _GROUP):
                group = order[start : start + _GROUP]
                held[group] = _reassigned(vectors, held[group], smooth[group])
    place = np.empty(len(vectors), dtype=np.int64)
    taken = np.flatnonzero(held >= 0)
    place[held[taken]] = taken
    return place


def _reassigned(vectors: Floats, held: Cells, smooth: Floats) -> Cells:
    """Return the new contents of cells that hold `held`: each vector goes where `smooth` is most like it."""
    from scipy.optimize import linear_sum_assignment

    ones = held[held >= 0]
    # no cell is nearer to an empty place than another, so those go where they cost the others least
    costs = np.zeros((len(held), len(held)), dtype=np.float32)
    costs[: len(ones)] = -vectors[ones] @ smooth.T
    costs[: len(ones)] += (smooth**2).sum(axis=1) / 2  # half of the squared distance, but for the vector's own length
    new = np.full(len(held), -1)
    new[linear_sum_assignment(costs)[1][: len(ones)]] = ones
    return new


def _smoothed(vectors: Floats, held: Cells, grid: Grid, radius: int) -> Floats:
    """Return each cell's mean of the vectors within `radius` columns and rows, shape (cells, dimension)."""
    from scipy.ndimage import uniform_filter1d

    is_taken = held >= 0
    sums = np.zeros((len(held), vectors.shape[1] + 1), dtype=np.float32)  # with how many there are as a last column
    sums[is_taken, :-1] = vectors[held[is_taken]]
    sums[is_taken, -1] = 1
    sums = sums.reshape(grid.rows, grid.columns, -1)
    for axis in (0, 1):
        sums = uniform_filter1d(sums, 2 * radius + 1, axis=axis, mode="nearest")
    sums = sums.reshape(len(held), -1)
    return np.asarray(sums[:, :-1] / np.maximum(sums[:, -1:], 1e-6), dtype=np.float32)


def by_median_splits(points: Floats, grid: Grid) -> Cells:
    """Give a cell to each of `points`, shape (n, 2), halving the grid across its longer side, and the points too."""
    place = np.empty(len(points), dtype=np.int64)
    todo = [(np.arange(len(points)), 0, grid.columns, 0, grid.rows)]
    while todo:
        ones, left, right, top, bottom = todo.pop()
        width, height = right - left, bottom - top
        if width * height == 1:
            place[ones] = top * grid.columns + left
        elif width >= height:
            middle = left + width // 2
            first, second = _halved(ones, points[ones, 0], (middle - left) * height, (right - middle) * height)
            todo += [(first, left, middle, top, bottom), (second, middle, right, top, bottom)]
        else:
            middle = top + height // 2
            first, second = _halved(ones, points[ones, 1], (middle - top) * width, (bottom - middle) * width)
            todo += [(first, left, right, top, middle), (second, left, right, middle, bottom)]
    return place


def _halved(ones: Cells, positions: Floats, room: int, room_after: int) -> tuple[Cells, Cells]:
    """`ones` in two parts by position, in proportion to the two parts' cells, and no more than these."""
    share = round(len(ones) * room / (room + room_after))
    share = min(max(share, len(ones) - room_after), room)
    order = ones[np.argsort(positions, kind="stable")]
    return order[:share], order[share:]
