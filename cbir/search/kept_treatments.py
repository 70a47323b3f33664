"""The treatments of a large index as they are compared, kept from one search to the next.

To make them, all features are read, which takes most of a second for 100,000 pictures; they take a tenth of the
features' room.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from cbir.index import similarity
from cbir.index.ann.base import SMALL
from cbir.index.columns.treatment import NUMBERS, TREATED
from cbir.index.derived import Derived
from cbir.index.quantiles import CosineQuantiles
from cbir.index.store import Index
from cbir.index.treatments import entry_of, treatments_of
from cbir.search import treatment_space
from cbir.search.treatment_space import Content, TreatmentSpace, Usual

# What is kept is of this way of making it, and of no other: a number that grows with each change of `treatment_space`.
_VERSION = 1

# The header is padded to a multiple of so many bytes, so that the numbers after it lie well.
_ALIGNED = 64

_LONGEST_HEADER = 4096


def treatment_space_of(index: Index) -> TreatmentSpace:
    """Return the treatments of all rows that count, to be compared; kept ones where they are of the index's state.

    CbirError where the index is to have none, or they are unsound.
    """
    numbers, kept = entry_of(index).numbers, None
    if index.rows > SMALL:
        how = f"{_VERSION} {treatment_space.SOFTENING} {treatment_space.STRANGEST} {treatment_space.RIDGE}"
        kept = Derived.of(index, "treatments", (TREATED, NUMBERS), how)
    if kept is not None and (content := kept.read(_most(index, numbers))) is not None:
        try:
            return _unpacked(content)
        except (ValueError, KeyError, TypeError):
            pass  # which a file with the right checksum is not
    found = TreatmentSpace.of(treatments_of(index), index)
    # of rows that turned out to be damaged, each search is to say so
    if kept is not None and not index.damage:
        kept.keep(_packed(found))
    return found


def _most(index: Index, numbers: int) -> int:
    """Return the bytes that an index's treatments take at most."""
    of_all = 4 * (numbers + index.dimension) * (numbers + 1)
    return _LONGEST_HEADER + of_all + index.rows * (8 + 2 * numbers)


def _packed(space: TreatmentSpace) -> list[bytes]:
    header = {
        "rows": len(space.rows),
        "numbers": space.vectors.shape[1],
        "dimension": 0 if space.content is None else len(space.content.mean),
        "pairs": None if space.quantiles is None else space.quantiles.random,
    }
    text = json.dumps(header).encode("ascii")
    arrays = [space.rows, *space.usual, *(space.content or ()), space.vectors]
    return [text + b" " * (-(len(text) + 1) % _ALIGNED) + b"\n", *(one.tobytes() for one in arrays)]


def _unpacked(content: memoryview) -> TreatmentSpace:
    end = bytes(content[:_LONGEST_HEADER]).index(b"\n") + 1
    header: dict[str, Any] = json.loads(bytes(content[:end]))
    rows, numbers, dimension = (int(header[name]) for name in ("rows", "numbers", "dimension"))
    position = end

    def taken(dtype: npt.DTypeLike, *shape: int) -> npt.NDArray[Any]:
        nonlocal position
        count = int(np.prod(shape))
        found = np.frombuffer(content, dtype, count, position).reshape(shape)
        position += found.nbytes
        return found

    its_rows = taken(np.int64, rows)
    usual = Usual(taken(np.float32, numbers), taken(np.float32, numbers, numbers))
    told = Content(taken(np.float32, dimension), taken(np.float32, dimension, numbers)) if dimension else None
    vectors = taken(np.float16, rows, numbers)
    if position != len(content):
        raise ValueError("more bytes than are told")
    pairs = None if header["pairs"] is None else tuple(map(float, header["pairs"]))
    quantiles = None if pairs is None else CosineQuantiles(rows, similarity.PROBABILITIES, pairs, pairs)
    return TreatmentSpace(its_rows, vectors, usual, told, quantiles)
