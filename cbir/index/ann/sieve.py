"""Sifting windows by their signs: coarse first by the bits that differ, then by the query's numbers along these bits.

Of a query the numbers are known, of a window only the signs: the sum of the query's numbers where the window's are
positive orders windows much better than the count of bits that differ, and takes twenty times as long. So it is only
computed of those that differ in few.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from cbir.index.ann.codes import CANDIDATES, Signs, candidate_count, signs
from cbir.index.columns.parts import MOST, NUMBERS, WORDS
from cbir.utils.vectors import Floats, Rows

#: Bits in which no window can differ.
NOWHERE = 64 * WORDS + 1

# Windows whose bits are unpacked at a time, so that they stay in the processor's cache.
_STEP = 512


class Sieve:
    """Keeps the windows of pictures that are most like a query, as they come, from many threads.

    `query` has shape (NUMBERS,); pictures count by the mask `wanted`, shape (rows,). A window is numbered row * MOST +
    place. What is kept is the same in whatever order windows come.
    """

    def __init__(self, query: Floats, wanted: npt.NDArray[np.bool_], count: int) -> None:
        self.query = query
        self.signs: Signs = signs(query[np.newaxis])[0]
        self._wanted = wanted
        # each picture has at most MOST windows, so that there are enough pictures among so many of them
        self._few = max(CANDIDATES, MOST * count)
        self._coarse = max(candidate_count(MOST * len(wanted)), self._few)
        self._counts = np.zeros(NOWHERE + 1, dtype=np.int64)
        self._lock = threading.Lock()
        self._kept: list[tuple[npt.NDArray[np.uint16], Rows, Floats]] = []

    def add(
        self, apart: npt.NDArray[np.uint16], windows: Rows, signs_of: Callable[[npt.NDArray[np.int64]], Signs]
    ) -> None:
        """Add windows, shape (n,), that differ in so many bits each, shape (n,), NOWHERE for none.

        `signs_of` gives the signs of those at some places, shape (m, WORDS). ValueError where no picture has a window.
        """
        counts = np.bincount(apart, minlength=NOWHERE + 1)
        with self._lock:
            self._counts += counts
            bound = self._bound()
        chosen = np.flatnonzero(apart <= bound)
        numbers = windows[chosen].astype(np.int64)
        rows = numbers // MOST
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self._wanted)):
            raise ValueError("it has windows of pictures that there are not")
        is_wanted = self._wanted[rows]
        chosen, numbers = chosen[is_wanted], numbers[is_wanted]
        found = apart[chosen], numbers, self._likenesses(signs_of(chosen))
        with self._lock:
            self._kept.append(found)

    def best(self) -> Rows:
        """Return the windows that are to be compared by their numbers, in the order of their numbers."""
        if not self._kept:
            return np.zeros(0, dtype=np.int64)
        apart, windows, likenesses = (np.concatenate(parts) for parts in zip(*self._kept, strict=True))
        near = apart <= self._bound()  # others were kept before nearer ones came
        windows, likenesses = windows[near], likenesses[near]
        if len(windows) > self._few:
            windows = windows[np.lexsort((windows, -likenesses))[: self._few]]
        return np.unique(windows)

    def _bound(self) -> int:
        """Return the bits in which the nearest windows differ at most: those that are as far as the last all count."""
        return min(int(np.searchsorted(self._counts.cumsum(), self._coarse)), NOWHERE - 1)

    def _likenesses(self, found: Signs) -> Floats:
        """Sum the query's numbers where those of windows are positive: of their signs (n, WORDS) the shape (n,)."""
        sums = np.empty(len(found), dtype=np.float32)
        of_bytes = np.ascontiguousarray(found).view(np.uint8)
        for start in range(0, len(found), _STEP):
            bits = np.unpackbits(of_bytes[start : start + _STEP], axis=1)
            sums[start : start + _STEP] = bits.astype(np.float32) @ self.query
        return sums


def whole_query(query: Floats) -> Floats:
    """Return a query, shape (dimension,), filled up with zeros to shape (NUMBERS,)."""
    whole = np.zeros(NUMBERS, dtype=np.float32)
    whole[: len(query)] = query
    return whole
