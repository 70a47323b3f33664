"""How well faces tell people apart: measures and thresholds, by distances whose answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cbir.errors import CbirError
from cbir.evaluation import faces
from cbir.faces.likeness import DEFAULT
from cbir.utils.vectors import l2_normalize


def made_people(count: int, photos: int, spread: float, seed: int = 1) -> faces.PeopleFaces:
    """Faces of people whose vectors are near to each other's, by how much they differ within a person."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(count, 128)).repeat(photos, axis=0)
    vectors = l2_normalize((centres + spread * random.normal(size=centres.shape)).astype(np.float32))
    owners = np.arange(count).repeat(photos)
    return faces.PeopleFaces(tuple(map(str, range(count))), vectors, owners, (), ())


def test_pairs_are_those_of_one_person_and_of_two() -> None:
    same, different = faces.pairs_of(made_people(5, 3, 0.2))
    assert (len(same), len(different)) == (5 * 3, 15 * 14 // 2 - 15)
    assert same.max() < different.min()


def test_measures_of_known_distances() -> None:
    same = np.linspace(0.1, 0.5, 401)
    different = np.linspace(0.4, 1.4, 10_001)
    scores = faces.measure(same, different, DEFAULT)
    assert scores.same == 401
    assert scores.equal_error == pytest.approx(0.0715, abs=0.001)  # where (.5 - d) / .4 = (d - .4) / 1
    shares = {share: (distance, true) for share, distance, true in scores.accepted}
    assert shares[0.01] == (pytest.approx(0.41, abs=1e-3), pytest.approx(0.775, abs=0.005))
    assert sum(one for one, _ in scores.answers.values()) == pytest.approx(1)
    assert scores.answers["same"] == (pytest.approx(0.65, abs=0.005), 0)
    assert scores.answers["different"][1] == pytest.approx(0.951, abs=0.001)


def test_thresholds_learnt_are_where_the_network_is_as_sure() -> None:
    random = np.random.default_rng(3)
    same, different = random.normal(0.9, 0.1, 20_000).clip(0), random.normal(1.3, 0.1, 20_000)
    found = faces.learn(same, different)
    assert found is not None
    assert found.middle == pytest.approx(1.1, abs=0.01)
    assert found.slope == pytest.approx(40, rel=0.05)  # of two normal distributions: .4 / .1 squared
    assert (different <= found.same).mean() <= faces.MOST_STRANGERS
    assert (different <= found.search).mean() <= faces.MOST_SHOWN
    assert found.group <= found.perhaps <= found.same < found.middle < found.different


def test_people_that_are_far_apart_leave_numbers_finite() -> None:
    found = faces.learn(np.full(100, 0.1), np.full(2000, 1.0))
    assert found is not None
    assert 0 < found.group <= found.same < found.middle < found.different < 1
    assert np.isfinite(list(found.to_json().values())).all()


def test_of_too_few_pairs_or_of_a_network_that_knows_nobody_nothing_is_learnt() -> None:
    assert faces.learn(np.full(49, 0.1), np.full(2000, 1.0)) is None
    assert faces.learn(np.full(100, 0.1), np.full(999, 1.0)) is None
    assert faces.learn(np.full(100, 1.0), np.full(2000, 0.1)) is None
    with pytest.raises(CbirError, match="two people at least"):
        faces.measure(np.zeros(0), np.ones(5), None)


def test_what_is_learnt_is_measured_on_other_people() -> None:
    scores = faces.measure_people(made_people(40, 5, 0.6), None)
    assert scores.answers["same"][0] > 0.5
    assert scores.answers["same"][1] < 0.01
    assert faces.measure_people(made_people(6, 2, 0.6), None).answers == {}


def test_photos_belong_to_the_folder_they_are_in(tmp_path: Path, draw_picture) -> None:
    for name in ("anna/1.jpg", "anna/2.jpg", "club/ben/1.jpg", "alone.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        draw_picture(1).save(tmp_path / name)
    assert [name for name, _ in faces.people_in(tmp_path)] == ["anna", "anna", str(Path("club", "ben"))]
