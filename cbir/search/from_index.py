"""The pictures of an index as queries: its features serve as they are, and no picture is read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cbir.backbones.backbone import Backbone
from cbir.errors import IndexConflictError
from cbir.extract.of_index import backbone_of
from cbir.index.store import Index
from cbir.search.queries import IndexedQuery

# Rows whose features are read at a time.
_CHUNK = 256


def indexed_queries(index: Index, backbone: Backbone) -> Iterator[IndexedQuery]:
    """Each picture of `index`, by path, as a query for an index that `backbone` made.

    IndexConflictError where another network, other weights or another preprocessing made its features.
    """
    what = backbone_of(index).difference(backbone)
    if what is not None:
        raise IndexConflictError(
            f"The pictures of the index {index.directory} cannot be queries: it was made with another {what}. "
            "Name the pictures themselves, or index them with the same."
        )
    return _queries(index)


def _queries(index: Index) -> Iterator[IndexedQuery]:
    files = index.files()
    rows = sorted(np.flatnonzero(index.valid).tolist(), key=files.paths.__getitem__)
    for start in range(0, len(rows), _CHUNK):
        some = rows[start : start + _CHUNK]
        for row, feature in zip(some, index.features(some), strict=True):
            path = index.root / files.paths[row]
            yield IndexedQuery(path, str(path), files.sha256s[row], feature)
