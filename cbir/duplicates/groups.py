"""Grouping pairs, each group around the picture to keep.

Connected components would chain pictures together that are nothing to each other: of a film, frame by frame. Here a
group grows around one picture: the best of those that are left takes all that are near to it, and those that are
near to more than half of the group. What remains is grouped in the same way.

Only so many nearest of each picture are known to be near it, and in a group of many a picture may lie beyond them. So
whoever joins a group brings those that are near to it, which are then compared with the kept picture too, until none
comes any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol

#: Members of a group that others are compared with: the kept one, and those that came first. Of those that are near by
#: their thumbnails, so many are looked at closely.
JUDGES, CLOSELY = 25, 3


class Comparison(Protocol):
    """The scores of pairs of rows, known already or found out when asked for."""

    @property
    def near(self) -> Mapping[int, Mapping[int, float]]:
        """The rows that each row's thumbnail takes for the same picture, with their scores."""
        ...

    def compare(self, pairs: Collection[tuple[int, int]]) -> None:
        """Find out by their thumbnails which of the pairs are near."""
        ...

    def same(self, pairs: Collection[tuple[int, int]]) -> Mapping[tuple[int, int], float]:
        """Those of the pairs that are the same picture, also at a closer look, and their scores."""
        ...


def grouped(comparison: Comparison, rows: Iterable[int], merit: Mapping[int, Any]) -> list[dict[int, float]]:
    """Groups of `rows`, each from a row to its score with the first, which is kept and has 1.

    `merit` tells of each row how much it deserves to be kept: the greatest is kept. A row that is not the same as the
    kept one has the largest of its scores with the others.
    """
    groups: list[dict[int, float]] = []
    taken: set[int] = set()
    for row in sorted(rows, key=lambda row: merit[row], reverse=True):
        if row in taken:
            continue
        group = _around(row, comparison, taken)
        if len(group) < 2:
            continue
        _grow(group, comparison, taken)
        taken.update(group)
        groups.append(group)
    return groups


def _around(row: int, comparison: Comparison, taken: set[int]) -> dict[int, float]:
    """Return a row and all that are the same as it: its neighbours, and the neighbours of those that are."""
    group, asked = {row: 1.0}, {row}
    joined = [row]
    while joined:
        wave = {other for member in joined for other in comparison.near[member]} - asked - taken
        asked |= wave
        found = comparison.same([(row, other) for other in sorted(wave)])
        joined = [other for _, other in found]
        group.update({other: score for (_, other), score in found.items()})
    return group


def _grow(group: dict[int, float], comparison: Comparison, taken: set[int]) -> None:
    """Add to a group what is the same as more than half of it, that which is near to most first."""
    near = comparison.near
    while True:
        judges = list(group)[:JUDGES]
        outside = {other for judge in judges for other in near[judge]} - taken - group.keys()
        comparison.compare([(judge, other) for other in sorted(outside) for judge in judges])
        counts = {other: sum(judge in near[other] for judge in judges) for other in outside}
        for other in sorted(outside, key=lambda other: (-counts[other], other)):
            if 2 * counts[other] <= len(judges):
                return
            nearest = sorted((judge for judge in judges if judge in near[other]), key=lambda judge: -near[other][judge])
            found = comparison.same([(judge, other) for judge in nearest[:CLOSELY]])
            if 2 * len(found) > min(CLOSELY, len(nearest)):
                group[other] = max(found.values())
                break
        else:
            return


def connected(near: Mapping[int, Iterable[int]]) -> Iterator[list[int]]:
    """Rows that hang together, as lists, in the order of their first."""
    seen: set[int] = set()
    for row in sorted(near):
        if row in seen:
            continue
        seen.add(row)
        rows = [row]
        for member in rows:  # which grows meanwhile
            new = sorted(other for other in near[member] if other not in seen)
            seen.update(new)
            rows += new
        yield rows
