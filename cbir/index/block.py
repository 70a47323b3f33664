"""A block of an index: the features, the files and the columns of its rows, opened."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cbir.errors import IndexDamagedError
from cbir.index.ann.milvus.features import BlockElsewhere, SentFeatures
from cbir.index.blockentry import BlockEntry
from cbir.index.columns.column import Column, ColumnReader
from cbir.index.columns.registry import all_columns, kept_together
from cbir.index.datafile import Identity
from cbir.index.files import FilesBelow, FileTable
from cbir.index.format import Meta
from cbir.index.rowfile import RowFile


class FeatureRows(Protocol):
    """Features of some rows, float16: a `RowFile`, or rows elsewhere."""

    def __len__(self) -> int: ...

    def between(self, first: int, stop: int) -> npt.NDArray[Any]: ...

    def take(self, wanted: npt.NDArray[np.int64]) -> npt.NDArray[Any]: ...

    def damaged(self, problem: str) -> IndexDamagedError: ...


def open_blocks(directory: Path, meta: Meta, *, features: bool) -> list[Block]:
    """Open the blocks of a state, without their `features` if these are not wanted.

    Files of features that are not there are passed over where all of them are in Milvus.
    """
    sent = None
    if features and meta.store is not None and meta.store.whole and meta.candidates is not None:
        sent = SentFeatures(meta.store, meta.candidates, meta.dimension)
    blocks, start = [], 0
    for entry in meta.blocks:
        its = BlockElsewhere(sent, start, entry.rows) if sent and not is_here(directory, entry) else None
        blocks.append(Block.open(directory, entry, meta.dimension if features else None, its))
        start += entry.rows
    return blocks


def is_here(directory: Path, entry: BlockEntry) -> bool:
    """Tell whether there is a file of a block's features, whatever it holds."""
    return os.path.lexists(directory / entry.features.name)


def column_readers(directory: Path, entry: BlockEntry) -> dict[str, ColumnReader]:
    """Return what reads the columns of a block, by their names."""
    readers: dict[str, ColumnReader] = {}
    for column in all_columns():
        its = entry.columns.get(column.name)
        readers[column.name] = column.reader(directory, its, entry.rows, readers)
    return readers


class Block:
    """The files of one block, opened and their structure checked."""

    def __init__(self, features: FeatureRows | None, files: FileTable, columns: Mapping[str, ColumnReader]) -> None:
        self._features = features
        self.files = files
        self.columns = columns

    @classmethod
    def open(
        cls, directory: Path, entry: BlockEntry, dimension: int | None, features: FeatureRows | None = None
    ) -> Block:
        """Open the files that an entry names, without those of features where there is no dimension, or where they are
        given."""
        if dimension is not None and features is None:
            features = RowFile(directory, entry.features, (entry.rows, dimension), np.dtype(np.float16))
        files = FileTable(directory, entry.files, entry.rows)
        # opened now, like the others, since a writer may remove them once there is a newer state
        return cls(features, files, column_readers(directory, entry))

    def sound(self) -> Block:
        """Return the same block without the files of columns that cannot be opened: their rows are blank."""
        damaged = [reader.column for reader in self.columns.values() if reader.is_damaged]
        names = {one.name for column in damaged for one in kept_together(column)}
        blank = {name: self.columns[name].without_file() for name in names}
        return Block(self._features, self.files, {**self.columns, **blank}) if blank else self

    def below(self, folder: str) -> Block:
        """Return the same block of files whose paths begin in a folder further up: their own with `folder/` before."""
        return self if not folder else Block(self._features, FilesBelow(self.files, folder), self.columns)

    def identities(self, columns: Sequence[Column]) -> list[Identity | None] | None:
        """Return what tells its open files of features and of some columns from any other; None of a column without.

        None where its features are elsewhere. Raises IndexDamagedError where a column's file could not be opened.
        """
        if not isinstance(self._features, RowFile):
            return None
        return [self._features.identity, *(self.columns[column.name].identity for column in columns)]

    @property
    def is_elsewhere(self) -> bool:
        """True if its features are in Milvus only."""
        return isinstance(self._features, BlockElsewhere)

    @property
    def features(self) -> FeatureRows:
        """The features of its rows; ValueError where the index was opened without."""
        if self._features is None:
            raise ValueError("the index was opened without its features")
        return self._features
