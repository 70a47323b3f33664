"""Building lists of windows: centres, the centre that each window is most like, and how many lists a search is to read.

Centres are found by k-means on a sample, in two steps: some of all, then some of each of these. So a window is compared
with twice the root of their number and not with all, which of 4,000,000 windows would take minutes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from cbir.index.ann.lists import LIST_RECORD, NONE, TILE, TILE_RECORD, PartLists
from cbir.index.ann.sieve import Sieve
from cbir.index.columns.parts import MOST, NUMBERS, PARTS, SIGNS, WORDS, counts_in
from cbir.index.entries import LISTS, CandidatesEntry
from cbir.index.rowfile import npy_bytes
from cbir.utils.vectors import Floats, Rows, l2_normalize

if TYPE_CHECKING:
    from cbir.index.columns.column import Records
    from cbir.index.newfiles import NewFiles
    from cbir.index.store import Index

#: The share of the first ten pictures that lists are to bring of the queries that the number of lists is chosen by, and
#: of others, which have a little less.
TARGET_RECALL, LEAST_RECALL = 0.99, 0.98
_PROBES = 128
_FIRST = 10

# Lists in roots of the number of windows; sampled windows a list; of these, those that the first step is learnt on;
# rounds of k-means.
_LISTS, _SAMPLE, _SAMPLE_FIRST, _ROUNDS = 4, 10, 16_384, 6

# Pictures whose numbers are read at a time (40 MB as float32), and tiles that are written at a time (64 MB).
_PICTURES, _TILES = 256, 8192

_SEED = 1


class _Centres(NamedTuple):
    """Centres of the first step, shape (n, NUMBERS), and those of the second of each of them."""

    coarse: Floats
    fine: list[Floats]

    def nearest(self, windows: Floats) -> npt.NDArray[np.int64]:
        """Return the list of each of some windows, shape (n, NUMBERS), of whatever length: shape (n,)."""
        coarse = (windows @ self.coarse.T).argmax(axis=1)
        order = np.argsort(coarse, kind="stable")
        ends = np.cumsum(np.bincount(coarse, minlength=len(self.fine)))
        found, start, first = np.empty(len(windows), dtype=np.int64), 0, 0
        for stop, centres in zip(ends.tolist(), self.fine, strict=True):
            its = order[start:stop]
            found[its] = first + (windows[its] @ centres.T).argmax(axis=1)
            start, first = stop, first + len(centres)
        return found


class _Probes(NamedTuple):
    """Queries that the lists are tried with: windows, shape (n, NUMBERS), the rows of the pictures that they are from,
    which are left out, and the windows of the first pictures that an exact scan finds, shape (n, up to _FIRST); -1 for
    none."""

    queries: Floats
    own: Rows
    wanted: Rows

    def those(self, some: slice) -> _Probes:
        return _Probes(self.queries[some], self.own[some], self.wanted[some])


def build_part_lists(index: Index, new: NewFiles, number: int) -> CandidatesEntry | None:
    """Write lists of that number, of the windows of all valid pictures; None where there are none.

    OSError where they cannot be written, IndexDamagedError where the parts cannot be read.
    """
    counts = np.where(index.valid, counts_in(index.stored_chunks(SIGNS)), 0)
    windows = np.flatnonzero(np.arange(MOST) < counts[:, np.newaxis])
    if not len(windows):
        return None
    random = np.random.default_rng(_SEED)
    centres = _learn(index, windows, random)
    lists, probes = _assign(index, counts, centres, random)
    its_lists = np.where(probes.wanted < 0, -1, lists[np.searchsorted(windows, np.maximum(probes.wanted, windows[0]))])
    order = np.argsort(lists, kind="stable")
    lists, windows = lists[order], windows[order]
    all_centres = np.concatenate(centres.fine)
    sizes = np.bincount(lists, minlength=len(all_centres))
    tiles = -(-sizes // TILE)
    records = np.zeros((len(sizes), 1), dtype=LIST_RECORD)
    records["centre"][:, 0], records["tiles"][:, 0] = all_centres, tiles
    # where each window stands, the tiles that end lists being filled up
    ranks = np.arange(len(windows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    places = TILE * np.repeat(np.cumsum(tiles) - tiles, sizes) + ranks
    total = int(tiles.sum())
    files = {
        "centres": new.write(f"centres-{number:06}.npy", npy_bytes(records.shape, LIST_RECORD, iter([records]))),
        "tiles": new.write(
            f"lists-{number:06}.npy", npy_bytes((total, 1), TILE_RECORD, _tiles(index, windows, places, total))
        ),
    }
    settings = {"lists": len(sizes), "tiles_of_all": total, "probed": len(sizes)}
    entry = CandidatesEntry(index.rows, files, settings, 1.0, LISTS)
    probed, recall = _calibrate(PartLists(index.directory, entry), index.valid, probes, its_lists)
    return replace(entry, settings={**settings, "probed": probed}, recall=recall)


def _learn(index: Index, windows: Rows, random: np.random.Generator) -> _Centres:
    """Find centres of a sample of the windows."""
    each = max(1, round(math.sqrt(_LISTS * math.sqrt(len(windows)))))
    chosen = random.choice(windows, min(len(windows), _SAMPLE * each * each), replace=False)
    numbers = index.stored_items(PARTS, *np.divmod(chosen, MOST))["numbers"]
    coarse = _k_means(_unit(numbers[:_SAMPLE_FIRST]), each, random)
    pieces = (numbers[start : start + 8192].astype(np.float32) for start in range(0, len(numbers), 8192))
    nearest = np.concatenate([(piece @ coarse.T).argmax(axis=1) for piece in pieces])
    fine = []
    for one in range(len(coarse)):
        its = numbers[nearest == one]
        fine.append(_k_means(_unit(its), each, random) if len(its) else coarse[one : one + 1])
    return _Centres(coarse, fine)


def _k_means(vectors: Floats, count: int, random: np.random.Generator) -> Floats:
    """Return so many centres of vectors of length 1, or one of each where there are fewer: shape (n, NUMBERS)."""
    centres = vectors[random.choice(len(vectors), min(count, len(vectors)), replace=False)]
    for _ in range(_ROUNDS):
        nearest = (vectors @ centres.T).argmax(axis=1)
        for one in set(nearest.tolist()):  # one that is nearest to none stays where it is
            centres[one] = vectors[nearest == one].sum(axis=0)
        centres = l2_normalize(centres)
    return centres


def _assign(
    index: Index, counts: npt.NDArray[np.int64], centres: _Centres, random: np.random.Generator
) -> tuple[npt.NDArray[np.int64], _Probes]:
    """Find the list of each window, in the order of windows, and the first pictures of the probes by an exact scan."""
    there = np.flatnonzero(counts)
    own = random.choice(there, min(_PROBES, len(there)), replace=False)
    queries = _unit(index.stored_items(PARTS, own, random.integers(0, counts[own]))["numbers"])
    lists = []
    scores = np.full((len(own), 0), -np.inf, dtype=np.float32)
    wanted = np.zeros((len(own), 0), dtype=np.int64)
    for first in range(0, len(counts), _PICTURES):
        rows = np.arange(first, min(first + _PICTURES, len(counts)))
        has = (np.arange(MOST) < counts[rows, np.newaxis]).reshape(-1)
        numbers = index.stored(PARTS, rows)["numbers"].reshape(-1, NUMBERS).astype(np.float32)
        lists.append(centres.nearest(numbers[has]))
        cosines = queries @ numbers.T
        cosines[:, ~has] = -np.inf
        cosines[rows.repeat(MOST) == own[:, np.newaxis]] = -np.inf
        of_pictures = cosines.reshape(len(own), -1, MOST)
        best = MOST * rows + of_pictures.argmax(axis=2)
        scores = np.concatenate([scores, of_pictures.max(axis=2)], axis=1)
        wanted = np.concatenate([wanted, best], axis=1)
        first_ones = np.argsort(-scores, axis=1, kind="stable")[:, :_FIRST]
        scores = np.take_along_axis(scores, first_ones, axis=1)
        wanted = np.take_along_axis(wanted, first_ones, axis=1)
    wanted[scores == -np.inf] = -1
    return np.concatenate(lists), _Probes(queries, own, wanted)


def _tiles(index: Index, windows: Rows, places: Rows, total: int) -> Iterator[Records]:
    """Yield the tiles of windows that stand at ascending places: many at a time, as each time all signs are read."""
    for first in range(0, total, _TILES):
        tiles = np.zeros((min(_TILES, total - first), 1), dtype=TILE_RECORD)
        its_windows, its_signs = tiles["windows"][:, 0], tiles["signs"][:, 0]
        its_windows[:] = NONE
        start, stop = np.searchsorted(places, [TILE * first, TILE * (first + len(tiles))])
        order = start + np.argsort(windows[start:stop])
        numbers, tile, column = windows[order], places[order] // TILE - first, places[order] % TILE
        its_windows[tile, column] = numbers
        for row, chunk in index.stored_chunks(SIGNS):
            low, high = np.searchsorted(numbers, [MOST * row, MOST * (row + len(chunk))])
            signs = np.ascontiguousarray(chunk[:, 1:]).reshape(-1, WORDS)
            its_signs[tile[low:high], :, column[low:high]] = signs[numbers[low:high] - MOST * row]
        yield tiles


def _calibrate(
    lists: PartLists, valid: npt.NDArray[np.bool_], probes: _Probes, its_lists: npt.NDArray[np.int64]
) -> tuple[int, float]:
    """Return how many lists are to be read, and the recall that was measured with them.

    Half of the probes choose the number by the lists that their wanted windows are in, `its_lists`, of their shape;
    the other half are searched for, and where that brings less than LEAST_RECALL, more lists are read.
    """
    half = -(-len(probes.own) // 2)
    pairs = zip(probes.queries[:half], its_lists[:half], strict=True)
    ranks = np.concatenate([np.argsort(lists.order(query))[its[its >= 0]] for query, its in pairs])
    most = len(lists.order(probes.queries[0]))
    probed = 1 + int(np.quantile(ranks, TARGET_RECALL, method="higher")) if len(ranks) else most
    measuring = probes.those(slice(half, None)) if len(probes.own) > half else probes
    while (recall := _recall(lists, valid, measuring, probed)) < LEAST_RECALL and probed < most:
        probed = min(most, math.ceil(1.4 * probed))
    return probed, recall


def _recall(lists: PartLists, valid: npt.NDArray[np.bool_], probes: _Probes, probed: int) -> float:
    """Return the share of the wanted windows that are found by so many lists."""
    hits = 0
    for query, own, wanted in zip(*probes, strict=True):
        others = valid.copy()
        others[own] = False
        sieve = Sieve(query, others, _FIRST)
        lists.add_to(sieve, _FIRST, probed)
        hits += int(np.isin(wanted, sieve.best()).sum())
    return hits / max(int((probes.wanted >= 0).sum()), 1)


def _unit(numbers: npt.NDArray[np.int8]) -> Floats:
    """Return stored numbers as vectors of length 1; zeros stay zeros."""
    return l2_normalize(numbers.astype(np.float32))
