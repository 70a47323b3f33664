"""Searching an index by parts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from cbir.errors import IndexDamagedError
from cbir.images.regions import Box
from cbir.index.ann.codes import SCALE, differing
from cbir.index.ann.sieve import NOWHERE, Sieve, whole_query
from cbir.index.columns.parts import MOST, PARTS, SIGNS, WORDS, unpack_signs
from cbir.index.datafile import how_to_repair
from cbir.utils.threads import side_by_side
from cbir.utils.vectors import Floats, Rows

if TYPE_CHECKING:
    from cbir.index.columns.column import Records
    from cbir.index.store import Index
    from cbir.notions.parts import PartLikeness
    from cbir.search.filters import Among

logger = logging.getLogger("cbir")

#: Windows whose numbers are read at a time, by how many threads, and from how many of all on.
_SCORED, _READERS, _WORTH_READERS = 1024, 8, 16_384

# The square of the length of a window's numbers, which is 1 but for their rounding; pixels of its box.
_LONGEST, _LARGEST = 1.1, 1 << 28


class PartsFound(NamedTuple):
    """Rows of an index, best first, the scores of the window of each that is most like the query, and its box."""

    rows: Rows
    scores: Floats
    boxes: list[Box]


class BestParts(NamedTuple):
    """The best window of each of some rows, best first: its score, and its box, shape (n, 4)."""

    rows: Rows
    scores: Floats
    boxes: npt.NDArray[np.uint32]

    def take(self, places: Rows) -> BestParts:
        """Return those at some places, in that order."""
        return BestParts(self.rows[places], self.scores[places], self.boxes[places])

    def first(self, count: int) -> PartsFound:
        """Return the first `count` of them."""
        boxes = [Box(*numbers) for numbers in self.boxes[:count].tolist()]
        return PartsFound(self.rows[:count], self.scores[:count], boxes)


def find_parts(index: Index, query: Floats, count: int, own: list[int], among: Among | None = None) -> PartsFound:
    """Return the first `count` pictures of an index by their best window, the rows `own` left out.

    `query`, shape (dimension,), has length 1; `among` are the rows that are looked at. IndexDamagedError where files of
    parts are damaged.
    """
    return best_parts(index, query, count, own, among).first(count)


def best_parts(
    index: Index,
    query: Floats,
    count: int,
    own: list[int],
    among: Among | None = None,
    *,
    besides: Rows | None = None,
    learnt: PartLikeness | None = None,
) -> BestParts:
    """Return what `find_parts` does, of as many pictures as their windows are compared with the query.

    These are `count` at least, if there are so many, and the rows `besides`, in any order. `learnt` is the likeness by
    a notion, whose candidates come beside those that are plainly like the query.
    """
    whole = whole_query(query)
    windows = _candidates(index, whole, count, own, among)
    if learnt is not None:
        windows = np.union1d(windows, _candidates(index, learnt.towards(whole), count, own, among))
    if besides is not None:
        windows = np.union1d(windows, _windows_of(index, besides))
    rows, places = np.divmod(windows, MOST)
    scores, found_boxes = np.empty(len(rows), dtype=np.float32), np.empty((len(rows), 4), dtype=np.uint32)
    is_sound = np.ones(len(rows), dtype=np.bool_)

    def score(start: int) -> None:
        these = slice(start, start + _SCORED)
        records = index.stored_items(PARTS, rows[these], places[these])
        numbers = records["numbers"].astype(np.float32)
        likeness = numbers @ whole / np.float32(SCALE)
        scores[these] = likeness if learnt is None else learnt.of(likeness, numbers / np.float32(SCALE))
        found_boxes[these] = records["box"]
        is_sound[these] = np.einsum("ij,ij->i", numbers, numbers) < _LONGEST * SCALE * SCALE

    # in a large index they lie here and there: a disk that is asked for several at once answers sooner. In a small one,
    # threads would only take turns
    side_by_side(score, range(0, len(rows), _SCORED), _READERS if len(rows) > _WORTH_READERS else 1)
    if (found_boxes[:, 2] == 0).any():
        raise IndexDamagedError(
            f"{index.directory} has signs of parts that it does not have: `cbir index --index {index.directory.name} "
            "--no-parts`, then the same with --parts, reads them again."
        )
    is_sound &= (found_boxes[:, 2:] > 0).all(axis=1) & (found_boxes <= _LARGEST).all(axis=1)
    if not is_sound.all():
        index.damage.append(f"{index.directory} has parts that are none. {how_to_repair(index.directory)}")
        logger.warning("%s Until then these are not found.", index.damage[-1])
        rows, scores, found_boxes = rows[is_sound], scores[is_sound], found_boxes[is_sound]
    order = np.lexsort((rows, -scores))
    _, first = np.unique(rows[order], return_index=True)
    best = order[np.sort(first)]
    return BestParts(rows[best], scores[best], found_boxes[best])


def _windows_of(index: Index, rows: Rows) -> Rows:
    """Return the numbers of all windows of rows, row * MOST + place."""
    there, _ = unpack_signs(index.stored(SIGNS, rows))
    return (MOST * rows[:, np.newaxis] + np.arange(MOST))[there]


def _candidates(index: Index, query: Floats, count: int, own: list[int], among: Among | None) -> Rows:
    """Return the numbers of the windows whose numbers are to be read, row * MOST + place, in ascending order.

    They are found by the lists of windows, as far as there are such, and beyond by the signs of all. Where less than
    half of the rows are wanted, lists may have too few of these: then by the signs of all.
    """
    wanted = index.valid.copy() if among is None else index.valid & among.mask
    wanted[own] = False
    by_lists = among is None or 2 * len(among.rows) >= len(index)
    sieve, first = Sieve(query, wanted, count), 0
    try:
        if by_lists and (lists := index.part_lists()) is not None:
            lists.add_to(sieve, count)
            first = lists.rows
    except IndexDamagedError as error:
        index.leave_part_lists(error)
        sieve = Sieve(query, wanted, count)

    def scan(piece: tuple[int, Callable[[], Records]]) -> None:
        start, read = piece
        there, its_signs = unpack_signs(read())
        there &= wanted[start : start + len(there), np.newaxis]
        apart = np.where(there, differing(sieve.signs, its_signs), np.uint16(NOWHERE)).reshape(-1)
        flat = its_signs.reshape(-1, WORDS)
        sieve.add(apart, MOST * start + np.arange(len(apart)), lambda chosen: flat[chosen])

    side_by_side(scan, index.stored_pieces(SIGNS, first))
    return sieve.best()
