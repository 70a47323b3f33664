"""Treatments of rows, as a block's `treatment-….npy` and `treatment_numbers-….npy` have them.

`TREATED` says of each picture whether there is a vector of it, and `NUMBERS` has these, of length 1 and as many numbers
as the network makes. A picture that nobody has looked at yet is 0 in the first, and has nothing in the other; nor has
one of which the network made nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cbir.index.columns.column import Column, Records
from cbir.index.columns.ragged import RaggedColumn, are_missing
from cbir.index.entries import MOST_TREATMENT_NUMBERS
from cbir.utils.vectors import Floats, Rows

# A picture was looked at, in vain or not.
_NOTHING, _THERE, _UNAVAILABLE = 1, 2, 0xFF

# The most that the square of a vector's length may be from 1: its numbers are rounded to float16.
_MOST_OFF = 5e-3


def pack(vector: Floats) -> dict[str, Records]:
    """Pack the treatment of one picture, shape (numbers,), of any length, as it is stored, by the columns' names."""
    vector = np.asarray(vector, dtype=np.float64)
    length = np.linalg.norm(vector) if np.isfinite(vector).all() else 0.0
    is_there = 0 < length < np.inf
    numbers = (vector / length if is_there else vector[:0])[np.newaxis].astype(NUMBERS.dtype)
    state = np.array([_THERE if is_there else _NOTHING], dtype=TREATED.dtype)
    return {TREATED.name: state, NUMBERS.name: numbers if is_there else numbers[:0]}


def count_vectors(records: Records) -> Rows:
    """Return how many vectors rows have, by their records of TREATED, shape (rows, 1); -1 where nobody has looked.

    Raises ValueError where they are unsound.
    """
    states = records[:, 0].astype(np.int64)
    states[states == _UNAVAILABLE] = _NOTHING
    if states.max(initial=0) > _THERE:
        raise ValueError("a picture has more than one treatment")
    return states - _NOTHING


def check_numbers(records: Records, numbers: int | None = None) -> None:
    """Raise ValueError where vectors, shape (n, numbers), are not of length 1, or have not so many `numbers`."""
    if not len(records):
        return
    if numbers not in (None, records.shape[1]):
        raise ValueError(f"a treatment has {records.shape[1]} numbers instead of {numbers}")
    with np.errstate(invalid="ignore", over="ignore"):
        squares = np.einsum("ij,ij->i", records, records, dtype=np.float32)
    if not (np.abs(squares - 1) < _MOST_OFF).all():
        raise ValueError("a treatment does not have length 1")


def unpack(records: Records, numbers: int) -> tuple[Rows, npt.NDArray[np.float16]]:
    """Check and unpack the records of NUMBERS of rows as they are in memory, shape (rows,).

    Returns the rows that have a vector, shape (n,), and the vectors, (n, numbers). ValueError where they are unsound.
    """
    rows = np.array([row for row, its in enumerate(records) if its is not None and len(its)], dtype=np.int64)
    vectors = np.zeros((0, numbers), dtype=NUMBERS.dtype)
    if len(rows):
        vectors = np.concatenate(records[rows].tolist())
        check_numbers(vectors, numbers)
    return rows, vectors


#: Whether there is a treatment of each picture.
TREATED = Column(
    "treatment",
    np.dtype("u1"),
    1,
    np.array([_UNAVAILABLE], dtype="u1"),
    is_missing=lambda records: np.asarray(records[:, 0] == 0),
    is_unavailable=lambda records: np.asarray(records[:, 0] == _UNAVAILABLE),
    check=count_vectors,
    group="treatment",
    advice="`cbir index --index {index}` makes those of the others",
    offer="none: `cbir index --index {index} --treatment` makes them",
)

#: The vectors.
NUMBERS = RaggedColumn(
    "treatment_numbers",
    np.dtype("<f2"),
    MOST_TREATMENT_NUMBERS,
    np.zeros((0, 0), dtype="<f2"),
    is_missing=are_missing,
    is_unavailable=lambda records: np.zeros(len(records), dtype=np.bool_),
    check=check_numbers,
    group="treatment",
    counted_by=TREATED,
    counts=count_vectors,
    most=1,
)
