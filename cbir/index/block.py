"""A block of an index: the features, the files and the columns of its rows, opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cbir.index.columns.column import ColumnReader
from cbir.index.columns.registry import all_columns
from cbir.index.files import FilesBelow, FileTable
from cbir.index.format import BlockEntry
from cbir.index.rowfile import RowFile


class Block:
    """The files of one block, opened and their structure checked."""

    def __init__(self, features: RowFile | None, files: FileTable, columns: Mapping[str, ColumnReader]) -> None:
        self._features = features
        self.files = files
        self.columns = columns

    @classmethod
    def open(cls, directory: Path, entry: BlockEntry, dimension: int | None) -> Block:
        """Open the files that an entry names, without those of features where there is no dimension."""
        features = None
        if dimension is not None:
            features = RowFile(directory, entry.features, (entry.rows, dimension), np.dtype(np.float16))
        files = FileTable(directory, entry.files, entry.rows)
        # opened now, like the others, since a writer may remove them once there is a newer state
        columns = {
            column.name: ColumnReader(directory, column, entry.columns.get(column.name), entry.rows)
            for column in all_columns()
        }
        return cls(features, files, columns)

    def sound(self) -> Block:
        """Return the same block without the files of columns that cannot be opened: their rows are blank."""
        damaged = {name: reader for name, reader in self.columns.items() if reader.is_damaged}
        blank = {name: reader.without_file() for name, reader in damaged.items()}
        return Block(self._features, self.files, {**self.columns, **blank}) if damaged else self

    def below(self, folder: str) -> Block:
        """Return the same block of files whose paths begin in a folder further up: their own with `folder/` before."""
        return self if not folder else Block(self._features, FilesBelow(self.files, folder), self.columns)

    @property
    def features(self) -> RowFile:
        """The features of its rows; ValueError where the index was opened without."""
        if self._features is None:
            raise ValueError("the index was opened without its features")
        return self._features
