"""`cbir segment` as a program: which files it writes, what it prints, what it refuses."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cbir.cli import cli
from cbir.cli.terminal import output
from cbir.segment.coco import segmentations


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def picture(tmp_path: Path, draw_picture: Callable) -> Path:
    path = tmp_path / "in" / "some.png"
    path.parent.mkdir()
    draw_picture(4, (120, 80)).save(path)
    return path


def test_pictures_may_have_addresses(picture: Path, tmp_path: Path) -> None:
    system = pytest.importorskip("fsspec").filesystem("memory")
    system.pipe("/segmented/some.png", picture.read_bytes())
    address, out = "memory://segmented/some.png", tmp_path / "out"
    named = ("--coco", out / "coco.json", "--html", out / "page.html", "--crops", out)
    result = run("segment", picture, address, "-k", "2", "-o", out, "-q", *named)
    assert result.exit_code == 0, result.output
    here, there = map(json.loads, result.stdout.splitlines())
    assert there["image"] == address
    assert there["labels"] == str(out / "some-2.labels.png")
    assert there["segments"][0]["area"] == here["segments"][0]["area"]
    assert [one["file_name"] for one in json.loads((out / "coco.json").read_text())["images"]] == [
        str(picture),
        address,
    ]
    page = (out / "page.html").read_text()
    assert address in page
    assert f'href="{address}' not in page  # which no browser opens


def test_a_pipe_gets_one_json_object_a_line_with_coco_shapes(picture: Path, tmp_path: Path) -> None:
    result = run("segment", picture, picture, "-k", "3", "-o", tmp_path / "out", "-q")
    assert result.exit_code == 0, result.output
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(record["labels"]).name for record in records] == ["some.labels.png", "some-2.labels.png"]
    labels = np.array(Image.open(records[0]["labels"]))
    shapes = segmentations(labels)
    for segment, shape in zip(records[0]["segments"], shapes, strict=True):
        inside = labels == segment["label"]
        assert segment["area"] == inside.sum()
        assert segment["box"] == segment["bbox"]
        assert segment["segmentation"] == shape["segmentation"]
        assert segment["centroid"] == pytest.approx(np.argwhere(inside).mean(axis=0)[::-1] + 0.5, abs=0.01)
        assert segment["colour"].startswith("#")


def test_json_is_one_document_and_its_polygons_stand_on_one_line(picture: Path, tmp_path: Path) -> None:
    result = run("segment", picture, "-o", tmp_path, "--json", "-q")
    record = json.loads(result.stdout)
    assert (record["width"], record["height"], record["model"]) == (120, 80, "efficientnet_lite0")
    assert record == json.loads(run("segment", picture, "-o", tmp_path, "--format", "jsonl", "-q").stdout)
    assert len(result.stdout.splitlines()) < 40 * len(record["segments"])


@pytest.mark.parametrize(
    "value",
    [{}, [], {"a": []}, [1, 2.5, -3], [[1, 2], [3]], {"a": {"b": [None, "x\ny", True]}, "é\udc80": [[]]}, "x", 1.5],
)
def test_json_is_written_as_the_standard_writes_it(value: object, capsys: pytest.CaptureFixture) -> None:
    output.write_json(value)
    assert json.loads(capsys.readouterr().out) == value


def test_files_can_be_left_out_and_added(picture: Path, tmp_path: Path) -> None:
    out, crops = tmp_path / "out", tmp_path / "crops"
    assert run("segment", picture, "-o", out, "--no-overlay", "-q").exit_code == 0
    assert [path.name for path in out.iterdir()] == ["some.labels.png"]
    result = run(
        *("segment", picture, "-k", "3", "-o", out, "--no-labels", "--layers", "--crops", crops),
        *("--format", "table", "-q"),
    )
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == ["some.labels.png", "some.layers.png", "some.segments.png"]
    assert sorted(path.name for path in crops.iterdir()) == [f"some.segment-0{i}.png" for i in range(3)]
    assert f"wrote {out / 'some.segments.png'}, {out / 'some.layers.png'}, " in result.stdout
    assert "some.segment-00.png to some.segment-02.png" in result.stdout
    quiet = run("segment", picture, "--no-overlay", "--no-labels", "-o", tmp_path / "none", "--format", "table", "-q")
    assert "wrote" not in quiet.stdout
    assert not (tmp_path / "none").exists()


def test_the_parts_of_several_pictures_are_one_coco_document(picture: Path, tmp_path: Path) -> None:
    file = tmp_path / "made" / "coco.json"
    other = picture.with_name("other.png")
    Image.open(picture).rotate(90, expand=True).save(other)
    result = run("segment", picture, other, "-k", "2", "-o", tmp_path, "--coco", file, "--format", "table", "-q")
    assert result.exit_code == 0, result.output
    document = json.loads(file.read_text())
    assert [(one["file_name"], one["width"]) for one in document["images"]] == [(str(picture), 120), (str(other), 80)]
    assert [one["image_id"] for one in document["annotations"]] == [1, 1, 2, 2]
    assert sum(one["area"] for one in document["annotations"]) == 2 * 120 * 80


def test_classes_stand_in_every_format(picture: Path, tmp_path: Path) -> None:
    arguments = ("segment", picture, "-k", "2", "-o", tmp_path, "--classify", "-q", "--format")
    record = json.loads(run(*arguments, "json").stdout)
    for described in (record, *record["segments"]):
        probabilities = [one["probability"] for one in described["classes"]]
        assert len(probabilities) == 3
        assert probabilities == sorted(probabilities, reverse=True)
        assert 0 < probabilities[0] <= 1
    best = record["segments"][1]["classes"][0]
    table = run(*arguments, "table").stdout
    assert f"{best['name']} {best['probability']:.0%}" in table.splitlines()[3]
    assert f"(120 x 80): {record['classes'][0]['name']} " in table.splitlines()[0]
    rows = list(csv.DictReader(io.StringIO(run(*arguments, "csv").stdout)))
    assert (rows[1]["class"], float(rows[1]["probability"])) == (best["name"], best["probability"])
    assert (float(rows[1]["centre_x"]), int(rows[1]["area"])) == (
        record["segments"][1]["centroid"][0],
        record["segments"][1]["area"],
    )


def test_weights_that_know_no_classes_are_told_before_anything_is_written(picture: Path, tmp_path: Path) -> None:
    result = run("segment", picture, "-o", tmp_path / "out", "--classify", "--weights", "untrained", "-q")
    assert result.exit_code == 1
    assert "are untrained: they know no classes" in result.stderr
    assert not (tmp_path / "out").exists()


def test_no_input_is_ever_written_over(picture: Path, tmp_path: Path) -> None:
    in_the_way = picture.with_name("some.segments.png")
    Image.new("RGB", (60, 40), "red").save(in_the_way)
    before = in_the_way.read_bytes()
    result = run("segment", picture, in_the_way, "-o", picture.parent)
    assert result.exit_code == 1
    assert f"{in_the_way} would be written over" in result.stderr
    assert in_the_way.read_bytes() == before
    content = picture.read_bytes()
    assert run("segment", picture, "-o", tmp_path / "out", "--coco", picture, "-q").exit_code == 1
    assert picture.read_bytes() == content
    assert run("segment", picture, "-o", tmp_path / "out", "--coco", picture, "-q", "--force").exit_code == 1
    assert picture.read_bytes() == content


@pytest.mark.parametrize("option", ["--out", "--crops", "--coco"])
def test_where_nothing_can_be_written_is_told(picture: Path, tmp_path: Path, option: str) -> None:
    (tmp_path / "file").write_text("no folder")
    target = tmp_path / "file" / "x"
    result = run("segment", picture, "--out", tmp_path / "out", option, target, "-q")
    assert result.exit_code == 1
    assert f"Cannot write {target}" in result.stderr
    assert option in result.stderr


def test_pictures_that_cannot_be_read_do_not_stop_the_others(picture: Path, tmp_path: Path) -> None:
    result = run("segment", tmp_path / "none.jpg", picture, "-o", tmp_path, "-q")
    assert result.exit_code == 1
    assert "there is no such file" in result.stderr
    bad, good = map(json.loads, result.stdout.splitlines())
    assert (bad["image"], good["image"]) == (str(tmp_path / "none.jpg"), str(picture))
    assert ("error" in bad, "error" in good) == (True, False)


DOCS = Path(__file__).parents[3] / "docs"


def test_every_option_is_documented() -> None:
    command = cli.get_command(None, "segment")  # type: ignore[arg-type]
    shared_by_all = {"--model", "--weights", "--engine", "--precision", "--verbose", "--quiet", "--log-file", "--help"}
    options = {name for parameter in command.params for name in parameter.opts if name.startswith("--")}  # type: ignore[union-attr]
    text = "".join(page.read_text() for page in DOCS.glob("segment*.md"))
    assert not {name for name in options - shared_by_all if name not in text}


def test_the_examples_run(picture: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "examples"
    folder.mkdir()
    Image.open(picture).save(folder / "some.jpg")
    monkeypatch.chdir(folder)
    text = (DOCS / "segment.md").read_text()
    lines = [line.split("#")[0].split() for line in text.splitlines() if line.startswith("    cbir ")]
    assert len(lines) > 5
    for _, *arguments in lines:
        result = run(*("some.jpg" if argument == "*.jpg" else argument for argument in arguments))
        assert result.exit_code == 0, (arguments, result.output)
    made = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
    assert {"some.segments.png", "some.layers.png", "cut/some.segment-00.png", "segments/coco.json"} <= made
