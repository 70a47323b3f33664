"""Networks of a user's own: aligned faces go in, and what is no such network is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cbir.cli import cli
from cbir.errors import EngineError, ModelError, WeightsError
from cbir.faces.aligned import PLACES, AlignedChips
from cbir.faces.finder import FaceFinder, open_finder, thresholds_for
from cbir.faces.likeness import DEFAULT
from cbir.faces.of_index import thresholds_of_index
from cbir.faces.own_model import open_own
from cbir.faces.own_thresholds import remember, thresholds_of
from cbir.faces.packages import has_packages
from cbir.index.entries import FacesEntry
from tests.faces.conftest import faces_in, read
from tests.helpers.face_index import FINDER, face, make_face_index
from tests.helpers.face_models import DIMENSION, write

pytestmark = pytest.mark.skipif(not has_packages(), reason="the packages of cbir[faces] are not installed")


@pytest.mark.parametrize(("turn", "scale"), [(0.0, 1.0), (0.5, 0.7), (-1.2, 1.9), (3.0, 5.0)])
def test_chips_bring_points_to_their_places(turn: float, scale: float) -> None:
    turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    points = (PLACES - 56) @ turned * scale + 300
    down, across = np.mgrid[:600, :600] + 0.5
    light = sum(np.exp(-((across - x) ** 2 + (down - y) ** 2) / (2 * (3 * scale) ** 2)) for x, y in points)
    image = np.repeat((90 + 160 * light).astype(np.uint8)[:, :, np.newaxis], 3, axis=2)
    (chip,) = AlignedChips().cut(image, np.zeros((1, 4), np.float32), points[np.newaxis].astype(np.float32))
    assert chip.shape == (112, 112, 3)
    for x, y in PLACES:
        down, across = np.mgrid[:112, :112] + 0.5
        near = np.hypot(across - x, down - y) < 8
        light = np.where(near, chip[:, :, 0].astype(float) - 90, 0).clip(0)
        assert (light * across).sum() / light.sum() == pytest.approx(x, abs=0.2)
        assert (light * down).sum() / light.sum() == pytest.approx(y, abs=0.2)


def test_a_face_beyond_the_picture_is_black() -> None:
    points = (PLACES + 1000)[np.newaxis].astype(np.float32)
    assert not AlignedChips().cut(np.full((50, 50, 3), 200, np.uint8), np.zeros((1, 4), np.float32), points).any()


def test_an_own_network_finds_the_same_faces_with_vectors_of_its_own(
    finder: FaceFinder, people: Path, tmp_path: Path
) -> None:
    own = open_finder(model=str(write(tmp_path / "own.onnx")))
    assert (own.name, own.dimension, own.is_own, finder.is_own) == ("own", DIMENSION, True, False)
    assert own.identity != finder.identity
    image = read(people / "group" / "013_4.jpg")
    found = faces_in(own, image)
    assert [face.box for face in found] == [face.box for face in faces_in(finder, image)]
    assert all(face.vector.shape == (DIMENSION,) for face in found)
    assert [np.linalg.norm(face.vector) for face in found] == pytest.approx([1] * 4, abs=1e-5)


def test_a_network_that_makes_nothing_of_faces_finds_none(people: Path, tmp_path: Path) -> None:
    own = open_finder(model=str(write(tmp_path / "nothing.onnx", nothing=True)))
    assert faces_in(own, read(people / "group" / "013_4.jpg")) == []


def test_how_pixels_enter_is_what_a_file_beside_it_says(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (2, 112, 112, 3), dtype=np.uint8)
    file = write(tmp_path / "own.onnx")
    usual = open_own(file)
    entering = {"crop": 112, "interpolation": "bilinear", "mean": [127.5] * 3, "std": [255.0] * 3}
    file.with_suffix(".json").write_text(json.dumps({**entering, "colours": "bgr"}))
    other = open_own(file)
    assert usual.identity != other.identity
    expected = usual.start(np.ascontiguousarray(pixels[..., ::-1]))()[0] / 2
    assert np.abs(other.start(pixels)()[0] - expected).max() < 1e-4


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        ({"crop": 100, "interpolation": "bilinear", "mean": [0] * 3, "std": [1] * 3}, "faces have 112 x 112"),
        ({"colours": "yuv"}, "neither rgb nor bgr"),
        ({"crop": 112, "interpolation": "bilinear", "mean": [0], "std": [1]}, "does not say how pixels enter"),
    ],
)
def test_impossible_descriptions_are_told(beside: dict[str, object], message: str, tmp_path: Path) -> None:
    file = write(tmp_path / "own.onnx")
    file.with_suffix(".json").write_text(json.dumps(beside))
    with pytest.raises(ModelError, match=message):
        open_own(file)


def test_what_is_no_network_for_faces_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no network for faces"):
        open_own(tmp_path / "none.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(WeightsError, match="cannot be used"):
        open_own(tmp_path / "broken.onnx")
    with pytest.raises(WeightsError, match="takes pictures of 224 pixels"):
        open_own(write(tmp_path / "large.onnx", side=224))
    with pytest.raises(WeightsError, match=r"gives 9,000 numbers"):
        open_own(write(tmp_path / "long.onnx", dimension=9000))
    with pytest.raises(EngineError, match="torch does not run"):
        open_own(write(tmp_path / "own.onnx"), engine="torch")


def test_thresholds_are_remembered_by_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    own = open_finder(model=str(write(tmp_path / "own.onnx")))
    with pytest.raises(ModelError, match="`cbir evaluate FOLDER --faces --face-model FILE` finds out"):
        _ = own.thresholds
    path = remember(own.identity, DEFAULT)
    assert own.thresholds == thresholds_for(own.identity, "own") == DEFAULT
    for damaged in (b"", b"{}", b"[" * 2000, json.dumps({**DEFAULT.to_json(), "same": -1}).encode()):
        path.write_bytes(damaged)
        assert thresholds_of(own.identity) is None


def test_people_of_an_index_are_grouped_by_its_own_networks_distances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    own = FacesEntry("own", "ee" * 32, 128, str(tmp_path / "own.onnx"))
    assert thresholds_of_index(None) == thresholds_of_index(FINDER) == DEFAULT
    directory = tmp_path / "photos-index"
    # two faces that are 1.4 apart
    make_face_index(directory, {0: [face(1)], 1: [face(2)]}, finder=own)

    def people(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["people", *arguments, "--index", str(directory), "--json"])

    unknown = people()
    assert (unknown.exit_code, "the network own takes two faces for one person's" in unknown.stderr) == (1, True)
    remember(own.identity, replace(DEFAULT, group=1.5))
    (both,) = json.loads(people().stdout)
    assert len(both["faces"]) == 2


def test_those_of_the_usual_network_are_known(finder: FaceFinder, draw_picture: Callable[..., Image.Image]) -> None:
    assert thresholds_for(finder.identity, finder.name) == finder.thresholds == DEFAULT
