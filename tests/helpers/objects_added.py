"""A copy of an index to which detections are added, for tests that need files and no detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cbir.index.columns.registry import all_columns
from cbir.index.entries import ObjectsEntry
from cbir.index.store import Index
from cbir.index.writer import Writer
from tests.helpers.object_index import Thing, packed


def with_objects(
    index: Index, directory: Path, things: Mapping[str, Sequence[Thing]], names: Sequence[str], least_score: float = 0.4
) -> Index:
    """A new index in `directory` of the same pictures, of which those of `things`, by path, have these detections.

    Of the others it is not known what they show.
    """
    directory.mkdir(parents=True)
    its = [column for column in all_columns() if all(column.name in block.columns for block in index.meta.blocks)]
    writer = Writer(directory, replace(index.meta, blocks=(), cosines=None))
    for row in range(index.rows):
        record = index.record(row)
        columns = {column.name: index.stored(column, [row])[0] for column in its}
        columns |= packed(things.get(record.path), names)
        assert writer.add(record, index.features([row])[0], columns)
    writer.commit(objects=ObjectsEntry("toy", "toy", "ab" * 32, "/toy.onnx", tuple(names), least_score))
    return Index.open(directory)
