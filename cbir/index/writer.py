"""Changing an index directory: new files first, then `meta.json` in one step.

A reader finds the state of before or of after, whenever a writer is killed: data files are written under names that
no committed state uses, synced, and only then named by a new `meta.json`, which replaces the old one. What no state
names is rubbish of a killed run, and the next writer removes it.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cbir.errors import BackendError, CbirError, IndexDamagedError, IndexWriteError, reason_of
from cbir.images.sources.address import root_of
from cbir.index import rewrite, similarity
from cbir.index.ann import base as ann
from cbir.index.blockentry import BlockEntry
from cbir.index.columns.column import Column, Records, mask_of, ranges_of
from cbir.index.entries import MOST_NOTIONS, MOST_PEOPLE_BYTES, NotionEntry, PartsEntry, RefusedEntry, StoreEntry
from cbir.index.files import FileRecord
from cbir.index.format import META, Meta, dump_readable, is_writers
from cbir.index.lock import now
from cbir.index.newfiles import NewFiles
from cbir.index.refused import MOST, Refused, dump
from cbir.index.rewrite import Feature, Shape, Stored
from cbir.index.rights import Rights
from cbir.index.store import Index
from cbir.utils.interrupts import uninterrupted

if TYPE_CHECKING:
    from cbir.index.ann.base import Candidates
    from cbir.index.ann.lists import PartLists

logger = logging.getLogger("cbir")

#: Invalid rows that a small index may keep; a large one keeps up to a quarter.
WORTH_COMPACTING = 1000


class Writer:
    """Collects changes to an index and commits them. The caller holds the lock (`index.lock.exclusive`).

    `meta` is the last committed state, or the first state of a new index, which exists once it is committed. Where it
    is that by another network than the index's own, `whole` is the index's. Its files get `rights`, by default those
    that its root leaves.
    """

    def __init__(self, directory: Path, meta: Meta, rights: Rights | None = None, *, whole: Meta | None = None) -> None:
        self.directory = directory
        self.meta = meta
        self._whole = whole
        self._new = NewFiles(directory, rights or Rights.like(root_of(meta.root), directory))
        self._invalid = [_mask(block) for block in meta.blocks]
        # together, so that an interruption cannot part a record from its feature
        self._pending: list[tuple[FileRecord, Feature, Stored]] = []
        self._backfilled: dict[str, dict[int, Records]] = defaultdict(dict)
        self._refused: tuple[str, list[Refused]] | None = None
        self._reader: Index | None = None
        self._remove_unnamed()
        self._new.rights.keep_to(directory)

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
        """Read a row's feature, committed or pending, valid or not, shape (dimension,); None where it is damaged."""
        if row >= self.meta.rows:
            return self._pending[row - self.meta.rows][1]
        committed = self._committed()
        feature: Feature = committed.features([row])[0]
        return feature if committed.is_sound(row) else None

    def stored(self, column: Column, row: int) -> Records | None:
        """Return a column's record of a row, numbered as in `feature`, even before it is written: shape (width,), or
        None.
        """
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
            file = self._new.write(f"whitening-{self.meta.next_number:06}.npz", [content])
            self._new.forget()  # a commit that fails later must leave it there for the next
        return PartsEntry(file.sha256, file, pictures)

    def keep_notion(self, name: str, content: bytes) -> None:
        """Commit a notion's file, in place of one of the same name. CbirError where the index has too many."""
        others = tuple(notion for notion in self.meta.notions if notion.name != name)
        if len(others) >= MOST_NOTIONS:
            raise CbirError(
                f"The index {self.directory.name} has {MOST_NOTIONS} notions, and cannot have more: "
                "`cbir learn --forget NAME` takes one away."
            )
        with self._guarded():
            number = self.meta.next_number
            entry = NotionEntry(name, self._new.write(f"notion-{number:06}.npz", [content]))
            self._replace(self.meta.but(notions=(*others, entry), next_number=number + 1, updated=now()))

    def keep_people(self, content: bytes | None) -> None:
        """Commit what users said of people in place of what there was; with None there is nothing any more.

        CbirError where it is too much.
        """
        with self._guarded():
            self._replace(self._with_people(content).but(updated=now()))

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
            meta = rewrite.backfilled(self._new, meta, self._backfilled)
            if self._refused is not None:
                meta = self._with_refused(meta, *self._refused)
            if rows:
                meta = rewrite.appended(self._new, meta, self._pending)
            self._replace(rewrite.merged(self._new, meta.but(updated=now())), rows)
            # not in the commit itself: an interruption there makes the next commit write them once more
            self._backfilled.clear()
            self._refused = None

    def fill(
        self,
        rows: int,
        features: Iterator[npt.NDArray[np.floating]],
        files: Iterable[FileRecord],
        columns: Mapping[Column, Iterator[Records]],
        shapes: Mapping[Column, Shape] = MappingProxyType({}),
    ) -> None:
        """Commit so many rows at once, whose features, of length 1, and columns come in chunks: memory holds one.

        `shapes` are those of the files of ragged columns.
        """
        with self._guarded():
            meta = rewrite.streamed(self._new, self.meta, rows, features, files, columns, shapes)
            self._replace(meta.but(complete=True))

    def fill_from(self, source: Index, *, people: bytes | None = None) -> None:
        """Commit the valid rows of another index, with all its columns, in place of all that there is.

        `people` is what users said of people, as in `keep_people`.
        """
        with self._guarded():
            meta = self._with_people(people)
            self._replace(rewrite.compacted(self._new, meta, source).but(complete=True))

    def tidy(self, *, mend: bool = False) -> None:
        """Drop invalid rows once they are a quarter of all; renew candidates and sampled cosines that lag behind.

        Rows that are in Milvus are compared, and sent again where they are others, if it is to `mend` them.
        """
        rows, invalid = self.meta.rows, sum(int(mask.sum()) for mask in self._invalid)
        with self._guarded():
            if invalid > max(WORTH_COMPACTING, rows // 4) or (rows and invalid == rows):
                self._replace(rewrite.compacted(self._new, self.meta))
            if self.meta.store is not None:
                self._follow(self.meta.store, mend=mend)
            elif ann.is_needed(self.meta.rows, self._covered(Index.candidates) if self.meta.candidates else None):
                self._replace(rewrite.with_candidates(self._new, self.meta))
            covered = self._covered(Index.part_lists) if self.meta.part_lists else None
            if self.meta.parts is not None and ann.is_needed(self.meta.rows, covered):
                self._replace(rewrite.with_part_lists(self._new, self.meta))
            if similarity.is_needed(self.count_valid(), self.meta.cosines):
                sampled = similarity.sample(Index(self.directory, self.meta.but(candidates=None)))
                self._replace(self.meta.but(cosines=sampled))

    def _follow(self, store: StoreEntry, *, mend: bool) -> None:
        """Have Milvus follow what was committed. Where it does not, the index is whole without it."""
        from cbir.index.ann.milvus.backend import Milvus

        backend = Milvus(store)
        if not (backend.is_needed(Index(self.directory, self.meta.but(candidates=None)), self.meta.candidates) or mend):
            return
        try:
            self._replace(rewrite.with_sent(self._new, self.meta, backend, mend=mend))
        except BackendError as error:
            self._new.discard()
            logger.warning("%s All pictures are in the index; the next run sends what Milvus lacks of them.", error)
            return
        try:
            assert self.meta.candidates is not None
            backend.committed(self.meta.candidates, self.meta.dimension)
        except BackendError as error:  # the next run finds out by itself what was committed
            logger.debug("%s", error)

    def replace(self, meta: Meta) -> None:
        """Make `meta`, whose files are all there, the index's state."""
        with self._guarded():
            self._replace(meta.but(updated=now()))

    def _covered(self, opened: Callable[[Index], Candidates | PartLists | None]) -> int | None:
        """Return how many rows the index's candidates of a kind cover; None where they are not there and sound."""
        try:
            found = opened(Index(self.directory, self.meta))
        except IndexDamagedError:
            return None
        return None if found is None else found.rows

    def _with_invalid(self) -> Meta:
        pairs = zip(self.meta.blocks, self._invalid, strict=True)
        blocks = tuple(replace(block, invalid=ranges_of(mask)) for block, mask in pairs)
        return self.meta.but(blocks=blocks)

    def _with_refused(self, meta: Meta, readers: str, refused: list[Refused]) -> Meta:
        if not refused:
            return meta.but(refused=None)
        file = self._new.write(f"refused-{meta.next_number:06}.json", [dump(refused)])
        return meta.but(refused=RefusedEntry(file, readers), next_number=meta.next_number + 1)

    def _with_people(self, content: bytes | None) -> Meta:
        if content is None:
            return self.meta.but(people=None)
        if len(content) > MOST_PEOPLE_BYTES:
            most = MOST_PEOPLE_BYTES >> 20
            raise CbirError(f"The index {self.directory.name} cannot have more than {most} MB about people.")
        number = self.meta.next_number
        entry = self._new.write(f"people-{number:06}.json", [content])
        return self.meta.but(people=entry, next_number=number + 1)

    def _committed(self) -> Index:
        if self._reader is None:
            self._reader = Index(self.directory, self.meta.but(candidates=None))
        return self._reader

    def _replace(self, meta: Meta, written: int = 0) -> None:
        """The commit: from here on the index is what `meta` says, the first `written` of the pending rows included."""
        if meta.root != self.meta.root:
            self._new.rights = Rights.like(root_of(meta.root), self.directory)
            self._new.rights.keep_to(self.directory)
        _sync_directory(self.directory)
        temporary = self.directory / f"{META}.new"
        temporary.unlink(missing_ok=True)
        whole = self._whole and self._whole.with_state(meta)
        self._new.write(temporary.name, [dump_readable(whole or meta, self.directory)])
        self._new.check()
        # Ctrl-C must find the commit not begun or done: halfway, what was just written would be taken for leftovers
        with uninterrupted():
            os.replace(temporary, self.directory / META)
            self.meta, self._whole = meta, whole
            self._invalid = [_mask(block) for block in meta.blocks]
            self._new.forget()
            self._reader = None
            del self._pending[:written]
        _sync_directory(self.directory)
        self._remove_unnamed()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Remove the files written within that did not become part of the index, whatever goes wrong."""
        try:
            yield
        except (OSError, MemoryError) as error:
            self._new.discard()
            if isinstance(error, (FileExistsError, FileNotFoundError)) and self.directory.is_dir():
                raise IndexWriteError(
                    f"Another run is writing to {self.directory}, too, as if this one had no lock: {error.filename} is "
                    "its own, or was removed by it. Does something remove the file lock there? What was committed "
                    "before is intact: run the same command again."
                ) from error
            detail = reason_of(error)
            raise IndexWriteError(
                f"Cannot write to {self.directory} ({detail}). What was committed before is intact: "
                "make room or allow writing, and run the same command again."
            ) from error
        except (CbirError, KeyboardInterrupt):
            self._new.discard()
            raise

    def _remove_unnamed(self) -> None:
        named = {entry.name for entry in (self._whole or self.meta).files()}
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
