"""Writing the blocks of an index anew: each of these writes files, and returns the state that names them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cbir.errors import IndexDamagedError
from cbir.index.ann.registry import builder
from cbir.index.blockentry import BlockEntry
from cbir.index.columns.column import Column, Mask, Records, noting_missing, ranges_of
from cbir.index.columns.parts import SIGNS
from cbir.index.columns.ragged import RaggedColumn, RaggedReader, count, width_of
from cbir.index.columns.registry import all_columns, kept_together
from cbir.index.datafile import how_to_repair
from cbir.index.entries import MILVUS, ColumnEntry
from cbir.index.files import FileRecord, dump_records
from cbir.index.format import Meta
from cbir.index.newfiles import NewFiles
from cbir.index.rowfile import npy_bytes
from cbir.index.store import Index
from cbir.utils.vectors import Rows

if TYPE_CHECKING:
    from cbir.index.ann.milvus.backend import Milvus

Feature = npt.NDArray[np.floating]

#: Records of one row, by the names of their columns: shapes (width,).
Stored = Mapping[str, Records]

Ranges = tuple[tuple[int, int], ...]

#: Records that a file of a ragged column is to have, and numbers of each.
Shape = tuple[int, int]


def appended(new: NewFiles, meta: Meta, rows: Sequence[tuple[FileRecord, Feature, Stored]]) -> Meta:
    """Write rows as one more block: of each its file, its feature and what columns have of it."""
    stacked = np.stack([feature for _, feature, _ in rows])
    _check_counts(stored for _, _, stored in rows)
    columns: dict[Column, Iterator[Records]] = {}
    shapes: dict[Column, Shape] = {}
    for column in all_columns():
        if any(column.name in stored for _, _, stored in rows):
            records = column.blank(len(rows))
            for place, (_, _, stored) in enumerate(rows):
                if column.name in stored:
                    records[place] = stored[column.name]
            columns[column] = iter([records])
            if isinstance(column, RaggedColumn):
                shapes[column] = (int(np.maximum(count(records), 0).sum()), width_of(records) or 0)
    block = _write_block(
        new, meta, len(rows), iter([stacked]), (record for record, _, _ in rows), columns, shapes=shapes
    )
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
    shapes = _shapes(source, np.ones(source.rows, dtype=np.bool_))
    block = _write_block(new, meta, joined, features, files, columns, ranges_of(~source.valid), shapes)
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
    features = kept(source.stored_features())
    block = _write_block(new, meta, int(valid.sum()), features, files, columns, shapes=_shapes(source, valid))
    return meta.but(blocks=(block,), candidates=None, part_lists=None, next_number=meta.next_number + 1)


def streamed(
    new: NewFiles,
    meta: Meta,
    rows: int,
    features: Iterator[npt.NDArray[Any]],
    files: Iterable[FileRecord],
    columns: Mapping[Column, Iterator[Records]],
    shapes: Mapping[Column, Shape],
) -> Meta:
    """Write one more block of so many rows, whose features and columns come in chunks; ragged ones have `shapes`."""
    block = _write_block(new, meta, rows, features, files, columns, shapes=shapes)
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
    names = {column.name for one in all_columns() if one.counted_by is not None for column in kept_together(one)}
    counted = {name: its for name, its in records.items() if name in names}
    rows = {row for its in counted.values() for row in its}
    _check_counts({name: its[row] for name, its in counted.items() if row in its} for row in rows)
    start = 0
    for number, block in enumerate(meta.blocks):
        # what is written of one column tells how many records there are of others
        before = Index(new.directory, meta.but(blocks=(block,), candidates=None))
        for column in all_columns():
            found = records.get(column.name, {}).items()
            its = {row - start: one for row, one in found if start <= row < start + block.rows}
            if its:
                shape = (block.rows, column.width)
                if isinstance(column, RaggedColumn):
                    shape = _shape_with(before, column, its)
                entry = _write_column(new, meta, shape, column, _filled_in(before, column, its))
                block = block.with_columns({column.name: entry})
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
    shapes: Mapping[Column, Shape] = MappingProxyType({}),
) -> BlockEntry:
    """Write the next block of `meta`, whose features and columns come in chunks; ragged ones have `shapes`."""
    number = f"{meta.next_number:06}"
    stored = new.write(f"features-{number}.npy", npy_bytes((rows, meta.dimension), np.dtype("<f2"), features))
    records = new.write(f"files-{number}.json", dump_records(files))
    entries = {
        column.name: _write_column(new, meta, shapes.get(column, (rows, column.width)), column, chunks)
        for column, chunks in columns.items()
    }
    return BlockEntry(rows, stored, records, invalid, entries)


def _write_column(new: NewFiles, meta: Meta, shape: Shape, column: Column, chunks: Iterator[Records]) -> ColumnEntry:
    missing = [np.zeros(0, dtype=np.bool_)]
    content = column.content(shape, noting_missing(column, chunks, missing))
    entry = new.write(f"{column.name}-{meta.next_number:06}.npy", content)
    return ColumnEntry(entry.name, entry.bytes, entry.sha256, ranges_of(np.concatenate(missing)))


def _shapes(source: Index, kept: Mask) -> dict[Column, Shape]:
    """Return the shapes of files of ragged columns that have the records of some rows of an index."""
    return {
        column: (int(np.maximum(_counts(source, column), 0)[kept].sum()), _width(source, column))
        for column in _columns_of(source)
        if isinstance(column, RaggedColumn)
    }


def _shape_with(source: Index, column: RaggedColumn, records: Mapping[int, Records]) -> Shape:
    """Return the shape of the file of a ragged column in which rows are filled in."""
    counts = np.maximum(_counts(source, column), 0)
    rows = list(records)
    counts[rows] = count(records.values())
    # what is replaced may have been of another width
    is_left = np.delete(counts, rows).any()
    return int(counts.sum()), (_width(source, column) if is_left else None) or width_of(records.values()) or 0


def _readers(source: Index, column: RaggedColumn) -> list[RaggedReader]:
    found = (block.columns[column.name] for block in source.blocks)
    return [reader for reader in found if isinstance(reader, RaggedReader)]


def _counts(source: Index, column: RaggedColumn) -> Rows:
    return np.concatenate([np.zeros(0, np.int64), *(reader.counts for reader in _readers(source, column))])


def _width(source: Index, column: RaggedColumn) -> int:
    """Return the width of an index's records; IndexDamagedError where they have several."""
    widths = {reader.width for reader in _readers(source, column)} - {None}
    if len(widths) > 1:
        raise IndexDamagedError(
            f"{source.directory} is damaged (its {column.name} have several lengths). {how_to_repair(source.directory)}"
        )
    return widths.pop() or 0 if widths else 0


def _check_counts(rows: Iterable[Stored]) -> None:
    """Raise ValueError where rows that are to be written do not have the records that they say they have."""
    ragged = [column for column in all_columns() if isinstance(column, RaggedColumn)]
    for stored in rows:
        for column in ragged:
            assert column.counted_by is not None
            counting, its = stored.get(column.counted_by.name), stored.get(column.name)
            said = -1 if counting is None else int(column.counts(counting[np.newaxis])[0])
            if said != (-1 if its is None else len(its)):
                raise ValueError(f"a row has not as many {column.name} as {column.counted_by.name}")
