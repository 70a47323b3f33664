"""Pairs of near-duplicates are the same ones from an index's candidates as from comparing everything."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from benchmarks import collection
from cbir.duplicates.pairs import _like_beside_like, find_pairs
from cbir.index.ann import base
from cbir.index.store import Index

ROWS = 600


@pytest.fixture(scope="module", params=[30, ROWS], ids=["candidates", "all compared"])
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Index:
    directory = tmp_path_factory.mktemp("pairs") / "index"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "SMALL", request.param)
        level = logging.getLogger("cbir").level
        collection.write(directory, ROWS, Path("/nowhere"), thumbnails=True)
        logging.getLogger("cbir").setLevel(level)  # which a benchmark has in a process of its own
    return Index.open(directory)


def test_pairs_are_the_planted_ones_each_once(index: Index) -> None:
    rows = np.arange(ROWS)
    pairs = find_pairs(index, rows, rows, 0.95)
    assert sorted(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [
        (row - 1, row) for row in range(99, ROWS, 100)
    ]


def test_rows_that_are_left_out_are_in_no_pair(index: Index) -> None:
    rows = np.delete(np.arange(ROWS), [98, 299])
    same = np.arange(ROWS)
    same[[98, 299]] = -1
    pairs = find_pairs(index, rows, same, 0.95)
    assert sorted(pairs.second.tolist()) == [199, 399, 499, 599]


def test_rows_that_follow_each_other_are_alike(index: Index) -> None:
    rows = np.delete(np.arange(ROWS), [5, 7])
    ordered = _like_beside_like(index, rows)
    assert sorted(ordered.tolist()) == rows.tolist()

    def likeness(order: np.ndarray) -> float:
        features = index.features(order)
        return float(np.einsum("nd,nd->n", features[1:], features[:-1]).mean())

    # some twelve clusters: those drawn at random follow their own kind once in twelve times
    assert likeness(ordered) > likeness(rows) + 0.1
