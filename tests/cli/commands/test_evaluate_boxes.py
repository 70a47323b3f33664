"""`cbir evaluate --boxes` as a user meets it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image, ImageDraw

from cbir.cli import cli
from cbir.detect.formats import coco, voc, yolo
from cbir.detect.formats.annotations import Annotated, Annotation, Size
from cbir.evaluation.box_sources import same_classes
from cbir.utils.marks import Mark

SIZE = Size(200, 150)

#: What people drew, and what was found: a dog right, a couch right (people call it a sofa), a cat missed, a dog wrong.
DRAWN = (
    Annotated("one.jpg", SIZE, (Annotation((20, 20, 60, 60), "dog"), Annotation((100, 50, 80, 60), "sofa"))),
    Annotated(
        "two.jpg", SIZE, (Annotation((10, 10, 50, 50), "cat"), Annotation((90, 90, 9, 9), "dog", difficult=True))
    ),
    Annotated("three.jpg", SIZE),
)
FOUND = (
    Annotated("one.jpg", SIZE, (Annotation((20, 20, 60, 60), "dog", 0.9), Annotation((90, 50, 80, 60), "couch", 0.8))),
    Annotated("two.jpg", SIZE, (Annotation((90, 90, 9, 9), "dog", 0.6), Annotation((3, 3, 9, 9), "unicorn", 0.9))),
    Annotated("three.jpg", SIZE, (Annotation((20, 20, 60, 60), "dog", 0.3),)),
)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in ("evaluate", *arguments)])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photos/, boxes.json and found.json."""
    (tmp_path / "photos").mkdir()
    for picture in DRAWN:
        image = Image.new("RGB", SIZE, "grey")
        for one in picture.annotations:
            x, y, width, height = one.box
            ImageDraw.Draw(image).ellipse((x, y, x + width, y + height), "orange")
        image.save(tmp_path / "photos" / picture.name)
    (tmp_path / "boxes.json").write_text(json.dumps(coco.dataset(DRAWN)))
    (tmp_path / "found.json").write_text(json.dumps(coco.dataset(FOUND)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def measured(*arguments: str | Path) -> dict[str, Any]:
    result = run("--boxes", "boxes.json", *arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_boxes_that_were_found_before(folder: Path) -> None:
    record = measured("--found", "found.json")
    classes = {one["class"]: one for one in record["classes"]}
    assert (record["boxes"], record["system"], record["pictures"]) == ("boxes.json", "found.json", 3)
    assert (record["objects"], record["least_score"]) == (3, 0.5)
    assert {name: one["ap50"] for name, one in classes.items()} == {"dog": 1, "sofa": 1, "cat": 0}
    assert (record["precision"], record["recall"]) == (1, pytest.approx(2 / 3, abs=1e-4))
    assert record["ap50"] == record["voc"] == pytest.approx(2 / 3, abs=1e-4)
    assert record["ap"] < record["ap50"]
    lower = measured("--found", "found.json", "--min-score", "0.2")
    assert lower["precision"] == pytest.approx(2 / 3, abs=1e-4)
    assert lower["ap"] == record["ap"]


def test_all_formats_say_the_same(folder: Path) -> None:
    expected = measured("--found", "found.json")
    writer = yolo.YoloFolder(folder / "yolo", ["dog", "couch", "unicorn"])
    (folder / "voc").mkdir()
    for picture in FOUND:
        writer.add(folder / picture.name, picture)
        content = voc.document(folder / picture.name, picture, Mark("voc"))
        (folder / "voc" / f"{Path(picture.name).stem}.xml").write_bytes(content)
    writer.finish()
    truth = coco.read(folder / "boxes.json")
    named = tuple(
        Annotated(
            one.name,
            one.size,
            tuple(Annotation(a.box, {"couch": "sofa"}.get(a.name, a.name), a.score) for a in one.annotations),
        )
        for one in FOUND
    )
    (folder / "results.json").write_text(json.dumps(coco.results(named, truth)))
    for other in ("yolo", "voc", "results.json"):
        assert {**measured("--found", other), "system": "found.json"} == expected


def test_the_table_and_lines(folder: Path) -> None:
    lines = run("--boxes", "boxes.json", "--found", "found.json").stdout.splitlines()
    assert lines[0] == "boxes.json: 3 pictures, 3 objects to be found; by found.json"
    assert [line.split()[0] for line in lines[2:7]] == ["class", "dog", "sofa", "cat", "all"]
    assert lines[5].split()[1:] == ["1", "0.000", "0.000", "0.000", "–", "0.000"]
    rows = list(
        csv.DictReader(io.StringIO(run("--boxes", "boxes.json", "--found", "found.json", "--format", "csv").stdout))
    )
    assert [row["class"] for row in rows] == ["", "dog", "sofa", "cat"]
    assert (rows[0]["objects"], rows[3]["precision"], rows[3]["recall"]) == ("3", "", "0.0")


def test_a_detector_is_measured_on_its_pictures(folder: Path) -> None:
    record = measured("photos", "--model", "regions")
    assert record["system"].startswith("regions of efficientnet_lite0")
    assert record["least_score"] == 0.3
    assert [one["class"] for one in record["classes"]] == ["dog", "sofa", "cat"]


def test_pictures_that_cannot_be_read_have_no_boxes(folder: Path) -> None:
    (folder / "photos" / "two.jpg").write_bytes(b"no picture")
    result = run("photos", "--boxes", "boxes.json", "--model", "regions", "--json")
    assert result.exit_code == 1
    assert "two.jpg" in result.stderr
    assert json.loads(result.stdout)["objects"] == 3


def test_the_page_has_the_best_and_the_worst(folder: Path) -> None:
    measured("photos", "--found", "found.json", "--html", "page.html")
    page = (folder / "page.html").read_text()
    assert page.index("Worst pictures</h2>") < page.index("two.jpg</h3>") < page.index("Best pictures</h2>")
    assert "0 right, 0 wrong, 1 missed." in page
    assert "2 right, 0 wrong, 0 missed." in page
    assert page.count("○ missed") == 1
    assert page.count("✓ right") == 2
    assert "http" not in page.replace("http-equiv", "")


def test_a_page_without_the_pictures(folder: Path) -> None:
    for path in (folder / "photos").iterdir():
        path.unlink()
    measured("--found", "found.json", "--html", "page.html")
    assert "0 right, 0 wrong, 1 missed." in (folder / "page.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--boxes", "boxes.json"), 2, "Whose boxes are to be measured?"),
        (("--found", "found.json"), 2, "name those that people drew with --boxes"),
        (("--min-score", "0.5", "photos"), 2, "name those that people drew with --boxes"),
        (("--boxes", "boxes.json", "--found", "found.json", "--compare"), 2, "leave out what is about searches"),
        (("--boxes", "boxes.json", "--found", "found.json", "--model", "regions"), 2, "not both"),
        (("--boxes", "boxes.json", "-m", "regions", "-m", "other"), 2, "One detector"),
        (("--boxes", "none.json", "--found", "found.json"), 1, "Cannot read the boxes none.json"),
        (("--boxes", "boxes.json", "--found", "none"), 1, "Cannot read the boxes none"),
        (("--boxes", "empty.json", "--found", "found.json"), 1, "empty.json has no box"),
        (("--boxes", "boxes.json", "--found", "other.json"), 1, "None of the pictures"),
        (("--boxes", "boxes.json", "--model", "regions", "nowhere"), 1, "Cannot read the folder nowhere"),
        (
            ("--boxes", "boxes.json", "--model", "regions", "empty"),
            1,
            "3 of 3 pictures of boxes.json are not below empty",
        ),
    ],
)
def test_mistakes(folder: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    (folder / "empty").mkdir()
    (folder / "empty.json").write_text(json.dumps(coco.dataset([DRAWN[2]])))
    (folder / "other.json").write_text(json.dumps(coco.dataset([Annotated("x.jpg", SIZE)])))
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert message in result.stderr


def test_classes_of_the_same_meaning() -> None:
    found = ("couch", "tv", "motorcycle", "airplane", "potted plant", "dining table", "dog", "unicorn", "class 7")
    drawn = ("sofa", "tvmonitor", "motorbike", "aeroplane", "pottedplant", "diningtable", "Dog", "horse")
    assert same_classes(found, drawn) == dict(zip(found[:7], drawn[:7], strict=True))
