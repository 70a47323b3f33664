"""The entry of `meta.json` for a block of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cbir.index.columns.faces import FOUND
from cbir.index.columns.objects import OBJECTS
from cbir.index.columns.registry import all_columns, without_torn
from cbir.index.columns.treatment import TREATED
from cbir.index.entries import ColumnEntry, FileEntry
from cbir.index.values import ranges, whole

# Groups whose columns are not named where a block has none: older cbirs knew of none.
_NOT_TOLD = frozenset((OBJECTS.group, FOUND.group, TREATED.group))


@dataclass(frozen=True)
class BlockEntry:
    """Some rows that one run wrote. `invalid` are ranges [start, stop) of the block's rows that count no more.

    `columns` are the files of those columns that the block has, by their names.
    """

    rows: int
    features: FileEntry
    files: FileEntry
    invalid: tuple[tuple[int, int], ...] = ()
    columns: Mapping[str, ColumnEntry] = field(default_factory=dict)

    def data_files(self) -> list[FileEntry]:
        """All files of the block."""
        return [self.features, self.files, *self.columns.values()]

    def with_columns(self, entries: Mapping[str, ColumnEntry | None]) -> BlockEntry:
        """Return a copy that has those files of columns, by their names, and none of those that are None."""
        merged = {**self.columns, **entries}
        return replace(self, columns={name: entry for name, entry in merged.items() if entry is not None})

    def to_json(self) -> dict[str, Any]:
        """Return the entry as `meta.json` has it; null for most columns that the block does not have."""
        return {
            "rows": self.rows,
            "features": asdict(self.features),
            "files": asdict(self.files),
            "invalid": self.invalid,
            **dict.fromkeys(column.name for column in all_columns() if column.group not in _NOT_TOLD),
            **{name: asdict(entry) for name, entry in self.columns.items()},
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> BlockEntry:
        """Read one entry, passing over unknown columns; ValueError, TypeError or KeyError where it is none."""
        rows = whole(record["rows"], 1)
        invalid = ranges(record["invalid"], rows)
        features = FileEntry.from_json(record["features"], "features")
        files = FileEntry.from_json(record["files"], "files")
        if rows > min(features.bytes, files.bytes):
            raise ValueError(f"files of {features.bytes} and {files.bytes} bytes have no {rows} rows")
        there = [column.name for column in all_columns() if record.get(column.name) is not None]
        columns = {name: ColumnEntry.of_block(record[name], name, rows) for name in there}
        return cls(
            rows, features, files, invalid, without_torn(columns, lambda one, other: one.missing == other.missing)
        )
