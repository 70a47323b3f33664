"""The fake network: the same numbers everywhere, and all that other networks can do."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cbir.backbones import torchvision
from cbir.backbones.backbone import Backbone, describe
from cbir.backbones.fake import _PROJECTION, read_head
from cbir.backbones.head import open_classifier
from cbir.backbones.weights import Weights
from cbir.cli import cli
from cbir.engines.select import open_engine, open_text_encoder
from cbir.errors import CbirError, EngineError, ModelError
from cbir.index.format import load_meta
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.index.writer import Writer


@pytest.fixture(scope="module")
def fake() -> Backbone:
    return describe("fake")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Five images, shape (5, 224, 224, 3), the same with every version of NumPy."""
    size = 5 * 224 * 224 * 3
    return np.frombuffer(hashlib.shake_256(b"images").digest(size), np.uint8).reshape(5, 224, 224, 3)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_numbers_are_the_same_everywhere(fake: Backbone, images: np.ndarray) -> None:
    """Whoever changes them on purpose changes what the numbers are drawn by, and so the weights' SHA-256."""
    engine = open_engine(fake)
    numbers = [engine.features(images), *engine.stages(images), read_head(fake.name, fake.weights, fake.dimension)]
    digest = hashlib.sha256(b"".join(one.astype("<f4").tobytes() for one in numbers)).hexdigest()
    assert (digest[:16], fake.weights.identity[:16]) == ("50c4d4ea6ba1c3af", "94ea35192a30b244")


def test_an_image_has_the_same_features_in_any_batch(fake: Backbone, images: np.ndarray) -> None:
    engine = open_engine(fake)
    together = engine.features(images)
    assert together.shape == (5, fake.dimension)
    assert together.dtype == np.float32
    for image, features in zip(images, together, strict=True):
        assert np.array_equal(engine.features(image[np.newaxis])[0], features)


def test_maps_are_by_the_definition(fake: Backbone, images: np.ndarray) -> None:
    engine, wide = open_engine(fake), images[:1, :64, :96]
    for stage, side in zip(engine.stages(wide), (8, 16, 32), strict=True):
        assert stage.shape == (1, side * 4, 64 // side, 96 // side)
        row, column, step = 1, 2, side // 4
        cell = wide[0, row * side : (row + 1) * side, column * side : (column + 1) * side].astype(float)
        corners = itertools.product(range(0, side, step), repeat=2)
        patch = [cell[y : y + step, x : x + step].mean((0, 1)) - 128 for y, x in corners]
        expected = np.maximum(np.concatenate(patch) @ _PROJECTION[:, : stage.shape[1]], 0)
        assert np.allclose(stage[0, :, row, column], expected, atol=1e-6)
    coarse, fine = engine.place_maps(wide)
    assert np.array_equal(coarse, engine.last_map(wide))
    assert np.array_equal(coarse, engine.stages(wide)[2])
    assert np.array_equal(fine, engine.stages(wide)[1])
    assert np.allclose(engine.last_map(images).mean((2, 3)), engine.features(images), atol=1e-6)
    with pytest.raises(ModelError, match="images only"):
        open_text_encoder(fake)


def test_like_images_are_near_and_classes_differ(fake: Backbone, draw_picture: Callable[..., Image.Image]) -> None:
    engine = open_engine(fake)
    drawn = [draw_picture(seed, (224, 224)) for seed in range(30)]
    again = [image.resize((160, 160)).resize((224, 224)) for image in drawn]
    first, second = (engine.features(np.stack([np.asarray(image) for image in many])) for many in (drawn, again))
    first, second = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (first, second))
    assert ((first @ second.T).argmax(axis=1) == np.arange(30)).all()
    top = open_classifier(fake).top(engine.features(np.stack([np.asarray(image) for image in drawn])))
    assert len(set(top.numbers[:, 0].tolist())) >= 8
    assert 0.1 < np.median(top.probabilities[:, 0]) < 0.9


def test_other_weights_and_engines_are_refused(fake: Backbone) -> None:
    for other in (
        replace(fake, weights=Weights.untrained()),
        replace(fake, weights=Weights("0" * 64, "bundled")),
        replace(fake, preprocessing=describe("efficientnet_lite0", "untrained").preprocessing),
        replace(fake, dimension=127),
        replace(fake, modalities=("image", "text")),
    ):
        with pytest.raises(ModelError, match="its own weights"):
            open_engine(other)
    with pytest.raises(EngineError, match="none for torch"):
        open_engine(fake, engine="torch")
    with pytest.raises(ModelError, match=r"none of torch's"):
        fake.build()
    assert Backbone.from_json(json.loads(json.dumps(fake.to_json()))) == fake
    with pytest.raises(ValueError, match="come with cbir"):
        Backbone.from_json({**fake.to_json(), "name": "alexnet"})


def test_it_is_listed_only_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision, "names", lambda: ["alexnet"])  # to describe all takes a minute
    assert "fake" not in [record["name"] for record in json.loads(run("models", "--json").stdout)]
    (record,) = [one for one in json.loads(run("models", "--all", "--json").stdout) if one["name"] == "fake"]
    assert (record["present"], record["path"], record["modalities"]) == (True, None, ["image"])
    assert "The weights of fake come with cbir." in run("models", "--download", "fake").output


def test_an_index_by_it_does_all_that_others_do(photo_folder: Callable[..., Path], tmp_path: Path) -> None:
    photos = photo_folder(24, size=(320, 240))
    result = run("index", photos, "--model", "fake", "--parts")
    assert result.exit_code == 0, result.output
    index = Index.open(tmp_path / "indexes" / "photos")
    assert find_problems(index, verify=True) == []
    assert index.classes().known.all()
    query = photos / "img_003.jpg"
    records = {}
    for name, arguments in {
        "image": ("search", query, "--index", "photos"),
        "region": ("search", query, "--index", "photos", "--region", "80,60,120,120"),
        "words": ("search", "--word", "animal", "--index", "photos"),
        "tags": ("tags", query, "--model", "fake"),
        "locate": ("locate", query, photos / "img_004.jpg", "--model", "fake"),
        "segment": ("segment", query, "--model", "fake", "--classify", "--out", tmp_path / "out"),
    }.items():
        outcomes = [run(*arguments, "--format", "jsonl", *(["--force"] if name == "segment" else [])) for _ in range(2)]
        assert outcomes[0].exit_code == 0, (name, outcomes[0].output)
        assert outcomes[0].stdout == outcomes[1].stdout, name
        records[name] = [json.loads(line) for line in outcomes[0].stdout.splitlines()]
    assert len(records["image"][0]["matches"]) == len(records["words"][0]["matches"]) == 10
    assert records["tags"][0]["tags"]
    assert len(records["segment"][0]["segments"]) >= 2


def test_torch_and_openvino_are_not_imported(photo_folder: Callable[..., Path]) -> None:
    code = (
        "import sys\nfrom cbir.cli import cli\n"
        f"try:\n    cli(['index', {str(photo_folder(3))!r}, '--model', 'fake', '--parts'])\n"
        "except SystemExit as error:\n    assert not error.code, error.code\n"
        "assert not {'torch', 'torchvision', 'openvino'} & set(sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_an_index_by_another_fake_network_says_so(photo_folder: Callable[..., Path], tmp_path: Path) -> None:
    photos = photo_folder(3)
    assert run("index", photos, "--model", "fake").exit_code == 0
    directory = tmp_path / "indexes" / "photos"
    meta = load_meta(directory)
    model = {**meta.model, "weights": {**meta.model["weights"], "sha256": "0" * 64}}
    Writer(directory, meta).replace(meta.but(model=model))
    other = photo_folder(1, "other", first_seed=50) / "img_000.jpg"
    result = run("search", other, "--index", "photos")
    assert result.exit_code == 1
    assert "leave --weights out, or index the folder again" in result.output
    assert not isinstance(result.exception, CbirError)
