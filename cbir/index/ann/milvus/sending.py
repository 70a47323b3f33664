"""Sending an index's rows to Milvus: what is new, what went, what is missing there or is not what it should be."""

from __future__ import annotations

import numpy as np

from cbir.index.ann.milvus.collection import FEATURE, Collection
from cbir.index.ann.projection import project
from cbir.index.exact import RowSource
from cbir.utils.vectors import Floats, Rows

# Rows whose features are read at a time.
_STEP = 1000

# Vectors that differ by so much are others: halves are off by a thousandth.
_OTHER = 0.01


class Sender:
    """Sends rows of an index under one of its lines, projected by a `projection`."""

    def __init__(self, collection: Collection, line: int, source: RowSource, projection: Floats) -> None:
        self.collection = collection
        self.line = line
        self._source = source
        self._projection = projection

    def send(self, rows: Rows, gone: int = 0) -> None:
        """Send some rows, which count, or which went in a state."""
        for start in range(0, len(rows), _STEP):
            some = rows[start : start + _STEP]
            near, features = self._vectors(some)
            self.collection.send(self.line, some, near, features if self._is_whole else None, gone)

    def take_back(self, first: int, state: int) -> None:
        """Undo what a run did that committed nothing: rows from `first` on, and rows that went after a state."""
        self.collection.forget(self.line, first)
        self.send(self.collection.keys(self.line, first, f"gone > {state}"))

    def bring_up(self, stop: int, state: int) -> None:
        """Mark the rows below `stop` that do not count any more as gone in a state, and send those that are missing."""
        present = self.collection.keys(self.line, stop, "gone == 0")
        wanted = np.flatnonzero(self._source.valid[:stop])
        self.send(np.setdiff1d(present, wanted), gone=state)
        self.send(np.setdiff1d(wanted, present))

    def mend(self, stop: int) -> int:
        """Send those rows below `stop` again that are missing or have other vectors; return how many these were."""
        wrong = self.wrong(0, stop)
        self.send(wrong)
        return len(wrong)

    def wrong(self, first: int, stop: int) -> Rows:
        """Return the rows from `first` to before `stop` that count and are missing, or have other vectors."""
        wanted = first + np.flatnonzero(self._source.valid[first:stop])
        sound = [np.empty(0, dtype=np.int64)]
        for sent in self.collection.sent(self.line, first, stop, features=self._is_whole):
            counts = (sent.rows >= first) & (sent.rows < stop) & (sent.gone == 0)
            if not counts.any():
                continue
            near, features = self._vectors(sent.rows[counts])
            is_same = _are_same(sent.near[counts], near)
            if self._is_whole and sent.features is not None:
                is_same &= _are_same(sent.features[counts], features)
            sound.append(sent.rows[counts][is_same])
        return np.setdiff1d(wanted, np.concatenate(sound))

    @property
    def _is_whole(self) -> bool:
        return FEATURE in self.collection.widths

    def _vectors(self, rows: Rows) -> tuple[Floats, Floats]:
        features = self._source.features(rows)
        return project(features, self._projection), features


def _are_same(found: Floats, wanted: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Compare vectors, shapes (n, numbers), row by row."""
    if found.shape != wanted.shape:
        return np.zeros(len(wanted), dtype=np.bool_)
    return np.abs(found - wanted).max(axis=1) <= _OTHER  # type: ignore[no-any-return]
