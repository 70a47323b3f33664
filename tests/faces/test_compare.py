"""What is said of two faces: the same only far from the threshold, different only where that can be seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cbir.faces.compare import CANNOT_SAY, DIFFERENT, SAME, compare
from cbir.faces.face import Face
from cbir.faces.finder import FaceFinder
from cbir.faces.likeness import DEFAULT
from tests.faces.conftest import faces_in, read


def face(angle: float, height: int = 100) -> Face:
    """A face whose vector is turned by an angle."""
    vector = np.zeros(128, np.float32)
    vector[:2] = np.cos(angle), np.sin(angle)
    return Face((0, 0, height, height), 1.0, height, vector)


def at(distance: float, height: int = 100) -> str:
    return compare(face(0), face(2 * np.arcsin(distance / 2), height), DEFAULT).answer


@pytest.mark.parametrize(
    ("distance", "answer"),
    [
        (0, SAME),
        (DEFAULT.same - 0.001, SAME),
        (DEFAULT.same + 0.001, CANNOT_SAY),
        (DEFAULT.middle, CANNOT_SAY),
        (DEFAULT.different - 0.001, CANNOT_SAY),
        (DEFAULT.different + 0.001, DIFFERENT),
        (1.2, DIFFERENT),
    ],
)
def test_near_the_threshold_nothing_is_said(distance: float, answer: str) -> None:
    assert at(distance) == answer


def test_of_small_faces_it_is_not_said_that_they_are_different() -> None:
    assert at(0.6, height=31) == CANNOT_SAY
    assert at(0.6, height=32) == DIFFERENT
    assert at(0.2, height=21) == SAME


def test_a_comparison_tells_distance_and_probability() -> None:
    found = compare(face(0), face(2 * np.arcsin(DEFAULT.middle / 2)), DEFAULT).to_dict()
    assert found == {"answer": CANNOT_SAY, "distance": 0.419, "probability": pytest.approx(0.5, abs=0.01)}


def test_people_are_told_apart_and_known_again(finder: FaceFinder, people: Path) -> None:
    names = ["johns-John_Salley", "lfw-Serena_Williams", "lfw-Kofi_Annan", "ageitgey-obama"]
    faces = [(name, faces_in(finder, read(one))[0]) for name in names for one in sorted((people / name).iterdir())[:3]]
    pairs = [(one, other) for number, one in enumerate(faces) for other in faces[:number]]
    for (name, one), (other_name, other) in pairs:
        expected = SAME if name == other_name else DIFFERENT
        assert compare(one, other, finder.thresholds).answer in (expected, CANNOT_SAY)
    answers = [compare(one, other, finder.thresholds).answer for (_, one), (_, other) in pairs]
    assert answers.count(CANNOT_SAY) < 0.1 * len(answers)
