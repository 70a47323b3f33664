"""Words on a map: what a region of like pictures shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cbir.map.grid import Grid

Place = tuple[int, int]

#: A region that gets a word has at least so many cells, and at least this share of all.
_LEAST_CELLS = 4
_LEAST_SHARE = 0.003

#: Of a word's height: a part of the width of its region, were that a square, and at most so many cells.
_OF_WIDTH, _LARGEST = 0.17, 1.5
_WIDTH_OF_LETTER = 0.55  # of its height, about


@dataclass(frozen=True)
class MapLabel:
    """A word, where its middle is written (columns and lines from the map's corner), and its height, all in cells.

    It stands in the middle of its region, which has so many `cells`, or as near to it as the map's edge leaves room.
    """

    word: str
    column: float
    line: float
    height: float
    cells: int

    @property
    def width(self) -> float:
        """About how wide the word is, in cells."""
        return _WIDTH_OF_LETTER * self.height * len(self.word)


def find_labels(words: Mapping[Place, str], grid: Grid) -> list[MapLabel]:
    """Return the words that enough neighbouring cells have in common, largest region first.

    `words` has the word of each picture of which one is known, by its column and line. A word that would cover one of a
    larger region is left out.
    """
    least = max(_LEAST_CELLS, round(_LEAST_SHARE * len(words)))
    regions = [region for region in _regions(words) if len(region) >= least]
    labels: list[MapLabel] = []
    for region in sorted(regions, key=lambda region: (-len(region), words[region[0]], region[0])):
        label = _label(words[region[0]], region, grid)
        if not any(_cover_each_other(label, other) for other in labels):
            labels.append(label)
    return labels


def _label(word: str, region: Sequence[Place], grid: Grid) -> MapLabel:
    column, line = (sum(axis) / len(region) + 0.5 for axis in zip(*region, strict=True))
    label = MapLabel(word, column, line, min(_LARGEST, _OF_WIDTH * math.sqrt(len(region))), len(region))
    across, down = label.width / 2, label.height / 2
    column = min(max(column, across), max(grid.columns - across, grid.columns / 2))
    return replace(label, column=column, line=min(max(line, down), grid.rows - down))


def _cover_each_other(one: MapLabel, other: MapLabel) -> bool:
    return (
        abs(one.column - other.column) < (one.width + other.width) / 2
        and abs(one.line - other.line) < (one.height + other.height) / 2
    )


def _regions(words: Mapping[Place, str]) -> list[list[Place]]:
    """All cells in groups that have one word and touch at a side or a corner."""
    left = dict(words)
    regions = []
    while left:
        place, word = left.popitem()
        region, edge = [], [place]
        while edge:
            column, line = edge.pop()
            region.append((column, line))
            around = [(column + across, line + down) for across in (-1, 0, 1) for down in (-1, 0, 1)]
            for one in around:
                if left.get(one) == word:
                    del left[one]
                    edge.append(one)
        regions.append(region)
    return regions
