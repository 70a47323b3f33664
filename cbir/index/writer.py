"""Changing an index directory: new files first, then `meta.json` in one step.

A reader finds the state of before or of after, whenever a writer is killed: data files are written under names that
no committed state uses, synced, and only then named by a new `meta.json`, which replaces the old one. What no state
names is rubbish of a killed run, and the next writer removes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cbir.errors import IndexDamagedError, IndexWriteError, reason_of
from cbir.index import similarity
from cbir.index.ann import annoy
from cbir.index.columns.column import Column, Records, mask_of, noting_missing, ranges_of
from cbir.index.columns.registry import all_columns
from cbir.index.entries import ColumnEntry, FileEntry
from cbir.index.files import FileRecord, dump_records
from cbir.index.format import (
    META,
    BlockEntry,
    Meta,
    PartsEntry,
    RefusedEntry,
    ShortlistEntry,
    is_writers,
)
from cbir.index.lock import now
from cbir.index.refused import MOST, Refused, dump
from cbir.index.rights import Rights, create
from cbir.index.rowfile import npy_bytes
from cbir.index.store import Index
from cbir.utils.hashing import file_sha256
from cbir.utils.interrupts import uninterrupted

Feature = npt.NDArray[np.floating]

#: What is stored of one row in columns, by their names: shapes (width,).
Stored = Mapping[str, Records]

#: Invalid rows that a small index may keep; a large one keeps up to a quarter.
WORTH_COMPACTING = 1000


class Writer:
    """Collects changes to an index and commits them. The caller holds the lock (`index.lock.exclusive`).

    `meta` is the last committed state, or the first state of a new index, which exists once it is committed.
    """

    def __init__(self, directory: Path, meta: Meta) -> None:
        self.directory = directory
        self.meta = meta
        self._rights = Rights.like(Path(meta.root), directory)
        self._invalid = [_mask(block) for block in meta.blocks]
        # together, so that an interruption cannot part a record from its feature
        self._pending: list[tuple[FileRecord, Feature, Stored]] = []
        self._backfilled: dict[str, dict[int, Records]] = defaultdict(dict)
        self._refused: tuple[str, list[Refused]] | None = None
        self._written: list[Path] = []
        self._reader: Index | None = None
        self._remove_unnamed()
        self._rights.keep_to(directory)

    @property
    def pending(self) -> int:
        """Rows that were added and are not committed yet."""
        return len(self._pending)

    @property
    def uncommitted(self) -> int:
        """About how many rows were added or filled in, which are not committed yet. Asked after each picture."""
        return len(self._pending) + max(map(len, self._backfilled.values()), default=0)

    @property
    def last_row(self) -> int:
        """The number of the row that was added last."""
        return self.meta.rows + self.pending - 1

    def count_valid(self) -> int:
        """Files in the index, those that are not committed yet included."""
        return self.meta.rows + self.pending - sum(int(mask.sum()) for mask in self._invalid)

    def feature(self, row: int) -> Feature | None:
        """The feature of a row, committed or pending, valid or not, shape (dimension,); None where it is damaged."""
        if row >= self.meta.rows:
            return self._pending[row - self.meta.rows][1]
        committed = self._committed()
        feature: Feature = committed.features([row])[0]
        return feature if committed.is_sound(row) else None

    def stored(self, column: Column, row: int) -> Records | None:
        """What a column has, or will have, of a row, numbered as in `feature`: shape (width,), or None."""
        if row >= self.meta.rows:
            return self._pending[row - self.meta.rows][2].get(column.name)
        if row in self._backfilled[column.name]:
            return self._backfilled[column.name][row]
        records = self._committed().stored(column, [row])
        found: Records = records[0]
        return None if column.is_missing(records)[0] else found

    def add(self, record: FileRecord, feature: Feature, stored: Stored | None = None) -> bool:
        """Add a row. `feature`, shape (dimension,), is brought to length 1; `stored` goes into columns.

        Where that cannot be, because it is zero or not finite, nothing is added and False returned.
        """
        vector = np.asarray(feature, dtype=np.float32)
        if vector.shape != (self.meta.dimension,):
            raise ValueError(f"a feature of shape {vector.shape} in an index of dimension {self.meta.dimension}")
        length = float(np.linalg.norm(vector.astype(np.float64)))
        if not np.isfinite(length) or length == 0:
            return False
        self._pending.append((record, (vector / length).astype(np.float16), stored or {}))
        return True

    def backfill(self, column: Column, rows: Iterable[int], records: Records) -> None:
        """Store `records`, shape (width,), of each of some committed rows from the next commit on."""
        self._backfilled[column.name].update(dict.fromkeys(rows, records))

    def invalidate(self, rows: Iterable[int]) -> None:
        """Rows (numbered as in the committed state) that count no more from the next commit on."""
        starts = np.cumsum([0, *(len(mask) for mask in self._invalid)])
        for row in rows:
            number = int(np.searchsorted(starts, row, side="right")) - 1
            self._invalid[number][row - starts[number]] = True

    def keep_whitening(self, content: bytes, pictures: int) -> PartsEntry:
        """Write what rows of parts are whitened with, learnt on so many pictures.

        The entry that is returned has to be among the changes of each commit from then on.
        """
        with self._guarded():
            file = self._write(f"whitening-{self.meta.next_number:06}.npz", [content])
            self._written.clear()  # a commit that fails later must leave it there for the next
        return PartsEntry(file.sha256, file, pictures)

    def keep_refused(self, refused: Iterable[Refused], readers: str) -> None:
        """Remember, from the next commit on, what the index could not take, and what tried to read it."""
        self._refused = readers, list(refused)[:MOST]

    def commit(self, **changes: object) -> None:
        """Write what was added as a block, and what was filled in of older ones; merge small ones; make that the state.

        `changes` are other fields of `Meta`. Raises IndexWriteError where the disk does not take it; the last
        state then stands, and what was added stays pending.
        """
        meta = self._with_invalid().but(**changes)
        is_same = meta == self.meta and not self.uncommitted and self._refused is None
        if is_same and (self.directory / META).exists():
            return
        rows = len(self._pending)
        with self._guarded():
            meta = self._with_backfilled(meta)
            if self._refused is not None:
                meta = self._with_refused(meta, *self._refused)
            if rows:
                meta = self._append_block(meta)
            self._replace(self._merged(meta.but(updated=now())), rows)
            # not in the commit itself: an interruption there makes the next commit write them once more
            self._backfilled.clear()
            self._refused = None

    def tidy(self) -> None:
        """Drop invalid rows once they are a quarter of all; renew a shortlist and sampled cosines that lag behind."""
        rows, invalid = self.meta.rows, sum(int(mask.sum()) for mask in self._invalid)
        with self._guarded():
            if invalid > max(WORTH_COMPACTING, rows // 4) or (rows and invalid == rows):
                self._replace(self._compacted(self.meta))
            covered = self.meta.shortlist.rows if self.meta.shortlist and self._shortlist_is_sound() else None
            if annoy.is_needed(self.meta.rows, covered):
                self._replace(self._with_shortlist(self.meta))
            if similarity.is_needed(self.count_valid(), self.meta.cosines):
                sampled = similarity.sample(Index(self.directory, self.meta.but(shortlist=None)))
                self._replace(self.meta.but(cosines=sampled))

    def replace(self, meta: Meta) -> None:
        """Make `meta`, whose files are all there, the index's state."""
        with self._guarded():
            self._replace(meta.but(updated=now()))

    def _shortlist_is_sound(self) -> bool:
        try:
            Index(self.directory, self.meta).shortlist()
        except IndexDamagedError:
            return False
        return True

    def _with_invalid(self) -> Meta:
        pairs = zip(self.meta.blocks, self._invalid, strict=True)
        blocks = tuple(replace(block, invalid=ranges_of(mask)) for block, mask in pairs)
        return self.meta.but(blocks=blocks)

    def _with_backfilled(self, meta: Meta) -> Meta:
        """New files of columns for the blocks of which rows were filled in. All else of a block stays as it is."""
        start = 0
        for number, block in enumerate(meta.blocks):
            for column in all_columns():
                if any(start <= row < start + block.rows for row in self._backfilled[column.name]):
                    entry = self._write_column(
                        column, meta, self._backfilled_rows(column, meta, block, start), block.rows
                    )
                    block = block.with_columns({column.name: entry})
            if block is not meta.blocks[number]:
                blocks = (*meta.blocks[:number], block, *meta.blocks[number + 1 :])
                meta = meta.but(blocks=blocks, next_number=meta.next_number + 1)
            start += block.rows
        return meta

    def _backfilled_rows(self, column: Column, meta: Meta, block: BlockEntry, start: int) -> Iterator[Records]:
        filled = self._backfilled[column.name]
        for first, chunk in Index(self.directory, meta.but(blocks=(block,), shortlist=None)).stored_chunks(column):
            for place in range(len(chunk)):
                new = filled.get(start + first + place)
                if new is not None:
                    chunk[place] = new
            yield chunk

    def _with_refused(self, meta: Meta, readers: str, refused: list[Refused]) -> Meta:
        if not refused:
            return meta.but(refused=None)
        file = self._write(f"refused-{meta.next_number:06}.json", [dump(refused)])
        return meta.but(refused=RefusedEntry(file, readers), next_number=meta.next_number + 1)

    def _append_block(self, meta: Meta) -> Meta:
        stacked = np.stack([feature for _, feature, _ in self._pending])
        features = self._write_rows(meta, iter([stacked]), len(stacked))
        files = self._write_files(meta, (record for record, _, _ in self._pending))
        columns: dict[str, ColumnEntry] = {}
        for column in all_columns():
            if any(column.name in stored for _, _, stored in self._pending):
                records = column.blank(len(stacked))
                for place, (_, _, stored) in enumerate(self._pending):
                    if column.name in stored:
                        records[place] = stored[column.name]
                columns[column.name] = self._write_column(column, meta, iter([records]), len(stacked))
        block = BlockEntry(len(stacked), features, files).with_columns(columns)
        return meta.but(blocks=(*meta.blocks, block), next_number=meta.next_number + 1)

    def _merged(self, meta: Meta) -> Meta:
        """Join the last two blocks as long as the former is less than twice the latter.

        Sizes then at least double from the end to the start, so there are few blocks, and a row is copied a
        number of times that grows with the logarithm of the index only. Rows keep their numbers.
        """
        count = len(meta.blocks)
        joined = meta.blocks[-1].rows if count else 0
        while count > 1 and meta.blocks[count - 2].rows < 2 * joined:
            count -= 1
            joined += meta.blocks[count - 1].rows
        if count >= len(meta.blocks):
            return meta
        parts = meta.blocks[count - 1 :]
        source = Index(self.directory, meta.but(blocks=parts, shortlist=None))
        features = self._write_rows(meta, (halves for _, halves in source.stored_features()), joined)
        files = self._write_files(meta, (record for _, record in source.records()))
        columns = {
            column.name: self._write_column(column, meta, (chunk for _, chunk in source.stored_chunks(column)), joined)
            for column in all_columns()
            if any(column.name in part.columns for part in parts)
        }
        invalid = ranges_of(np.concatenate([_mask(part) for part in parts]))
        block = BlockEntry(joined, features, files, invalid).with_columns(columns)
        return meta.but(blocks=(*meta.blocks[: count - 1], block), next_number=meta.next_number + 1)

    def _compacted(self, meta: Meta) -> Meta:
        """One block of the valid rows only. They get new numbers, so the shortlist goes."""
        source = Index(self.directory, meta)
        valid = source.valid
        if not valid.any():
            return meta.but(blocks=(), shortlist=None)
        rows = int(valid.sum())
        kept = (halves[valid[start : start + len(halves)]] for start, halves in source.stored_features())
        features = self._write_rows(meta, kept, rows)
        files = self._write_files(meta, (record for row, record in source.records() if valid[row]))
        columns: dict[str, ColumnEntry] = {}
        for column in all_columns():
            if any(column.name in block.columns for block in meta.blocks):
                stored = (chunk[valid[start : start + len(chunk)]] for start, chunk in source.stored_chunks(column))
                columns[column.name] = self._write_column(column, meta, stored, rows)
        block = BlockEntry(rows, features, files).with_columns(columns)
        return meta.but(blocks=(block,), shortlist=None, next_number=meta.next_number + 1)

    def _with_shortlist(self, meta: Meta) -> Meta:
        number = meta.next_number
        path = self.directory / f"index-{number:06}.ann"
        self._written.append(path)
        create(path, self._rights).close()  # Annoy would make a file that nobody else may read, and follow a link
        built = annoy.build(Index(self.directory, meta.but(shortlist=None)), path)
        buffer = io.BytesIO()
        np.save(buffer, built.projection, allow_pickle=False)
        projection = self._write(f"projection-{number:06}.npy", [buffer.getvalue()])
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        trees = FileEntry(path.name, path.stat().st_size, file_sha256(path))
        entry = ShortlistEntry(meta.rows, trees, projection, built.search_k, built.recall)
        return meta.but(shortlist=entry, next_number=number + 1)

    def _write_rows(self, meta: Meta, chunks: Iterator[npt.NDArray[np.floating]], rows: int) -> FileEntry:
        content = npy_bytes((rows, meta.dimension), np.dtype("<f2"), chunks)
        return self._write(f"features-{meta.next_number:06}.npy", content)

    def _write_column(self, column: Column, meta: Meta, chunks: Iterator[Records], rows: int) -> ColumnEntry:
        missing = [np.zeros(0, dtype=np.bool_)]
        content = column.content(rows, noting_missing(column, chunks, missing))
        entry = self._write(f"{column.name}-{meta.next_number:06}.npy", content)
        return ColumnEntry(entry.name, entry.bytes, entry.sha256, ranges_of(np.concatenate(missing)))

    def _write_files(self, meta: Meta, records: Iterable[FileRecord]) -> FileEntry:
        return self._write(f"files-{meta.next_number:06}.json", [dump_records(records)])

    def _committed(self) -> Index:
        if self._reader is None:
            self._reader = Index(self.directory, self.meta.but(shortlist=None))
        return self._reader

    def _write(self, name: str, content: Iterable[bytes]) -> FileEntry:
        """Write a data file and sync it. Its name is new, so nothing that counts can be overwritten."""
        path = self.directory / name
        self._written.append(path)
        digest, size = hashlib.sha256(), 0
        with create(path, self._rights) as file:
            for part in content:
                file.write(part)
                digest.update(part)
                size += len(part)
            file.flush()
            os.fsync(file.fileno())
        return FileEntry(name, size, digest.hexdigest())

    def _replace(self, meta: Meta, written: int = 0) -> None:
        """The commit: from here on the index is what `meta` says, the first `written` of the pending rows included."""
        if meta.root != self.meta.root:
            self._rights = Rights.like(Path(meta.root), self.directory)
            self._rights.keep_to(self.directory)
        _sync_directory(self.directory)
        temporary = self.directory / f"{META}.new"
        self._written.append(temporary)
        temporary.unlink(missing_ok=True)
        with create(temporary, self._rights) as file:
            file.write(meta.dump().encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
        # Ctrl-C must find the commit not begun or done: halfway, what was just written would be taken for leftovers
        with uninterrupted():
            os.replace(temporary, self.directory / META)
            self.meta = meta
            self._invalid = [_mask(block) for block in meta.blocks]
            self._written = []
            self._reader = None
            del self._pending[:written]
        _sync_directory(self.directory)
        self._remove_unnamed()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Whatever goes wrong while files are written, those that did not become part of the index are removed."""
        try:
            yield
        except (OSError, MemoryError) as error:
            self._discard()
            detail = reason_of(error)
            raise IndexWriteError(
                f"Cannot write to {self.directory} ({detail}). What was committed before is intact: "
                "make room or allow writing, and run the same command again."
            ) from error
        except (IndexDamagedError, KeyboardInterrupt):
            self._discard()
            raise

    def _discard(self) -> None:
        for path in self._written:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        self._written = []

    def _remove_unnamed(self) -> None:
        named = {entry.name for entry in self.meta.files()}
        for path in self.directory.iterdir():
            if is_writers(path.name) and path.name not in named:
                with contextlib.suppress(OSError):
                    path.unlink()


def _mask(block: BlockEntry) -> npt.NDArray[np.bool_]:
    return mask_of(block.invalid, block.rows)


def _sync_directory(directory: Path) -> None:
    """Make renames and new names durable; where the system has no such thing (Windows), there is nothing to do."""
    flags = getattr(os, "O_DIRECTORY", None)
    if flags is None:
        return
    descriptor = os.open(directory, os.O_RDONLY | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
