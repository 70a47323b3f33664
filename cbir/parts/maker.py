"""Rows of parts for an index, made of images as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cbir.engines.lazy import LazyEngine
from cbir.extract.records import Item
from cbir.images.large import Large
from cbir.index.ann.codes import quantised, signs
from cbir.index.columns.column import Records
from cbir.index.columns.objects import BOXES, OBJECTS, places_of
from cbir.index.columns.parts import PARTS, SIGNS, PartRows, pack
from cbir.parts.proposals import NOTHING, WINDOWS, Proposer, Regions, checked
from cbir.parts.reader import Maps, Means, means_of

if TYPE_CHECKING:
    from cbir.engines.engine import Engine
    from cbir.images.views import Arrays
    from cbir.parts.whitening import Whitening

#: Images whose rows are made at a time.
_TOGETHER = 8

#: Boxes of objects with a lower score are no parts.
LEAST_SCORE = 0.1


class PartMaker:
    """Makes the rows of images' parts with a network and its whitening.

    `known` are means of parts of some images, by the SHA-256 of their contents, with which the network is done. The
    parts are those of the `proposer`, who is told of the objects that were found in an image: by an earlier maker, or
    before, in which case `found` has their boxes by the contents' SHA-256.
    """

    columns = (PARTS.name, SIGNS.name)
    view = Large()
    needs_features = False

    def __init__(
        self,
        whitening: Whitening,
        known: Mapping[str, Means] | None = None,
        proposer: Proposer = WINDOWS,
        found: Mapping[str, npt.NDArray[np.int32]] = MappingProxyType({}),
    ) -> None:
        self._whitening = whitening
        self._proposer = proposer
        self._known = dict(known or {})
        self._found = dict(found)

    def run(self, items: Iterable[Item], engine: LazyEngine) -> Iterator[Mapping[str, Records]]:
        """Make the parts of each image, as many at a time in the network as suits the engine."""
        waiting: deque[_Waiting] = deque()
        under_way: deque[_Waiting] = deque()
        for item in items:
            entry = _Waiting()
            if item.arrays is not None:
                found = self._boxes_of(item)
                entry.regions = checked(self._proposer, item.size, item.arrays["pixels"], found)
                known = self._known.pop(item.sha256, None)
                entry.means = None if len(found) else known
                if entry.means is None:
                    if len(under_way) == engine.opened().depth:
                        under_way.popleft().finish()
                    entry.start(item.arrays, engine.opened())
                    under_way.append(entry)
            waiting.append(entry)
            ready = next((place for place, entry in enumerate(waiting) if entry.is_under_way), len(waiting))
            if ready >= _TOGETHER or (ready and waiting[0].regions is None):
                yield from self._made([waiting.popleft() for _ in range(ready)])
        while under_way:
            under_way.popleft().finish()
        yield from self._made(list(waiting))

    def _boxes_of(self, item: Item) -> npt.NDArray[np.int32]:
        """Return the boxes of the objects in an image that are worth being parts, the best score first."""
        if OBJECTS.name in item.records:
            return places_of(item.records[OBJECTS.name], item.records[BOXES.name], LEAST_SCORE)
        return self._found.pop(item.sha256, NOTHING)

    def _made(self, finished: Sequence[_Waiting]) -> Iterator[Mapping[str, Records]]:
        """Make the rows of several images at once: so the whitening's matrix goes through the cache once."""
        means = [entry.means for entry in finished if entry.means is not None]
        numbers = its_signs = None
        if means:
            coarse, fine = (np.concatenate([getattr(one, name) for one in means]) for name in ("coarse", "fine"))
            numbers = quantised(self._whitening.rows(Means(coarse, fine)))
            its_signs = signs(numbers)
        first = 0
        for entry in finished:
            if entry.regions is None or numbers is None or its_signs is None:
                yield {}
                continue
            stop = first + len(entry.regions)
            parts, stored_signs = pack(PartRows(entry.regions.boxes(), numbers[first:stop], its_signs[first:stop]))
            yield {PARTS.name: parts, SIGNS.name: stored_signs}
            first = stop


class _Waiting:
    """An image that waits for the network, or for its rows to be made of its means; or nothing, without regions."""

    def __init__(self) -> None:
        self.regions: Regions | None = None
        self.means: Means | None = None
        self._finish: Callable[[], Means] | None = None

    @property
    def is_under_way(self) -> bool:
        return self._finish is not None

    def start(self, arrays: Arrays, engine: Engine) -> None:
        assert self.regions is not None
        self._finish = start_means(self.regions, arrays, engine)

    def finish(self) -> None:
        assert self._finish is not None
        self.means, self._finish = self._finish(), None


def start_means(regions: Regions, arrays: Arrays, engine: Engine) -> Callable[[], Means]:
    """Begin with the means of an image's maps in its regions; what is returned waits for them.

    `arrays` are those of `Large`.
    """
    maps = engine.start_places(arrays["pixels"][np.newaxis])

    def finish() -> Means:
        coarse, fine = maps()
        return means_of(regions, Maps(coarse[0], fine[0]))

    return finish
