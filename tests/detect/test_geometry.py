"""Overlaps, suppression and clipping of boxes against slow and plain ways of doing the same."""

from __future__ import annotations

import numpy as np
import pytest

from cbir.detect.geometry import MOST_CANDIDATES, clipped, suppress, usable
from cbir.utils.boxes import overlaps

SIZE = (60, 40)


def drawn(count: int, seed: int = 0) -> np.ndarray:
    """Boxes in whole pixels within SIZE."""
    random = np.random.default_rng(seed)
    x, y = random.integers(0, SIZE[0] - 1, count), random.integers(0, SIZE[1] - 1, count)
    width = [random.integers(1, SIZE[0] - one + 1) for one in x]
    height = [random.integers(1, SIZE[1] - one + 1) for one in y]
    return np.stack([x, y, width, height], axis=1).astype(np.float32)


def pixels(box: np.ndarray) -> np.ndarray:
    """The pixels of a box."""
    mask = np.zeros(SIZE[::-1], dtype=bool)
    x, y, width, height = box.astype(int)
    mask[y : y + height, x : x + width] = True
    return mask


def test_overlaps_are_those_of_pixels() -> None:
    boxes, others = drawn(20), drawn(30, seed=1)
    found = overlaps(boxes, others)
    for one in range(20):
        for other in range(30):
            first, second = pixels(boxes[one]), pixels(others[other])
            assert found[one, other] == pytest.approx((first & second).sum() / (first | second).sum())


def test_boxes_without_area_overlap_nothing() -> None:
    boxes = np.array([[5, 5, 0, 10], [5, 5, 10, -3], [5, 5, 10, 10]], dtype=np.float32)
    assert overlaps(boxes, boxes).tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_large_boxes_do_not_overflow() -> None:
    boxes = np.array([[0, 0, 1e30, 1e30]], dtype=np.float32)
    assert overlaps(boxes, boxes).tolist() == [[1]]


def plain_suppression(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, overlap: float) -> list[int]:
    """The same, one pair at a time."""
    kept: list[int] = []
    for one in np.argsort(-scores, kind="stable").tolist():
        rivals = [other for other in kept if classes[other] == classes[one]]
        if all(overlaps(boxes[[one]], boxes[[other]])[0, 0] <= overlap for other in rivals):
            kept.append(one)
    return kept


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.7, 1.0])
def test_suppression_is_within_classes(overlap: float) -> None:
    boxes = drawn(300)
    random = np.random.default_rng(2)
    scores = np.round(random.random(300), 1).astype(np.float32)  # with ties
    classes = random.integers(0, 3, 300)
    found = suppress(boxes, scores, classes, overlap).tolist()
    assert found == plain_suppression(boxes, scores, classes, overlap)
    assert overlap == 1 or len(found) < 300


def test_suppression_looks_at_the_best_only() -> None:
    count = MOST_CANDIDATES + 5
    boxes = np.stack([np.arange(count) * 10, *[np.full(count, 5)] * 3], axis=1).astype(np.float32)
    scores = np.arange(count, dtype=np.float32)
    found = suppress(boxes, scores, np.zeros(count, dtype=np.int64))
    assert found.tolist() == list(range(count - 1, 4, -1))


def test_suppression_ends_with_enough_of_each_class() -> None:
    boxes, scores, classes = drawn(100), np.linspace(1, 0, 100, dtype=np.float32), np.arange(100) % 2
    all_ = suppress(boxes, scores, classes, 0.5)
    expected = sorted([*all_[all_ % 2 == 0][:5], *all_[all_ % 2 == 1][:5]])
    assert suppress(boxes, scores, classes, 0.5, 5).tolist() == expected


def test_suppression_of_nothing() -> None:
    none = np.zeros((0, 4), dtype=np.float32)
    assert len(suppress(none, none[:, 0], np.zeros(0, dtype=np.int64))) == 0


def test_usable_boxes() -> None:
    boxes = np.array(
        [[1, 1, 5, 5], [np.nan, 1, 5, 5], [1, 1, np.inf, 5], [1, 1, 0, 5], [1, 1, -2, -5], [1, 1, 5, 5]],
        dtype=np.float32,
    )
    scores = np.array([0.5, 0.5, 0.5, 0.5, 0.5, np.nan], dtype=np.float32)
    assert usable(boxes, scores).tolist() == [True] + [False] * 5


def test_boxes_are_cut_to_their_picture() -> None:
    boxes = np.array([[-5, -5, 20, 10], [50, 30, 20, 20], [100, 5, 5, 5], [1, 2, 3, 4]], dtype=np.float32)
    assert clipped(boxes, SIZE).tolist() == [[0, 0, 15, 5], [50, 30, 10, 10], [60, 5, 0, 5], [1, 2, 3, 4]]
