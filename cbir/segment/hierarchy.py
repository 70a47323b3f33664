"""A picture's regions as a hierarchy: superpixels merged two by two, the most alike first.

Average linkage of the probabilities that people see two places as one region, among regions that touch. With the
threshold at one half this is greedy correlation clustering (Bansal, Blum and Chawla 2004; Keuper et al. 2015 call it
greedy additive edge contraction); the exponent makes small regions go first.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbir.utils.vectors import Floats

Integers = npt.NDArray[np.int64]

#: The exponent of the regions' size in a merge's cost.
_SIZE = 0.05


@dataclass(frozen=True)
class Hierarchy:
    """Merges of `leaves` superpixels in their order: `pairs`, shape (m, 2), and what each cost, shape (m,).

    The region that merge i makes has the number leaves + i.
    """

    leaves: int
    pairs: Integers
    costs: Floats

    def count_at(self, threshold: float) -> int:
        """Count the regions left when merging stops before the first merge that costs more than `threshold`."""
        dear = np.flatnonzero(self.costs > threshold)
        return self.leaves - (int(dear[0]) if len(dear) else len(self.costs))

    def regions(self, count: int) -> Integers:
        """Find the region of each superpixel, shape (leaves,), numbered from 0, where merging has left `count` regions.

        There are more where not all superpixels touch, and fewer where there are fewer superpixels.
        """
        merges = min(max(self.leaves - count, 0), len(self.pairs))
        parents = np.arange(self.leaves + merges)
        for i in range(merges):
            parents[self.pairs[i]] = self.leaves + i
        for node in range(len(parents) - 1, -1, -1):  # a parent's number is higher: it is settled before its children
            parents[node] = parents[parents[node]]
        return np.asarray(np.unique(parents[: self.leaves], return_inverse=True)[1], dtype=np.int64)


def merge(together: Floats, shares: Floats, edges: Integers) -> Hierarchy:
    """Merge superpixels until one region is left.

    `together`, shape (n, n), is the probability that two superpixels belong to one region, `shares`, shape (n,),
    their shares of the picture, `edges`, shape (m, 2), which of them touch. A merge of regions with the shares a and b
    costs (1 - the mean probability between them) (ab / (a + b))^_SIZE.
    """
    leaves = len(shares)
    most = 2 * leaves - 1
    mean = np.zeros((most, most), dtype=np.float32)
    mean[:leaves, :leaves] = together
    share = np.zeros(most)
    share[:leaves] = shares
    touching: list[set[int]] = [set() for _ in range(most)]
    for one, other in edges.tolist():
        touching[one].add(other)
        touching[other].add(one)

    def costs(one: Integers | int, others: Integers) -> list[float]:
        size = share[one] * share[others] / (share[one] + share[others])
        found: list[float] = ((1 - mean[one, others]) * size**_SIZE).tolist()
        return found

    first, second = edges[:, 0], edges[:, 1]
    heap = list(zip(costs(first, second), first.tolist(), second.tolist(), strict=True))
    heapq.heapify(heap)
    alive = [True] * leaves + [False] * (most - leaves)
    pairs: list[tuple[int, int]] = []
    paid: list[float] = []
    while heap:
        cost, one, other = heapq.heappop(heap)
        if not (alive[one] and alive[other]):
            continue
        new = leaves + len(pairs)
        pairs.append((one, other))
        paid.append(cost)
        alive[one] = alive[other] = False
        alive[new] = True
        share[new] = share[one] + share[other]
        mean[new] = (mean[one] * share[one] + mean[other] * share[other]) / share[new]
        mean[:, new] = mean[new]
        touching[new] = (touching[one] | touching[other]) - {one, other}
        for neighbour in touching[new]:
            touching[neighbour] -= {one, other}
            touching[neighbour].add(new)
        if touching[new]:
            neighbours = np.fromiter(sorted(touching[new]), np.int64)
            for cost, neighbour in zip(costs(new, neighbours), neighbours.tolist(), strict=True):
                heapq.heappush(heap, (cost, neighbour, new))
    return Hierarchy(leaves, np.array(pairs, dtype=np.int64).reshape(-1, 2), np.array(paid, dtype=np.float32))
