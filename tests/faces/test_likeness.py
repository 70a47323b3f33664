"""Distances, probabilities and thresholds."""

from __future__ import annotations

import numpy as np
import pytest

from cbir.faces import likeness
from cbir.faces.likeness import DEFAULT, Thresholds
from cbir.utils.vectors import l2_normalize


def test_distances_are_euclids() -> None:
    vectors = l2_normalize(np.random.default_rng(1).normal(size=(5, 128)).astype(np.float32))
    expected = np.linalg.norm(vectors[:, np.newaxis] - vectors, axis=2)
    assert np.abs(likeness.distances(vectors, vectors) - expected).max() < 1e-3
    assert likeness.distance(vectors[0], vectors[1]) == pytest.approx(expected[0, 1], abs=1e-5)


def test_probability_falls_with_distance_and_is_a_half_in_the_middle() -> None:
    assert DEFAULT.probability(DEFAULT.middle) == pytest.approx(0.5)
    sure = [DEFAULT.probability(one) for one in (0, DEFAULT.same, DEFAULT.different, 2)]
    assert sure == pytest.approx([1, 0.987, 0.1, 0], abs=0.01)


def test_thresholds_go_through_json() -> None:
    assert Thresholds.from_json(DEFAULT.to_json()) == DEFAULT


@pytest.mark.parametrize("change", [{"same": 3}, {"slope": 0}, {"same": 0.6}, {"middle": "x"}, {"group": float("nan")}])
def test_impossible_thresholds_are_refused(change: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Thresholds.from_json({**DEFAULT.to_json(), **change})
