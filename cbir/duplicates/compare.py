"""Comparing the pictures of an index pair by pair, when it is asked for: thumbnails first, then a closer look."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator

import numpy as np

from cbir.duplicates.closer import SIDE, Look, agreement
from cbir.duplicates.pairs import Pairs, find_pairs, raised, score_pairs
from cbir.images.previews import thumbnails
from cbir.images.sources.address import Location
from cbir.index.store import Index
from cbir.utils.shares import Told, nobody
from cbir.utils.vectors import Floats, Rows

#: Looks that are kept, some 200 KB each with all that was made of them.
MOST_LOOKS = 1000

#: The agreement at a closer look that makes up for thumbnails that are not quite alike, and its worth in the weighted
#: sum that makes the score.
AGREEING, WORTH = 0.5, 4.0


class Looks:
    """Pictures of rows as they are looked at closely: read when they are asked for, and kept while there is room.

    `path_of` names a row's file, None where there is none with its content; `size_of` tells width and height of the
    picture. `unread` has the rows whose pictures could not be read.
    """

    def __init__(self, path_of: Callable[[int], Location | None], size_of: Callable[[int], tuple[int, int]]) -> None:
        self.unread: set[int] = set()
        self._path_of = path_of
        self._size_of = size_of
        self._looks: OrderedDict[int, Look] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, rows: Iterable[int]) -> dict[int, Look]:
        """Return the pictures of `rows`, but for those that cannot be read."""
        with self._lock:
            rows = dict.fromkeys(rows)
            found = {row: self._looks[row] for row in rows if row in self._looks}
            for row in found:
                self._looks.move_to_end(row)
            new = [row for row in rows if row not in found and row not in self.unread]
            # a small picture is read as it is, and made smaller when it is grey: a third of the work
            small = [row for row in new if max(self._size_of(row)) <= 2 * SIDE]
            for some, side in ((small, 2 * SIDE), (sorted(set(new) - set(small)), SIDE)):
                for row, look in self._read(some, side):
                    found[row] = self._looks[row] = look
            while len(self._looks) > MOST_LOOKS:
                self._looks.popitem(last=False)
        return found

    def _read(self, rows: list[int], side: int) -> Iterator[tuple[int, Look]]:
        sources = {row: self._path_of(row) for row in rows}
        row_of = {path: row for row, path in sources.items() if path is not None}
        self.unread.update(sources.keys() - row_of.values())
        for path, thumbnail in thumbnails(row_of, side):
            assert not isinstance(path, bytes)
            if thumbnail.image is None:
                self.unread.add(row_of[path])
            else:
                yield row_of[path], Look.of(thumbnail.image)


class PairComparison:
    """The comparison of pairs of some rows, as `groups.Comparison` asks for it.

    `near` has what the thumbnails take for the same picture, or nearly so if there are `looks` to tell.
    """

    def __init__(
        self, index: Index, rows: Rows, same: Rows, min_score: float, looks: Looks | None, told: Told = nobody
    ) -> None:
        self.near: dict[int, dict[int, float]] = defaultdict(dict)
        self._index = index
        self._min_score = min_score
        self._min_near = min_score if looks is None else raised(min_score, -WORTH)
        self._looks = looks
        self._maps: dict[tuple[int, int], Floats] = {}
        self._compared: set[tuple[int, int]] = set()
        self._scores: dict[tuple[int, int], float] = {}
        self._add(find_pairs(index, rows, same, self._min_near, told))

    def _add(self, pairs: Pairs) -> None:
        for first, second, score, map_ in zip(
            pairs.first.tolist(), pairs.second.tolist(), pairs.scores.tolist(), pairs.maps, strict=True
        ):
            self.near[first][second] = self.near[second][first] = score
            self._maps[first, second] = map_
            self._compared.add((first, second))

    def compare(self, pairs: Collection[tuple[int, int]]) -> None:
        """Find out by their thumbnails which of the pairs are near."""
        unknown = sorted({(min(pair), max(pair)) for pair in pairs} - self._compared)
        for begin in range(0, len(unknown), 1024):
            part = unknown[begin : begin + 1024]
            first, second = np.array(part, dtype=np.int64).T
            one, other = self._index.features(first), self._index.features(second)
            self._compared.update(part)
            cosines = np.einsum("pd,pd->p", one, other)
            self._add(score_pairs(self._index, first, second, cosines, self._min_near))

    def same(self, pairs: Collection[tuple[int, int]]) -> dict[tuple[int, int], float]:
        """Those of the pairs that are the same picture, also at a closer look, and their scores."""
        ordered = {pair: (min(pair), max(pair)) for pair in pairs}
        self.compare(ordered.values())
        near = {pair: key for pair, key in ordered.items() if key in self._maps}
        self._look([key for key in near.values() if key not in self._scores])
        return {pair: self._scores[key] for pair, key in near.items() if self._scores[key] >= self._min_score}

    def _look(self, pairs: list[tuple[int, int]]) -> None:
        """Look closely at pairs; of one whose picture cannot be read the thumbnails' score holds."""
        for begin in range(0, len(pairs), 256):
            part = pairs[begin : begin + 256]
            looks = self._looks.read(row for pair in part for row in pair) if self._looks is not None else {}
            for first, second in part:
                one, other, score = looks.get(first), looks.get(second), self.near[first][second]
                if one is not None and other is not None:
                    found = agreement(other, one, self._maps[first, second])
                    if found == 0:
                        score = -1.0
                    elif found is not None and found >= AGREEING:
                        score = raised(score, WORTH)
                self._scores[first, second] = score
