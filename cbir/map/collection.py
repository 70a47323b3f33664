"""Choosing the pictures of an index that stand on its map, and their places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cbir.errors import CbirError
from cbir.images.sources.address import Location
from cbir.index.ann.projection import principal_directions, project
from cbir.map.grid import DIMENSION, Grid, arrange, grid_for
from cbir.notions.notion import LearntRows, Notion
from cbir.utils.shares import Told, between, nobody
from cbir.utils.vectors import Floats, Rows, l2_normalize, nearest_of

if TYPE_CHECKING:
    from cbir.index.exact import RowSource
    from cbir.index.store import Index

#: Pictures on a map, unless somebody asks for others: what a page still shows smoothly, and an eye takes in.
MOST = 2500

#: Width over height of the whole map: a screen's.
ASPECT = 1.4

_SEED = 1
_ROUNDS = 8


@dataclass(frozen=True)
class MapCell:
    """A picture on a map: its row in the index, its path, its place on the grid, and how many it stands for."""

    row: int
    path: Location
    column: int
    line: int
    pictures: int


@dataclass(frozen=True)
class CollectionMap:
    """All cells of a map, line by line, of an index with so many `pictures` in all, by a notion if there is one."""

    index: Index
    grid: Grid
    cells: list[MapCell]
    pictures: int
    notion: Notion | None = None


def map_index(
    index: Index, *, most: int = MOST, aspect: float = ASPECT, notion: Notion | None = None, told: Told = nobody
) -> CollectionMap:
    """Lay out the pictures of an index on a grid about `aspect` times as wide as high, like beside like.

    They are like each other by their features, or by a `notion` of the index. Of more than `most`, groups of like
    pictures are found and the picture in the middle of each stands for it. The same index gives the same map. `told`
    gets the share that is done, and may end it by an error of its own. Raises CbirError where the index is empty.
    """
    if not len(index):
        raise CbirError(f"The index {index.directory.name} has no pictures: there is nothing to map.")
    rows, vectors = _projected(index if notion is None else LearntRows(index, notion))
    told(0.1)
    counts = np.ones(len(rows), dtype=np.int64)
    if len(rows) > most:
        chosen, counts = representatives(vectors, most, told=between(told, 0.1, 0.5))
        rows, vectors = rows[chosen], vectors[chosen]
    grid = grid_for(len(rows), aspect)
    places = arrange(vectors, grid, told=between(told, 0.5, 1))
    cells = []
    for number in np.argsort(places).tolist():
        line, column = divmod(int(places[number]), grid.columns)
        path = index.root / index.record(int(rows[number])).path
        cells.append(MapCell(int(rows[number]), path, column, line, int(counts[number])))
    return CollectionMap(index, grid, cells, len(index), notion)


def representatives(vectors: Floats, count: int, seed: int = _SEED, told: Told = nobody) -> tuple[Rows, Rows]:
    """Choose representatives of `vectors`, shape (n, dimension): the one in the middle of each of at most `count`
    groups.

    Returns their numbers and the groups' sizes, each of shape (groups,). The groups are those of k-means, started from
    as many vectors drawn at random: with thousands of groups a better start gains nothing that an eye sees.
    """
    random = np.random.default_rng(seed)
    centres = vectors[np.sort(random.choice(len(vectors), count, replace=False))]
    nearest, distances = nearest_of(vectors, centres)
    for done in range(_ROUNDS):
        told(done / _ROUNDS)
        used, nearest = np.unique(nearest, return_inverse=True)
        sums = np.zeros((len(used), vectors.shape[1]), dtype=np.float32)
        np.add.at(sums, nearest, vectors)
        centres = sums / np.bincount(nearest).astype(np.float32)[:, np.newaxis]
        nearest, distances = nearest_of(vectors, centres)
    order = np.lexsort((distances, nearest))  # by group, the nearest to its centre first
    _, first, sizes = np.unique(nearest[order], return_index=True, return_counts=True)
    return order[first], sizes


def _projected(source: RowSource) -> tuple[Rows, Floats]:
    """Return the valid rows, and what layout and groups see of them: shape (n, at most 50), each of length 1."""
    projection = principal_directions(source)[: 1 + DIMENSION]
    parts = [project(chunk, projection)[source.valid[start : start + len(chunk)]] for start, chunk in source.chunks()]
    return np.flatnonzero(source.valid), l2_normalize(np.concatenate(parts))
