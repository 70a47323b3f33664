"""The treatments of an index's rows, read of its blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbir.errors import CbirError, IndexDamagedError
from cbir.index.columns.ragged import RaggedReader
from cbir.index.columns.treatment import NUMBERS, check_numbers, unpack
from cbir.index.entries import TreatmentEntry
from cbir.index.joined import JoinedIndex
from cbir.index.store import Index
from cbir.utils.vectors import Floats, Rows, l2_normalize


@dataclass(frozen=True)
class TreatmentRows:
    """The treatments of an index's pictures that count: their rows, ascending, shape (n,), and vectors of length 1.

    These have the shape (n, numbers), float16 as they are stored.
    """

    rows: Rows
    vectors: npt.NDArray[np.float16]


def entry_of(index: Index) -> TreatmentEntry:
    """Return what an index says of its treatments. CbirError, which says what to do, where it is to have none."""
    if (entry := index.meta.treatment) is not None:
        return entry
    members = index.members if isinstance(index, JoinedIndex) else [index]
    lacking = [one for one in members if one.meta.treatment is None] or members
    name = lacking[0].directory.name
    raise CbirError(
        f"The index {name} does not know how its pictures were treated: `cbir index --index {name} --treatment` looks "
        "at them for that."
    )


def treatments_of(index: Index) -> TreatmentRows:
    """Read the treatments of all rows that count. CbirError where the index is to have none, or they are unsound."""
    numbers, first = entry_of(index).numbers, 0
    rows, vectors = [np.zeros(0, np.int64)], [np.zeros((0, numbers), np.float16)]
    for block in index.blocks:
        reader = block.columns[NUMBERS.name]
        assert isinstance(reader, RaggedReader)
        counts = reader.counts
        # as they lie in the file: to cut them into those of each row takes longer than to read them
        if reader.has_file and (counts > 0).any():
            rows.append(np.flatnonzero(counts > 0) + first)
            vectors.append(reader.parsed_flat(lambda found: _checked(found, numbers)))
        first += len(counts)
    every, found = np.concatenate(rows), np.concatenate(vectors)
    valid = index.valid[every]
    return TreatmentRows(every, found) if valid.all() else TreatmentRows(every[valid], found[valid])


def treatment_of(index: Index, row: int) -> Floats | None:
    """Read the treatment of one row, float32 of length 1; None where there is no sound one."""
    try:
        _, vectors = unpack(index.stored(NUMBERS, [row]), entry_of(index).numbers)
    except (IndexDamagedError, ValueError):
        return None
    return l2_normalize(vectors[0].astype(np.float32)) if len(vectors) else None


def check_vector(index: Index, vector: Floats) -> None:
    """Raise IndexDamagedError where the network makes treatments of another length than the index says."""
    numbers = entry_of(index).numbers
    if numbers not in (0, len(vector)):
        raise IndexDamagedError(
            f"{index.directory} holds {numbers} numbers a treatment, but its network makes {len(vector)}: take them "
            f"away and make them anew (`cbir index --index {index.directory.name}` with --no-treatment, then "
            "--treatment)."
        )


def _checked(records: npt.NDArray[np.float16], numbers: int) -> npt.NDArray[np.float16]:
    check_numbers(records, numbers)
    return records
