"""Dates at which photos were taken, for an index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from cbir.engines.lazy import LazyEngine
from cbir.extract.records import Item
from cbir.images.notes import Taken
from cbir.index.columns.column import Records
from cbir.index.columns.taken import TAKEN, pack


@dataclass(frozen=True)
class DateMaker:
    """Makes the records of the dates at which photos were taken."""

    columns = (TAKEN.name,)
    view = Taken()
    needs_features = False

    def run(self, items: Iterable[Item], engine: LazyEngine) -> Iterator[Mapping[str, Records]]:
        """Note the date of each image, or that it has none."""
        for item in items:
            if item.arrays is None:
                yield {}
            else:
                seconds = item.arrays["seconds"]
                yield {TAKEN.name: pack(int(seconds[0]) if seconds.size else None)}
