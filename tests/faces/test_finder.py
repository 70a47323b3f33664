"""Faces are found where they are, each with the vector of its person, whatever the picture's size."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cbir.faces.finder import LEAST_HEIGHT, LEAST_SCORE, FaceFinder, open_finder
from cbir.faces.likeness import distance, distances
from cbir.utils.vectors import l2_normalize
from tests.faces.conftest import faces_in, read


def test_all_faces_of_group_photos_are_found(finder: FaceFinder, people: Path) -> None:
    counts = json.loads((people / "faces.json").read_text("utf-8"))
    found = {name: len(faces_in(finder, read(people / name))) for name in counts}
    assert found == counts


def test_faces_are_told_largest_first_within_the_picture(finder: FaceFinder, people: Path) -> None:
    image = read(people / "group" / "2008_007676.jpg")
    faces = faces_in(finder, image)
    areas = [face.area for face in faces]
    assert areas == sorted(areas, reverse=True)
    for face in faces:
        x, y, width, height = face.box
        assert 0 <= x < x + width <= image.width
        assert 0 <= y < y + height <= image.height
        assert LEAST_SCORE <= face.score <= 1
        assert face.height >= LEAST_HEIGHT
        assert face.vector.dtype == np.float32
        assert np.linalg.norm(face.vector) == pytest.approx(1, abs=1e-5)
        assert face.to_dict()["box"] == [x, y, width, height]


def test_one_persons_faces_are_nearer_than_others(finder: FaceFinder, people: Path) -> None:
    names = ["johns-John_Salley", "lfw-Serena_Williams", "lfw-Kofi_Annan"]
    found = {
        name: [faces_in(finder, read(one))[0].vector for one in sorted((people / name).iterdir())] for name in names
    }
    for name, vectors in found.items():
        others = [vector for other in names if other != name for vector in found[other]]
        assert (
            distances(np.stack(vectors), np.stack(vectors)).max() < distances(np.stack(vectors), np.stack(others)).min()
        )


def test_a_large_picture_is_looked_at_reduced_and_told_in_its_own_pixels(finder: FaceFinder, people: Path) -> None:
    image = read(people / "group" / "identification1.jpg")
    large = image.resize((image.width * 8, image.height * 8), Image.Resampling.BICUBIC)
    small, found = faces_in(finder, image), faces_in(finder, large)
    assert len(small) == len(found) == 4
    for one in found:
        other = min(small, key=lambda face: distance(face.vector, one.vector))
        assert np.abs(np.array(one.box) / 8 - other.box).max() < 0.15 * other.height
        assert distance(one.vector, other.vector) < 0.25
        assert one.height == pytest.approx(8 * other.height, rel=0.2)


def test_a_vector_is_the_mean_of_a_chip_and_of_its_mirror_image(finder: FaceFinder, people: Path) -> None:
    image = read(min((people / "lfw-Kofi_Annan").iterdir()))
    (face,) = faces_in(finder, image)
    found, recogniser = finder._networks.find(image), finder._recogniser
    chips = recogniser.chips.cut(np.asarray(image), found.corners[:1], found.points[:1])
    plain, mirrored = (recogniser.start(np.ascontiguousarray(one))()[0] for one in (chips, chips[:, :, ::-1]))
    assert np.abs(face.vector - l2_normalize(plain + mirrored)[0]).max() < 1e-4
    assert distance(l2_normalize(plain)[0], face.vector) > 0.02  # it is not as it would be without


@pytest.mark.parametrize("size", [(1, 1), (12, 300), (19, 19), (20, 20), (641, 3), (700, 500)])
def test_pictures_without_faces_have_none_whatever_their_size(
    size: tuple[int, int], finder: FaceFinder, draw_picture: Callable[..., Image.Image]
) -> None:
    assert faces_in(finder, draw_picture(3, size)) == []


def test_noise_ends_nothing(finder: FaceFinder) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    assert len(finder.find(pixels, (640, 480))) < 5


def test_many_threads_find_the_same(finder: FaceFinder, people: Path) -> None:
    image = read(people / "group" / "013_4.jpg")
    expected = [face.box for face in faces_in(finder, image)]
    found = []

    def look() -> None:
        found.append([face.box for face in finder.start(np.asarray(image), image.size)()])

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


def test_vectors_of_long_runs_are_those_of_short_ones(finder: FaceFinder, people: Path) -> None:
    image = read(people / "group" / "000_5.jpg")
    short, long = faces_in(finder, image), faces_in(open_finder(expected=1000), image)
    assert len(short) == len(long) == 5
    nearest = distances(np.stack([face.vector for face in short]), np.stack([face.vector for face in long])).min(axis=1)
    assert nearest.max() < 0.05
    assert open_finder(expected=1000).identity == finder.identity
