"""An index of given objects, for tests of searches that need no pictures and no detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cbir.backbones.backbone import describe
from cbir.index.columns import objects
from cbir.index.entries import ObjectsEntry
from cbir.index.files import FileRecord
from cbir.index.format import Meta
from cbir.index.store import Index
from cbir.index.writer import Writer

NAMES = ("person", "dog", "cat", "bus")

#: A class, a score and a box: x, y, width, height.
Thing = tuple[str, float, tuple[float, float, float, float]]


def make_object_index(
    directory: Path,
    features: np.ndarray,
    things: Mapping[int, Sequence[Thing]],
    *,
    names: Sequence[str] = NAMES,
    least_score: float = 0.4,
    root: Path = Path("/photos"),
    source: str = "/toy.onnx",
    weights: str | None = "untrained",
) -> Index:
    """An index in a new `directory` of `features`, shape (n, dimension), whose row i shows `things[i]`.

    Of rows that are not among `things` it is not known what they show. Row i is the picture i.jpg of `root`.
    """
    directory.mkdir(parents=True)
    model = {**describe("efficientnet_lite0", weights).to_json(), "dimension": features.shape[1]}
    writer = Writer(directory, Meta(model, features.shape[1], str(root), "2026", "2026"))
    for row, feature in enumerate(features):
        writer.add(FileRecord(f"{row}.jpg", 1, 1, f"{row:064x}"), feature, packed(things.get(row), names))
    writer.commit(objects=ObjectsEntry("toy", "toy", "ab" * 32, source, tuple(names), least_score))
    writer.tidy()
    return Index.open(directory)


def packed(things: Sequence[Thing] | None, names: Sequence[str] = NAMES) -> dict[str, np.ndarray]:
    """What an index stores of a picture's objects; nothing where it is not known."""
    if things is None:
        return {}
    things = sorted(things, key=lambda thing: -thing[1])
    classes = np.array([names.index(name) for name, _, _ in things], dtype=np.int64)
    scores = np.array([score for _, score, _ in things])
    boxes = np.array([box for _, _, box in things], dtype=float).reshape(-1, 4)
    its, places = objects.pack(classes, scores, boxes)
    return {"objects": its, "boxes": places}
