"""Detectors of graph files: every layout finds the same, a file that is none is told, none ends the run."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from cbir.detect import graph, scene, trial
from cbir.detect.classes import COCO, VOC, numbers_of
from cbir.detect.detection import Detections
from cbir.detect.formats import coco
from cbir.detect.formats.annotations import Annotated, Annotation, Size
from cbir.detect.layouts import registry as layouts
from cbir.detect.layouts.layout import Input
from cbir.detect.run import detect_files
from cbir.detect.trial import Asked, Tried
from cbir.detect.wish import Wish
from cbir.errors import EngineError, WeightsError
from cbir.evaluation.boxes import evaluate_boxes
from cbir.images.framed import Framed
from tests.helpers.graph_files import BLUE, LAYOUTS, NAMES, RED, SIDE, picture, write
from tests.helpers.waiting import GUARD_SECONDS, SOON_SECONDS

NAMED = str(dict(enumerate(NAMES)))

#: A picture twice as large as the input: cells of 32 pixels are of 64 in it.
SHOWN = picture((RED, 128, 64), (BLUE, 384, 256))


def opened(path: Path, **wishes: object) -> graph.GraphDetector:
    return graph.open_detector(Wish(weights=str(path), **wishes))


def found(detector: graph.GraphDetector, image: object = SHOWN) -> Detections:
    (detections,) = detector.detect([np.asarray(image)])
    return detections


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_finds_the_squares_where_they_are(layout: str, tmp_path: Path) -> None:
    detector = opened(write(tmp_path / "some.onnx", layout, names=NAMED), overlap=0.0)
    detections = found(detector)
    assert detector.classes == NAMES
    best = {}
    for one in detections.each(detector.classes):
        best.setdefault(one.name, []).append(one)
    # a cell covers 64 pixels of the picture, or 48 of its height where that is stretched: boxes are around its middle
    assert set(best) == set(NAMES)
    for name, (x, y) in {"red": (128, 64), "blue": (384, 256)}.items():
        one = best[name][0]
        assert one.score > 0.75
        left, top, width, height = one.box
        middle = left + width / 2, top + height / 2
        assert x <= middle[0] <= x + 128
        assert y <= middle[1] <= y + 128
        if LAYOUTS[layout].place == "stretch":
            assert (width, height) == pytest.approx((128, 96), abs=0.01)
        else:
            assert (width, height) == pytest.approx((128, 128), abs=0.01)
            # the middles of cells, of which there is one at each 64 pixels; NanoDet-Plus counts from their corners
            start = 0 if layout == "nanodet joined" else 32
            shift = 0 if LAYOUTS[layout].place == "corner" else -80
            assert (middle[0] - start) % 64 == pytest.approx(0, abs=0.01)
            assert (middle[1] - start - shift) % 64 == pytest.approx(0, abs=0.01)
    assert (np.diff(detections.scores) <= 0).all()


def test_pixels_that_enter_in_another_way_find_nothing_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "some.onnx", "yolov8", Input("rgb", "0-255", "centre"), names=NAMED)
    with caplog.at_level(logging.WARNING, "cbir"):
        assert len(found(opened(path))) == 0
    assert "finds nothing on a drawn scene with pixels as rgb,0-1,centre, but it does with 0-255" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "cbir"):
        assert len(found(opened(path, asked=Asked(range="0-255")))) > 0
    assert caplog.text == ""
    caplog.clear()
    with caplog.at_level(logging.WARNING, "cbir"):
        opened(path, asked=Asked(range="0-1"))
    assert "its best score is 0.0" in caplog.text


@pytest.mark.parametrize(("layout", "colours"), [("yolox", "rgb"), ("yolov8", "bgr"), ("picodet", "bgr")])
def test_colours_can_be_asked_for(layout: str, colours: str, tmp_path: Path) -> None:
    entering = dataclasses.replace(LAYOUTS[layout], colours=colours)
    path = write(tmp_path / "some.onnx", layout, entering, names=NAMED)
    detector = opened(path, asked=Asked(colours=colours))
    best = [next(found(one, picture((RED, 0, 0))).each(NAMES)).name for one in (detector, opened(path))]
    assert best == ["red", "blue"]


def test_masks_are_as_large_as_boxes_and_where_the_network_says(tmp_path: Path) -> None:
    detector = opened(write(tmp_path / "some.onnx", "yolov8 masks", names=NAMED))
    assert detector.has_masks
    image = picture((RED, 256, 160), size=(640, 640))
    detections = found(detector, image)
    assert detections.masks is not None
    ones = list(detections.each(NAMES))
    assert ones[0].mask is not None
    x, _, width, height = ones[0].box
    assert ones[0].mask.shape == (height, width)
    # the map is above 0 in the left half of the picture
    columns = x + np.arange(int(width)) + 0.5
    assert ones[0].mask[0, columns < 318].all()
    assert not ones[0].mask[0, columns > 322].any()
    one = detections.chosen(np.array([1]))
    assert one.masks is not None
    assert np.array_equal(one.masks[0], ones[1].mask)


def test_a_network_that_takes_any_size_gets_the_usual_or_the_one_that_is_asked_for(tmp_path: Path) -> None:
    def conv(path: Path) -> Path:
        write(path, "end to end", names=NAMED, sides=("height", "width"))
        return path

    # of another size it has other cells than its constants, so only one size fits
    path = conv(tmp_path / "some.onnx")
    with pytest.raises(WeightsError, match=r"some\.onnx cannot be used as a detector"):
        opened(path)
    assert opened(path, asked=Asked(width=SIDE, height=SIDE)).view == Framed(SIDE, SIDE, "centre")
    with pytest.raises(WeightsError, match="32 to 4096"):
        opened(path, asked=Asked(width=16, height=16))
    fixed = write(tmp_path / "fixed.onnx", "yolov8")
    with pytest.raises(WeightsError, match="cannot be used as a detector"):
        opened(fixed, asked=Asked(width=640, height=640))


def test_colours_may_be_the_last_side(tmp_path: Path) -> None:
    detector = opened(write(tmp_path / "some.onnx", "yolov8", names=NAMED, last=True))
    assert {one.name for one in found(detector).each(NAMES)} == set(NAMES)


@pytest.mark.parametrize(
    "names",
    [
        "{0: 'red'}",
        "{0: 'red', 2: 'blue'}",
        "['red', 3]",
        "__import__('os').abort()",
        "(" * 100_000,
        "{0: 'red', 1: '  '}",
    ],
)
def test_names_that_are_none_are_left(names: str, tmp_path: Path) -> None:
    path = write(tmp_path / "some.onnx", "yolox", names=names)
    detector = opened(path)
    assert detector.classes == ("class 0", "class 1")


def test_names_can_be_given_and_have_to_be_as_many(tmp_path: Path) -> None:
    path = write(tmp_path / "some.onnx", "yolox", names=NAMED)
    assert opened(path, classes=("rot", "blau")).classes == ("rot", "blau")
    with pytest.raises(WeightsError, match="has 2 classes, and 4 are named"):
        opened(path, classes=tuple("abcd"))


def test_a_file_is_tried_once_and_its_network_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a file that no other test has: what is kept is shared with those that run beside
    path = write(tmp_path / "some.onnx", "yolox", names="{0: 'only', 1: 'here'}")
    first = found(opened(path))
    monkeypatch.setattr(graph, "try_out", None)
    again = opened(path)
    assert np.array_equal(found(again).boxes, first.boxes)
    assert again.identity == opened(path).identity
    with pytest.raises(TypeError):
        opened(path, asked=Asked(colours="rgb"))  # another way in is another network


def test_identity_changes_with_all_that_makes_other_detections_and_not_with_the_name(tmp_path: Path) -> None:
    path = write(tmp_path / "some.onnx", "yolox", names=NAMED)
    other = write(tmp_path / "other.onnx", "yolox", names="{0: 'a', 1: 'b'}")
    moved = tmp_path / "moved.onnx"
    moved.write_bytes(path.read_bytes())
    identities = [
        opened(path).identity,
        opened(path, asked=Asked(colours="rgb")).identity,
        opened(other).identity,
        opened(path, classes=("rot", "blau")).identity,
        opened(path, overlap=0.6).identity,
    ]
    assert len(set(identities)) == 5
    assert opened(moved).identity == identities[0]


def save_graph(path: Path, nodes: list[object], inputs: list[object], outputs: list[str]) -> Path:
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    model = helper.make_graph(nodes, "odd", inputs, results)
    save(helper.make_model(model, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def image_input(*shape: object, name: str = "images", kind: int = TensorProto.FLOAT) -> object:
    return helper.make_tensor_value_info(name, kind, shape)


def odd_files(folder: Path) -> dict[str, Path]:
    """Files that are no detectors, by what is to be said of them."""
    image = image_input(1, 3, 64, 64)
    same = [helper.make_node("Identity", ["images"], ["out"])]
    square = [helper.make_node("Log", ["negative"], ["out"]), helper.make_node("Sub", ["images", "big"], ["negative"])]
    two = [helper.make_node("Add", ["images", "more"], ["out"])]
    rubbish = folder / "rubbish.onnx"
    rubbish.write_bytes(os.urandom(1000))
    empty = folder / "empty.onnx"
    empty.write_bytes(b"")
    whole = write(folder / "whole.onnx", "yolox").read_bytes()
    cut = folder / "cut.onnx"
    cut.write_bytes(whole[: len(whole) // 2])
    light = folder / "rubbish.tflite"
    light.write_bytes(b"\x1c\0\0\0TFL3" + bytes(200))
    big = helper.make_node("Constant", [], ["big"], value_float=1e9)
    return {
        "OpenVINO": rubbish,
        "cannot be used as a detector: OpenVINO cannot": empty,
        "cannot be used": cut,
        "cannot be used as a detector": light,
        "are of no layout that cbir knows": save_graph(folder / "same.onnx", same, [image], ["out"]),
        "takes no pictures": save_graph(folder / "flat.onnx", same, [image_input(1, 100)], ["out"]),
        "does not take one picture in colours": save_graph(
            folder / "grey.onnx", same, [image_input(1, 1, 64, 64)], ["out"]
        ),
        "it has 2 inputs": save_graph(folder / "two.onnx", two, [image, image_input(1, name="more")], ["out"]),
        "input is of the type": save_graph(
            folder / "whole.onnx",
            [helper.make_node("Cast", ["images"], ["out"], to=TensorProto.FLOAT)],
            [image_input(1, 3, 64, 64, kind=TensorProto.INT32)],
            ["out"],
        ),
        "are no numbers": save_graph(folder / "nan.onnx", [big, square[1], square[0]], [image], ["out"]),
        "32 to 4096": save_graph(folder / "huge.onnx", same, [image_input(1, 3, 100_000, 100_000)], ["out"]),
    }


@pytest.mark.parametrize("number", range(11))
def test_a_file_that_is_no_detector_is_told(number: int, tmp_path: Path) -> None:
    said, path = list(odd_files(tmp_path).items())[number]
    with pytest.raises(WeightsError, match=said) as raised:
        opened(path)
    assert path.name in str(raised.value)
    assert "\n" not in str(raised.value)


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"Cannot read the weights .*gone\.onnx: no such file"):
        opened(tmp_path / "gone.onnx")
    os.mkfifo(tmp_path / "fifo.onnx")
    with pytest.raises(WeightsError, match="not a regular file"):
        opened(tmp_path / "fifo.onnx")
    with pytest.raises(EngineError, match="torch does not run"):
        opened(write(tmp_path / "some.onnx", "yolox"), engine="torch")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os.abort()", r"OpenVINO ends when it reads or runs it \(exit code -6\)"),
        ("import time; time.sleep(1000)", "preparing it took more than 1 seconds"),
        ("while True: pass", "preparing it took more than 1 seconds"),
        ("import sys; sys.stdout.write('x' * 100)", "not asked for"),
        ("print('')", "not asked for"),
        ("import sys; sys.stdout.buffer.write(b'\\2' + bytes(15) + b'{}')", "not asked for"),
    ],
)
def test_whatever_ends_or_delays_the_trial_ends_only_that(
    code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "some.onnx", "yolox", names=str(code))
    monkeypatch.setattr(trial, "_CHILD", code)
    monkeypatch.setattr(trial, "SECONDS", 1.0 if "1 seconds" in said else GUARD_SECONDS)
    start = time.monotonic()
    with pytest.raises(WeightsError, match=said):
        opened(path)
    assert time.monotonic() - start < SOON_SECONDS + trial.SECONDS


def test_what_a_trial_answers_is_held_against_what_can_be() -> None:
    layout = layouts.from_json({"kind": "yolox", "width": 64, "height": 64, "classes": 80, "decoded": True})
    record = Tried(layout, LAYOUTS["yolox"], Framed(64, 64), ("a",) * 80, 0.5).to_json()
    assert Tried.from_json(json.loads(json.dumps(record))).layout == layout
    for change in (
        {"names": ["a"]},
        {"input": {"colours": "rgb", "range": "0-2", "place": "corner"}},
        {"frame": {"width": 1 << 30, "height": 64, "place": "corner"}},
        {"layout": {**record["layout"], "kind": "other"}},
        {"layout": {**record["layout"], "classes": 1 << 40}},
        {"layout": {**record["layout"], "decoded": 1}},
        {"layout": {**record["layout"], "classes": 0}, "names": []},
    ):
        with pytest.raises((ValueError, KeyError)):
            Tried.from_json({**record, **change})


def test_names_of_files_may_be_of_any_bytes(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/d\xe9tecteur.onnx"))
    write(tmp_path / "plain.onnx", "yolov5", names=NAMED).rename(path)
    assert len(found(opened(path))) > 0


def test_outputs_of_the_network_that_are_no_numbers_are_no_boxes() -> None:
    layout = layouts.from_json({"kind": "yolox", "width": 64, "height": 64, "classes": 2, "decoded": True})
    rows = np.zeros((1, 84, 7), dtype=np.float32)
    rows[0, :, 4:] = 1
    rows[0, 0] = [np.nan, 3, 4, 5, 1, 1, 1]
    rows[0, 1] = [3, 3, np.inf, 5, 1, 1, 1]
    rows[0, 2] = [3, 3, 4, 5, 1, np.nan, np.nan]
    rows[0, 3] = [30, 30, 8, 8, 1, 0.9, 0.1]
    assert len(layout.decode([rows]).scores) >= 1


@pytest.mark.parametrize("expected", [1, 1000])
def test_many_pictures_at_once_are_as_one_by_one(expected: int, tmp_path: Path) -> None:
    detector = opened(write(tmp_path / "some.onnx", "yolov8", names=NAMED), expected=expected)
    images = [np.asarray(picture((RED, x, 100))) for x in range(0, 500, 50)]
    together = detector.detect(images)
    for image, detections in zip(images, together, strict=True):
        (alone,) = detector.detect([image])
        assert np.array_equal(alone.boxes, detections.boxes)
        assert np.array_equal(alone.scores, detections.scores)


def test_openvino_reports_nothing_to_its_maker() -> None:
    code = "import sys, cbir.detect.graph; sys.exit(sys.modules['openvino_telemetry'] is not None)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_one_picture_is_looked_at_without_what_takes_long_to_import(tmp_path: Path) -> None:
    file = write(tmp_path / "some.onnx", "yolov8", names=NAMED)
    SHOWN.save(tmp_path / "shown.jpg", quality=95)
    command = [sys.executable, "-X", "importtime", "-m", "cbir", "detect", tmp_path / "shown.jpg", "--weights", file]
    for _ in range(2):  # the first run tries the file out
        done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert {one["class"] for one in json.loads(done.stdout)["objects"]} == {"red", "blue"}
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"openvino", "numpy", "PIL.JpegImagePlugin"} <= imported
    assert not imported & {"torch", "openvino.tools.ovc.convert", "numpy.ma", "PIL.PdfImagePlugin"}


def test_a_kept_network_that_cannot_be_loaded_is_prepared_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "compiled_folder", lambda: tmp_path)
    file = write(tmp_path / "some.onnx", "yolov8", names=NAMED)
    wanted = found(opened(file))
    (kept,) = tmp_path.glob("detector-*.blob")
    content = graph.kept_content(kept)
    length = 8 + int.from_bytes(content[:8], "little")
    graph.keep_content(kept, content[:length], b"no network at all")
    again = found(opened(file))
    assert np.array_equal(again.boxes, wanted.boxes)
    assert len(graph.kept_content(kept)) == len(content)


def test_yolox_nano_finds_everyday_things(shared: Callable[[str], Path]) -> None:
    detector = opened(shared("detect/models/yolox_nano.onnx"))
    assert detector.classes == COCO
    assert not detector.has_masks
    names = {one.name for one in found(detector, scene.draw()).each(COCO) if one.score > detector.least_score}
    assert {"stop sign", "clock"} <= names


@pytest.mark.slow
def test_yolox_nano_finds_what_people_have_drawn(shared: Callable[[str], Path]) -> None:
    """Its own decoding reaches a mean average precision of .78 on photos of VOC."""
    drawn = {one.name: one for one in coco.read(shared("detect/boxes.json")).pictures if "voc_" in one.name}
    detector = opened(shared("detect/models/yolox_nano.onnx"), expected=100)
    # COCO's names of VOC's classes: a couch is a sofa
    names = {VOC[number]: COCO[own] for number in range(20) for own in numbers_of(VOC[number], COCO)}
    back = {own: name for name, own in names.items()}
    assert len(back) == 20
    files = [(name, shared(f"detect/photos/{Path(name).name}")) for name in drawn]
    pairs = []
    for result in detect_files(detector, files, isolated=True):
        boxes = (one for one in result.detections.each(detector.classes) if one.name in back)
        annotations = tuple(Annotation(one.box, back[one.name], one.score) for one in boxes)
        pairs.append((drawn[result.key], Annotated(result.key, Size(*result.size), annotations)))
    assert evaluate_boxes(pairs, VOC, detector.least_score).overall.ap50 >= 0.77
