"""Faces in Parquet files: of each picture a list, with box, score, height and vector of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cbir.index.columns.column import Records
from cbir.index.columns.faces import FACE, FACES, FOUND, VECTORS, check_vectors, count_faces, unpack
from cbir.index.columns.ragged import split

if TYPE_CHECKING:
    import pyarrow as pa

#: The name of the column.
NAME = "faces"

#: Rows that are read at a time: of 256 faces each, with usual vectors, they are 34 MB.
TOGETHER = 256


def type_of(arrow: Any, dimension: int) -> pa.DataType:
    """Return the type of the column, for vectors of so many numbers; `arrow` is pyarrow."""
    face = [
        ("box", arrow.list_(arrow.uint32(), 4)),
        ("score", arrow.float32()),
        ("height", arrow.uint32()),
        ("vector", arrow.list_(arrow.float32(), dimension)),
    ]
    return arrow.list_(arrow.struct(face))


def as_arrow(arrow: Any, dimension: int, found: Records, faces: Records, vectors: Records) -> pa.Array:
    """Return the column of some rows, by their records; null where nothing is known of a picture."""
    counts = np.array([0 if its is None else len(its) for its in faces], dtype=np.int64)
    boxes, scores, heights = unpack(_joined(faces, np.empty((0, 1), FACE)))
    flat = _joined(vectors, np.empty((0, dimension), np.float32))
    check_vectors(flat, dimension)
    values = arrow.StructArray.from_arrays(
        [
            arrow.FixedSizeListArray.from_arrays(arrow.array(boxes.reshape(-1).astype(np.uint32)), 4),
            arrow.array(scores, arrow.float32()),
            arrow.array(heights.astype(np.uint32)),
            arrow.FixedSizeListArray.from_arrays(arrow.array(flat.reshape(-1)), dimension),
        ],
        fields=list(type_of(arrow, dimension).value_type),
    )
    offsets = arrow.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    return arrow.ListArray.from_arrays(
        offsets, values, type=type_of(arrow, dimension), mask=arrow.array(count_faces(found) < 0)
    )


def from_arrow(column: pa.Array, found: Records, dimension: int) -> tuple[Records, Records]:
    """Return the records of FACES and VECTORS of some rows, by the column and the records of FOUND.

    Raises ValueError where it is no such column, or what it says cannot be.
    """
    counts = count_faces(found)
    try:
        lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        flat = column.flatten()
        of = dict(zip((field.name for field in flat.type), flat.flatten(), strict=True))
        boxes, vectors = (_numbers(of[name].flatten()) for name in ("box", "vector"))
        scores, heights = _numbers(of["score"]), _numbers(of["height"])
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"it has no lists of faces, {error}") from error
    total = int(np.maximum(counts, 0).sum())
    if (lengths != np.maximum(counts, 0)).any() or len(boxes) != 4 * total or len(vectors) != dimension * total:
        raise ValueError("it has not as many as it says")
    faces = np.zeros((total, 1), dtype=FACE)
    faces["box"][:, 0] = boxes.reshape(-1, 4)
    faces["score"][:, 0] = np.clip(np.rint(np.nan_to_num(scores) * 65535), 1, 65535)
    faces["height"][:, 0] = heights
    unpack(faces)
    numbers = np.ascontiguousarray(vectors.reshape(total, dimension), dtype=np.float32)
    check_vectors(numbers, dimension)
    return split(counts, faces), split(counts, numbers)


#: The columns that it stands for.
COLUMNS = (FOUND, FACES, VECTORS)


def _numbers(array: pa.Array) -> Any:
    if array.null_count:
        raise ValueError("a number is missing")
    return array.to_numpy(zero_copy_only=False)


def _joined(records: Records, empty: Records) -> Records:
    return np.concatenate([empty, *(its for its in records if its is not None and len(its))])
