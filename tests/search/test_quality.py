"""Retrieval on real photos: what the product finds against what NumPy computes from the reference features."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Shared = Callable[[str], Path]


def average_precision(is_relevant: np.ndarray) -> float:
    """Mean of the precision at each relevant rank; `is_relevant` is the whole ranking without the query."""
    ranks = np.flatnonzero(is_relevant) + 1
    return float((np.arange(1, len(ranks) + 1) / ranks).mean())


def class_of(path: str) -> str:
    return Path(path).parent.name


#: Every so-manieth photo is a query; all of them take a minute and a half.
EVERY = 20


def reference_map(shared: Shared, every: int = 1) -> float:
    """Leave-one-out mAP by plain NumPy from the reference features, by every so-manieth photo."""
    reference = np.load(shared("reference/efficientnet_lite0_photos.npz"))
    features = reference["features"].astype(np.float32)
    paths = reference["paths"].tolist()
    classes = np.array([class_of(path) for path in paths])
    queries = {path: row for row, path in enumerate(paths)}
    cosines = features @ features.T
    np.fill_diagonal(cosines, -np.inf)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :-1]
    chosen = [queries[path] for path in sorted(paths)[::every]]
    return float(np.mean([average_precision(classes[order[row]] == classes[row]) for row in chosen]))


def cbir(*arguments: str, stdin: bytes | None = None) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "cbir", *arguments], input=stdin, capture_output=True, check=False, env=os.environ
    )
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode()


def searched_map(index: str, root: Path, every: int = 1) -> float:
    """Leave-one-out mAP of `cbir search --no-rerank` by every so-manieth photo, over the whole ranking."""
    photos = sorted(str(path) for path in root.glob("*/*.jpg"))
    options = ("--index", index, "--no-rerank", "-k", str(len(photos)), "--format", "jsonl", "-0", "--files-from", "-")
    lines = cbir("search", *options, stdin="\0".join(photos[::every]).encode()).splitlines()
    assert len(lines) == len(photos[::every])
    values = []
    for line in lines:
        record = json.loads(line)
        assert len(record["matches"]) == len(photos) - 1
        own = class_of(record["query"])
        values.append(average_precision(np.array([class_of(match["path"]) == own for match in record["matches"]])))
    return float(np.mean(values))


@pytest.mark.slow
def test_search_ranks_the_photos_as_the_reference_features_do(shared: Shared) -> None:
    root = shared("photos")
    assert reference_map(shared) == pytest.approx(0.777, abs=0.005)
    summary = json.loads(cbir("index", str(root), "--index", "all", "--model", "efficientnet_lite0", "-q", "--json"))
    assert summary["total"] == summary["added"] == 2000
    assert not summary["skipped"]
    assert searched_map("all", root, EVERY) == pytest.approx(reference_map(shared, EVERY), abs=0.005)
