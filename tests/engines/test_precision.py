"""The precision of the CPU engine: the fastest that keeps float32's features, by what is measured here."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from cbir.backbones.backbone import describe
from cbir.engines.openvino_engine import OpenVINOEngine
from cbir.engines.precision import LEAST_COSINE, Choice, Trial, choose, drawn_images, last_measured
from cbir.engines.torch_engine import TorchEngine
from cbir.images.fitted import Fitted
from cbir.images.read import read_views


@pytest.fixture(scope="module")
def pictures():
    return drawn_images(4, 32)


def network(seconds, noise=0.0):
    """A network of fixed speed that makes the features of "f32" but for some noise (numbers, not calls, decide)."""

    def run(pictures):
        until = time.process_time() + seconds
        while time.process_time() < until:  # processor time is what counts
            pass
        features = pictures.reshape(len(pictures), -1)[:, :100].astype(np.float32)
        return features + noise * np.random.default_rng(0).normal(size=features.shape).astype(np.float32)

    return run


def test_the_fastest_that_is_faithful_is_chosen(pictures):
    run = {"f32": network(0.03), "bf16": network(0.001, noise=40.0), "f16": network(0.01, noise=0.1)}
    choice = choose(run, pictures)
    assert choice.precision == "f16"
    assert choice.trials["bf16"].worst_cosine < LEAST_COSINE < choice.trials["f16"].worst_cosine
    rates = {name: trial.pictures_per_second for name, trial in choice.trials.items()}
    assert rates["f32"] < rates["f16"] < rates["bf16"]


def test_small_batches_are_chosen_where_they_are_faster(pictures):
    def run(seconds_a_batch, seconds_a_square):
        def network(pictures):
            until = time.process_time() + seconds_a_batch + seconds_a_square * len(pictures) ** 2
            while time.process_time() < until:
                pass
            return pictures.reshape(len(pictures), -1).astype(np.float32)

        return network

    assert choose({"f32": run(0.01, 0)}, pictures).batch == 4
    assert choose({"f32": run(0, 0.003)}, pictures).batch == 1


def test_float32_stays_where_nothing_is_better(pictures):
    assert choose({"f32": network(0.001)}, pictures).precision == "f32"
    assert choose({"f32": network(0.001), "f16": network(0.02)}, pictures).precision == "f32"
    assert choose({"f32": network(0.02), "bf16": network(0.001, noise=40.0)}, pictures).precision == "f32"
    unsound = {"f32": network(0.02), "f16": lambda pictures: np.full((len(pictures), 100), np.nan, np.float32)}
    assert choose(unsound, pictures).precision == "f32"


def test_drawn_images_are_the_same_each_time_and_not_alike(pictures):
    assert np.array_equal(pictures, drawn_images(4, 32))
    assert (pictures.shape, pictures.dtype) == ((4, 32, 32, 3), np.uint8)
    assert all(picture.std() > 10 for picture in pictures)
    assert not np.array_equal(pictures[0], pictures[1])


def test_a_choice_survives_json():
    choice = Choice("f16", {"f32": Trial(1.0, 10.0), "f16": Trial(0.9999, 20.5)}, 4)
    assert Choice.from_json(json.loads(json.dumps(choice.to_json()))) == choice


@pytest.mark.parametrize(
    "record",
    [
        *(None, {}, [], "f16", {"precision": "f16", "trials": {}}, {"precision": "f16", "trials": {"f16": 1}}),
        {"precision": "f32", "trials": {"f32": {"worst_cosine": 1, "pictures_per_second": 1}}, "batch": 0},
        {"precision": "f32", "trials": {"f32": {"worst_cosine": 1, "pictures_per_second": 1}}},
    ],
)
def test_nonsense_is_no_choice(record):
    with pytest.raises((ValueError, TypeError, KeyError)):
        Choice.from_json(record)


def test_the_choice_is_kept_with_what_was_measured_and_made_again_where_it_is_damaged(bundled, extractor):
    engine = extractor.engine
    path = engine._choice_file()
    choice = Choice.from_json(json.loads(path.read_text()))
    assert choice.precision == engine.precision
    assert choice.trials[engine.precision].worst_cosine >= LEAST_COSINE
    kept = path.read_bytes()
    path.write_text("{")
    try:
        again = OpenVINOEngine(bundled)
        assert again.precision in choice.trials
        assert Choice.from_json(json.loads(path.read_text())).precision == again.precision
    finally:
        path.write_bytes(kept)


def test_cbir_models_tells_the_speed_that_was_measured_here(extractor):
    from click.testing import CliRunner

    from cbir.cli import cli

    engine = extractor.engine
    records = {one["name"]: one for one in json.loads(CliRunner().invoke(cli, ["models", "--json"]).output)}
    measured = last_measured("efficientnet_lite0")
    assert records["efficientnet_lite0"]["precision"] == engine.precision == measured.precision
    rate = measured.trials[measured.precision].pictures_per_second
    assert records["efficientnet_lite0"]["pictures_per_second"] == rate > 0
    assert f"{rate:.0f}/s in {engine.precision}" in CliRunner().invoke(cli, ["models"]).output
    assert last_measured("no such network") is None


def test_efficientnet_is_not_computed_in_bfloat16(extractor):
    """Its depthwise layers lose too much in it: 0.99 on some photos. The drawn pictures have to tell."""
    choice = Choice.from_json(json.loads(extractor.engine._choice_file().read_text()))
    if "bf16" not in choice.trials:
        pytest.skip("this processor has no bfloat16")
    assert choice.trials["bf16"].worst_cosine < 0.999
    assert choice.precision != "bf16"


@pytest.mark.parametrize("name", ["efficientnet_lite0", "squeezenet1_0"])
def test_features_of_real_weights_are_those_of_float32_on_each_photo(shared, name):
    weights = None if name == "efficientnet_lite0" else str(shared("weights/squeezenet1_0.pth"))
    backbone = describe(name, weights)
    paths = sorted(shared("photos").glob("*/*.jpg"))[::25]
    wanted = [Fitted(backbone.preprocessing)]
    viewed = [read_views(path.read_bytes(), wanted, name=path.name) for path in paths]
    pictures = np.stack([one.arrays["fitted"]["pixels"] for one in viewed])
    engine = OpenVINOEngine(backbone)
    reference = TorchEngine(backbone)
    if reference.device.type != "cpu":
        pytest.skip("torch computes in half precision here")
    expected, found = reference.features(pictures), engine.features(pictures)
    cosines = (expected * found).sum(1) / np.linalg.norm(expected, axis=1) / np.linalg.norm(found, axis=1)
    assert cosines.min() >= 0.999, engine.precision
