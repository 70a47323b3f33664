"""Reading an index directory: one committed state, and nothing of it before it is asked for."""

from __future__ import annotations

import logging
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import chain, compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from cbir.errors import IndexDamagedError
from cbir.images.sources.address import Location, root_of
from cbir.index.ann.base import SMALL, Candidates
from cbir.index.ann.registry import opener_of
from cbir.index.block import Block, open_blocks
from cbir.index.columns.classes import CLASSES, RowClasses, unpack
from cbir.index.columns.column import Column, Records
from cbir.index.columns.parts import SIGNS, counts_in
from cbir.index.datafile import DataFile, how_to_replace_people
from cbir.index.entries import MILVUS, CandidatesEntry
from cbir.index.facerows import FaceRows, finder_of, read_faces, read_faces_of
from cbir.index.files import FileRecord, Files
from cbir.index.format import Meta, load_meta, load_state
from cbir.utils.half import to_float32
from cbir.utils.vectors import Rows

if TYPE_CHECKING:
    from cbir.index.ann.lists import PartLists

logger = logging.getLogger("cbir")

T = TypeVar("T")

#: Bytes of features, in float32, that a scan has at a time. More is no faster, and counts in each run's memory.
SCAN_BYTES = 8_000_000

#: The most that the square of a row's length may be from 1: float16 is off by a thousandth at most.
MOST_OFF = 0.02


class Index:
    """One committed state of an index directory, read-only.

    Rows are numbered through all blocks, invalid ones included. Features are float16 on disk, read when they are asked
    for, and float32 from here on; each row has length 1. One that has not is damaged: a line says so, and its numbers
    are zeros (see `is_sound`). Errors are IndexDamagedError, which names the file.
    """

    def __init__(
        self, directory: Path, meta: Meta, *, features: bool = True, blocks: Sequence[Block] | None = None
    ) -> None:
        self.directory = directory
        self.meta = meta
        #: Those of `meta`, opened here unless they are given.
        self.blocks = open_blocks(directory, meta, features=features) if blocks is None else blocks
        self._starts = np.cumsum([0, *(block.rows for block in meta.blocks)])
        self._remembering = threading.Lock()  # what is read or told once, for all threads
        self._valid: npt.NDArray[np.bool_] | None = None
        self._damaged_rows: set[int] = set()
        self._told: set[int] = set()
        #: Damage of features that were read, one sentence a file.
        self.damage: list[str] = []
        self._contents: tuple[npt.NDArray[np.uint64], Rows] | None = None
        self._candidates: Candidates | None = None
        self._candidates_are_gone = False
        self._part_lists: PartLists | None = None
        self._leaves_part_lists = meta.part_lists is None

    @classmethod
    def open(cls, directory: Path, *, features: bool = True, model: str | None = None) -> Index:
        """Open the last committed state of `directory`; without `features`, what is left of it where these are damaged.

        It is that by the network called `model`, see `load_state`; by default that of the index's own.
        A writer may replace it, and remove files that the new state does not need, while this one is being
        opened; then the newer state is opened.
        """
        meta = load_state(directory, model)
        while True:
            problem = None
            try:
                index = cls(directory, meta, features=features)
                if not index.has_damaged_columns:
                    return index
            except IndexDamagedError as error:
                problem = error
            newer = load_state(directory, model)
            if newer == meta:
                if problem:
                    raise problem
                return index
            meta = newer

    def take_notions(self, newer: Meta) -> bool:
        """Go on to a newer state, if it differs in nothing but notions and other networks; tell whether that is so.

        Pictures, rows and their ids stay what they are, so whoever searches need not open the index again.
        """
        same = self.meta.of_rows() == newer.of_rows()
        if same:
            self.meta = newer
        return same

    @property
    def model(self) -> dict[str, Any]:
        """The network that made the features, as a backbone's `to_json` gives it."""
        return self.meta.model

    @cached_property
    def root(self) -> Location:
        """The folder, or other source, that paths are relative to."""
        return root_of(self.meta.root)

    @property
    def rows(self) -> int:
        """All rows, invalid ones included."""
        return self.meta.rows

    @property
    def dimension(self) -> int:
        """Numbers of a row."""
        return self.meta.dimension

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """A mask of the rows that count, shape (rows,)."""
        if self._valid is None:
            valid = np.ones(self.rows, dtype=np.bool_)
            for start, block in zip(self._starts, self.meta.blocks, strict=False):
                for first, stop in block.invalid:
                    valid[start + first : start + stop] = False
            if self.features_are_elsewhere and self.meta.candidates:
                valid[self.meta.candidates.rows :] = False  # which Milvus has not got yet
            self._valid = valid  # only now: other threads may be asking
        return self._valid

    @property
    def features_are_elsewhere(self) -> bool:
        """True if features of some of its blocks are in Milvus only; the index is for searching then."""
        return any(block.is_elsewhere for block in self.blocks)

    @property
    def comparable(self) -> npt.NDArray[np.bool_]:
        """A mask of the rows that count and whose features are sound, as far as is known, shape (rows,)."""
        if not self._damaged_rows:
            return self.valid
        comparable = self.valid.copy()
        comparable[sorted(self._damaged_rows)] = False
        return comparable

    def is_sound(self, row: int) -> bool:
        """Tell whether the features of a row are sound; True until they have been read."""
        return row not in self._damaged_rows

    @property
    def directories(self) -> tuple[Path, ...]:
        """The directories of the indexes that are seen as one; of one alone none."""
        return ()

    def root_of(self, row: int) -> Location:
        """Return the folder, or other source, that the pictures of a row's index are in."""
        return self.root

    def directory_of(self, row: int) -> Path | None:
        """Return the directory of the index that a row is of, where several are seen as one."""
        return None

    def __len__(self) -> int:
        """Return the number of files in the index."""
        return int(self.valid.sum())

    def features(self, rows: Sequence[int] | Rows) -> npt.NDArray[np.float32]:
        """Read the features of `rows`, float32, shape (len(rows), dimension)."""
        wanted = np.asarray(rows, dtype=np.int64)
        if len(self.blocks) == 1:
            return self._checked(wanted, self.blocks[0].features.take(wanted))
        halves = np.empty((len(wanted), self.meta.dimension), dtype=np.float16)
        for block, chosen, places in self._by_block(wanted):
            halves[chosen] = block.features.take(places)
        return self._checked(wanted, halves)

    def chunks(self, first: int = 0) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """All features from row `first` on, in order, as pairs of the chunk's first row and the chunk."""
        for start, halves in self.stored_features(first):
            yield start, self._checked(np.arange(start, start + len(halves)), halves)

    def stored_features(self, first: int = 0) -> Iterator[tuple[int, npt.NDArray[np.float16]]]:
        """Yield what `chunks` does, but float16 as stored, whether sound or not."""
        step = max(1, SCAN_BYTES // (4 * self.meta.dimension))
        for start, block in zip(self._starts, self.blocks, strict=False):
            for offset in range(max(0, first - int(start)), len(block.features), step):
                yield int(start) + offset, block.features.between(offset, offset + step)

    def _checked(self, rows: Rows, halves: npt.NDArray[np.float16]) -> npt.NDArray[np.float32]:
        """`halves`, the stored features of `rows`, in float32; those that do not have length 1 become zeros."""
        features = to_float32(halves)
        squares = np.einsum("ij,ij->i", features, features)
        is_unit = np.abs(squares - 1) < MOST_OFF
        if not is_unit.all():
            features[~is_unit] = 0
            damaged = rows[~is_unit]
            self._damaged_rows.update(damaged[self.valid[damaged]].tolist())
            for block, _, _ in self._by_block(damaged[self.valid[damaged]]):
                with self._remembering:
                    if id(block) not in self._told:
                        self._told.add(id(block))
                        self.damage.append(str(block.features.damaged("is damaged (it has rows that are no features)")))
                        logger.warning("%s Until then these are not found.", self.damage[-1])
        return features

    def classes(self) -> RowClasses:
        """Read the most probable classes of all rows, as the network saw them, in the rows' order.

        Rows have none (zeros) where the network knows no classes, an older cbir wrote them, or the picture could not
        be read any more. IndexDamagedError where a block's are unsound: nothing else than they needs their file.
        """
        parts = self.parsed(CLASSES, unpack)
        return RowClasses(*map(np.concatenate, zip(*parts, strict=True))) if parts else unpack(CLASSES.blank(0))

    def paths(self) -> list[Location]:
        """List the files of the pictures that count, in the order of rows."""
        return [self.root / path for path in compress(self.files().paths, self.valid.tolist())]

    def parsed(self, column: Column, parse: Callable[[Records], T]) -> list[T]:
        """Parse a column's records, a block's at a time, in order. IndexDamagedError where that cannot be."""
        return [block.columns[column.name].parsed(parse) for block in self.blocks]

    def missing(self, column: Column, *, unavailable_too: bool = False) -> npt.NDArray[np.bool_]:
        """Return a mask of the rows that lack a column, shape (rows,); all rows of a block whose file is damaged.

        With `unavailable_too`, rows whose pictures could not be read for it count as lacking it.
        """
        nothing = np.zeros(0, dtype=np.bool_)
        missing = (block.columns[column.name].missing(unavailable_too=unavailable_too) for block in self.blocks)
        return np.concatenate([nothing, *missing])

    @property
    def has_damaged_columns(self) -> bool:
        """True if the structure of a column's file is unsound; its numbers are looked at when they are read."""
        return any(reader.is_damaged for block in self.blocks for reader in block.columns.values())

    def check_column(self, column: Column) -> None:
        """Raise IndexDamagedError where a block's file of a column cannot be what was written."""
        for block in self.blocks:
            block.columns[column.name].check(self.meta.check_of(column))

    def stored(self, column: Column, rows: Sequence[int] | Rows) -> Records:
        """Return a column's records of `rows`, shape (len(rows), width); blank where it has none."""
        wanted = np.asarray(rows, dtype=np.int64)
        records = column.blank(len(wanted))
        for block, chosen, places in self._by_block(wanted):
            records[chosen] = block.columns[column.name].take(places)
        return records

    def stored_items(self, column: Column, rows: Rows, places: Rows) -> Records:
        """Return one of a column's records of each of `rows`, shape (n,), the one at its place: shape (n,)."""
        records = np.zeros(len(rows), dtype=column.dtype)
        for block, chosen, its_rows in self._by_block(rows):
            records[chosen] = block.columns[column.name].items(its_rows, places[chosen])
        return records

    def _by_block(self, rows: Rows) -> Iterator[tuple[Block, npt.NDArray[np.bool_], Rows]]:
        """Blocks that have some of `rows`, with which of these they have, and as which of their own."""
        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        for number in set(numbers.tolist()):  # `np.unique` would load NumPy's masked arrays, which takes 5 ms
            chosen = numbers == number
            yield self.blocks[number], chosen, rows[chosen] - self._starts[number]

    def stored_chunks(self, column: Column) -> Iterator[tuple[int, Records]]:
        """Yield a column's records of all rows, in order, as pairs of the chunk's first row and the chunk."""
        return ((start, read()) for start, read in self.stored_pieces(column))

    def stored_pieces(self, column: Column, first: int = 0) -> Iterator[tuple[int, Callable[[], Records]]]:
        """Yield what reads the chunks of a column from row `first` on, with the first row of each, for threads."""
        for start, block in zip(self._starts.tolist(), self.blocks, strict=False):
            for offset, read in block.columns[column.name].pieces(max(0, first - start)):
                yield start + offset, read

    def faces(self) -> FaceRows:
        """Read the faces of all rows that count. CbirError where the index is to have none, or they are unsound."""
        finder, columns = finder_of(self.directory, self.meta.faces), [block.columns for block in self.blocks]
        return read_faces(columns, finder.dimension).of_valid(self.valid)

    def faces_of(self, row: int) -> FaceRows:
        """Read the faces of one row, whether it counts or not; raises as `faces`. `known` tells of this row alone."""
        [(block, _, places)] = self._by_block(np.array([row]))
        dimension = finder_of(self.directory, self.meta.faces).dimension
        return read_faces_of(int(places[0]), block.columns, dimension).moved(row)

    def people_content(self) -> bytes | None:
        """Read what users said of people; None where nobody said anything. IndexDamagedError where it is unsound."""
        if (entry := self.meta.people) is None:
            return None
        return DataFile(self.directory, entry, how_to_replace_people(self.directory)).whole(entry.sha256)

    def record(self, row: int) -> FileRecord:
        """Return the file that a row belongs to."""
        number = bisect_right(self._starts.tolist(), row) - 1
        return self.blocks[number].files.record(row - int(self._starts[number]))

    def files_of(self, rows: Sequence[int]) -> list[FileRecord]:
        """Return the files that some rows belong to, in their order: much quicker than one by one."""
        if len(self.blocks) == 1:
            return self.blocks[0].files.some(rows)
        wanted = np.asarray(rows, dtype=np.int64)
        found: dict[int, FileRecord] = {}
        for block, chosen, places in self._by_block(wanted):
            found.update(zip(wanted[chosen].tolist(), block.files.some(places.tolist()), strict=True))
        return [found[row] for row in rows]

    def records(self) -> Iterator[tuple[int, FileRecord]]:
        """All rows and their files in order, invalid rows too: their features can still be used again."""
        return enumerate(self.files().records())

    def files(self) -> Files:
        """Return the fields of `records`, each as a list in the rows' order."""
        if len(self.blocks) == 1:
            return self.blocks[0].files.all()
        parts = [block.files.all() for block in self.blocks]
        return Files(*(tuple(chain.from_iterable(values)) for values in zip(*parts, strict=True)))

    def find(self, sha256: str) -> list[int]:
        """Return the valid rows of files with that content."""
        found = [
            int(start) + row
            for start, block in zip(self._starts, self.blocks, strict=False)
            for row in block.files.find(sha256)
        ]
        return [row for row in found if self.valid[row]]

    def rows_of_content(self, sha256: str) -> list[int]:
        """Do what `find` does, also by the first 16 digits or more, for many contents: the hashes are read once."""
        with self._remembering:
            if self._contents is None:
                hashes = np.concatenate([np.empty(0, np.uint64), *(block.files.hashes() for block in self.blocks)])
                rows = np.flatnonzero(self.valid)
                rows = rows[np.argsort(hashes[rows], kind="stable")]
                self._contents = hashes[rows], rows
        hashes, rows = self._contents
        wanted = np.uint64(int(sha256[:16], 16))
        first, stop = (int(np.searchsorted(hashes, wanted, side)) for side in ("left", "right"))
        return [row for row in rows[first:stop].tolist() if self.record(row).sha256.startswith(sha256)]

    def candidates(self) -> Candidates | None:
        """Return the finder of candidates among the first rows, or None. Raises IndexDamagedError where it is unsound.

        None also where a writer has replaced it since this state was opened, and where rows are too few for Milvus.
        """
        entry = self.meta.candidates
        if entry is not None and entry.backend == MILVUS and self.rows <= SMALL and not self.features_are_elsewhere:
            return None
        if self._candidates is not None:
            self._candidates.check()
        elif entry is not None:
            with self._remembering:
                self._open_candidates(entry)
        return self._candidates

    def _open_candidates(self, entry: CandidatesEntry) -> None:
        if self._candidates is not None or self._candidates_are_gone:
            return
        try:
            opened = opener_of(entry, self.meta.store).open
            self._candidates = opened(self.directory, entry, self.meta.dimension, self.valid)
        except IndexDamagedError:
            if (newest := load_meta(self.directory).by(self.model)) and newest.candidates == entry:
                raise
            self._candidates_are_gone = True

    def part_lists(self) -> PartLists | None:
        """Return the lists of the windows of the first rows, or None. Raises IndexDamagedError where they are unsound.

        None also where a writer has replaced them since this state was opened, or after `leave_part_lists`.
        """
        with self._remembering:
            entry = self.meta.part_lists
            if self._part_lists is None and not self._leaves_part_lists and entry is not None:
                from cbir.index.ann.lists import PartLists

                try:
                    lists = PartLists(self.directory, entry)
                    lists.check(entry, lambda: counts_in(self.stored_chunks(SIGNS)), self.valid)
                    self._part_lists = lists
                except IndexDamagedError:
                    if (newest := load_meta(self.directory).by(self.model)) and newest.part_lists == entry:
                        raise
                    self._leaves_part_lists = True
            return self._part_lists

    def leave_part_lists(self, error: IndexDamagedError) -> None:
        """Use the lists of windows no more, because of an error, and tell of it once."""
        with self._remembering:
            if not self._leaves_part_lists:
                logger.warning("%s All parts are compared instead.", error)
            self._leaves_part_lists, self._part_lists = True, None
