"""The shortlist: which rows are worth an exact comparison.

Features are projected to their first principal directions and put into an Annoy index; its answers are candidates
only, since exact cosines decide (see `cbir.search.searcher`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from annoy import AnnoyIndex

from cbir.index.ann.projection import DIRECTIONS, principal_directions, project
from cbir.index.ann.trees import Trees
from cbir.index.exact import RowSource, exact_first
from cbir.index.format import ShortlistEntry
from cbir.index.rowfile import RowFile
from cbir.utils.vectors import Floats

TREES = 40
CANDIDATES = 200

#: Up to here an exact scan takes a few milliseconds, and no shortlist is kept.
SMALL = 5000

TARGET_RECALL = 0.99
_SEARCH_K = (2000, 4000, 8000, 16_000, 32_000, 64_000)
_PROBES = 100
_SEED = 1


@dataclass(frozen=True)
class Shortlist:
    """An open Annoy index over the first `rows` rows. `projection` has the mean in row 0, then the directions."""

    rows: int
    trees: Trees
    projection: Floats
    search_k: int

    def candidates(self, query: Floats, count: int) -> npt.NDArray[np.int64]:
        """At least `count` rows (fewer if there are no more) near `query`, shape (dimension,), best first."""
        projected = project(query[np.newaxis], self.projection)[0].tolist()  # Annoy reads lists faster than arrays
        # search_k is how many nodes Annoy looks at; a longer list needs more of them
        search_k = max(self.search_k, self.search_k * count // CANDIDATES)
        return np.asarray(self.trees.nearest(projected, count, search_k), dtype=np.int64)


@dataclass(frozen=True)
class Built:
    """What `build` made beside the trees' file: the projection, and the `search_k` that reaches the `recall`."""

    projection: Floats
    search_k: int
    recall: float


def is_needed(meta_rows: int, covered: int | None) -> bool:
    """Whether an index of that many rows wants a (new) shortlist, of whose rows `covered` are in the old one.

    Rows outside the shortlist are compared exactly, so it need not follow each change: up to 5,000 rows or a tenth
    may wait.
    """
    outside = meta_rows - (covered or 0)
    return meta_rows > SMALL and outside > (max(SMALL, meta_rows // 10) if covered else 0)


def build(source: RowSource, path: Path) -> Built:
    """Project all valid rows of `source`, write their trees to `path`, and find the `search_k` for TARGET_RECALL.

    The trees grow in the file, which is there already, and not in memory, of which a million rows would take a
    gigabyte. OSError where they cannot be written.
    """
    projection = principal_directions(source)
    directions = len(projection) - 1
    trees = AnnoyIndex(directions, "angular")
    trees.set_seed(_SEED)
    try:
        trees.on_disk_build(str(path))
        valid = source.valid
        for start, chunk in source.chunks():
            for row, vector in enumerate(project(chunk, projection).tolist(), start):
                if valid[row]:
                    trees.add_item(row, vector)
        trees.build(TREES)
    except Exception as error:  # Annoy knows no other
        raise OSError(f"Annoy could not write {path}: {error}") from error
    return Built(projection, *_calibrate(source, trees, projection))


def open_shortlist(directory: Path, entry: ShortlistEntry, dimension: int, valid: npt.NDArray[np.bool_]) -> Shortlist:
    """Open the shortlist of an index, of whose rows these are `valid`, shape (rows,).

    IndexDamagedError where length, checksum or structure of its files are wrong.
    """
    directions = min(DIRECTIONS, dimension)
    stored = RowFile(directory, entry.projection, (directions + 1, dimension), np.dtype(np.float32))
    projection = stored.between(0, directions + 1)
    if not np.isfinite(projection).all():
        raise stored.damaged("is damaged (not all of its numbers are finite)")
    trees = Trees(directory, entry.trees, directions, entry.rows, valid[: entry.rows])
    return Shortlist(entry.rows, trees, projection, entry.search_k)


def _calibrate(source: RowSource, trees: AnnoyIndex, projection: Floats) -> tuple[int, float]:
    """The least `search_k` with TARGET_RECALL of the exact first ten, on sampled rows, and its recall."""
    rng = np.random.default_rng(_SEED)
    rows = np.flatnonzero(source.valid)
    queries = source.features(rng.choice(rows, min(_PROBES, len(rows)), replace=False))
    exact, _ = exact_first(source, queries, 10)
    projected = project(queries, projection).tolist()
    search_k, recall = 0, 0.0
    for search_k in _SEARCH_K:
        hits = 0
        for vector, wanted in zip(projected, exact, strict=True):
            hits += len(set(wanted.tolist()) & set(trees.get_nns_by_vector(vector, CANDIDATES, search_k=search_k)))
        recall = hits / exact.size
        if recall >= TARGET_RECALL:
            break
    return search_k, recall
