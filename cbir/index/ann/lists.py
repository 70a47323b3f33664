"""Lists of windows: those of pictures' parts by the centre that each is most like, so that a search reads a few lists.

An inverted file (Jégou, Douze and Schmid, "Product quantization for nearest neighbor search", 2011) that has of each
window its number and its signs. `listing.py` builds it. Nothing in it is trusted: what it proposes is compared by the
numbers of the index's parts, and a file that is not what was written is refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cbir.errors import IndexDamagedError
from cbir.index import verified
from cbir.index.ann.codes import Signs, differing_in_tiles
from cbir.index.ann.sieve import NOWHERE, Sieve
from cbir.index.columns.parts import MOST, NUMBERS, WORDS
from cbir.index.entries import CandidatesEntry
from cbir.index.rowfile import RowFile
from cbir.utils.hashing import file_sha256
from cbir.utils.threads import side_by_side
from cbir.utils.vectors import Floats

if TYPE_CHECKING:
    from cbir.index.columns.column import Records

#: Windows of a tile, in which the same word of all their signs is side by side. A list's last tile is filled up.
TILE = 64

#: A tile: the windows' numbers, row * MOST + place, and their signs.
TILE_RECORD = np.dtype([("windows", "<u4", (TILE,)), ("signs", "<u8", (WORDS, TILE))])

#: The number of a window that fills up a tile.
NONE = 0xFFFFFFFF

#: A list: its centre, of length 1, and how many tiles it has.
LIST_RECORD = np.dtype([("centre", "<f4", (NUMBERS,)), ("tiles", "<u4")])

#: The keys of its files in `meta.json` with what their names begin with, and of its settings with their bounds.
FILES = MappingProxyType({"centres": "centres", "tiles": "lists"})
SETTINGS = MappingProxyType({"lists": (1, 10**6), "tiles_of_all": (1, 10**9), "probed": (1, 10**6)})

# Tiles that are read at a time: 1 MB.
_STEP = 128

#: Pictures that a search is for, for which so many lists do as are remembered; for more, as many times more are read.
USUAL_COUNT = 10


class PartLists:
    """The open lists of the windows of an index's first `rows` pictures.

    IndexDamagedError where the files' structure is not that of such lists.
    """

    def __init__(self, directory: Path, entry: CandidatesEntry) -> None:
        count, tiles = entry.settings["lists"], entry.settings["tiles_of_all"]
        self.rows = entry.rows
        self.probed = entry.settings["probed"]
        self._path = directory / entry.files["tiles"].name
        self._tiles = RowFile(directory, entry.files["tiles"], (tiles, 1), TILE_RECORD)
        centres = RowFile(directory, entry.files["centres"], (count, 1), LIST_RECORD)
        records = centres.between(0, count)[:, 0]
        self._centres: Floats = np.ascontiguousarray(records["centre"])
        self._starts = np.concatenate([[0], np.cumsum(records["tiles"].astype(np.int64))])
        if not np.isfinite(self._centres).all():
            raise self._damaged("its centres are not finite")
        if self._starts[-1] != tiles:
            raise self._damaged("its lists have other lengths than the file")

    def add_to(self, sieve: Sieve, count: int, probed: int | None = None) -> None:
        """Sift the windows of the lists that are nearest to the sieve's query, as many as `count` pictures need.

        `probed` is how many, otherwise. IndexDamagedError where they cannot be what was written.
        """
        lists = probed or self.probed * max(1, -(-count // USUAL_COUNT))
        order = self.order(sieve.query)[:lists]
        places = np.concatenate([np.arange(self._starts[one], self._starts[one + 1]) for one in order.tolist()])

        def sift(batch: npt.NDArray[np.int64]) -> None:
            tiles = self._read(np.sort(batch))
            windows, its_signs = tiles["windows"], tiles["signs"]
            apart = differing_in_tiles(sieve.signs, its_signs)
            apart[windows == NONE] = NOWHERE
            try:
                sieve.add(apart.reshape(-1), windows.reshape(-1), lambda chosen: _signs_at(its_signs, chosen))
            except ValueError as error:
                raise self._damaged(str(error)) from error

        side_by_side(sift, [places[start : start + _STEP] for start in range(0, len(places), _STEP)])

    def order(self, query: Floats) -> npt.NDArray[np.int64]:
        """Return the lists by how like their centres are to a query, shape (NUMBERS,), the most like first."""
        return np.argsort(-(self._centres @ query), kind="stable")

    def check(
        self, entry: CandidatesEntry, counts: Callable[[], npt.NDArray[np.int64]], valid: npt.NDArray[np.bool_]
    ) -> None:
        """Raise IndexDamagedError unless the files are what was written, and have all windows that they are to have.

        `counts` tells how many windows each row of the index has, of which these are `valid`, both of shape (rows,).
        That they were found sound is remembered until they change: it takes a second for 100,000 pictures.
        """
        stored = list(entry.files.values())
        what = f"{'-'.join(file.sha256 for file in stored)}-{self.rows}"
        status = os.stat(self._path)
        if verified.is_marked(self._path, what, status):
            return
        for file in stored:
            path = self._path.parent / file.name
            if file_sha256(path) != file.sha256:
                raise self._damaged("its checksum differs", path)
        seen = np.zeros(self.rows * MOST, dtype=np.bool_)
        for tiles in self._all():
            windows = tiles["windows"][tiles["windows"] != NONE]
            if len(windows) and windows.max() >= len(seen):
                raise self._damaged("it has windows of pictures that there are not")
            if seen[windows].any() or len(np.unique(windows)) < len(windows):
                raise self._damaged("it has a window twice")
            seen[windows] = True
        there = np.arange(MOST) < counts()[: self.rows, np.newaxis]
        if not (seen.reshape(-1, MOST) == there)[valid[: self.rows]].all():
            raise self._damaged("it has other windows than the index")
        verified.mark(self._path, what, status)

    def _all(self) -> Iterator[Records]:
        for start in range(0, len(self._tiles), _STEP):
            yield self._tiles.between(start, start + _STEP)[:, 0]

    def _read(self, places: npt.NDArray[np.int64]) -> Records:
        """Read tiles at ascending places: neighbours in one go."""
        ends = np.flatnonzero(np.diff(places) != 1) + 1
        runs = [(int(run[0]), int(run[-1]) + 1) for run in np.split(places, ends) if len(run)]
        parts = [self._tiles.between(*run)[:, 0] for run in runs]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _damaged(self, problem: str, path: Path | None = None) -> IndexDamagedError:
        return IndexDamagedError(f"{path or self._path} is damaged ({problem}). `cbir index` makes it again.")


def _signs_at(tiles: Signs, chosen: npt.NDArray[np.int64]) -> Signs:
    """Return the signs of the windows at some places in tiles, shape (n, WORDS, TILE): (m, WORDS)."""
    found: Signs = tiles[chosen // TILE, :, chosen % TILE]
    return found
