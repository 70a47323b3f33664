"""Annoy: a forest of random trees over the first principal directions of the features."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from annoy import AnnoyIndex

from cbir.index.ann.base import USUAL
from cbir.index.ann.projection import principal_directions, project, read_projection
from cbir.index.ann.trees import Trees
from cbir.index.entries import ANNOY, CandidatesEntry
from cbir.index.exact import RowSource, exact_first
from cbir.index.values import LARGEST
from cbir.utils.threads import shared_out
from cbir.utils.vectors import Floats, Rows

if TYPE_CHECKING:
    from cbir.index.newfiles import NewFiles

TREES = 40

TARGET_RECALL = 0.99
_SEARCH_K = (2000, 4000, 8000, 16_000, 32_000, 64_000)
_PROBES = 100
_SEED = 1


@dataclass(frozen=True)
class AnnoyCandidates:
    """An open Annoy index over the first `rows` rows. `projection` has the mean in row 0, then the directions.

    `search_k` is how many nodes Annoy looks at for the usual number of candidates.
    """

    rows: int
    trees: Trees
    projection: Floats
    search_k: int
    most: int = LARGEST

    def search(self, queries: Floats, count: int) -> list[Rows]:
        # side by side, as Annoy lets other threads go on while it looks
        return shared_out(lambda query: self._near(query, count), list(queries))

    def search_direction(self, direction: Floats, count: int) -> Rows:
        return self._near(self.projection[0] + direction, count)

    def check(self) -> None:
        self.trees.check()

    def _near(self, query: Floats, count: int) -> Rows:
        projected = project(query[np.newaxis], self.projection)[0].tolist()  # Annoy reads lists faster than arrays
        # a longer list needs more nodes
        search_k = max(self.search_k, self.search_k * count // USUAL)
        return np.asarray(self.trees.nearest(projected, count, search_k), dtype=np.int64)


class Annoy:
    """The backend that an index has unless it says otherwise."""

    name = ANNOY
    files = MappingProxyType({"trees": "index", "projection": "projection"})
    settings = MappingProxyType({"search_k": (1, 10**7)})

    def build(self, source: RowSource, new: NewFiles, number: int) -> CandidatesEntry:
        """Project all valid rows of `source`, grow trees of them, and find the `search_k` for TARGET_RECALL."""
        path = new.make(f"index-{number:06}.ann")
        projection = principal_directions(source)
        trees = _grow(source, projection, path)
        search_k, recall = _calibrate(source, trees, projection)
        buffer = io.BytesIO()
        np.save(buffer, projection, allow_pickle=False)
        stored = new.write(f"projection-{number:06}.npy", [buffer.getvalue()])
        files = {"trees": new.finish(path.name), "projection": stored}
        return CandidatesEntry(source.rows, files, {"search_k": search_k}, recall)

    def open(
        self, directory: Path, entry: CandidatesEntry, dimension: int, valid: npt.NDArray[np.bool_]
    ) -> AnnoyCandidates:
        """Open them; IndexDamagedError where length, checksum or structure of the files are wrong."""
        projection = read_projection(directory, entry.files["projection"], dimension)
        trees = Trees(directory, entry.files["trees"], len(projection) - 1, entry.rows, valid[: entry.rows])
        return AnnoyCandidates(entry.rows, trees, projection, entry.settings["search_k"])


def _grow(source: RowSource, projection: Floats, path: Path) -> AnnoyIndex:
    """Return the trees of all valid rows, in the file `path`; OSError where they cannot be written.

    They grow in the file, which is there already, and not in memory, of which a million rows would take a gigabyte.
    """
    trees = AnnoyIndex(len(projection) - 1, "angular")
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
    return trees


def _calibrate(source: RowSource, trees: AnnoyIndex, projection: Floats) -> tuple[int, float]:
    """Return the least `search_k` with TARGET_RECALL of the exact first ten, on sampled rows, and its recall."""
    rng = np.random.default_rng(_SEED)
    rows = np.flatnonzero(source.valid)
    queries = source.features(rng.choice(rows, min(_PROBES, len(rows)), replace=False))
    exact, _ = exact_first(source, queries, 10)
    projected = project(queries, projection).tolist()
    search_k, recall = 0, 0.0
    for search_k in _SEARCH_K:
        hits = 0
        for vector, wanted in zip(projected, exact, strict=True):
            hits += len(set(wanted.tolist()) & set(trees.get_nns_by_vector(vector, USUAL, search_k=search_k)))
        recall = hits / exact.size
        if recall >= TARGET_RECALL:
            break
    return search_k, recall
