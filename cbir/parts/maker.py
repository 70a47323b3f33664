"""Rows of parts for an index, made of pictures as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from cbir.images.large import Large
from cbir.index.columns.parts import PartRows
from cbir.parts.codes import quantised, signs
from cbir.parts.reader import Maps, Means, means_of
from cbir.parts.windows import Grid, grid

if TYPE_CHECKING:
    from cbir.engines.engine import Engine
    from cbir.images.views import Viewed
    from cbir.parts.whitening import Whitening

Key = TypeVar("Key")

#: Pictures whose rows are made at a time.
_TOGETHER = 8


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
                entry.windows = grid(*one.picture.size)
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
            coarse, fine = (np.concatenate([getattr(one, name) for one in means]) for name in ("coarse", "fine"))
            numbers = quantised(self._whitening.rows(Means(coarse, fine)))
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
    picture: Viewed | None = None
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

    def start(self, picture: Viewed, engine: Engine) -> None:
        self._finish = start_means(picture, engine)

    def finish(self) -> None:
        assert self._finish is not None
        self.means, self._finish = self._finish(), None


def start_means(picture: Viewed, engine: Engine) -> Callable[[], Means]:
    """Begin with the means of a picture's maps in its windows; what is returned waits for them."""
    windows, maps = grid(*picture.size), engine.start_places(picture.arrays[Large.name]["pixels"][np.newaxis])

    def finish() -> Means:
        coarse, fine = maps()
        return means_of(windows, Maps(coarse[0], fine[0]))

    return finish
