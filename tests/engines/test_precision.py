"""The precision of the CPU engine: the fastest that keeps float32's features, by what is measured here."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cbir.backbones.backbone import describe
from cbir.cli import cli
from cbir.engines.lazy import LazyEngine
from cbir.engines.openvino_engine import OpenVINOEngine
from cbir.engines.precision import LEAST_COSINE, Choice, Trial, choose, drawn_images, last_measured
from cbir.engines.select import WORTH_TRIAL
from cbir.engines.torch_engine import TorchEngine
from cbir.errors import EngineError
from cbir.extract.extractor import Extractor
from cbir.images.fitted import Fitted
from cbir.images.read import read_views
from cbir.index.format import _checksum
from cbir.index.store import Index
from cbir.indexing.run import index_folder
from cbir.search.queries import VectorQuery
from cbir.search.searcher import Searcher
from cbir.utils.vectors import l2_normalize


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """A cache folder of this process's own: what was measured is kept for all that run, and damaged here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def extractor(bundled):
    """An extractor of so many pictures that precisions are tried."""
    return Extractor(bundled, expected=WORTH_TRIAL)


@pytest.fixture(scope="module")
def pictures():
    return drawn_images(32, 32)


def network(seconds, noise=0.0, only=slice(None)):
    """A network of fixed speed that makes the features of "f32" but for some noise (numbers, not calls, decide)."""

    def run(pictures):
        until = time.process_time() + seconds
        while time.process_time() < until:  # processor time is what counts
            pass
        features = pictures.reshape(len(pictures), -1)[:, :100].astype(np.float32)
        features[only] += noise * np.random.default_rng(0).normal(size=features.shape).astype(np.float32)[only]
        return features

    return lambda: run


def chosen(run, pictures):
    return choose(run, pictures, lambda trial: trial.finds_the_same)


def test_the_fastest_in_which_searches_find_the_same_is_chosen(pictures):
    run = {"f32": network(0.03), "bf16": network(0.001, noise=40.0), "f16": network(0.01, noise=0.1)}
    choice = chosen(run, pictures)
    assert choice.precision == choice.exact == "f16"
    assert choice.trials["bf16"].worst_cosine < LEAST_COSINE < choice.trials["f16"].worst_cosine
    seconds = {name: trial.processor_seconds for name, trial in choice.trials.items()}
    assert seconds["f32"] > seconds["f16"] > seconds["bf16"]
    assert all(trial.pictures_per_second > 0 for trial in choice.trials.values())


def test_a_picture_that_is_far_off_is_no_hindrance_where_the_others_find_the_same(pictures):
    choice = chosen({"f32": network(0.03), "bf16": network(0.001, noise=4.0, only=slice(1))}, pictures)
    assert choice.trials["bf16"].worst_cosine < LEAST_COSINE
    assert (choice.precision, choice.exact) == ("bf16", "f32")


def test_neighbours_count_and_not_only_cosines():
    """Features that are nearly alike: an error that hardly changes cosines changes the order of all others."""
    random = np.random.default_rng(0)
    features = (1 + 0.01 * random.normal(size=(32, 100))).astype(np.float32)
    images = np.arange(32, dtype=np.uint8).reshape(32, 1, 1, 1)

    def network(seconds, noise):
        def run(pictures):
            until = time.process_time() + seconds
            while time.process_time() < until:
                pass
            rows = pictures.reshape(-1)
            return features[rows] + noise * np.random.default_rng(int(rows[0])).normal(size=(len(rows), 100))

        return lambda: run

    choice = chosen({"f32": network(0.02, 0), "bf16": network(0.001, 0.01)}, images)
    assert choice.trials["bf16"].mean_cosine > 0.9995
    assert choice.trials["bf16"].agreement < 0.8
    assert choice.precision == "f32"


def test_another_kind_of_16_bits_is_not_tried_where_one_is_twice_as_fast(pictures):
    choice = chosen({"f32": network(0.03), "bf16": network(0.001), "f16": network(0.0001)}, pictures)
    assert (choice.precision, sorted(choice.trials)) == ("bf16", ["bf16", "f32"])
    assert "f16" in chosen({"f32": network(0.03), "bf16": network(0.02), "f16": network(0.001)}, pictures).trials


def test_small_batches_are_chosen_where_they_are_faster(pictures):
    def run(seconds_a_batch, seconds_a_square):
        def network(pictures):
            until = time.process_time() + seconds_a_batch + seconds_a_square * len(pictures) ** 2
            while time.process_time() < until:
                pass
            return pictures.reshape(len(pictures), -1).astype(np.float32)

        return lambda: network

    assert chosen({"f32": run(0.01, 0)}, pictures).batch == 16
    assert chosen({"f32": run(0, 0.0003)}, pictures).batch == 4


def test_float32_stays_where_nothing_is_better(pictures):
    assert chosen({"f32": network(0.001)}, pictures).precision == "f32"
    assert chosen({"f32": network(0.001), "f16": network(0.02)}, pictures).precision == "f32"
    assert chosen({"f32": network(0.02), "bf16": network(0.001, noise=40.0)}, pictures).precision == "f32"
    unsound = {
        "f32": network(0.02),
        "f16": lambda: lambda pictures: np.full((len(pictures), 100), np.nan, np.float32),
    }
    assert chosen(unsound, pictures).precision == "f32"


def test_drawn_images_are_the_same_each_time_and_not_alike(pictures):
    assert np.array_equal(pictures, drawn_images(32, 32))
    assert (pictures.shape, pictures.dtype) == ((32, 32, 32, 3), np.uint8)
    assert all(picture.std() > 10 for picture in pictures)
    assert not np.array_equal(pictures[0], pictures[1])


def test_a_rate_by_the_clock_on_the_wall_decides_nothing():
    """It is what other processes left; what the work takes of the processors is the network's own."""
    trials = {"f32": Trial(1.0, 1.0, 1.0, 90.0, 0.1), "f16": Trial(1.0, LEAST_COSINE, 1.0, 30.0, 0.05)}
    assert Choice("f16", trials, 4).exact == "f16"


def test_a_choice_survives_json():
    choice = Choice("f16", {"f32": Trial(1.0, 1.0, 1.0, 10.0, 0.1), "f16": Trial(0.9999, 0.99, 0.98, 20.5, 0.05)}, 4)
    assert Choice.from_json(json.loads(json.dumps(choice.to_json()))) == choice


@pytest.mark.parametrize(
    "record",
    [
        *(None, {}, [], "f16", {"precision": "f16", "trials": {}}, {"precision": "f16", "trials": {"f16": 1}}),
        {"precision": "f32", "trials": {"f32": Trial(1, 1, 1, 1, 1).to_json()}, "batch": 0},
        {"precision": "f32", "trials": {"f32": Trial(1, 1, 1, 1, 1).to_json()}},
        {"precision": "f32", "trials": {"f32": {"worst_cosine": 1, "pictures_per_second": 1}}, "batch": 4},
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
    assert choice.trials[engine.precision].finds_the_same
    kept = path.read_bytes()
    path.write_text("{")
    try:
        again = OpenVINOEngine(bundled)
        assert again.precision in choice.trials
        assert Choice.from_json(json.loads(path.read_text())).precision == again.precision
    finally:
        path.write_bytes(kept)


def test_cbir_models_tells_the_speed_that_was_measured_here(extractor):
    engine = extractor.engine
    records = {one["name"]: one for one in json.loads(CliRunner().invoke(cli, ["models", "--json"]).output)}
    measured = last_measured("efficientnet_lite0")
    assert records["efficientnet_lite0"]["precision"] == engine.precision == measured.precision
    rate = measured.trials[measured.precision].pictures_per_second
    assert records["efficientnet_lite0"]["pictures_per_second"] == rate > 0
    assert f"{rate:.0f}/s in {engine.precision}" in CliRunner().invoke(cli, ["models"]).output
    assert last_measured("no such network") is None


def test_efficientnet_is_computed_in_bfloat16_but_not_its_stages(extractor):
    """Its depthwise layers lose much in it, but searches find the same; maps are another matter."""
    choice = Choice.from_json(json.loads(extractor.engine._choice_file().read_text()))
    if "bf16" not in choice.trials:
        pytest.skip("this processor has no bfloat16")
    assert choice.trials["bf16"].finds_the_same
    assert choice.trials["bf16"].worst_cosine < 0.999
    assert choice.exact != "bf16" == extractor.engine._precision_of("features")
    assert extractor.engine._precision_of("stages") == extractor.engine._precision_of("last_map") == choice.exact


def test_float32_can_be_insisted_on(bundled, extractor, monkeypatch):
    images = drawn_images(2, 224)
    exact = LazyEngine(bundled, "openvino:f32").opened()
    assert exact.precision == "f32"
    assert exact.description.endswith("f32")
    expected, found = TorchEngine(bundled).features(images), exact.features(images)
    cosines = (expected * found).sum(1) / np.linalg.norm(expected, axis=1) / np.linalg.norm(found, axis=1)
    assert cosines.min() > 0.99999
    monkeypatch.setenv("CBIR_PRECISION", "f32")
    assert LazyEngine(bundled, "openvino").opened().precision == "f32"
    assert LazyEngine(bundled, "openvino:auto").opened().precision == extractor.engine.precision


def test_a_precision_that_there_is_not_is_an_error_that_names_those_there_are(bundled):
    with pytest.raises(EngineError, match="no precision 'f8': choose from auto, f32, bf16, f16"):
        LazyEngine(bundled, "auto:f8").opened()
    with pytest.raises(EngineError, match="does not compute in f8 with OpenVINO, only in f32"):
        OpenVINOEngine(bundled, precision="f8")
    if TorchEngine(bundled).device.type == "cpu":
        with pytest.raises(EngineError, match="torch computes in f32 on a processor, not in bf16"):
            LazyEngine(bundled, "torch:bf16").opened()


def test_an_index_remembers_its_precisions_and_is_searched_in_another(bundled, photo_folder, tmp_path):
    """An index of an older cbir, which did not note any, goes on, and says what is not known."""
    target = str(tmp_path / "index")
    index, _ = index_folder(photo_folder(5), target, engine="openvino:f32")
    assert index.meta.precisions == ("f32",)
    path = Path(target, "meta.json")
    record = json.loads(path.read_text())
    del record["checksum"], record["precisions"]
    path.write_text(json.dumps({**record, "checksum": _checksum(record)}))
    assert Index.open(Path(target)).meta.precisions == ()
    assert "not noted by the cbir that made it" in _info(target)
    photos = photo_folder(6)
    index, report = index_folder(photos, target, engine="openvino:auto")
    assert report.added == 1
    chosen = OpenVINOEngine(bundled).precision
    assert index.meta.precisions == ("unknown", chosen)
    assert f"{chosen}, and not noted of older pictures" in _info(target)
    again, _ = index_folder(photos, target, engine="openvino:auto")
    assert again.meta.precisions == index.meta.precisions
    for precision, path in (("f32", "img_005.jpg"), ("auto", "img_000.jpg")):
        feature = Extractor(bundled, engine=f"openvino:{precision}").feature(photos / path)
        best = next(iter(Searcher(index).search([VectorQuery(feature)], count=1))).matches[0]
        assert (best.path.name, best.score > 0.99) == (path, True)


def _info(target):
    return CliRunner().invoke(cli, ["info", "--index", target]).output


@pytest.mark.parametrize("name", ["efficientnet_lite0", "squeezenet1_0"])
def test_photos_find_the_same_as_in_float32(shared, name):
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
    expected, found = l2_normalize(reference.features(pictures)), l2_normalize(engine.features(pictures))
    cosines = (expected * found).sum(1)
    assert cosines.mean() >= 0.999, engine.precision
    assert cosines.min() >= 0.99, engine.precision
    nearest = [np.argsort(-one @ expected.T, axis=1)[:, 1:11] for one in (expected, found)]
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(*nearest, strict=True)]) >= 0.95, engine.precision
