"""Rows of parts for an index, and what a search by them finds in one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from cbir.errors import IndexDamagedError
from cbir.index.parts import MOST, NUMBERS, PARTS, SIGNS, WORDS, PartRows, unpack_signs
from cbir.parts.codes import SCALE, candidate_count, differing, quantised, signs, within
from cbir.parts.features import Maps, Means, means_of
from cbir.parts.windows import grid

if TYPE_CHECKING:
    from cbir.engines import Engine
    from cbir.images.large import LargePicture
    from cbir.index.store import Index
    from cbir.parts.regions import Box
    from cbir.parts.whitening import Whitening

logger = logging.getLogger("cbir")

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

#: What no window of a picture can differ in.
_NOWHERE = 64 * WORDS + 1


class PartsFound(NamedTuple):
    """Rows of an index, best first, the scores of the window of each that is most like the query, and its box."""

    rows: Rows
    scores: Floats
    boxes: list[Box]


class PartMaker:
    """Makes the rows of pictures' parts with a network and its whitening."""

    def __init__(self, whitening: Whitening) -> None:
        self._whitening = whitening

    def start(self, picture: LargePicture, engine: Engine) -> Callable[[], PartRows]:
        """Begin with the parts of a picture, by one pass of the network; what is returned waits for them.

        As of `Engine.start`, no more than the engine's `depth` are under way.
        """
        windows, means = grid(picture.width, picture.height), start_means(picture, engine)

        def finish() -> PartRows:
            numbers = quantised(self._whitening.rows(means()))
            return PartRows(windows.boxes(), numbers, signs(numbers))

        return finish


def start_means(picture: LargePicture, engine: Engine) -> Callable[[], Means]:
    """Begin with the means of a picture's maps in its windows; what is returned waits for them."""
    windows, maps = grid(picture.width, picture.height), engine.start_places(picture.pixels[np.newaxis])

    def finish() -> Means:
        coarse, fine = maps()
        return means_of(windows, Maps(coarse[0], fine[0]))

    return finish


def warn_of_missing(index: Index) -> None:
    """A line where the parts of some pictures are not there yet."""
    count = int((index.without(SIGNS) & index.valid).sum())
    if count:
        logger.warning(
            "Parts do not find %s of the index's %s pictures, whose parts it does not have yet: "
            "`cbir index --index %s` reads them.",
            f"{count:,}",
            f"{len(index):,}",
            index.directory.name,
        )


def find_parts(index: Index, query: Floats, count: int, own: list[int]) -> PartsFound:
    """The first `count` pictures of an index by their best window, the rows `own` left out.

    `query`, shape (dimension,), has length 1. IndexDamagedError where files of parts are damaged.
    """
    whole = np.zeros(NUMBERS, dtype=np.float32)
    whole[: len(query)] = query
    apart = np.full((index.rows, MOST), _NOWHERE, dtype=np.uint16)
    asked = signs(whole[np.newaxis])[0]
    for start, chunk in index.stored_chunks(SIGNS):
        there, its_signs = unpack_signs(chunk)
        found = differing(asked, np.ascontiguousarray(its_signs).reshape(-1, WORDS)).reshape(there.shape)
        apart[start : start + len(chunk)] = np.where(there, found, _NOWHERE)
    apart[~index.valid] = _NOWHERE
    apart[own] = _NOWHERE
    flat = apart.reshape(-1)
    total = int((flat < _NOWHERE).sum())
    # each picture has at most MOST windows, so that there are enough pictures among so many of them
    near = within(flat, min(max(candidate_count(total), MOST * count), total))
    rows, places = np.divmod(near, MOST)
    records = index.stored_items(PARTS, rows, places)
    scores = records["numbers"].astype(np.float32) @ whole / np.float32(SCALE)
    if (records["box"][:, 2] == 0).any():
        raise IndexDamagedError(
            f"{index.directory} has signs of parts that it does not have: `cbir index --index {index.directory.name} "
            "--no-parts`, then the same with --parts, reads them again."
        )
    order = np.lexsort((rows, -scores))
    _, first = np.unique(rows[order], return_index=True)
    best = order[np.sort(first)[:count]]
    boxes = [(int(x), int(y), int(width), int(height)) for x, y, width, height in records["box"][best].tolist()]
    return PartsFound(rows[best], scores[best], boxes)
