"""Columns of an index that a Parquet file has only where the index has them: faces, and how pictures were treated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cbir.index.columns.column import Column, Records
from cbir.index.columns.faces import FACES, FOUND, VECTORS
from cbir.index.columns.treatment import NUMBERS, TREATED, check_numbers, pack
from cbir.moving import parquet_faces
from cbir.moving.rows import About

if TYPE_CHECKING:
    import pyarrow as pa

#: What the name of a column begins with that has another one's records as they are stored.
STORED = "cbir_"

_FOUND = STORED + FOUND.name


@dataclass(frozen=True)
class Group:
    """Columns of an index that go into a file together: what they are in words, and how many rows are read at a time.

    `fields` gives, by pyarrow, the file's columns with their types, `write` what is in these of some rows' records, and
    `read` the records of some rows of these; ValueError where they cannot be.
    """

    what: str
    columns: tuple[Column, ...]
    names: tuple[str, ...]
    together: int
    fields: Callable[[Any], Sequence[pa.DataType]]
    write: Callable[[Any, Mapping[Column, Records]], Sequence[pa.Array]]
    read: Callable[[Sequence[pa.Array]], Mapping[Column, Records]]


def groups_of(about: About) -> list[Group]:
    """List the groups that rows have."""
    found = []
    if about.faces is not None:
        found.append(_faces(about.faces.dimension))
    if about.treatment is not None:
        found.append(_treatment(about.treatment.numbers))
    return found


def binary(arrow: Any, records: Records, column: Column) -> pa.Array:
    """Return the records of rows as they are stored; `arrow` is pyarrow."""
    width = column.width * column.dtype.itemsize
    content = arrow.py_buffer(np.ascontiguousarray(records).tobytes())
    return arrow.Array.from_buffers(arrow.binary(width), len(records), [None, content])


def from_binary(array: pa.Array, column: Column) -> Records:
    """Read what `binary` returned. ValueError where it is something else."""
    content = b"".join(one or bytes(column.width * column.dtype.itemsize) for one in array.to_pylist())
    records = np.frombuffer(content, column.dtype).reshape(len(array), column.width)
    if column.check is not None:
        column.check(records)
    return records


def _faces(dimension: int) -> Group:
    def write(arrow: Any, records: Mapping[Column, Records]) -> Sequence[pa.Array]:
        its = (records[column] for column in parquet_faces.COLUMNS)
        return [parquet_faces.as_arrow(arrow, dimension, *its), binary(arrow, records[FOUND], FOUND)]

    def read(arrays: Sequence[pa.Array]) -> Mapping[Column, Records]:
        found = from_binary(arrays[1], FOUND)
        places, vectors = parquet_faces.from_arrow(arrays[0], found, dimension)
        return {FOUND: found, FACES: places, VECTORS: vectors}

    return Group(
        "faces",
        (FOUND, FACES, VECTORS),
        (parquet_faces.NAME, _FOUND),
        parquet_faces.TOGETHER,
        lambda arrow: [parquet_faces.type_of(arrow, dimension), arrow.binary(FOUND.dtype.itemsize)],
        write,
        read,
    )


def _treatment(numbers: int) -> Group:
    """Describe the vector of each picture, float16 as it is stored: null where nobody looked, empty where it has none.

    It is no list of numbers, of which there is one in a file: the feature, by which other programs find it.
    """

    def write(arrow: Any, records: Mapping[Column, Records]) -> Sequence[pa.Array]:
        for its in records[NUMBERS]:
            check_numbers(NUMBERS.blank(0) if its is None else its, numbers)
        contents = [None if its is None else its.tobytes() for its in records[NUMBERS]]
        return [arrow.array(contents, arrow.binary())]

    def read(arrays: Sequence[pa.Array]) -> Mapping[Column, Records]:
        states, found = TREATED.blank(len(arrays[0])), NUMBERS.blank(len(arrays[0]))
        for row, content in enumerate(arrays[0].to_pylist()):
            if content is None:
                continue
            if not isinstance(content, bytes) or len(content) not in (0, numbers * NUMBERS.dtype.itemsize):
                raise ValueError(f"one has not {numbers} numbers")
            vectors = np.frombuffer(content, NUMBERS.dtype).reshape(-1, numbers)
            check_numbers(vectors, numbers)
            states[row], found[row] = pack(vectors.sum(axis=0))[TREATED.name], vectors
        return {TREATED: states, NUMBERS: found}

    return Group(
        "treatments",
        (TREATED, NUMBERS),
        (STORED + TREATED.name,),
        4096,
        lambda arrow: [arrow.binary()],
        write,
        read,
    )
