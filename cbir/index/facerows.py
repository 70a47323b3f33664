"""The faces of an index's rows, read of its blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cbir.errors import CbirError
from cbir.index.columns.column import ColumnReader, Mask, Records
from cbir.index.columns.faces import FACES, FOUND, VECTORS, Places, are_known, check_vectors, count_faces, unpack
from cbir.index.columns.ragged import RaggedReader
from cbir.index.entries import FacesEntry
from cbir.utils.vectors import Floats, Rows

# What `FaceRows` has of each face.
_OF_FACES = ("rows", "numbers", "boxes", "scores", "heights", "vectors")


@dataclass(frozen=True)
class FaceRows:
    """The faces of rows, in the order of these, of each the largest first.

    Of each face there are its row and its number within it from 0 on, both shape (n,); its box, x, y, width and height
    in pixels of the upright picture, (n, 4); its score from 0 to 1 and its height in pixels of the picture as it is
    stored, (n,); and its vector, (n, dimension), of length 1. `known` is a mask of the rows that were looked at,
    shape (rows,); these may have none.
    """

    rows: Rows
    numbers: Rows
    boxes: npt.NDArray[np.int32]
    scores: Floats
    heights: npt.NDArray[np.int32]
    vectors: Floats
    known: Mask

    def __len__(self) -> int:
        return len(self.rows)

    def chosen(self, places: Mask | Rows) -> FaceRows:
        """Return some of the faces, of the same rows."""
        its = {name: getattr(self, name)[places] for name in _OF_FACES}
        return FaceRows(**its, known=self.known)

    def of_valid(self, valid: Mask) -> FaceRows:
        """Return the faces of rows that count; of others nothing is known."""
        is_valid = valid[self.rows]
        found = self if is_valid.all() else self.chosen(is_valid)
        return found._with(found.rows, self.known & valid)

    def moved(self, first: int) -> FaceRows:
        """Return the same faces, whose rows are numbered from another one on."""
        return self._with(self.rows + first, self.known)

    def _with(self, rows: Rows, known: Mask) -> FaceRows:
        return replace(self, rows=rows, known=known)


def no_faces(rows: int, dimension: int) -> FaceRows:
    """Return the faces of rows of which nothing is known."""
    none, numbers = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32)
    vectors, known = np.zeros((0, dimension), np.float32), np.zeros(rows, dtype=np.bool_)
    return FaceRows(none, none, numbers.reshape(0, 4), np.zeros(0, np.float32), numbers, vectors, known)


def finder_of(directory: Path, entry: FacesEntry | None) -> FacesEntry:
    """Return the finder of an index's faces. CbirError, which says what to do, where it is to have none."""
    if entry is None:
        name = directory.name
        raise CbirError(f"The index {name} has no faces: `cbir index --index {name} --faces` looks for them.")
    return entry


def counts_of(valid: Mask, chunks: Iterable[tuple[int, Records]]) -> Rows:
    """Count the faces of each row that counts, shape (rows,), by chunks of the records of FOUND; 0 of others."""
    counts = np.zeros(len(valid), dtype=np.int64)
    for start, records in chunks:
        counts[start : start + len(records)] = np.maximum(count_faces(records), 0)
    return np.where(valid, counts, 0)


def joined(parts: Sequence[FaceRows], dimension: int, vectors: Floats | None = None) -> FaceRows:
    """Return the faces of some rows, and of the rows after these, and so on, as one, with the `vectors` of all."""
    first, found = 0, [no_faces(0, dimension)]
    for part in parts:
        found.append(part.moved(first))
        first += len(part.known)
    names = [*_OF_FACES, "known"]
    if vectors is not None:
        names.remove("vectors")
    its = {name: np.concatenate([getattr(part, name) for part in found]) for name in names}
    return FaceRows(**its) if vectors is None else FaceRows(**its, vectors=vectors)


def read_faces(blocks: Sequence[Mapping[str, ColumnReader]], dimension: int) -> FaceRows:
    """Read the faces of the rows of blocks, by the readers of their columns. IndexDamagedError where they are unsound.

    Of a block that does not have all files of them, nothing is known.
    """
    readers = [_readers(columns) for columns in blocks]
    have = [places.has_file and vectors.has_file for _, places, vectors in readers]
    counts = [
        int(np.maximum(places.counts, 0).sum()) if has else 0 for has, (_, places, _) in zip(have, readers, strict=True)
    ]
    # those of all blocks in one piece: with a hundred thousand faces, each copy takes as long as reading them
    every = np.empty((sum(counts), dimension), dtype=np.float32)
    parts, end = [], 0
    for has, count, (found, places, vectors) in zip(have, counts, readers, strict=True):
        records = found.parsed(np.asarray)
        if has:
            check = partial(_vectors, dimension=dimension)
            its = places.parsed_flat(unpack), vectors.parsed_flat(check, out=every[end : end + count])
            parts.append(_of(records, *its))
        else:
            parts.append(no_faces(len(records), dimension))
        end += count
    return joined(parts, dimension, every)


def read_faces_of(row: int, columns: Mapping[str, ColumnReader], dimension: int) -> FaceRows:
    """Read the faces of one row of a block, as if it were the only one; raises as `read_faces`."""
    found, places, vectors = _readers(columns)
    if not (places.has_file and vectors.has_file):
        return no_faces(1, dimension)
    its = places.parsed_flat(unpack, row), vectors.parsed_flat(partial(_vectors, dimension=dimension), row)
    return _of(found.take(np.array([row])), *its)


def _of(records: Records, places: Places, vectors: Floats) -> FaceRows:
    """Return the faces of rows, by their records of FOUND, and what is known of each face."""
    counts = np.maximum(count_faces(records), 0)
    numbers = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return FaceRows(np.repeat(np.arange(len(counts)), counts), numbers, *places, vectors, are_known(records))


def _vectors(records: Records, dimension: int) -> Floats:
    check_vectors(records, dimension)
    return records.reshape(len(records), dimension)


def _readers(columns: Mapping[str, ColumnReader]) -> tuple[ColumnReader, RaggedReader, RaggedReader]:
    places, vectors = columns[FACES.name], columns[VECTORS.name]
    assert isinstance(places, RaggedReader)
    assert isinstance(vectors, RaggedReader)
    return columns[FOUND.name], places, vectors
