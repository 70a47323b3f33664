"""From pairs to groups, each around the picture to keep.

Connected components would chain pictures together that are nothing to each other: of a film, frame by frame. Here a
group grows around one picture: the best of those that are left takes all that are near to it, and those that are
near to more than half of the group. What remains is grouped in the same way.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from cbir.duplicates.pairs import Pairs


def grouped(pairs: Pairs, merit: Mapping[int, Any]) -> list[dict[int, float]]:
    """Groups of rows, each from a row to its score with the first, which is kept and has 1.

    `merit` tells of each row of a pair how much it deserves to be kept: the greatest is kept. A row that is not near to
    the kept one has the largest of its scores with the others.
    """
    near: dict[int, dict[int, float]] = defaultdict(dict)
    for first, second, score in zip(*(column.tolist() for column in pairs), strict=True):
        near[first][second] = near[second][first] = score
    groups: list[dict[int, float]] = []
    taken: set[int] = set()
    for row in sorted(near, key=lambda row: merit[row], reverse=True):
        if row in taken:
            continue
        group = {row: 1.0, **{other: score for other, score in near[row].items() if other not in taken}}
        if len(group) < 2:
            continue
        _grow(group, near, taken)
        taken.update(group)
        groups.append(group)
    return groups


def _grow(group: dict[int, float], near: Mapping[int, Mapping[int, float]], taken: set[int]) -> None:
    """Add to a group what is near to more than half of it, the nearest to most first."""
    while True:
        counts = Counter(other for row in group for other in near[row] if other not in taken and other not in group)
        row, count = max(counts.items(), key=lambda item: (item[1], -item[0]), default=(0, 0))
        if 2 * count <= len(group):
            return
        group[row] = max(score for other, score in near[row].items() if other in group)


def unknown_pairs(pairs: Pairs) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pairs that hang together by others, but are not among `pairs`: the rows of each, the lower one first.

    Only so many nearest of each row are compared, and in a group of many a row may lie beyond them.
    """
    leaders: dict[int, int] = {}

    def leader(row: int) -> int:
        while leaders.setdefault(row, row) != row:
            leaders[row] = leaders[leaders[row]]
            row = leaders[row]
        return row

    known = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    for first, second in known:
        leaders[leader(first)] = leader(second)
    connected: dict[int, list[int]] = defaultdict(list)
    for row in sorted(leaders):
        connected[leader(row)].append(row)
    found = [
        pair
        for rows in connected.values()
        if 2 < len(rows) <= _MOST_CONNECTED
        for pair in combinations(rows, 2)
        if pair not in known
    ]
    first, second = np.array(found, dtype=np.int64).reshape(-1, 2).T
    return first, second


# Rows that hang together, of which all pairs are looked at; more are a chain, or a collection of hardly anything else.
_MOST_CONNECTED = 100
