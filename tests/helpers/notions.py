"""Notions of given features, for tests that learn from no pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

from cbir.index.store import Index
from cbir.notions.notion import Labels, Notion, fingerprint
from cbir.notions.ridge import fit
from cbir.utils.vectors import l2_normalize


def make_notion(index: Index, rows: np.ndarray, classes: np.ndarray, name: str = "kinds", **changes: Any) -> Notion:
    """A notion of some rows of an index and the numbers of their classes, told nothing of the other rows."""
    features = index.features(range(index.rows))
    mean = features.mean(axis=0)
    labelled = l2_normalize(features[rows] - mean)
    count = int(classes.max()) + 1
    found = fit(labelled, np.eye(count, dtype=np.float32)[classes], np.zeros((0, index.dimension), np.float32))
    contents = [bytes.fromhex(index.record(int(row)).sha256) for row in rows]
    labels = Labels(
        np.frombuffer(b"".join(contents), np.uint8).reshape(len(rows), 32),
        classes.astype(np.int32),
        np.zeros((0, index.dimension), np.float16),
    )
    made: dict[str, Any] = {
        "classes": tuple(f"class {number}" for number in range(count)),
        "mean": mean,
        "weights": found.weights.astype(np.float16).astype(np.float32),
        "scale": found.scale,
        "kind": "classes",
        "quality": 0.8,
        "verdict": "applied",
        "model": fingerprint(index.model),
        "labels": labels,
    }
    return Notion(name, **{**made, **changes})
