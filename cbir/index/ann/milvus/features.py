"""Features that are in Milvus and not in the files of an index: a machine that searches needs no copy of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cbir.errors import BackendError, IndexDamagedError
from cbir.index.ann.milvus.entry import REMEDY
from cbir.index.entries import CandidatesEntry, StoreEntry
from cbir.utils.vectors import Rows

if TYPE_CHECKING:
    from cbir.index.ann.milvus.collection import Collection


class SentFeatures:
    """The features of all rows that a state of an index has in Milvus, for any number of threads.

    Rows that it never had there, since they did not count when others went, are zeros.
    """

    def __init__(self, store: StoreEntry, entry: CandidatesEntry, dimension: int) -> None:
        self.rows = entry.rows
        self.dimension = dimension
        self.place = str(store)
        self._store, self._entry = store, entry
        self._opening = threading.Lock()
        self._collection: Collection | None = None

    def take(self, rows: Rows) -> npt.NDArray[np.float16]:
        """Return the features of rows, shape (n, dimension). BackendError where they cannot be had."""
        found = np.zeros((len(rows), self.dimension), dtype=np.float16)
        wanted = np.unique(rows[rows < self.rows])
        if len(wanted):
            present, features = self._opened().features(self._entry.settings["line"], wanted)
            if features is not None and features.shape[1:] != (self.dimension,):
                raise BackendError(f"Milvus at {self._store} has features of another length than the index.")
            if features is not None:
                order = np.argsort(present)
                places = np.searchsorted(present[order], rows).clip(max=len(present) - 1)
                is_there = present[order][places] == rows
                found[is_there] = features[order][places[is_there]]
        return found

    def _opened(self) -> Collection:
        from cbir.index.ann.milvus.backend import Milvus

        with self._opening:
            if self._collection is None:
                self._collection = Milvus(self._store).opened(self._entry, self.dimension)
            return self._collection


class BlockElsewhere:
    """The rows of one block among them, as a `RowFile` has them."""

    def __init__(self, sent: SentFeatures, first: int, rows: int) -> None:
        self._sent = sent
        self._first = first
        self._rows = rows

    def __len__(self) -> int:
        return self._rows

    def take(self, wanted: Rows) -> npt.NDArray[np.float16]:
        """Return the rows `wanted`, shape (n,), in that order; shape (n, dimension)."""
        return self._sent.take(self._first + wanted)

    def between(self, first: int, stop: int) -> npt.NDArray[np.float16]:
        """Return rows [first, stop), as many as there are of them; shape (n, dimension)."""
        return self.take(np.arange(first, min(stop, self._rows)))

    def damaged(self, problem: str) -> IndexDamagedError:
        """Return the error that says what is wrong with them."""
        return BackendError(f"What Milvus at {self._sent.place} has of the index {problem}. {REMEDY}")
