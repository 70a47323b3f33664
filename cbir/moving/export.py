"""Writing an index's rows for other programs: Parquet, or vectors and a list of their paths."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np

from cbir.errors import CbirError, IndexDamagedError
from cbir.index.columns.classes import CLASSES, RowClasses, unpack
from cbir.index.columns.column import Column, Records
from cbir.index.columns.faces import FOUND, count_faces
from cbir.index.entries import FacesEntry, TreatmentEntry
from cbir.index.files import Files
from cbir.index.store import Index
from cbir.moving import arrays, vectorfile
from cbir.moving.parquet import KEPT, ParquetWriter, pyarrow
from cbir.moving.parquet_groups import groups_of
from cbir.moving.rows import About, Numbers
from cbir.tags.tagger import RowTags
from cbir.utils.marks import Mark
from cbir.utils.outputs import check_output, write_output
from cbir.utils.shares import Told, nobody, telling
from cbir.utils.vectors import Rows

PARQUET = ".parquet"
ENDINGS = (PARQUET, *vectorfile.ENDINGS)

#: The kind of a Parquet file, by which cbir knows its own again.
KIND = "rows"

# Rows that are written at a time.
_GROUP = 4096

_ARGUMENT = "cbir export FILE"


@dataclass(frozen=True)
class Exported:
    """The files that were written, of so many rows; so many more were left out, as their features are damaged.

    So many `faces` are in them, with their vectors.
    """

    files: tuple[Path, ...]
    rows: int
    damaged: int = 0
    faces: int = 0


def check_target(path: Path, *, force: bool = False) -> None:
    """CbirError where nothing can be exported to a file, told before the work."""
    if path.suffix not in ENDINGS:
        raise CbirError(
            f"{path} has none of the endings that say what is to be written: .parquet (all that is known of each "
            "picture), .npy and .fvecs (features, with the paths in a .json beside them)."
        )
    if path.suffix == PARQUET:
        pyarrow()
        check_output(path, _ARGUMENT, KIND, force=force)
        return
    check_output(path, _ARGUMENT, "vectors", force=force)
    check_output(path.with_suffix(".json"), _ARGUMENT, arrays.KIND, force=force)


def export(index: Index, path: Path, *, force: bool = False, told: Told = nobody) -> Exported:
    """Write the rows of an index that count, in their order, to a file whose ending says how. Memory holds some rows.

    `told` gets the share that is done. CbirError where it cannot be written.
    """
    check_target(path, force=force)
    rows = _sound(index, told)
    about = About(_without_places(index.model), index.meta.root, index.meta.precisions)
    damaged = int(index.valid.sum()) - len(rows)
    if path.suffix == PARQUET:
        mark = str(Mark(KIND))
        about = replace(about, faces=_finder_of(index), treatment=_treatment_of(index))
        faces = [0]

        def fill_parquet(file: IO[bytes]) -> None:
            faces[0] = _fill(file, index, rows, about, mark, told)

        write_output(path, fill_parquet, _ARGUMENT, KIND, force=force)
        return Exported((path,), len(rows), damaged, faces[0])

    def fill(file: IO[bytes]) -> None:
        chunks = telling((halves for _, halves in _stored(index, rows)), told, -(-len(rows) // _GROUP))
        arrays.write_vectors(file, chunks, len(rows), index.dimension, path.suffix)

    write_output(path, fill, _ARGUMENT, "vectors", force=force)
    files, listed = _known(index.files(), rows), path.with_suffix(".json")
    mark = str(Mark(arrays.KIND))
    write_output(listed, lambda file: arrays.write_paths(file, files, about, mark), _ARGUMENT, arrays.KIND, force=force)
    return Exported((path, listed), len(rows), damaged)


def _sound(index: Index, told: Told) -> Rows:
    """Return the rows that count and whose features are sound: they are read once for that."""
    for start, chunk in index.chunks():
        told((start + len(chunk)) / index.rows / 2)
    return np.flatnonzero(index.comparable)


def _stored(index: Index, rows: Rows) -> Iterator[tuple[Rows, Numbers]]:
    """Yield features as they are stored, with their rows."""
    for start in range(0, len(rows), _GROUP):
        some = rows[start : start + _GROUP]
        # float32 holds what float16 does
        yield some, index.features(some).astype(np.float16)


def _known(files: Files, rows: Rows) -> Files:
    """Return the files of some rows; of a content that nobody has seen, no SHA-256 is told."""
    chosen = rows.tolist()
    paths, sizes, times, contents = ([values[row] for row in chosen] for values in files)
    told = [content if size else None for size, content in zip(sizes, contents, strict=True)]
    return Files(paths, sizes, times, told)  # type: ignore[arg-type]


def _fill(file: IO[bytes], index: Index, rows: Rows, about: About, mark: str, told: Told) -> int:
    """Write the rows, and return how many faces they have."""
    writer, tags, faces = ParquetWriter(file, index.dimension, about, mark), RowTags(index), 0
    for done, (some, halves) in enumerate(_stored(index, rows), start=1):
        records = {column: _records(index, column, some) for column in KEPT}
        for group in groups_of(about):
            records |= _of_group(index, group.columns, some)
        if about.faces is not None:
            faces += int(np.maximum(count_faces(records[FOUND]), 0).sum())
        its_tags = [None if one is None else [tag.word for tag in one] for one in tags.of(some.tolist())]
        writer.write(index.files_of(some.tolist()), halves, records, its_tags, _classes(records[CLASSES]))
        told(min(0.5 + done * _GROUP / max(len(rows), 1) / 2, 1.0))
    writer.close()
    return faces


def _finder_of(index: Index) -> FacesEntry | None:
    """Return what an index says of the finder of its faces, without where on this machine a user's network lies."""
    entry = index.meta.faces
    return None if entry is None else replace(entry, source=os.path.basename(entry.source))


def _treatment_of(index: Index) -> TreatmentEntry | None:
    """Return what an index says of its treatments, if there are any."""
    entry = index.meta.treatment
    return entry if entry is not None and entry.numbers else None


def _of_group(index: Index, columns: Sequence[Column], rows: Rows) -> dict[Column, Records]:
    """Read what is kept in columns; blank where one of their files is damaged, since none says anything alone."""
    try:
        records: dict[Column, Records] = {column: index.stored(column, rows) for column in columns}
    except IndexDamagedError:
        return {column: column.blank(len(rows)) for column in columns}
    return records


def _records(index: Index, column: Column, rows: Rows) -> Records:
    """Read a column's records; blank where its file is damaged, which is said elsewhere."""
    try:
        return index.stored(column, rows)
    except IndexDamagedError:
        return column.blank(len(rows))


def _classes(records: Records) -> RowClasses | None:
    try:
        return unpack(records)
    except ValueError:
        return None


def _without_places(model: dict[str, object]) -> dict[str, object]:
    """Return what an index says of its network, without where its weights lie on this machine."""
    if isinstance(members := model.get("members"), list):
        return {**model, "members": [_without_places(member) for member in members]}
    weights = model.get("weights")
    return {**model, "weights": {**weights, "path": None}} if isinstance(weights, dict) else model
