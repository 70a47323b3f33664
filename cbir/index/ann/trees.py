"""Annoy's file: checked before Annoy sees it, and out of others' reach while it does.

Annoy maps its file into memory and trusts it blindly: one of another dimension, or that is changed under its hands,
makes it read beyond the mapping's end, and one that is cut off ends the process.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from annoy import AnnoyIndex

from cbir.errors import IndexDamagedError, reason_of
from cbir.index import verified
from cbir.index.datafile import DataFile
from cbir.index.entries import FileEntry
from cbir.utils.hashing import content_sha256
from cbir.utils.owners import open_for_others

_PART_BYTES = 16 << 20


class Trees:
    """An open Annoy index over the first `rows` rows of an index, as vectors of so many `directions`.

    A file that others can write to is copied first. One that is the user's own is mapped where it is, as copying a
    hundred megabytes takes as long as a search; then `check` tells, before each use, whether it is still the same. The
    `valid` rows, shape (rows,), have to be in it. IndexDamagedError where it is no such file.
    """

    def __init__(
        self, directory: Path, entry: FileEntry, directions: int, rows: int, valid: npt.NDArray[np.bool_]
    ) -> None:
        self._file = DataFile(directory, entry)
        self._status = os.fstat(self._file.descriptor)
        folder = directory.stat()
        self._copy: IO[bytes] | None = None
        if open_for_others(self._status) or open_for_others(folder):
            self._copy = self._copied()
            after = os.fstat(self._file.descriptor)
            if (after.st_mtime_ns, after.st_ctime_ns) != (self._status.st_mtime_ns, self._status.st_ctime_ns):
                raise self._damaged("is being changed")
        what = f"{entry.sha256}-{rows}"
        if not verified.is_marked(self._file.path, what, self._status):
            with open(self._path(), "rb") as content:
                if content_sha256(content) != entry.sha256:
                    raise self._damaged("is not the file that was written (its checksum differs)")
                problem = find_problem(content, directions, rows, valid)
            if problem:
                raise self._damaged(f"is damaged ({problem})")
            verified.mark(self._file.path, what, self._status)
        self._annoy = AnnoyIndex(directions, "angular")
        try:
            self._annoy.load(self._path())
        except OSError as error:
            raise self._damaged(f"cannot be loaded ({error})") from error

    def check(self) -> None:
        """Raise IndexDamagedError where the file has been changed since it was opened."""
        now = os.fstat(self._file.descriptor)
        if self._copy is None and (now.st_size, now.st_mtime_ns) != (self._status.st_size, self._status.st_mtime_ns):
            raise self._damaged("was changed while it was in use")

    def nearest(self, vector: list[float], count: int, search_k: int) -> list[int]:
        """Find about `count` items nearest to a vector, best first, by looking at so many nodes."""
        found: list[int] = self._annoy.get_nns_by_vector(vector, count, search_k=search_k)
        return found

    def _path(self) -> str:
        """Return a path by which Annoy finds the very file that is open, and not another program's in its place."""
        descriptor = self._file.descriptor if self._copy is None else self._copy.fileno()
        if sys.platform == "linux" and os.path.exists(path := f"/proc/self/fd/{descriptor}"):
            return path
        return str(self._file.path if self._copy is None else self._copy.name)

    def _copied(self) -> IO[bytes]:
        """Return a copy of the file that no other user can reach, gone with the process."""
        try:
            if hasattr(os, "memfd_create"):
                copy: IO[bytes] = os.fdopen(os.memfd_create("cbir"), "r+b")
            else:
                copy = tempfile.NamedTemporaryFile()  # noqa: SIM115 (as long as the trees are in use)
            for start in range(0, self._file.size, _PART_BYTES):
                copy.write(self._file.read(start, _PART_BYTES))
            copy.flush()
        except (OSError, MemoryError) as error:
            raise self._damaged(f"cannot be copied ({reason_of(error)})") from error
        return copy

    def _damaged(self, problem: str) -> IndexDamagedError:
        return IndexDamagedError(f"{self._file.path} {problem}. `cbir index` makes it again.")


def find_problem(file: IO[bytes], directions: int, rows: int, valid: npt.NDArray[np.bool_]) -> str | None:
    """Say why an Annoy file would lead Annoy out of its mapping, round in circles, or beyond `rows`, if it would.

    A checksum does not help where someone forged it too. The file is an array of nodes: number of descendants, two
    children (for an item: unused), then `directions` floats. Items come first, in the order of their numbers, then
    the trees, children before parents, then a copy of the roots. A node with few descendants lists all of them from
    where its children would be. The `valid` ones of the rows, shape (rows,), have to be among the items.
    """
    fields = 3 + directions
    most = fields - 1  # as many descendants as fit into a node's room are listed
    count, rest = divmod(os.fstat(file.fileno()).st_size, 4 * fields)
    if rest or not count:
        return "its length is none of an Annoy index"
    items = int(_nodes(file, count - 1, 1, fields)[0, 0])
    if not 0 < items <= min(rows, count - 1):
        return "its number of items is impossible"
    descendants = np.empty(count, dtype=np.int32)
    their_parents, their_children = [], []
    step = max(1, _PART_BYTES // (4 * fields))
    for start in range(0, count, step):
        nodes = _nodes(file, start, min(step, count - start), fields)
        descendants[start : start + len(nodes)] = nodes[:, 0]
        is_inner = np.arange(start, start + len(nodes)) >= items
        leaves, parents = nodes[is_inner & (nodes[:, 0] <= most)], np.flatnonzero(is_inner & (nodes[:, 0] > most))
        listed = np.arange(most) < leaves[:, :1]
        if not ((leaves[:, 1:] >= 0) & (leaves[:, 1:] < items) | ~listed).all():
            return "a node lists items that there are not"
        their_parents.append(parents + start)
        their_children.append(nodes[parents, 1:3])
    if descendants[:items].min() < 0 or descendants[:items].max() > 1 or descendants[items:].min() < 1:
        return "a node has an impossible number of descendants"
    there = np.zeros(rows, dtype=np.bool_)
    there[:items] = descendants[:items] == 1
    if not there[valid].all():
        return "it lacks rows of the index"
    numbers, children = np.concatenate(their_parents), np.concatenate(their_children)
    if (children < 0).any() or (children >= numbers[:, np.newaxis]).any():
        return "a node has children that come after it"
    # two parents would be 2**n ways down n nodes; the copies of the roots have the roots' children
    roots = int(np.argmin(descendants[::-1] == items)) if (descendants != items).any() else count
    own = children[numbers < count - roots]
    if len(own) and np.bincount(own[own >= items], minlength=1).max() > 1:
        return "a node has two parents"
    return None


def _nodes(file: IO[bytes], first: int, count: int, fields: int) -> npt.NDArray[np.int32]:
    file.seek(4 * fields * first)
    return np.frombuffer(file.read(4 * fields * count), dtype=np.int32).reshape(-1, fields)
