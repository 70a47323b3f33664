"""Thumbnails of images, for an index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from cbir.engines.lazy import LazyEngine
from cbir.extract.records import Item
from cbir.images.fingerprint import Fingerprint
from cbir.index.columns.column import Records
from cbir.index.columns.thumbnails import THUMBNAILS, pack


@dataclass(frozen=True)
class ThumbnailMaker:
    """Makes the records of images' thumbnails."""

    columns = (THUMBNAILS.name,)
    view = Fingerprint()
    needs_features = False

    def run(self, items: Iterable[Item], engine: LazyEngine) -> Iterator[Mapping[str, Records]]:
        """Make the thumbnail of each image."""
        for item in items:
            yield {} if item.arrays is None else {THUMBNAILS.name: pack(item.size, item.arrays["grey"])}
