"""The columns that an index has whatever its network, for its rows by another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np

from cbir.errors import IndexDamagedError
from cbir.extract.results import Extracted
from cbir.images.scan import FoundFile
from cbir.index.columns.registry import content_columns
from cbir.index.rewrite import Stored
from cbir.index.store import Index
from cbir.index.writer import Writer

#: Rows that are filled in between two commits: thumbnails of as many are 70 MB.
_TOGETHER = 65_536


class Donor:
    """An open index by its own network, which gives rows by others what follows from the pictures alone."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self._columns = [column for column in content_columns() if column.of_image]

    @cached_property
    def rows(self) -> dict[str, int]:
        """A row of each content that it has."""
        return dict(zip(self.index.files().sha256s, range(self.index.rows), strict=True))

    def records(self, sha256: str) -> Stored:
        """Return the records of a content, by the names of their columns, as far as it has any."""
        row = self.rows.get(sha256)
        if row is None:
            return {}
        found = {}
        for column in self._columns:
            try:
                records = self.index.stored(column, [row])
            except IndexDamagedError:  # the next run has made it anew
                continue
            if not column.is_missing(records)[0]:
                found[column.name] = records[0]
        return found

    def completed(self, results: Iterable[Extracted[FoundFile]]) -> Iterator[Extracted[FoundFile]]:
        """Add its records to the results of extraction."""
        for result in results:
            known = {} if result.error is not None else self.records(result.sha256)
            yield replace(result, records={**known, **result.records}) if known else result

    def fill_in(self, writer: Writer) -> None:
        """Commit what it has and rows of `writer` lack: objects that were looked for since, say."""
        index = Index(writer.directory, writer.meta.but(candidates=None))
        wanted = [column for column in self._columns if column in index.meta.wanted_columns]
        missing = {column.name: index.missing(column) & index.valid for column in wanted}
        rows = np.flatnonzero(np.any(list(missing.values()), axis=0)).tolist() if missing else []
        for first in range(0, len(rows), _TOGETHER):
            for row in rows[first : first + _TOGETHER]:
                known = self.records(index.record(row).sha256)
                for column in wanted:
                    if missing[column.name][row] and column.name in known:
                        writer.backfill(column, [row], known[column.name])
            writer.commit()
