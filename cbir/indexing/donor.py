"""The features and columns that an index has already, given to its rows by another network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np

from cbir.backbones.backbone import Backbone, join
from cbir.errors import ImageReadError, IndexDamagedError
from cbir.extract.results import Extracted
from cbir.images.scan import FoundFile
from cbir.index.columns.classes import CLASSES
from cbir.index.columns.column import Column
from cbir.index.columns.registry import content_columns, without_torn
from cbir.index.columns.treatment import TREATED
from cbir.index.format import UNKNOWN
from cbir.index.rewrite import Stored
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.utils.vectors import Floats, l2_normalize

#: Rows that are filled in between two commits: thumbnails of as many are 70 MB.
_TOGETHER = 65_536


class Donor:
    """An open index by its own network, which gives rows by `network` what follows from the pictures alone.

    Where the two have networks in common, the features by these are given, too; only the `rest` sees the pictures.
    """

    def __init__(self, index: Index, own: Backbone, network: Backbone) -> None:
        self.index = index
        self.network, self._own = network, own
        self.rest = _rest(own, network) if index.meta.parts is None else network
        self._gives_firsts = self.rest is not network and network.first.matches(own.first)
        self._columns = [column for column in content_columns() if self.gives(column)]

    def gives(self, column: Column) -> bool:
        """Tell whether it has the column of its pictures, as far as anybody has."""
        is_of_first = column is CLASSES or column.group == TREATED.group
        return column.of_image or (is_of_first and self._gives_firsts)

    @cached_property
    def rows(self) -> dict[str, int]:
        """A row of each content that it has."""
        return dict(zip(self.index.files().sha256s, range(self.index.rows), strict=True))

    def records(self, sha256: str) -> Stored:
        """Return the records of a content, by the names of their columns, as far as it has any."""
        row = self.rows.get(sha256)
        if row is None:
            return {}
        found = {}
        for column in self._columns:
            try:
                records = self.index.stored(column, [row])
            except IndexDamagedError:  # the next run has made it anew
                continue
            if not column.is_missing(records)[0]:
                found[column.name] = records[0]
        return without_torn(found)

    def completed(self, results: Iterable[Extracted[FoundFile]]) -> Iterator[Extracted[FoundFile]]:
        """Add its records, and its part of features, to the results of extraction."""
        for result in results:
            if result.error is not None:
                yield result
                continue
            records = {**self.records(result.sha256), **result.records}
            feature = result.feature
            if feature is not None and self.rest is not self.network:
                feature = self._joined(result.sha256, feature)
                if feature is None:
                    error = ImageReadError(result.key.path, "has changed since it was looked at", transient=True)
                    yield Extracted(result.key, result.sha256, error=error)
                    continue
                result = replace(result, feature=feature, precision=self._precision(result.precision))
            yield replace(result, records=records)

    def _precision(self, of_rest: str | None) -> str:
        """Name all precisions that a joined feature was computed in."""
        names = (*self.index.meta.precisions, of_rest or UNKNOWN)
        return "+".join(dict.fromkeys(one for name in names for one in name.split("+")))

    def _joined(self, sha256: str, feature: Floats) -> Floats | None:
        """Join its features of a content with that by the `rest`; None where it has no sound ones."""
        row = self.rows.get(sha256)
        if row is None:
            return None
        parts = [*_parts(self._own, self.index.features([row])[0]), *_parts(self.rest, feature)]
        if not self.index.is_sound(row):
            return None
        chosen = [next(part for one, part in parts if one.matches(network)) for network in self.network.networks]
        return np.concatenate([l2_normalize(part) for part in chosen])

    def fill_in(self, writer: Writer) -> None:
        """Commit what it has and rows of `writer` lack: objects that were looked for since, say."""
        index = Index(writer.directory, writer.meta.but(candidates=None))
        wanted = [column for column in self._columns if column in index.meta.wanted_columns]
        missing = {column.name: index.missing(column) & index.valid for column in wanted}
        rows = np.flatnonzero(np.any(list(missing.values()), axis=0)).tolist() if missing else []
        for first in range(0, len(rows), _TOGETHER):
            for row in rows[first : first + _TOGETHER]:
                known = self.records(index.record(row).sha256)
                for column in wanted:
                    if missing[column.name][row] and column.name in known:
                        writer.backfill(column, [row], known[column.name])
            writer.commit()


def _rest(own: Backbone, network: Backbone) -> Backbone:
    """Return the part of a network whose features do not follow from those by `own`; all of it where none do.

    Classes follow from features before these have length 1, so the first network either sees the pictures or is the
    first of both.
    """
    rest = [one for one in network.networks if not any(one.matches(other) for other in own.networks)]
    is_partly = 0 < len(rest) < len(network.networks) and own.views == network.views
    if not is_partly or not (rest[0] is network.first or network.first.matches(own.first)):
        return network
    return replace(rest[0] if len(rest) == 1 else join(rest), views=network.views)


def _parts(network: Backbone, feature: Floats) -> Iterator[tuple[Backbone, Floats]]:
    """Yield the features by each of a network's networks."""
    start = 0
    for one in network.networks:
        yield one, feature[start : start + one.dimension]
        start += one.dimension
