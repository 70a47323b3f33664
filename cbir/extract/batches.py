"""Batches of images in the network: what is under way, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic

import numpy as np

from cbir.engines.lazy import LazyEngine
from cbir.extract.loader import Key, Loaded
from cbir.images.fitted import Fitted
from cbir.utils.vectors import Floats

# The features of a batch, and the treatments where these are wanted.
_Made = tuple[Floats, "Floats | None"]


class Batches(Generic[Key]):
    """Adds features to images, as many at a time as suits the engine, or `size`.

    An image has one if the network has to see it for a feature, as `needs` tells. A batch has treatments as well, in
    the same pass, where one of its images needs that, as `needs_treatment` tells. The engine is opened for the first.
    """

    def __init__(
        self,
        engine: LazyEngine,
        needs: Callable[[Loaded[Key]], bool] = bool,
        *,
        size: int | None = None,
        needs_treatment: Callable[[Loaded[Key]], bool] = lambda one: False,
    ) -> None:
        self._engine = engine
        self._needs = needs
        self._needs_treatment = needs_treatment
        self._size = size
        # those of which no batch was begun yet, and of these, in order, those that the network has to see
        self._waiting: list[Loaded[Key]] = []
        self._images: list[Loaded[Key]] = []
        # what waits for its batch's features, in order, and how to get these, with the treatments or without
        self._under_way: deque[tuple[list[Loaded[Key]], list[Loaded[Key]], Callable[[], _Made]]] = deque()

    def run(self, stream: Iterable[Loaded[Key]]) -> Iterator[Loaded[Key]]:
        """Yield what comes, in order, as soon as its features and those of all before it are there."""
        for one in stream:
            self._waiting.append(one)
            if one.arrays and self._needs(one):
                self._images.append(one)
                if len(self._images) == (self._size or self._engine.opened().batch):
                    yield from self._begin()
            elif not self._images and not self._under_way:
                yield from self._told()
        yield from self._end()

    def _begin(self) -> Iterator[Loaded[Key]]:
        """Begin with the batch that waits, and yield those before it for which there is no place beside it."""
        engine = self._engine.opened()
        if len(self._under_way) == engine.depth:
            yield from self._finish()
        pixels = np.stack([one.arrays[Fitted.name]["pixels"] for one in self._images])
        is_treated = any(map(self._needs_treatment, self._images))
        finish = engine.start_treated(pixels) if is_treated else _alone(engine.start(pixels))
        self._under_way.append((self._waiting, self._images, finish))
        self._waiting, self._images = [], []

    def _finish(self) -> Iterator[Loaded[Key]]:
        """Wait for the oldest batch."""
        waiting, images, finish = self._under_way.popleft()
        features, treatments = finish()
        for one, feature in zip(images, features, strict=True):
            one.feature = feature
        if treatments is not None:
            for one, treatment in zip(images, treatments, strict=True):
                one.treatment = treatment
        yield from waiting

    def _told(self) -> Iterator[Loaded[Key]]:
        waiting, self._waiting = self._waiting, []
        yield from waiting

    def _end(self) -> Iterator[Loaded[Key]]:
        """Yield all that came."""
        if self._images:
            yield from self._begin()
        while self._under_way:
            yield from self._finish()
        yield from self._told()


def _alone(features: Callable[[], Floats]) -> Callable[[], _Made]:
    return lambda: (features(), None)
