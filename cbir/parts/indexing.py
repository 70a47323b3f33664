"""Rows of parts for an index, and what a search by them finds in one."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from cbir.errors import IndexDamagedError
from cbir.index.parts import MOST, NUMBERS, PARTS, SIGNS, WORDS, PartRows, unpack_signs
from cbir.parts.codes import SCALE, candidate_count, differing, quantised, signs, within
from cbir.parts.features import Maps, Means, means_of
from cbir.parts.windows import Grid, grid

if TYPE_CHECKING:
    from cbir.engines import Engine
    from cbir.images.large import LargePicture
    from cbir.index.store import Index
    from cbir.parts.regions import Box
    from cbir.parts.whitening import Whitening

logger = logging.getLogger("cbir")

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Key = TypeVar("Key")

#: Pictures whose rows are made at a time.
_TOGETHER = 8

#: Windows whose numbers are read at a time, by how many threads, and from how many of all on.
_SCORED, _READERS, _WORTH_READERS = 1024, 8, 16_384

#: What no window of a picture can differ in.
_NOWHERE = 64 * WORDS + 1


class PartsFound(NamedTuple):
    """Rows of an index, best first, the scores of the window of each that is most like the query, and its box."""

    rows: Rows
    scores: Floats
    boxes: list[Box]


class PartMaker:
    """Makes the rows of pictures' parts with a network and its whitening.

    `known` are means of windows of some pictures, by the SHA-256 of their contents, with which the network is done.
    """

    def __init__(self, whitening: Whitening, known: Mapping[str, Means] | None = None) -> None:
        self._whitening = whitening
        self._known = dict(known or {})

    def run(self, asked: Iterable[Asked[Key]], engine: Callable[[], Engine]) -> Iterator[tuple[Key, PartRows | None]]:
        """The parts of pictures, in order, as many at a time in the network as suits the engine.

        What has no picture has no parts; it may be a pause, before which all is told that came until then.
        """
        waiting: deque[_Waiting[Key]] = deque()
        under_way: deque[_Waiting[Key]] = deque()
        for one in asked:
            entry = _Waiting(one.key)
            if one.picture is not None:
                entry.windows = grid(one.picture.width, one.picture.height)
                entry.means = self._known.pop(one.sha256, None)
                if entry.means is None:
                    if len(under_way) == engine().depth:
                        under_way.popleft().finish()
                    entry.start(one.picture, engine())
                    under_way.append(entry)
            waiting.append(entry)
            while one.is_pause and under_way:
                under_way.popleft().finish()
            ready = next((place for place, entry in enumerate(waiting) if entry.is_under_way), len(waiting))
            if one.is_pause or ready >= _TOGETHER or (ready and waiting[0].windows is None):
                yield from self._made([waiting.popleft() for _ in range(ready)])
        while under_way:
            under_way.popleft().finish()
        yield from self._made(list(waiting))

    def _made(self, finished: Sequence[_Waiting[Key]]) -> Iterator[tuple[Key, PartRows | None]]:
        """Their rows. Whitening several pictures at once, its matrix goes through the processor's cache once."""
        means = [entry.means for entry in finished if entry.means is not None]
        numbers = its_signs = None
        if means:
            coarse, fine = (
                np.concatenate(rows) for rows in zip(*((one.coarse, one.fine) for one in means), strict=True)
            )
            numbers = quantised(
                self._whitening.rows(Means(np.asarray(coarse, np.float32), np.asarray(fine, np.float32)))
            )
            its_signs = signs(numbers)
        first = 0
        for entry in finished:
            if entry.windows is None or numbers is None or its_signs is None:
                yield entry.key, None
                continue
            stop = first + len(entry.windows)
            yield entry.key, PartRows(entry.windows.boxes(), numbers[first:stop], its_signs[first:stop])
            first = stop


@dataclass(frozen=True)
class Asked(Generic[Key]):
    """A picture whose parts are wanted, with the SHA-256 of its content, or something without one, a pause perhaps."""

    key: Key
    sha256: str = ""
    picture: LargePicture | None = None
    is_pause: bool = False


class _Waiting(Generic[Key]):
    """What waits for its turn to be told: without windows, for a network, or for its rows to be made of its means."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.windows: Grid | None = None
        self.means: Means | None = None
        self._finish: Callable[[], Means] | None = None

    @property
    def is_under_way(self) -> bool:
        return self._finish is not None

    def start(self, picture: LargePicture, engine: Engine) -> None:
        self._finish = start_means(picture, engine)

    def finish(self) -> None:
        assert self._finish is not None
        self.means, self._finish = self._finish(), None


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
        apart[start : start + len(chunk)] = np.where(there, differing(asked, its_signs), _NOWHERE)
    apart[~index.valid] = _NOWHERE
    apart[own] = _NOWHERE
    flat = apart.reshape(-1)
    total = int((flat < _NOWHERE).sum())
    # each picture has at most MOST windows, so that there are enough pictures among so many of them
    near = within(flat, min(max(candidate_count(total), MOST * count), total))
    rows, places = np.divmod(near, MOST)
    scores, found_boxes = np.empty(len(rows), dtype=np.float32), np.empty((len(rows), 4), dtype=np.uint32)

    def score(start: int) -> None:
        these = slice(start, start + _SCORED)
        records = index.stored_items(PARTS, rows[these], places[these])
        scores[these] = records["numbers"].astype(np.float32) @ whole / np.float32(SCALE)
        found_boxes[these] = records["box"]

    # in a large index they lie here and there: a disk that is asked for several at once answers sooner. In a small one,
    # threads would only take turns
    with ThreadPoolExecutor(_READERS if len(rows) > _WORTH_READERS else 1) as pool:
        for _ in pool.map(score, range(0, len(rows), _SCORED)):
            pass
    if (found_boxes[:, 2] == 0).any():
        raise IndexDamagedError(
            f"{index.directory} has signs of parts that it does not have: `cbir index --index {index.directory.name} "
            "--no-parts`, then the same with --parts, reads them again."
        )
    order = np.lexsort((rows, -scores))
    _, first = np.unique(rows[order], return_index=True)
    best = order[np.sort(first)[:count]]
    boxes = [(int(x), int(y), int(width), int(height)) for x, y, width, height in found_boxes[best].tolist()]
    return PartsFound(rows[best], scores[best], boxes)
