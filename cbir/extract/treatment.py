"""The treatment of images, by early maps of the network, in the pass that makes their features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from cbir.engines.lazy import LazyEngine
from cbir.extract.records import Item
from cbir.index.columns.column import Records
from cbir.index.columns.treatment import NUMBERS, TREATED, pack


class TreatmentMaker:
    """Makes the records of how images were treated."""

    columns = (TREATED.name, NUMBERS.name)
    view = None
    needs_features = True
    needs_treatment = True

    def run(self, items: Iterable[Item], engine: LazyEngine) -> Iterator[Mapping[str, Records]]:
        """Make the records of items with a treatment."""
        for item in items:
            yield {} if item.treatment is None else pack(item.treatment)
