"""The most probable classes of images, by the last layer of the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cbir.backbones.head import Classifier
from cbir.engines.lazy import LazyEngine
from cbir.extract.records import Item
from cbir.index.columns.classes import CLASSES, RECORD, pack
from cbir.index.columns.column import Records

#: Images that are classified at a time. A classifier's 5 MB go through the processor's cache each time: for batches
#: of four, as suit some networks, that would cost five times as much.
TOGETHER = 32

#: One class of an image as the network has it; an index has the probability in half precision.
EXACT = np.dtype([("class", "<u2"), ("probability", "<f4")])


@dataclass(frozen=True)
class ClassMaker:
    """Makes the records of images' classes, of the type `dtype`, with the classifier of their network."""

    classifier: Classifier
    dtype: np.dtype[Any] = RECORD

    columns = (CLASSES.name,)
    view = None
    needs_features = True

    def run(self, items: Iterable[Item], engine: LazyEngine) -> Iterator[Mapping[str, Records]]:
        """Make the classes of items with a finite feature."""
        waiting: list[Item] = []
        count = 0
        for item in items:
            waiting.append(item)
            count += item.feature is not None
            if count in (0, TOGETHER):
                yield from self._made(waiting)
                waiting, count = [], 0
        yield from self._made(waiting)

    def _made(self, waiting: list[Item]) -> Iterator[Mapping[str, Records]]:
        features = [item.feature for item in waiting if item.feature is not None]
        found = iter(self.classifier.top_of_each(np.stack(features)) if features else ())
        for item in waiting:
            top = None if item.feature is None else next(found)
            yield {} if top is None else {CLASSES.name: pack(*top, dtype=self.dtype)}
