"""The regression against what defines it: normal equations, and really leaving rows out."""

from __future__ import annotations

import numpy as np
import pytest

from cbir.notions.decide import auc, kappa, verdict
from cbir.notions.ridge import GUESSED, RIDGE, UNLABELLED, fit
from cbir.utils.vectors import l2_normalize


def problem(rows: int, dimension: int, unlabelled: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labelled rows around three centres, their one-hot targets, and rows around others."""
    random = np.random.default_rng(3)
    centres = random.normal(0, 1, (3, dimension))
    classes = np.arange(rows) % 3
    labelled = l2_normalize((centres[classes] + random.normal(0, 1, (rows, dimension))).astype(np.float32))
    others = l2_normalize(random.normal(0, 1, (unlabelled, dimension)).astype(np.float32))
    return labelled, np.eye(3, dtype=np.float32)[classes], others


def slow(labelled: np.ndarray, targets: np.ndarray, others: np.ndarray, without: int | None = None) -> np.ndarray:
    """Weights by the normal equations in float64; without one row, of labelled and others together, if asked."""
    rows = np.concatenate([labelled, others]).astype(np.float64)
    wanted = np.concatenate([targets, np.zeros((len(others), targets.shape[1]))])
    weights = np.concatenate(
        [np.ones(len(labelled)), np.full(len(others), UNLABELLED * len(labelled) / max(len(others), 1))]
    )
    if without is not None:
        weights[without] = 0
    gram = (rows * weights[:, None]).T @ rows
    gram[np.diag_indices_from(gram)] += RIDGE * (labelled**2).sum(axis=1).mean()
    return np.linalg.solve(gram, (rows * weights[:, None]).T @ wanted)


@pytest.mark.parametrize(("rows", "dimension"), [(30, 120), (90, 40)], ids=["dual", "primal"])
def test_both_ways_solve_the_normal_equations_and_leave_rows_out(rows: int, dimension: int) -> None:
    labelled, targets, others = problem(rows, dimension, 25)
    found = fit(labelled, targets, others)
    assert np.allclose(found.weights, slow(labelled, targets, others), atol=1e-4)
    for row in (0, 7, rows - 1):
        expected = labelled[row] @ slow(labelled, targets, others, without=row)
        assert np.allclose(found.left_out[row], expected, atol=1e-4)
    expected = others[4] @ slow(labelled, targets, others, without=rows + 4)
    assert np.allclose(found.left_out_unlabelled[4], expected, atol=1e-4)


@pytest.mark.parametrize(("rows", "dimension"), [(30, 120), (90, 40)], ids=["dual", "primal"])
@pytest.mark.parametrize("others", [0, 60], ids=["all labelled", "some labelled"])
def test_rows_are_left_out_of_the_mean_too(rows: int, dimension: int, others: int) -> None:
    random = np.random.default_rng(5)
    classes = np.arange(rows) % 3
    features = random.normal(0, 1, (3, dimension))[np.arange(rows + others) % 3]
    features = (features + random.normal(0, 1, features.shape) + 3).astype(np.float32)
    targets = np.eye(3, dtype=np.float32)[classes]
    total = len(features)

    def centred(without: int | None = None) -> np.ndarray:
        kept = np.arange(total) != (-1 if without is None else without)
        return l2_normalize(features - features[kept].mean(axis=0))

    def left_out(row: int) -> np.ndarray:
        now = centred(row)
        weights = slow(now[:rows], targets, now[rows:], without=row)
        return np.asarray(now[row] @ weights)

    now = centred()
    found = fit(now[:rows], targets, now[rows:], np.full(total, 1 / total, dtype=np.float32))
    plain = fit(now[:rows], targets, now[rows:])
    assert np.array_equal(found.weights, plain.weights)
    chosen = [0, 7, rows - 1]
    expected = np.array([left_out(row) for row in chosen])
    # what is left is that the lengths of the others change, too
    error, plain_error = (np.abs(one.left_out[chosen] - expected).max() for one in (found, plain))
    assert error < min(0.06, plain_error / 3)
    if others:
        assert np.abs(found.left_out_unlabelled[4] - left_out(rows + 4)).max() < 0.03


@pytest.mark.parametrize(("rows", "dimension"), [(30, 120), (90, 40)], ids=["dual", "primal"])
def test_rows_of_a_group_are_left_out_together(rows: int, dimension: int) -> None:
    labelled, targets, others = problem(rows, dimension, 25)
    groups = np.arange(rows) // 4
    found = fit(labelled, targets, others, None, groups)
    assert np.array_equal(found.weights, fit(labelled, targets, others).weights)
    for group in (0, 3, groups[-1]):
        own = groups == group
        weight = UNLABELLED * rows / len(others)
        kept, wanted = labelled[~own].astype(np.float64), targets[~own]
        gram = kept.T @ kept + weight * others.T @ others + RIDGE * np.eye(dimension)
        assert np.allclose(found.left_out[own], labelled[own] @ np.linalg.solve(gram, kept.T @ wanted), atol=1e-3)
    assert found.is_told.all()
    alone = fit(labelled, targets, others, None, np.arange(rows) % 3)  # each class in one group
    assert not alone.is_told.any()


def test_guessed_rows_have_targets_and_weights_of_their_own() -> None:
    labelled, targets, others = problem(30, 40, 25)
    guesses = np.zeros((25, 3), dtype=np.float32)
    guesses[np.arange(10), np.arange(10) % 3] = 1
    found = fit(labelled, targets, others, guesses=guesses)
    rows = np.concatenate([labelled, others]).astype(np.float64)
    weights = np.concatenate([np.ones(30), np.full(10, GUESSED * 30 / 10), np.full(15, UNLABELLED * 30 / 25)])
    gram = (rows * weights[:, None]).T @ rows + RIDGE * np.eye(40)
    wanted = np.linalg.solve(gram, (rows * weights[:, None]).T @ np.concatenate([targets, guesses]))
    assert np.allclose(found.weights, wanted, atol=1e-4)


def test_scores_of_labelled_rows_have_length_1_on_the_mean() -> None:
    found = fit(*problem(60, 80, 40))
    lengths = np.linalg.norm(found.scale * np.maximum(found.left_out, 0), axis=1)
    assert np.sqrt((lengths**2).mean()) == pytest.approx(1)


def test_one_label_alone_has_a_scale_too() -> None:
    labelled, _, others = problem(1, 40, 30)
    found = fit(labelled, np.ones((1, 1), dtype=np.float32), others)
    assert np.isfinite(found.weights).all()
    assert 0 < found.scale < 100


def test_nothing_unlabelled_is_a_plain_ridge() -> None:
    labelled, targets, _ = problem(30, 40, 0)
    found = fit(labelled, targets, np.zeros((0, 40), dtype=np.float32))
    gram = labelled.T @ labelled + RIDGE * np.eye(40)
    assert np.allclose(found.weights, np.linalg.solve(gram, labelled.T @ targets), atol=1e-4)


def test_kappa_is_0_by_chance_and_1_where_all_is_right() -> None:
    given = np.repeat([0, 1, 2], [60, 30, 10])
    assert kappa(given, given) == 1
    assert kappa(np.zeros_like(given), given) == 0  # the most frequent class for all is no skill
    assert abs(kappa(np.random.default_rng(1).permutation(given), given)) < 0.15
    assert kappa(np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)) == 0
    # Cohen's own kind of example: 50 agreements of 70, chance .5
    assert kappa(np.array([0] * 20 + [1] * 5 + [0] * 10 + [1] * 15), np.array([0] * 25 + [1] * 25)) == pytest.approx(
        0.4
    )


def test_the_area_under_the_curve_counts_ties_half() -> None:
    assert auc(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1
    assert auc(np.array([1.0]), np.array([1.0, 1.0])) == 0.5
    assert auc(np.array([1.0, 0.0]), np.array([0.5])) == 0.5
    assert auc(np.zeros(0), np.array([0.5])) == 0.5


def test_verdicts_follow_from_kappa() -> None:
    assert [verdict(kappa) for kappa in (0.29, 0.3, 0.59, 0.6)] == [None, "weak", "weak", "applied"]


@pytest.mark.parametrize(("known", "is_covered"), [(12, True), (6, False)], ids=["all classes", "half of them"])
def test_the_gate_is_low_where_the_classes_cover_the_collection(known: int, is_covered: bool) -> None:
    random = np.random.default_rng(2)
    centres = random.normal(0, 1, (12, 60))
    classes = np.arange(480) % 12
    rows = l2_normalize((centres[classes] + random.normal(0, 0.8, (480, 60))).astype(np.float32))
    is_labelled = (np.arange(480) < 240) & (classes < known)
    targets = np.eye(known, dtype=np.float32)[classes[is_labelled]]
    found = fit(rows[is_labelled], targets, rows[240:])
    assert found.coverage == pytest.approx(known / 12, abs=0.15)
    own = found.scale * np.linalg.norm(np.maximum(found.left_out, 0), axis=1)
    lowest = np.quantile(own, 0.02)
    if is_covered:
        assert found.gate(2) == pytest.approx(lowest)
    else:
        assert found.gate(2) > (lowest + 2) / 2
    assert found.gate(0.01) == pytest.approx(0.01)
