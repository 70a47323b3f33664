"""`cbir detect`: boxes of pictures in every format, and the files that are made of them."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cbir.cli import cli
from cbir.detect.formats import coco, voc, yolo
from cbir.images.regions import Box
from tests.helpers.graph_files import BLUE, RED, picture, write

#: Red is said to be a dog, blue a bus.
NAMES = "{0: 'dog', 1: 'bus'}"


def run(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, ["detect", *map(str, arguments)], input=stdin)


def records(result: Result) -> list[dict]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def named(record: dict) -> list[str]:
    return [one["class"] for one in record["objects"]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a detector and three pictures, as the current one."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "squares.onnx", "yolox", names=NAMES)
    (tmp_path / "photos").mkdir()
    picture((RED, 128, 64), (BLUE, 384, 256)).save(tmp_path / "photos" / "both.png")
    picture((BLUE, 64, 64)).save(tmp_path / "photos" / "bus.jpg", quality=95)
    picture().save(tmp_path / "photos" / "nothing.png")
    return tmp_path


ONCE = ("--weights", "squares.onnx", "--iou", "0")


def test_records_tell_boxes_classes_and_scores(here: Path) -> None:
    both, bus, nothing = records(run("photos", *ONCE))
    assert (both["image"], both["width"], both["height"], both["detector"]) == ("photos/both.png", 640, 480, "squares")
    assert sorted(set(named(both))) == ["bus", "dog"]
    assert set(named(bus)) == {"bus"}
    assert nothing["objects"] == []
    best = both["objects"][0]
    assert best["score"] > 0.75
    assert best["box"][2:] == [128.0, 128.0]


def test_one_picture_is_one_json_object_several_are_a_list(here: Path) -> None:
    one = json.loads(run("photos/both.png", *ONCE, "--json").stdout)
    assert one["image"] == "photos/both.png"
    assert [record["image"] for record in json.loads(run("photos", *ONCE, "--json").stdout)] == [
        "photos/both.png",
        "photos/bus.jpg",
        "photos/nothing.png",
    ]


def test_csv_has_a_line_for_each_box_and_for_each_picture_that_cannot_be_read(here: Path) -> None:
    (here / "photos" / "broken.jpg").write_bytes(b"no picture")
    result = run("photos", *ONCE, "--format", "csv")
    assert result.exit_code == 1
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert {row["image"] for row in rows} == {"photos/both.png", "photos/broken.jpg", "photos/bus.jpg"}
    (broken,) = [row for row in rows if row["error"]]
    assert (broken["image"], broken["class"]) == ("photos/broken.jpg", "")
    assert "Cannot read photos/broken.jpg" in result.stderr


def test_a_table_is_for_people(here: Path) -> None:
    text = run("photos/both.png", "photos/nothing.png", *ONCE, "--format", "table", "--out", "found").stdout
    assert "photos/both.png (640 x 480): " in text
    assert "photos/nothing.png (640 x 480): nothing found" in text
    assert "wrote found/both.objects.png" in text
    assert "dog" in text


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--class", "animal"], {"dog"}),
        (["--class", "Dogs"], {"dog"}),
        (["--class", "vehicle"], {"bus"}),
        (["--class", "bus", "--class", "dog"], {"bus", "dog"}),
        (["--class", "dog:0.99"], set()),
        (["--class", "dog:0.99", "--class", "vehicle:0.1"], {"bus"}),
        (["--class", "animal:0.99", "--class", "dog:0.3"], {"dog"}),
        (["--min-score", "1"], set()),
        (["--min-score", "1", "--class", "bus:0.2"], {"bus"}),
    ],
)
def test_classes_are_chosen_by_name_and_by_word(options: list[str], expected: set[str], here: Path) -> None:
    (record,) = records(run("photos/both.png", *ONCE, *options))
    assert set(named(record)) == expected


def test_most_are_the_best(here: Path) -> None:
    (record,) = records(run("photos/both.png", *ONCE, "--most", "1", "--min-score", "0"))
    (every,) = records(run("photos/both.png", *ONCE, "--min-score", "0"))
    assert record["objects"] == every["objects"][:1]
    assert len(every["objects"]) > 1
    scores = [one["score"] for one in every["objects"]]
    assert scores == sorted(scores, reverse=True)
    (many,) = records(run("photos/both.png", "--weights", "squares.onnx", "--iou", "1", "--min-score", "0"))
    assert len(many["objects"]) > len(every["objects"])


def test_pictures_come_from_lists_stdin_and_an_index(here: Path) -> None:
    (here / "list").write_bytes(b"photos/bus.jpg\0photos/gone.jpg\0")
    result = run("--files-from", "list", "-0", *ONCE)
    assert result.exit_code == 1
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [("error" in one, one["image"]) for one in told] == [(False, "photos/bus.jpg"), (True, "photos/gone.jpg")]
    (piped,) = records(run("-", *ONCE, "--out", "found", stdin=(here / "photos" / "bus.jpg").read_bytes()))
    assert (piped["image"], piped["overlay"]) == ("-", "found/stdin.objects.png")
    assert CliRunner().invoke(cli, ["index", "photos", "--model", "fake", "-q"]).exit_code == 0
    of_index = records(run("--index", "photos", *ONCE))  # which has not what is all of one grey
    assert [Path(one["image"]).name for one in of_index] == ["both.png", "bus.jpg"]
    assert run("--index", "photos", "photos/bus.jpg", *ONCE).exit_code == 2


def test_files_are_written_of_all_kinds(here: Path) -> None:
    options = ["--out", "out", "--crops", "crops", "--coco", "all.json", "--yolo", "yolo", "--voc", "voc"]
    both, bus, _ = records(run("photos", *ONCE, *options, "--html", "page.html"))
    assert both["overlay"] == "out/both.objects.png"
    shown, plain = (Image.open(path).convert("RGB") for path in (both["overlay"], "photos/both.png"))
    assert shown.size == plain.size
    assert np.any(np.asarray(shown) != np.asarray(plain))
    assert [one["crop"] for one in both["objects"]] == [
        f"crops/both.object-{number:02}.png" for number in range(1, len(both["objects"]) + 1)
    ]
    crop = Image.open(bus["objects"][0]["crop"])
    assert crop.size == (128, 128)
    assert np.asarray(crop)[64, 64, 2] > 150
    dataset = coco.read(Path("all.json"))
    assert [len(one.annotations) for one in dataset.pictures] == [len(both["objects"]), len(bus["objects"]), 0]
    texts = yolo.read(Path("yolo"))
    assert texts.classes == ("dog", "bus")
    assert {one.name: len(one.annotations) for one in texts.pictures}["both"] == len(both["objects"])
    assert {one.name for one in voc.read(Path("voc")).pictures} == {"both.png", "bus.jpg", "nothing.png"}
    assert ElementTree.parse("voc/both.xml").getroot().tag == "annotation"
    page = Path("page.html").read_text()
    assert "Objects in 3 pictures" in page
    assert page.count('class="box ') == len(both["objects"]) + len(bus["objects"])
    # the same run writes its own files again, and nothing else
    assert run("photos", *ONCE, *options, "--html", "page.html").exit_code == 0


def test_what_cbir_made_is_no_picture_to_look_into(here: Path) -> None:
    records(run("photos", *ONCE, "--out", "photos", "--crops", "photos"))
    again = records(run("photos", *ONCE))
    assert [Path(one["image"]).name for one in again] == ["both.png", "bus.jpg", "nothing.png"]


def test_files_of_others_are_left_and_said_before_the_work(here: Path) -> None:
    (here / "out").mkdir()
    picture().save(here / "out" / "both.objects.png")
    before = (here / "out" / "both.objects.png").read_bytes()
    (here / "photos" / "both.png").write_bytes(b"that it is no picture is not found out before")
    result = run("photos", *ONCE, "--out", "out")
    assert result.exit_code == 1
    assert "both.objects.png is there, and cbir did not make it" in result.stderr
    assert (here / "out" / "both.objects.png").read_bytes() == before
    assert [Path(one["image"]).name for one in map(json.loads, result.stdout.splitlines()) if "error" in one] == [
        "both.png"
    ]
    result = run("photos/both.png", *ONCE, "--coco", "photos/both.png")
    assert result.exit_code == 1
    assert "photos/both.png" in result.stderr


def test_masks_are_in_records_and_cut_outs(here: Path) -> None:
    write(here / "masks.onnx", "yolov8 masks", names=NAMES)
    picture((RED, 256, 160), size=(640, 640)).save(here / "square.png")
    (record,) = records(run("square.png", "--weights", "masks.onnx", "--crops", "crops", "--out", "out"))
    one = record["objects"][0]
    assert one["mask"]["size"] == [640, 640]
    with Image.open(one["crop"]) as cut:
        assert cut.mode == "RGBA"
        alpha = np.asarray(cut)[..., 3]
    place = Box(*map(round, one["box"]))
    assert alpha.shape == (place.height, place.width)
    columns = place.x + np.arange(place.width)
    assert alpha[:, columns < 318].all()
    assert not alpha[:, columns > 322].any()


def test_without_a_detector_it_says_how_to_get_one(here: Path) -> None:
    result = run("photos")
    assert result.exit_code == 2
    assert "No detector comes with cbir: name one with --model" in result.stderr
    assert "--weights FILE.onnx" in result.stderr


def test_a_detector_can_be_the_usual_one(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBIR_DETECTOR", "squares.onnx")
    assert len(records(run("photos"))) == 3
    monkeypatch.setenv("CBIR_DETECTOR", "ssdlite320")
    result = run("photos")
    assert result.exit_code == 1
    assert "ssdlite320 is no detector by itself" in result.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--class", "dgo"], "The detector knows no 'dgo', and nothing that is one. Did you mean dog?"),
        (["--class", "dog:2"], "no score from 0 to 1"),
        (["--class", ":0.5"], "names no class"),
        (["--class", "dog:nan"], "no score from 0 to 1"),
        (["--input", "rgb,bgr"], "says something twice"),
        (["--input", "rgb,0-2"], "neither of rgb, bgr, 0-255, 0-1"),
        (["--input", "0x10"], "nor a size"),
        (["--min-score", "2"], "range"),
        (["--most", "0"], "range"),
        (["--classes", "one.txt"], "has 2 classes, and 1 are named"),
        (["--classes", "empty.txt"], "it is empty"),
        (["--model", "yolo"], "There is no detector 'yolo'"),
        (["--html", "page.txt"], "html"),
    ],
)
def test_options_that_cannot_be_are_told(options: list[str], said: str, here: Path) -> None:
    (here / "one.txt").write_text("dog\n")
    (here / "empty.txt").write_text("\n")
    result = run("photos/both.png", *ONCE, *options)
    assert result.exit_code in (1, 2)
    assert said in " ".join(result.stderr.split())


def test_a_state_dict_needs_the_name_of_its_network(here: Path) -> None:
    (here / "some.pth").write_bytes(b"")
    result = run("photos/both.png", "--weights", "some.pth")
    assert result.exit_code == 1
    assert "needs the name of its network with --model" in result.stderr


def test_input_is_as_it_is_asked_for(here: Path) -> None:
    (swapped,) = records(run("photos/both.png", *ONCE, "--input", "rgb", "--min-score", "0.5"))
    (usual,) = records(run("photos/both.png", *ONCE, "--min-score", "0.5"))
    assert swapped["objects"][0]["box"] == usual["objects"][0]["box"]
    assert (swapped["objects"][0]["class"], usual["objects"][0]["class"]) == ("bus", "dog")


def test_names_of_all_kinds_come_through(here: Path) -> None:
    name = os.fsdecode(b"photos/\xff\n\x1b[31m.png")
    os.rename(here / "photos" / "bus.jpg", name)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "cbir", "detect", "photos", *ONCE, "--format"]
    done = subprocess.run([*command, "jsonl"], capture_output=True, env=environment, cwd=here, check=True)
    assert name in [json.loads(line)["image"] for line in done.stdout.splitlines()]
    done = subprocess.run(
        [*command, "table", "--out", "out"], capture_output=True, env=environment, cwd=here, check=True
    )
    assert b"\x1b" not in done.stdout
    names = os.listdir(os.fsencode(here / "out"))
    assert b"\xff\n\x1b[31m.objects.png" in names


def test_a_class_from_a_strangers_file_cannot_steer_a_terminal_or_a_page(here: Path) -> None:
    write(here / "odd.onnx", "yolox", names=str({0: "<script>alert(1)</script>\x1b[31m", 1: "a\u202eb"}))
    result = run("photos/both.png", "--weights", "odd.onnx", "--format", "table", "--html", "page.html", "--out", "out")
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.stdout
    page = (here / "page.html").read_text()
    assert "<script>alert" not in page
    assert "\x1b" not in page


def test_many_pictures_are_decoded_elsewhere_and_one_that_kills_its_decoder_ends_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "photos" / "cut.jpg").write_bytes((here / "photos" / "bus.jpg").read_bytes()[:300])
    result = run("photos", *ONCE)
    assert result.exit_code == 1
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [("error" in one) for one in told] == [False, False, True, False]


def test_start_up_stays_light() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from cbir.cli import cli; "
        "CliRunner().invoke(cli, ['detect', '--help']); "
        "sys.exit(any(name in sys.modules for name in ('numpy', 'openvino', 'torch', 'PIL')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_yolox_nano_in_a_run_of_all_photos(shared: Callable[[str], Path], here: Path) -> None:
    weights, photos = shared("detect/models/yolox_nano.onnx"), shared("detect/photos")
    told = records(run(photos, "--weights", weights, "--class", "animal"))
    assert len(told) == 64
    animals = {name for one in told for name in named(one)}
    assert {"dog", "cat", "horse"} <= animals
    assert animals <= {"bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"}
