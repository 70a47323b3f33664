"""The shortlist: which rows are worth an exact comparison.

Features are projected to their first principal directions and put into an Annoy index; its answers are candidates
only, since exact cosines decide (see `cbir.search`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from annoy import AnnoyIndex

from cbir.errors import IndexDamagedError
from cbir.hashing import file_sha256
from cbir.index import checked
from cbir.index.format import ShortlistEntry
from cbir.index.projection import DIRECTIONS, principal_directions, project

if TYPE_CHECKING:
    from cbir.index.store import Index

Floats = npt.NDArray[np.float32]

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
    trees: AnnoyIndex
    projection: Floats
    search_k: int

    def candidates(self, query: Floats, count: int) -> npt.NDArray[np.int64]:
        """At least `count` rows (fewer if there are no more) near `query`, shape (dimension,), best first."""
        projected = project(query[np.newaxis], self.projection)[0].tolist()  # Annoy reads lists faster than arrays
        # search_k is how many nodes Annoy looks at; a longer list needs more of them
        search_k = max(self.search_k, self.search_k * count // CANDIDATES)
        return np.asarray(self.trees.get_nns_by_vector(projected, count, search_k=search_k), dtype=np.int64)


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


def build(index: Index, path: Path) -> Built:
    """Project all valid rows of `index`, write their trees to `path`, and find the `search_k` for TARGET_RECALL.

    The trees grow in the file and not in memory, of which a million rows would take a gigabyte. OSError where they
    cannot be written.
    """
    projection = principal_directions(index)
    directions = len(projection) - 1
    trees = AnnoyIndex(directions, "angular")
    trees.set_seed(_SEED)
    path.touch()  # Annoy would make a file that nobody else may read
    try:
        trees.on_disk_build(str(path))
        valid = index.valid
        for start, chunk in index.chunks():
            for row, vector in enumerate(project(chunk, projection).tolist(), start):
                if valid[row]:
                    trees.add_item(row, vector)
        trees.build(TREES)
    except Exception as error:  # Annoy knows no other
        raise OSError(f"Annoy could not write {path}: {error}") from error
    return Built(projection, *_calibrate(index, trees, projection))


def open_shortlist(directory: Path, entry: ShortlistEntry, dimension: int) -> Shortlist:
    """Map the shortlist of an index into memory.

    Annoy trusts its file blindly: one of another dimension makes it read beyond the mapping's end. So length, checksum
    and structure are checked before it sees the file, unless they were and the file has not changed since;
    IndexDamagedError where they are wrong.
    """
    from cbir.index.rowfile import RowFile, checked_path

    directions = min(DIRECTIONS, dimension)
    stored = RowFile(directory, entry.projection, (directions + 1, dimension), np.dtype(np.float32))
    projection = stored.between(0, directions + 1)
    path = checked_path(directory, entry.trees)
    trees = AnnoyIndex(directions, "angular")
    try:
        if not checked.is_marked(path, entry.trees.sha256):
            if file_sha256(path) != entry.trees.sha256:
                raise IndexDamagedError(
                    f"{path} is not the file that was written (its checksum differs). `cbir index` makes it again."
                )
            check_trees(path, directions, entry.rows)
            checked.mark(path, entry.trees.sha256)
        trees.load(str(path))
    except OSError as error:
        raise IndexDamagedError(f"{path} cannot be loaded ({error}).") from error
    return Shortlist(entry.rows, trees, projection, entry.search_k)


def check_trees(path: Path, directions: int, rows: int) -> None:
    """Refuse an Annoy file that would lead Annoy out of its mapping, round in circles, or to rows beyond `rows`.

    A checksum does not help where someone forged it too. The file is an array of nodes: number of descendants, two
    children (for an item: unused), then `directions` floats. Items come first, in the order of their numbers, then
    the trees, children before parents, then a copy of the roots. A node with few descendants lists all of them from
    where its children would be. Raises IndexDamagedError.
    """
    fields = 3 + directions
    count, rest = divmod(path.stat().st_size, 4 * fields)
    if rest or not count:
        raise IndexDamagedError(f"{path} is damaged (its length is none of an Annoy index).")
    nodes: npt.NDArray[np.int32] = np.memmap(path, np.int32, "r", shape=(count, fields))
    descendants = np.array(nodes[:, 0])
    items = int(descendants[-1])
    problem = None
    if not 0 < items <= min(rows, count - 1):
        problem = "its number of items is impossible"
    elif descendants[:items].min() < 0 or descendants[:items].max() > 1 or descendants[items:].min() < 1:
        problem = "a node has an impossible number of descendants"
    else:
        inner = descendants[items:]
        most = fields - 1  # as many descendants as fit into a node's room are listed
        numbers = np.arange(items, count)
        parents = numbers[inner > most]
        children = np.array(nodes[parents, 1:3])
        roots = int(np.argmin(descendants[::-1] == items)) if (descendants != items).any() else count
        leaves = numbers[inner <= most]
        # a part at a time: the rows of all leaves together may be large
        for part in np.array_split(leaves, max(1, len(leaves) // 4096)):
            listed = np.arange(most) < descendants[part, np.newaxis]
            if not ((nodes[part, 1:] >= 0) & (nodes[part, 1:] < items) | ~listed).all():
                problem = "a node lists items that there are not"
        if (children < 0).any() or (children >= parents[:, np.newaxis]).any():
            problem = "a node has children that come after it"
        else:
            # two parents would be 2**n ways down n nodes; the copies of the roots have the roots' children
            own = children[parents < count - roots]
            if len(own) and np.bincount(own[own >= items], minlength=1).max() > 1:
                problem = "a node has two parents"
    if problem:
        raise IndexDamagedError(f"{path} is damaged ({problem}).")


def _calibrate(index: Index, trees: AnnoyIndex, projection: Floats) -> tuple[int, float]:
    """The least `search_k` with TARGET_RECALL of the exact first ten, on sampled rows, and its recall."""
    rng = np.random.default_rng(_SEED)
    rows = np.flatnonzero(index.valid)
    queries = index.features(rng.choice(rows, min(_PROBES, len(rows)), replace=False))
    exact, _ = exact_first(index, queries, 10)
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


def exact_first(index: Index, queries: Floats, count: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """The first `count` valid rows by cosine, in no order, and their cosines; both of shape (queries, count).

    `queries` has shape (queries, dimension), all rows are compared, and there are at least `count`.
    """
    scores = np.full((len(queries), count), -np.inf, dtype=np.float32)
    rows = np.zeros((len(queries), count), dtype=np.int64)
    for start, chunk in index.chunks():
        cosines = queries @ chunk.T
        cosines[:, ~index.valid[start : start + len(chunk)]] = -np.inf
        scores = np.concatenate([scores, cosines], axis=1)
        rows = np.concatenate([rows, np.broadcast_to(np.arange(start, start + len(chunk)), cosines.shape)], axis=1)
        best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        scores, rows = np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)
    return rows, scores
