"""Writing the blocks of an index anew: each of these writes files, and returns the state that names them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cbir.index.ann.registry import builder
from cbir.index.blockentry import BlockEntry
from cbir.index.columns.column import Column, Records, noting_missing, ranges_of
from cbir.index.columns.parts import SIGNS
from cbir.index.columns.registry import all_columns
from cbir.index.entries import MILVUS, ColumnEntry
from cbir.index.files import FileRecord, dump_records
from cbir.index.format import Meta
from cbir.index.newfiles import NewFiles
from cbir.index.rowfile import npy_bytes
from cbir.index.store import Index

if TYPE_CHECKING:
    from cbir.index.ann.milvus.backend import Milvus

Feature = npt.NDArray[np.floating]

#: Records of one row, by the names of their columns: shapes (width,).
Stored = Mapping[str, Records]

Ranges = tuple[tuple[int, int], ...]


def appended(new: NewFiles, meta: Meta, rows: Sequence[tuple[FileRecord, Feature, Stored]]) -> Meta:
    """Write rows as one more block: of each its file, its feature and what columns have of it."""
    stacked = np.stack([feature for _, feature, _ in rows])
    columns = {}
    for column in all_columns():
        if any(column.name in stored for _, _, stored in rows):
            records = column.blank(len(rows))
            for place, (_, _, stored) in enumerate(rows):
                if column.name in stored:
                    records[place] = stored[column.name]
            columns[column] = iter([records])
    block = _write_block(new, meta, len(rows), iter([stacked]), (record for record, _, _ in rows), columns)
    return meta.but(blocks=(*meta.blocks, block), next_number=meta.next_number + 1)


def merged(new: NewFiles, meta: Meta) -> Meta:
    """Join the last two blocks as long as the former is less than twice the latter.

    Sizes then at least double from the end to the start, so there are few blocks, and a row is copied a number of times
    that grows with the logarithm of the index only. Rows keep their numbers.
    """
    count = len(meta.blocks)
    joined = meta.blocks[-1].rows if count else 0
    while count > 1 and meta.blocks[count - 2].rows < 2 * joined:
        count -= 1
        joined += meta.blocks[count - 1].rows
    if count >= len(meta.blocks):
        return meta
    source = Index(new.directory, meta.but(blocks=meta.blocks[count - 1 :], candidates=None))
    columns = {column: _chunks(source, column) for column in _columns_of(source)}
    features = (halves for _, halves in source.stored_features())
    files = (record for _, record in source.records())
    block = _write_block(new, meta, joined, features, files, columns, ranges_of(~source.valid))
    return meta.but(blocks=(*meta.blocks[: count - 1], block), next_number=meta.next_number + 1)


def compacted(new: NewFiles, meta: Meta, source: Index | None = None) -> Meta:
    """Write one block of the valid rows only, by default the index's own. They get new numbers: candidates go."""
    source = source or Index(new.directory, meta)
    valid = source.valid
    if not valid.any():
        return meta.but(blocks=(), candidates=None, part_lists=None)

    def kept(chunks: Iterable[tuple[int, npt.NDArray[Any]]]) -> Iterator[npt.NDArray[Any]]:
        return (chunk[valid[start : start + len(chunk)]] for start, chunk in chunks)

    columns = {column: kept(source.stored_chunks(column)) for column in _columns_of(source)}
    files = (record for row, record in source.records() if valid[row])
    block = _write_block(new, meta, int(valid.sum()), kept(source.stored_features()), files, columns)
    return meta.but(blocks=(block,), candidates=None, part_lists=None, next_number=meta.next_number + 1)


def streamed(
    new: NewFiles,
    meta: Meta,
    rows: int,
    features: Iterator[npt.NDArray[Any]],
    files: Iterable[FileRecord],
    columns: Mapping[Column, Iterator[Records]],
) -> Meta:
    """Write one more block of so many rows, whose features and columns come in chunks."""
    block = _write_block(new, meta, rows, features, files, columns)
    return meta.but(blocks=(*meta.blocks, block), next_number=meta.next_number + 1)


def with_candidates(new: NewFiles, meta: Meta) -> Meta:
    """Write candidates that cover all rows."""
    entry = builder().build(Index(new.directory, meta.but(candidates=None)), new, meta.next_number)
    return meta.but(candidates=entry, next_number=meta.next_number + 1)


def with_sent(new: NewFiles, meta: Meta, backend: Milvus, *, mend: bool) -> Meta:
    """Send to Milvus what it lacks of all rows; with `mend`, compare what is there, too."""
    former = meta.candidates if meta.candidates is not None and meta.candidates.backend == MILVUS else None
    source = Index(new.directory, meta.but(candidates=None))
    entry = backend.build(source, new, meta.next_number, former, mend=mend)
    return meta.but(candidates=entry, store=backend.store.after(entry), next_number=meta.next_number + 1)


def with_part_lists(new: NewFiles, meta: Meta) -> Meta:
    """Write lists of the windows of all rows."""
    from cbir.index.ann.listing import build_part_lists

    entry = build_part_lists(Index(new.directory, meta), new, meta.next_number)
    return meta.but(part_lists=entry, next_number=meta.next_number + 1)


def backfilled(new: NewFiles, meta: Meta, records: Mapping[str, Mapping[int, Records]]) -> Meta:
    """Write the files of columns anew in whose blocks rows are filled in: `records` of these, by column and row.

    All else of a block stays as it is. Lists of windows go where they are to have others.
    """
    if meta.part_lists and any(row < meta.part_lists.rows for row in records.get(SIGNS.name, ())):
        meta = meta.but(part_lists=None)
    start = 0
    for number, block in enumerate(meta.blocks):
        for column in all_columns():
            found = records.get(column.name, {}).items()
            its = {row - start: one for row, one in found if start <= row < start + block.rows}
            if its:
                stored = _filled_in(Index(new.directory, meta.but(blocks=(block,), candidates=None)), column, its)
                block = block.with_columns({column.name: _write_column(new, meta, block.rows, column, stored)})
        if block is not meta.blocks[number]:
            blocks = (*meta.blocks[:number], block, *meta.blocks[number + 1 :])
            meta = meta.but(blocks=blocks, next_number=meta.next_number + 1)
        start += block.rows
    return meta


def _filled_in(block: Index, column: Column, records: Mapping[int, Records]) -> Iterator[Records]:
    for first, chunk in block.stored_chunks(column):
        for place in range(len(chunk)):
            if first + place in records:
                chunk[place] = records[first + place]
        yield chunk


def _columns_of(source: Index) -> list[Column]:
    """Return the columns that some of its blocks have."""
    return [column for column in all_columns() if any(column.name in block.columns for block in source.meta.blocks)]


def _chunks(source: Index, column: Column) -> Iterator[Records]:
    return (chunk for _, chunk in source.stored_chunks(column))


def _write_block(
    new: NewFiles,
    meta: Meta,
    rows: int,
    features: Iterator[npt.NDArray[Any]],
    files: Iterable[FileRecord],
    columns: Mapping[Column, Iterator[Records]],
    invalid: Ranges = (),
) -> BlockEntry:
    """Write the next block of `meta`, whose features and columns come in chunks."""
    number = f"{meta.next_number:06}"
    stored = new.write(f"features-{number}.npy", npy_bytes((rows, meta.dimension), np.dtype("<f2"), features))
    records = new.write(f"files-{number}.json", dump_records(files))
    entries = {column.name: _write_column(new, meta, rows, column, chunks) for column, chunks in columns.items()}
    return BlockEntry(rows, stored, records, invalid, entries)


def _write_column(new: NewFiles, meta: Meta, rows: int, column: Column, chunks: Iterator[Records]) -> ColumnEntry:
    missing = [np.zeros(0, dtype=np.bool_)]
    content = column.content(rows, noting_missing(column, chunks, missing))
    entry = new.write(f"{column.name}-{meta.next_number:06}.npy", content)
    return ColumnEntry(entry.name, entry.bytes, entry.sha256, ranges_of(np.concatenate(missing)))
