"""`cbir index --objects`: once by content, with one detector, which the index remembers; without it a run goes on."""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cbir.collection import open as open_collection
from cbir.detect import graph, maker
from cbir.detect.maker import ObjectMaker, worth_keeping
from cbir.detect.of_index import objects_of
from cbir.detect.registry import open_detector, wish_for
from cbir.detect.remembered import open_for_index
from cbir.detect.wish import Wish
from cbir.engines.lazy import LazyEngine
from cbir.errors import CbirError, IndexConflictError, IndexDamagedError, ModelError, WeightsError
from cbir.extract.records import Item
from cbir.index.columns.objects import MOST, OBJECTS, unpack, unpack_boxes
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.index.writer import Writer
from cbir.indexing.report import Report
from cbir.indexing.run import Options, build_index, index_folder, preview
from cbir.indexing.target import choose_target
from tests.helpers.faults import replace_in, run_cli
from tests.helpers.graph_files import BLUE, NAMES, RED, picture, write

NAMED = str(dict(enumerate(NAMES)))

#: The squares of each picture: colour and place.
SHOWN = {
    "one.png": [(RED, 128, 64)],
    "two.png": [(BLUE, 384, 256), (RED, 0, 0)],
    "none.png": [((20, 150, 20), 300, 200)],
}


@pytest.fixture(autouse=True)
def _fake_network(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_in(monkeypatch)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("detectors") / "some.onnx", "yolox", names=NAMED)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    root.mkdir()
    for name, squares in SHOWN.items():
        picture(*squares).save(root / name)
    shutil.copy(root / "one.png", root / "one again.png")
    return root


def refresh(root: Path | None, name: str = "photos", **options: object) -> Report:
    if isinstance(wanted := options.get("detector"), Path):
        options["detector"] = wish_for(str(wanted))
    return build_index(choose_target(root, name), Options(**options))[0]  # type: ignore[arg-type]


def opened(name: str = "photos") -> Index:
    index = Index.open(Path(os.environ["CBIR_HOME"]) / name)
    assert find_problems(index, verify=True) == []
    return index


def found(index: Index) -> dict[str, set[str] | None]:
    """Of each picture the names of the objects that are believed, None where nobody has looked."""
    objects = objects_of(index)
    paths = index.files().paths
    return {
        paths[row]: {
            objects.names[number]
            for number, score in zip(objects.classes[row], objects.scores[row], strict=True)
            if score >= objects.least_score
        }
        if objects.known[row]
        else None
        for row in np.flatnonzero(index.valid).tolist()
    }


WANTED = {"one.png": {"red"}, "one again.png": {"red"}, "two.png": {"red", "blue"}, "none.png": set()}


def test_they_are_those_of_the_detector(root: Path, detector: Path) -> None:
    refresh(root, objects=True, detector=detector)
    index = opened()
    assert found(index) == WANTED
    entry = index.meta.objects
    assert entry is not None
    assert (entry.name, entry.kind, entry.source, entry.classes) == ("some", "yolox", str(detector), NAMES)
    objects, plain = objects_of(index), open_detector(Wish(weights=str(detector)))
    assert (entry.identity, entry.least_score) == (plain.identity, plain.least_score)
    for row in range(index.rows):
        (wanted,) = plain.detect([np.asarray(Image.open(root / index.record(row).path))])
        count = len(wanted)
        assert objects.classes[row, :count].tolist() == wanted.classes.tolist()
        assert np.allclose(objects.scores[row, :count], wanted.scores, atol=1e-3)
        boxes = objects.boxes(np.array([row]))[0, :count]
        assert np.abs(boxes - wanted.boxes).max(initial=0) <= 1
        assert not objects.scores[row, count:].any()


def test_a_later_run_needs_no_option_and_looks_at_new_pictures_only(
    root: Path, detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(root, objects=True, detector=detector)
    before = opened().meta
    seen: list[str] = []
    real = maker._packed
    monkeypatch.setattr(maker, "_packed", lambda found: seen.append("") or real(found))
    assert refresh(None).unchanged == 4
    assert seen == []
    assert opened().meta.objects == before.objects
    picture((BLUE, 64, 64)).save(root / "new.png")
    refresh(None)
    assert len(seen) == 1
    assert found(opened()) == {**WANTED, "new.png": {"blue"}}


def test_an_index_is_given_them_later_once_by_content(root: Path, detector: Path) -> None:
    refresh(root)
    with pytest.raises(CbirError, match="has no objects"):
        objects_of(opened())
    before = {name: opened().features([row]).tobytes() for row, name in enumerate(opened().files().paths)}
    report = refresh(None, objects=True, detector=detector)
    assert (report.backfilled["objects"], report.backfilled["boxes"], report.unchanged) == (4, 4, 4)
    index = opened()
    assert found(index) == WANTED
    assert {name: index.features([row]).tobytes() for row, name in enumerate(index.files().paths)} == before


def test_another_detector_is_refused(root: Path, detector: Path, tmp_path: Path) -> None:
    refresh(root, objects=True, detector=detector)
    other = write(tmp_path / "other.onnx", "yolov8", names=NAMED)
    with pytest.raises(IndexConflictError, match=r"those of some .*not of other .*--no-objects"):
        refresh(None, detector=other)
    with pytest.raises(IndexConflictError, match=r"not of ssdlite320_mobilenet_v3_large, .*--no-objects"):
        refresh(None, detector=wish_for("ssdlite320_mobilenet_v3_large"))  # nothing of it is downloaded before
    assert found(opened()) == WANTED


def test_changed_weights_are_refused_where_they_are_needed(root: Path, detector: Path, tmp_path: Path) -> None:
    own = Path(shutil.copy(detector, tmp_path / "own.onnx"))
    refresh(root, objects=True, detector=own)
    write(own, "yolov8", names=NAMED)
    refresh(None)  # nothing is to be looked at
    picture((BLUE, 64, 64)).save(root / "new.png")
    with pytest.raises(IndexConflictError, match="other weights"):
        refresh(None)


def test_a_file_that_has_moved_is_told_once(root: Path, detector: Path, tmp_path: Path) -> None:
    classes = ("rot", "blau")
    first, second = (Path(shutil.copy(detector, tmp_path / name)) for name in ("first.onnx", "second.onnx"))
    wish = Wish(weights=str(first), classes=classes)
    refresh(root, objects=True, detector=wish)
    assert found(opened())["one.png"] == {"rot"}
    first.unlink()
    refresh(None, detector=second)  # its classes are remembered
    entry = opened().meta.objects
    assert entry is not None
    assert (entry.source, entry.classes) == (str(second), classes)
    picture((BLUE, 64, 64)).save(root / "new.png")
    refresh(None)
    assert found(opened())["new.png"] == {"blau"}


def test_a_run_without_the_detector_goes_on_and_a_later_one_fills_in(
    root: Path, detector: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = Path(shutil.copy(detector, tmp_path / "own.onnx"))
    refresh(root, objects=True, detector=own)
    own.rename(tmp_path / "away.onnx")
    picture((BLUE, 64, 64)).save(root / "new.png")
    with caplog.at_level(logging.WARNING, "cbir"):
        assert refresh(None).added == 1
    assert f"Objects are not looked for in new pictures: Cannot read the weights {own}" in caplog.text
    assert found(opened()) == {**WANTED, "new.png": None}
    # nor by one that has nothing else to do
    caplog.clear()
    with caplog.at_level(logging.WARNING, "cbir"):
        assert refresh(None).unchanged == 5
    assert "Objects are not looked for" in caplog.text
    with pytest.raises(WeightsError, match="Cannot read"):
        refresh(None, detector=own)
    (tmp_path / "away.onnx").rename(own)
    assert refresh(None).backfilled["objects"] == 1
    assert found(opened()) == {**WANTED, "new.png": {"blue"}}


def test_a_detector_that_only_an_index_names_is_not_opened(
    root: Path, detector: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, evil = (Path(shutil.copy(detector, tmp_path / name)) for name in ("own.onnx", "evil.onnx"))
    refresh(root, objects=True, detector=own)
    index = opened()
    assert index.meta.objects is not None
    Writer(index.directory, index.meta).replace(index.meta.but(objects=replace(index.meta.objects, source=str(evil))))
    picture((BLUE, 64, 64)).save(root / "new.png")
    tried: list[Wish] = []
    monkeypatch.setattr("cbir.detect.remembered.open_detector", lambda wish: tried.append(wish) or open_detector(wish))
    with caplog.at_level(logging.WARNING, "cbir"):
        refresh(None)
    assert f"the file {evil}, which was not used here before" in caplog.text
    assert tried == []
    assert found(opened())["new.png"] is None
    refresh(None, detector=evil)
    assert found(opened())["new.png"] == {"blue"}
    picture((BLUE, 64, 128)).save(root / "newer.png")
    refresh(None)
    assert found(opened())["newer.png"] == {"blue"}


def test_nothing_is_downloaded_because_an_index_says_so(
    root: Path, detector: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(root, objects=True, detector=detector)
    index = opened()
    assert index.meta.objects is not None
    name = "ssdlite320_mobilenet_v3_large"
    Writer(index.directory, index.meta).replace(index.meta.but(objects=replace(index.meta.objects, source=name)))
    picture((BLUE, 64, 64)).save(root / "new.png")
    monkeypatch.setattr("cbir.backbones.weights.download", None)
    with caplog.at_level(logging.WARNING, "cbir"):
        refresh(None)
    assert "Objects are not looked for in new pictures: Cannot read the weights" in caplog.text


def test_a_picture_that_cannot_be_read_again_is_tried_once(root: Path, detector: Path) -> None:
    refresh(root)
    path = root / "two.png"
    status = path.stat()
    path.write_bytes(b"\x89PNG".ljust(status.st_size, b"\0"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    report = refresh(None, objects=True, detector=detector)
    assert not report.not_backfilled.get("objects") or report.not_backfilled["objects"][0][0] == "two.png"
    assert "two.png" not in found(opened())
    assert refresh(None).backfilled.total() == 0


def test_they_are_taken_away_and_come_back(root: Path, detector: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refresh(root, objects=True, detector=detector)
    refresh(None, objects=False)
    index = opened()
    assert index.meta.objects is None
    assert not [path for path in index.directory.iterdir() if path.name.startswith(("objects", "boxes"))]
    with pytest.raises(ModelError, match="No detector comes with cbir"):
        refresh(None, objects=True)
    with pytest.raises(CbirError, match=r"has no objects.*add --objects"):
        refresh(None, detector=detector)
    monkeypatch.setenv("CBIR_DETECTOR", str(detector))
    refresh(None, objects=True)
    assert found(opened()) == WANTED


def test_damaged_ones_are_made_again(root: Path, detector: Path) -> None:
    refresh(root, objects=True, detector=detector)
    index = opened()
    path = index.directory / index.meta.blocks[0].columns["objects"].name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IndexDamagedError, match="--repair"):
        objects_of(Index.open(index.directory))
    assert refresh(None, repair=True).backfilled["objects"] == 4
    assert found(opened()) == WANTED


def test_a_dry_run_says_what_would_be_read_and_opens_no_detector(
    root: Path, detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(root)
    monkeypatch.setattr("cbir.detect.registry.open_detector", None)
    plan = preview(choose_target(root, "photos"), Options(objects=True, detector=Wish(weights=str(detector))))
    assert len(plan.again_for(OBJECTS)) == 4
    assert opened().meta.objects is None


def test_info_and_python(root: Path, detector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index, report = index_folder(root, objects=True, detector=str(detector))
    assert report.added + report.copied == 4
    assert found(index) == WANTED
    assert run_cli(["info", "--index", "photos"]) == 0
    assert (
        "  objects    red in 3, blue in 1 (by some), looked for in all pictures" in capsys.readouterr().out.splitlines()
    )
    assert run_cli(["info", "--index", "photos", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["objects"]
    assert told == {
        "pictures": 4,
        "detector": "some",
        "kind": "yolox",
        "source": str(detector),
        "least_score": 0.4,
        "of_classes": {"red": 3, "blue": 1},
    }
    picture((BLUE, 64, 64)).save(root / "new.png")
    collection = open_collection("photos")
    collection.update()
    assert found(collection.index)["new.png"] == {"blue"}


def test_info_of_pictures_that_show_nothing(tmp_path: Path, detector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root := tmp_path / "empty").mkdir()
    picture(*SHOWN["none.png"]).save(root / "none.png")
    refresh(root, "empty", objects=True, detector=detector)
    assert run_cli(["info", "--index", "empty"]) == 0
    assert "  objects    none found by some, looked for in all pictures" in capsys.readouterr().out.splitlines()


def test_the_command(root: Path, detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = tmp_path / "names.txt"
    names.write_text("rot\nblau\n")
    options = ["--objects", "--detector", str(detector), "--classes", str(names), "--input", "bgr,corner"]
    assert run_cli(["index", str(root), *options, "--quiet"]) == 0
    entry = opened().meta.objects
    assert entry is not None
    assert (entry.classes, entry.asked) == (("rot", "blau"), "bgr,corner")
    picture((BLUE, 64, 64)).save(root / "new.png")
    assert run_cli(["index", "--index", "photos", "--quiet"]) == 0
    assert found(opened())["new.png"] == {"blau"}
    capsys.readouterr()
    assert run_cli(["index", "--index", "photos", "--classes", str(names)]) == 2
    assert "name it with --detector" in capsys.readouterr().err


def test_regions_find_objects_of_an_index_too(tmp_path: Path, shared: Callable[[str], Path]) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    for path in sorted(shared("detect/photos").iterdir())[:2]:
        shutil.copy(path, root)
    refresh(root, objects=True, detector=wish_for("regions"))
    index = opened()
    assert objects_of(index).known.all()
    assert objects_of(index).scores.any()
    assert index.meta.objects is not None
    assert index.meta.objects.source == "regions"


def test_of_many_those_of_each_class_come_first() -> None:
    crowd = np.array([0] * 40 + [1, 2, 1])
    kept = worth_keeping(crowd)
    assert len(kept) == MOST
    assert set(kept[-3:].tolist()) == {40, 41, 42}
    assert kept[:-3].tolist() == list(range(MOST - 3))
    assert worth_keeping(crowd[:5]).tolist() == [0, 1, 2, 3, 4]


def test_a_maker_travels_to_another_process(detector: Path) -> None:
    wish = Wish(weights=str(detector))
    maker = ObjectMaker(open_detector(wish), wish)
    image = picture((RED, 128, 64))
    pixels = maker.view.make(image, (0, 0, *image.size), image.size)
    items = [Item("a", image.size, pixels), Item("b"), *(Item("c", image.size, pixels) for _ in range(9))]
    engine = LazyEngine("efficientnet_lite0")
    for one in (maker, pickle.loads(pickle.dumps(maker))):
        made = list(one.run(iter(items), engine))
        assert [bool(records) for records in made] == [True, False, *[True] * 9]
        assert (unpack(made[0]["objects"][np.newaxis], 2).scores > 0).sum() > 0
        assert unpack_boxes(made[0]["boxes"][np.newaxis]).shape == (1, MOST, 4)


def test_detections_come_beside_the_network_many_at_a_time(detector: Path) -> None:
    """The maker asks for several before it waits for the first."""
    wish = Wish(weights=str(detector), expected=100)
    maker = ObjectMaker(open_detector(wish), wish)
    image = picture((RED, 128, 64))
    pixels = maker.view.make(image, (0, 0, *image.size), image.size)
    taken: list[int] = []

    def items() -> object:
        for number in range(20):
            taken.append(number)
            yield Item("a", image.size, pixels)

    made = maker.run(items(), LazyEngine("efficientnet_lite0"))  # type: ignore[arg-type]
    next(made)
    assert 4 <= len(taken) < 20


@pytest.mark.parametrize(
    ("layout", "expected", "engine", "wanted"),
    [
        ("yolox", 256, None, ["f32", "bf16"]),
        ("yolox", 255, None, ["f32"]),
        ("yolox", 256, "openvino:f32", ["f32"]),
        # they compute places in pixels themselves
        ("yolox decoded", 256, None, ["f32"]),
        ("yolov8", 256, None, ["f32"]),
    ],
)
def test_many_pictures_are_looked_at_in_bfloat16_where_that_finds_as_much(
    layout: str, expected: int, engine: str | None, wanted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "some.onnx", layout, names=NAMED)
    monkeypatch.setattr(graph, "precisions", lambda core: ["f32", "bf16"])
    real, prepared = graph._prepared, []

    def prepare(core: object, file: Path, weights: object, wish: Wish, precision: str, properties: object) -> object:
        prepared.append(precision)
        return real(core, file, weights, wish, "f32", properties)  # type: ignore[arg-type]  # this one has f32 for sure

    monkeypatch.setattr(graph, "_prepared", prepare)
    open_for_index("photos", None, Wish(weights=str(path)), engine=engine, expected=expected)
    assert prepared == wanted
