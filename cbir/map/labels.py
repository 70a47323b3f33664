"""Words on a map: what a region of like pictures shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Place = tuple[int, int]

#: A region that gets a word has at least so many cells, and at least this share of all.
_LEAST_CELLS = 4
_LEAST_SHARE = 0.003


@dataclass(frozen=True)
class MapLabel:
    """A word, the middle of its region (columns and lines from the map's corner), and how many cells the region has."""

    word: str
    column: float
    line: float
    cells: int


def find_labels(words: Mapping[Place, str]) -> list[MapLabel]:
    """The words that enough neighbouring cells have in common, largest region first.

    `words` has the word of each picture of which one is known, by its column and line.
    """
    least = max(_LEAST_CELLS, round(_LEAST_SHARE * len(words)))
    regions = [region for region in _regions(words) if len(region) >= least]
    labels = []
    for region in sorted(regions, key=lambda region: (-len(region), words[region[0]], region[0])):
        column, line = (sum(axis) / len(region) + 0.5 for axis in zip(*region, strict=True))
        labels.append(MapLabel(words[region[0]], column, line, len(region)))
    return labels


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
