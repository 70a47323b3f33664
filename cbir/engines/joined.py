"""An engine of several networks, or of several views of a picture: their features make one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import numpy as np

from cbir.backbones.backbone import Backbone
from cbir.engines.engine import Engine, Features, Images


class JoinedEngine(Engine):
    """The engines of a backbone's networks, in order, as one; maps and treatments are the first one's.

    Of several views of a picture, a network's feature is the mean. Images are as the backbone's view makes them.
    """

    def __init__(self, backbone: Backbone, engines: Sequence[Engine]) -> None:
        self._view = backbone.view
        self._views = backbone.views
        self._engines = tuple(engines)
        self.description = " + ".join(dict.fromkeys(engine.description for engine in engines))
        self.precision = "+".join(dict.fromkeys(engine.precision for engine in engines))
        self.batch = min(engine.batch for engine in engines)
        self.depth = min(engine.depth for engine in engines)

    def start(self, images: Images) -> Callable[[], Features]:
        pictures = iter(self._view.split(images))
        under_way = [[engine.start(next(pictures)) for _ in range(self._views)] for engine in self._engines]
        return lambda: join([_mean(finish() for finish in views) for views in under_way])

    def start_treated(self, images: Images) -> Callable[[], tuple[Features, Features]]:
        first, *others = list(self._view.split(images))
        begun = self._engines[0].start_treated(first)
        pictures = iter(others)
        views = [
            [engine.start(next(pictures)) for _ in range(self._views - (engine is self._engines[0]))]
            for engine in self._engines
        ]

        def finish() -> tuple[Features, Features]:
            of_first, treatments = begun()
            (own, *rest) = views
            its = [_mean(chain([of_first], (one() for one in own)))]
            return join(its + [_mean(one() for one in some) for some in rest]), treatments

        return finish

    def stages(self, images: Images) -> list[Features]:
        return self._engines[0].stages(images)

    def last_map(self, images: Images) -> Features:
        return self._engines[0].last_map(images)

    def start_places(self, images: Images) -> Callable[[], tuple[Features, Features]]:
        return self._engines[0].start_places(images)

    def start_pooled(self, images: Images) -> Callable[[], list[Features]]:
        return self._engines[0].start_pooled(images)


def join(features: Sequence[Features]) -> Features:
    """Join features of several networks, shapes (n, dimension), into one row each: shape (n, all dimensions).

    The first network's stay as they are, for its classifier; the others get its length, so that each counts as much.
    """
    first, *others = features
    length = np.linalg.norm(first, axis=1, keepdims=True)
    tiny = np.finfo(np.float32).tiny
    scaled = [one * (length / np.maximum(np.linalg.norm(one, axis=1, keepdims=True), tiny)) for one in others]
    return np.concatenate([first, *scaled], axis=1) if others else first


def _mean(features: Iterator[Features]) -> Features:
    first, *others = features
    return np.asarray(sum(others, first) / np.float32(1 + len(others)), dtype=np.float32) if others else first
