"""A state of an index as the server has it: its pictures by id, by content and by path."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cbir.collection import Collection, State
from cbir.index.dates import taken_of
from cbir.index.files import FileRecord
from cbir.index.store import Index
from cbir.search.queries import IndexedQuery
from cbir.search.searcher import Searcher
from cbir.serve.names import Names
from cbir.serve.objects import objects_by_name
from cbir.serve.problems import ProblemError
from cbir.tags.tagger import RowTags
from cbir.utils.vectors import Rows
from cbir.words.complete import Completion
from cbir.words.of_index import classes_of
from cbir.words.score import LEAST_PROBABILITY


class ServedState:
    """One committed state of an index, what searches it, and what its rows are called; for many threads."""

    def __init__(self, collection: Collection) -> None:
        self._state: State = collection.state
        self.backbone = collection.backbone
        # that of its rows, which stay what they are while notions come and go
        content = self.index.meta.of_rows().dump().encode()
        #: The first part of all ids of its pictures.
        self.id = hashlib.sha256(content).hexdigest()[:12]
        self.tags = RowTags(self.index)
        self._counting = threading.Lock()
        self._completion: Completion | None = None

    @property
    def index(self) -> Index:
        """The index itself."""
        return self._state.index

    @property
    def searcher(self) -> Searcher:
        """The searcher of this state."""
        return self._state.searcher

    @property
    def rows(self) -> Rows:
        """The rows of its pictures, ascending, shape (n,)."""
        return self._state.rows

    def picture_id(self, row: int) -> str:
        """Return the id of a row's picture."""
        return f"{self.id}-{row}"

    def row(self, number: str) -> int:
        """Return the row that the second part of an id names. ProblemError where there is no such picture."""
        if number.isascii() and number.isdigit() and len(number) < 16:
            row = int(number)
            if row < self.index.rows and self.index.valid[row]:
                return row
        raise no_picture(f"{self.id}-{number}")

    def row_of_content(self, sha256: str) -> int:
        """Return the first row of a content by the beginning of its SHA-256, of 16 digits at least. ProblemError."""
        rows = self.index.rows_of_content(sha256)
        if not rows:
            raise no_picture(sha256)
        return rows[0]

    def row_of_path(self, path: str) -> int:
        """Return the row of a file by its path below the root, as the index has it. ProblemError."""
        row = self._by_path.get(path)
        if row is None:
            raise no_picture(path)
        return row

    def query(self, row: int) -> IndexedQuery:
        """Return the query by a row's picture, of which no file is read."""
        record = self.index.record(row)
        path = self.index.root / record.path
        return IndexedQuery(path, str(path), record.sha256, self.index.features([row])[0])

    def record(self, row: int) -> FileRecord:
        """Return the file of a row."""
        return self.index.record(row)

    @cached_property
    def taken(self) -> npt.NDArray[np.int64]:
        """The date of each row's photo, in seconds since 1970 of its local time, 0 without one: shape (rows,)."""
        return taken_of(self.index)

    @cached_property
    def folders(self) -> dict[str, int]:
        """The number of pictures of each folder, by its path below the root, "" being the root."""
        paths = self.index.files().paths
        counts: dict[str, int] = {}
        for row in self.rows.tolist():
            folder = paths[row].rpartition("/")[0]
            counts[folder] = counts.get(folder, 0) + 1
        return dict(sorted(counts.items()))

    @cached_property
    def frequent_tags(self) -> list[tuple[str, int]]:
        """The tags of most pictures, at most a hundred, and how many each has."""
        counts: Counter[str] = Counter()
        rows = self.rows.tolist()
        for start in range(0, len(rows), 1000):
            for its in self.tags.of(rows[start : start + 1000]):
                counts.update(tag.word for tag in its or ())
        return counts.most_common(100)

    @cached_property
    def frequent_objects(self) -> list[tuple[str, int]]:
        """The things that most pictures show, at most a hundred, and how many each."""
        return objects_by_name(self.index)

    @property
    def completion(self) -> Completion:
        """Words and how many pictures each finds, counted once. CbirError where no picture has classes."""
        with self._counting:
            if self._completion is None:
                self._completion = Completion(classes_of(self.index), LEAST_PROBABILITY)
            return self._completion

    @cached_property
    def names(self) -> Names:
        """The pictures by pieces of their names."""
        return Names(self.index.files().paths, self.rows)

    @cached_property
    def _by_path(self) -> dict[str, int]:
        paths = self.index.files().paths
        return {paths[row]: row for row in self.rows.tolist()}


def no_picture(name: str) -> ProblemError:
    """Return the problem of a picture that the index does not have."""
    return ProblemError(404, "no-such-picture", f"The index has no picture {name}.")
