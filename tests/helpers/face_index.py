"""An index of given faces, for tests that need no pictures and no finder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cbir.backbones.backbone import describe
from cbir.index.columns.faces import Packed, pack
from cbir.index.entries import FacesEntry
from cbir.index.files import FileRecord
from cbir.index.format import Meta
from cbir.index.store import Index
from cbir.index.writer import Writer

#: A finder that nobody has, of faces of 128 numbers.
FINDER = FacesEntry("toy", "cd" * 32, 128)


def vector(seed: int, dimension: int = 128) -> np.ndarray:
    """A vector of length 1, the same for the same seed; those of two seeds are about 1.4 apart."""
    found = np.random.default_rng(seed).normal(0, 1, dimension)
    return np.asarray(found / np.linalg.norm(found), dtype=np.float32)


def face(seed: int, *, box: Sequence[int] = (10, 20, 60, 80), score: float = 0.99, height: int = 80) -> Packed:
    """A face with the vector of that seed."""
    return box, score, height, vector(seed)


def make_face_index(
    directory: Path,
    faces: Mapping[int, Sequence[Packed]],
    rows: int | None = None,
    *,
    features: np.ndarray | None = None,
    root: Path = Path("/photos"),
    finder: FacesEntry = FINDER,
    weights: str | None = "untrained",
) -> Index:
    """An index in a new `directory`, whose row i has `faces[i]`, the largest first.

    Of rows that are not among `faces` it is not known whether they have any. Row i is the picture i.jpg of `root`, its
    content has the SHA-256 f"{i:064x}", and its feature is of random numbers by default.
    """
    directory.mkdir(parents=True)
    count = rows if rows is not None else max(faces, default=-1) + 1
    if features is None:
        features = np.random.default_rng(0).random((count, 16), dtype=np.float32)
    model = {**describe("efficientnet_lite0", weights).to_json(), "dimension": features.shape[1]}
    writer = Writer(directory, Meta(model, features.shape[1], str(root), "2026", "2026"))
    for row, feature in enumerate(features):
        its = faces.get(row)
        writer.add(FileRecord(f"{row}.jpg", 1, 1, f"{row:064x}"), feature, None if its is None else pack(its))
    writer.commit(faces=finder)
    writer.tidy()
    return Index.open(directory)
