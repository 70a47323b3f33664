"""The treatments of an index's rows, read of its blocks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from cbir.errors import CbirError, IndexDamagedError
from cbir.index.columns.treatment import NUMBERS, unpack
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
    numbers = entry_of(index).numbers
    parts = index.parsed(NUMBERS, partial(_unpacked, numbers=numbers))
    rows, vectors, first = [np.zeros(0, np.int64)], [np.zeros((0, numbers), np.float16)], 0
    for its_rows, its, count in parts:
        rows.append(its_rows + first)
        vectors.append(its)
        first += count
    every = np.concatenate(rows)
    counts = index.valid[every]
    found = np.concatenate(vectors)
    return TreatmentRows(every, found) if counts.all() else TreatmentRows(every[counts], found[counts])


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


def _unpacked(records: npt.NDArray[np.object_], numbers: int) -> tuple[Rows, npt.NDArray[np.float16], int]:
    return (*unpack(records, numbers), len(records))
