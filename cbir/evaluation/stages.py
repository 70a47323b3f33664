"""The stages of networks as features: what each stage sees of a picture, its mean over all places.

All stages of a network, and its feature, come of one pass over the pictures. To whatever reads ahead, decodes and
batches, they are one long feature.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from cbir.backbones.backbone import Backbone
from cbir.engines.engine import Engine, Features, Images
from cbir.engines.lazy import LazyEngine
from cbir.errors import CbirError, ImageReadError, ModelError
from cbir.extract.extractor import Extractor
from cbir.images.sources.address import Location
from cbir.utils.vectors import Floats

logger = logging.getLogger("cbir")

#: Bytes of all vectors of one network at most, which are held in memory.
MOST_BYTES = 2 << 30

#: The results as they come, how many there will be, and the network's name, to the results: for a progress bar.
WatchPictures = Callable[[Iterator[Any], int, str], Iterator[Any]]


def label_of(backbone: Backbone) -> str:
    """Return a network's name for people, which tells where its weights are random."""
    return f"{backbone.label}, untrained" if backbone.weights.source == "untrained" else backbone.label


def name_of(stage: int | None) -> str:
    """Return a stage's name for people, by its number; None is the feature."""
    return "feature" if stage is None else f"stage {stage}"


@dataclass(frozen=True)
class Stage:
    """The vectors that a stage of a network has of some pictures, shape (pictures, channels), not normalised.

    `number` is counted from 1, the finest; None is the feature, which a search compares. `precision` is what they were
    computed in, as in `Engine`.
    """

    model: str
    number: int | None
    vectors: Floats
    precision: str

    @property
    def name(self) -> str:
        """The stage's name for people, without the network's."""
        return name_of(self.number)


@dataclass(frozen=True)
class Staged:
    """The stages of one network, fine to coarse, the feature last, and which pictures it has seen, shape (pictures,).

    Vectors of pictures that could not be read are zero; `problems` tell why.
    """

    backbone: Backbone
    stages: tuple[Stage, ...]
    seen: npt.NDArray[np.bool_]
    problems: tuple[ImageReadError, ...]


def look(
    backbone: Backbone,
    files: Sequence[Location],
    engine: str | None = None,
    watch: WatchPictures = lambda results, total, name: results,
    *,
    most_bytes: int = MOST_BYTES,
) -> Staged:
    """Pass pictures through one network, and keep the mean of each of its stages and its feature.

    Of a network without stages there is the feature alone, and a line says so. `engine` is as in `open_engine`.
    CbirError where no picture can be read, or the vectors would take more than `most_bytes`; what opening the network
    raises.
    """
    backbone = backbone.first
    label = label_of(backbone)
    opened = _stages_or_feature(backbone, engine, len(files))
    precision, widths = opened.engine.precision, opened.widths
    _check_size(backbone, sum(widths), len(files), most_bytes)
    rows = np.zeros((len(files), sum(widths)), dtype=np.float32)
    seen = np.zeros(len(files), dtype=np.bool_)
    problems: list[ImageReadError] = []
    first_of: dict[str, int] = {}
    extractor = Extractor(backbone, engine=opened.lazy, expected=len(files), isolated=True, leave_own=True)
    for result in watch(extractor.run(enumerate(files)), len(files), f"stages of {label}"):
        if result.error is not None:
            problems.append(result.error)
            continue
        # the same content as an earlier file's is not passed through the network again
        source = first_of.setdefault(result.sha256, result.key)
        rows[result.key] = rows[source] if result.feature is None else result.feature
        seen[result.key] = True
    if not seen.any():
        why = f" {problems[0]}" if problems else ""
        raise CbirError(f"Stages of networks are made of the pictures themselves, and none can be read.{why}")
    ends = list(accumulate(widths))
    numbers = [*range(1, len(widths)), None]
    stages = tuple(
        Stage(label, number, rows[:, end - width : end], precision)
        for number, width, end in zip(numbers, widths, ends, strict=True)
    )
    return Staged(backbone, stages, seen, tuple(problems))


class _StagesEngine(Engine):
    """An engine whose features are the means of all stages and the features of another engine, one after the other.

    `widths` are how many numbers each has. ModelError where the network has no stages.
    """

    def __init__(self, engine: Engine, side: int) -> None:
        self._engine = engine
        self.description, self.precision = engine.description, engine.precision
        self.batch, self.depth = engine.batch, engine.depth
        self.widths = [one.shape[1] for one in engine.pooled(np.full((1, side, side, 3), 127, dtype=np.uint8))]

    def start(self, images: Images) -> Callable[[], Features]:
        pooled = self._engine.start_pooled(images)
        return lambda: np.concatenate(pooled(), axis=1)

    def stages(self, images: Images) -> list[Features]:
        return self._engine.stages(images)

    def last_map(self, images: Images) -> Features:
        return self._engine.last_map(images)

    def start_places(self, images: Images) -> Callable[[], tuple[Features, Features]]:
        return self._engine.start_places(images)

    def start_pooled(self, images: Images) -> Callable[[], list[Features]]:
        return self._engine.start_pooled(images)


class _LazyStages(LazyEngine):
    """The same, opened at its first use."""

    def _open(self) -> Engine:
        return _StagesEngine(super()._open(), self.backbone.preprocessing.crop)


@dataclass(frozen=True)
class _Opened:
    """An engine that is open, and the widths of what its features consist of."""

    lazy: LazyEngine
    engine: Engine
    widths: Sequence[int]


def _stages_or_feature(backbone: Backbone, engine: str | None, expected: int) -> _Opened:
    """Open a network for its stages or, where it has none, for its feature alone."""
    lazy = _LazyStages(backbone, engine, expected=expected)
    try:
        opened = lazy.opened()
    except ModelError as error:
        plain = LazyEngine(backbone, engine, expected=expected)
        found = plain.opened()
        logger.warning("Of %s only the feature is measured: %s", backbone.label, error)
        return _Opened(plain, found, [backbone.dimension])
    assert isinstance(opened, _StagesEngine)
    return _Opened(lazy, opened, opened.widths)


def _check_size(backbone: Backbone, width: int, pictures: int, most_bytes: int) -> None:
    of_one = width * np.dtype(np.float32).itemsize
    if pictures * of_one > most_bytes:
        raise CbirError(
            f"The stages of {backbone.label} are {width:,} numbers a picture, and {pictures:,} pictures are too many "
            f"for this machine's memory: take a folder with {most_bytes // of_one:,} pictures at most."
        )
