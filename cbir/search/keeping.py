"""Vectors of rows that searches keep in memory: those of all indexes and orders of a process within one bound."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np

Arrays = tuple[np.ndarray, ...]


@dataclass
class _Entry:
    """Arrays that are kept, their bytes, and when they were asked for last."""

    arrays: Arrays
    size: int
    turn: int


class KeptVectors:
    """Keeps arrays by who made them and for what, at most so many bytes of all; for any number of threads.

    Those that were asked for longest ago go first, and all of a maker with it.
    """

    def __init__(self, most: int) -> None:
        #: Bytes at most.
        self.most = most
        self._of: weakref.WeakKeyDictionary[object, dict[Hashable, _Entry]] = weakref.WeakKeyDictionary()
        self._turns = itertools.count()
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes that are kept now."""
        with self._lock:
            return sum(entry.size for its in self._of.values() for entry in its.values())

    def limit(self, most: int) -> None:
        """Keep so many bytes at most from now on."""
        with self._lock:
            self.most = most
            self._shrink()

    def of(self, maker: object, key: Hashable, make: Callable[[], Arrays]) -> Arrays:
        """Return the arrays that `maker` has for `key`, which are made where none are kept.

        No lock is held while they are: a maker sees to it that it makes nothing twice.
        """
        with self._lock:
            found = self._of.get(maker, {}).get(key)
            if found is not None:
                found.turn = next(self._turns)
                return found.arrays
        arrays = make()
        with self._lock:
            size = sum(one.nbytes for one in arrays)
            self._of.setdefault(maker, {})[key] = _Entry(arrays, size, next(self._turns))
            self._shrink()
        return arrays

    def _shrink(self) -> None:
        """Drop what was asked for longest ago until the rest is within the bound."""
        entries = [(entry.turn, key, its, entry) for its in self._of.values() for key, entry in its.items()]
        entries.sort(key=lambda one: one[0])
        total = sum(entry.size for *_, entry in entries)
        for _, key, its, entry in entries:
            if total <= self.most:
                return
            del its[key]
            total -= entry.size


#: Bytes that a process keeps, or several that answer as one, together.
KEPT_BYTES = 128 << 20

#: Those of this process.
KEPT = KeptVectors(KEPT_BYTES)
