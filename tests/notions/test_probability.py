"""Probabilities of classes: as sure as they are right."""

from __future__ import annotations

import numpy as np
import pytest

from cbir.notions.probability import Certainty, calibrate


def drawn(
    slope: float, count: int = 4000, classes: int = 4, none: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and classes that are drawn by the probabilities that a slope gives them."""
    random = np.random.default_rng(3)
    scores = random.normal(0, 0.5, (count, classes)).astype(np.float32)
    found = Certainty(slope, none).probabilities(scores)
    found = np.concatenate([found, 1 - found.sum(axis=1, keepdims=True)], axis=1).clip(0)
    given = np.array([random.choice(classes + 1, p=its / its.sum()) for its in found.astype(np.float64)])
    return scores, np.where(given == classes, -1, given).astype(np.int32)


@pytest.mark.parametrize("slope", [1.0, 4.0, 12.0])
def test_the_slope_of_scores_is_found_again(slope: float) -> None:
    scores, classes = drawn(slope)
    found = calibrate(scores, classes)
    assert found.none is None
    assert found.slope == pytest.approx(slope, rel=0.1)
    # as sure as they are right
    probabilities = found.probabilities(scores)
    first = probabilities.argmax(axis=1)
    assert probabilities.max(axis=1).mean() == pytest.approx((first == classes).mean(), abs=0.02)


def test_none_of_them_has_a_share_where_labels_say_so() -> None:
    scores, classes = drawn(5.0, none=1.5, classes=1)
    found = calibrate(scores, classes)
    assert found.slope == pytest.approx(5, rel=0.1)
    assert found.none == pytest.approx(1.5, abs=0.2)
    assert found.probabilities(np.float32([[0], [2]])).ravel() == pytest.approx([0.18, 1], abs=0.03)


def test_few_labels_that_are_all_right_are_no_certainty() -> None:
    for each, most in ((2, 0.95), (50, 0.999)):
        classes = np.repeat(np.arange(3), each).astype(np.int32)
        found = calibrate(np.eye(3, dtype=np.float32)[classes], classes)
        assert 0.8 < found.probabilities(np.float32([[1, 0, 0]]))[0, 0] < most


def test_labels_that_say_nothing_give_even_probabilities() -> None:
    random = np.random.default_rng(1)
    scores = random.normal(0, 1, (600, 3)).astype(np.float32)
    found = calibrate(scores, random.integers(0, 3, 600).astype(np.int32))
    assert found.probabilities(np.float32([[1, 0, 0]])).max() < 0.45
    # one class alone cannot be wrong, and no labels say nothing at all
    assert calibrate(scores[:, :1], np.zeros(600, np.int32)) == Certainty()
    assert calibrate(scores[:0], np.zeros(0, np.int32)) == Certainty()


def test_probabilities_of_any_scores_are_finite() -> None:
    found = Certainty(1e4, 0.0).probabilities(np.float32([[0, 0], [1e4, -1e4], [-1e4, -1e4]]))
    assert np.isfinite(found).all()
    assert found.sum(axis=1) == pytest.approx([2 / 3, 1, 0])
