"""Average linkage of some thousand vectors, exact, with half a matrix of distances in float32 as its only memory.

Clusters that are each other's nearest are joined, found by following nearest neighbours from one to the next (Murtagh,
"A survey of recent advances in hierarchical clustering algorithms", The Computer Journal 1983); the distance of joined
ones to others is the mean over all pairs. What is forbidden has an infinite distance, and so has whatever it becomes a
part of: a mean stays between its parts then too, so that the order in which clusters are joined does not matter.
SciPy's `linkage` takes no infinite distances, and twice the memory.
"""

from __future__ import annotations

import numpy as np

from cbir.utils.vectors import Floats, Rows

#: Distances that are computed at a time: 8 MB.
_DISTANCES = 2_000_000

_FORBIDDEN = np.float32(np.inf)


class Linkage:
    """Clusters of vectors of length 1, shape (n, dimension): each one by itself at first.

    `distances` are those of all pairs (i, j), i < j, in the order of i and then j.
    """

    def __init__(self, vectors: Floats) -> None:
        count = len(vectors)
        rows = np.arange(count, dtype=np.int64)
        # the pair (i, j) is at place before[i] + j
        self._before = rows * (2 * count - rows - 1) // 2 - rows - 1
        self._sizes = np.ones(count, dtype=np.float32)
        # what is added to the distances of a cluster: of one that is part of another now, infinity
        self._gone = np.zeros(count, dtype=np.float32)
        self._parents = rows
        self.distances = self._distances_of(vectors)

    def _distances_of(self, vectors: Floats) -> Floats:
        count = len(vectors)
        distances = np.empty(count * (count - 1) // 2, dtype=np.float32)
        step = max(1, _DISTANCES // max(count, 1))
        for start in range(0, count, step):
            found = distances_between(vectors[start : start + step], vectors[start:])
            for place, row in enumerate(found):
                one = start + place
                first = self._before[one] + one + 1
                distances[first : first + count - one - 1] = row[place + 1 :]
        return distances

    def forbid(self, ones: Rows, others: Rows) -> None:
        """Forbid that vectors are ever in one cluster: pairs by their numbers, shape (m,) each."""
        firsts, seconds = np.minimum(ones, others), np.maximum(ones, others)
        differ = firsts != seconds
        self.distances[self._before[firsts[differ]] + seconds[differ]] = _FORBIDDEN

    def join(self, one: int, other: int) -> int:
        """Join two clusters and return the number of the joined one, which is the smaller."""
        one, other = min(one, other), max(one, other)
        share = self._sizes[one] / (self._sizes[one] + self._sizes[other])
        row, other_row = self._row(one), self._row(other)
        row *= share
        other_row *= 1 - share
        row += other_row
        self.distances[self._before[:one] + one] = row[:one]
        first = self._before[one] + one + 1
        self.distances[first : first + len(row) - one - 1] = row[one + 1 :]
        self._sizes[one] += self._sizes[other]
        self._gone[other] = _FORBIDDEN
        self._parents[other] = one
        return one

    def run(self, threshold: float) -> Rows:
        """Join whatever has a mean distance below `threshold`. Return the cluster of each vector, shape (n,)."""
        count = len(self._sizes)
        chain: list[int] = []
        first = 0
        while first < count:
            if not chain:
                if self._gone[first]:
                    first += 1
                    continue
                chain = [first]
            row = self._row(chain[-1])
            row += self._gone
            nearest = int(row.argmin())
            # of several that are equally near, the one that the chain came from, or it would never end
            before = chain[-2] if len(chain) > 1 else None
            if before is not None and row[before] <= row[nearest]:
                nearest = before
            if not row[nearest] < threshold:
                # nothing comes below the threshold by joining others: this one is as it will be, and `chain` is it
                chain.pop()
                first += 1
            elif nearest == before:
                self.join(chain.pop(), chain.pop())
            else:
                chain.append(nearest)
        return self.clusters()

    def clusters(self) -> Rows:
        """Return the cluster of each vector, shape (n,): the number of one in it."""
        found = self._parents
        while not np.array_equal(found, found[found]):
            found = found[found]
        return found.copy()

    def _row(self, one: int) -> Floats:
        """Read the distances of a cluster to all others, shape (n,), to itself infinity."""
        row = np.empty(len(self._sizes), dtype=np.float32)
        np.take(self.distances, self._before[:one] + one, out=row[:one])
        row[one] = _FORBIDDEN
        first = self._before[one] + one + 1
        row[one + 1 :] = self.distances[first : first + len(row) - one - 1]
        return row


def distances_between(ones: Floats, others: Floats) -> Floats:
    """Compute the Euclidean distances of vectors of length 1, shapes (n, dimension) and (m, dimension): (n, m)."""
    found: Floats = ones @ others.T
    found *= -2
    found += 2
    np.maximum(found, 0, out=found)
    return np.sqrt(found, out=found)
