"""An index of given features, for tests that need no pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from cbir.backbones.backbone import describe
from cbir.index.files import FileRecord
from cbir.index.format import Meta
from cbir.index.store import Index
from cbir.index.writer import Writer


def make_index(
    directory: Path, features: np.ndarray, root: Path = Path("/photos"), name: Callable[[int], str] = "{}.jpg".format
) -> Index:
    """An index in a new `directory` of `features`, shape (n, dimension), whose row i is the picture `name(i)`
    of `root`.

    Without a `name` that is i.jpg.
    """
    directory.mkdir()
    model = {**describe("efficientnet_lite0", "untrained").to_json(), "dimension": features.shape[1]}
    writer = Writer(directory, Meta(model, features.shape[1], str(root), "2026", "2026"))
    for row, feature in enumerate(features):
        writer.add(FileRecord(name(row), 1, 1, f"{row:064x}"), feature)
    writer.commit()
    writer.tidy()
    return Index.open(directory)
