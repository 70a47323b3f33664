"""`cbir faces`: faces of pictures in every format, and the files that are made of them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cbir.cli import cli
from cbir.faces import packages

pytestmark = pytest.mark.skipif(not packages.has_packages(), reason="the packages of cbir[faces] are not installed")


def run(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, ["faces", *map(str, arguments)], input=stdin)


@pytest.fixture(scope="module")
def group(shared) -> Path:
    """The folder of photos of groups."""
    return shared("faces/group")


def test_records_tell_numbers_boxes_and_scores(group: Path) -> None:
    result = run(group / "013_4.jpg", "--format", "jsonl")
    (record,) = map(json.loads, result.stdout.splitlines())
    assert (result.exit_code, record["width"], record["height"]) == (0, 400, 267)
    assert [one["number"] for one in record["faces"]] == [1, 2, 3, 4]
    assert all(one["score"] >= 0.95 and one["height"] >= 32 for one in record["faces"])
    assert "vector" not in record["faces"][0]


def test_vectors_are_told_on_request(group: Path) -> None:
    record = json.loads(run(group / "010_2.jpg", "--json", "--vectors").stdout)
    assert [np.linalg.norm(one["vector"]) for one in record["faces"]] == pytest.approx([1, 1], abs=1e-4)


def test_of_a_turned_picture_boxes_are_those_of_the_upright_one(group: Path, tmp_path: Path) -> None:
    image = Image.open(group / "013_4.jpg").rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # it has to be turned to the right
    image.save(tmp_path / "turned.png", exif=exif)
    plain, turned = (json.loads(run(one, "--json").stdout) for one in (group / "013_4.jpg", tmp_path / "turned.png"))
    assert (turned["width"], turned["height"]) == (400, 267)
    assert [one["box"] for one in turned["faces"]] == [one["box"] for one in plain["faces"]]


def test_a_table_names_overlays_and_cut_outs(group: Path, tmp_path: Path) -> None:
    result = run(group / "011_3.jpg", "--format", "table", "--out", tmp_path / "out", "--crops", tmp_path / "crops")
    assert "011_3.jpg (400 x 267): 3 faces" in result.stdout
    assert f"wrote {tmp_path / 'out' / '011_3.faces.png'}" in result.stdout
    overlay = Image.open(tmp_path / "out" / "011_3.faces.png")
    assert overlay.size == (400, 267)
    assert (np.asarray(overlay) != np.asarray(Image.open(group / "011_3.jpg"))).any()
    crops = sorted((tmp_path / "crops").iterdir())
    assert [one.name for one in crops] == [f"011_3.face-0{number}.png" for number in (1, 2, 3)]
    record = json.loads(run(group / "011_3.jpg", "--json", "--crops", tmp_path / "crops").stdout)
    assert [Image.open(one["crop"]).size for one in record["faces"]] == [
        tuple(one["box"][2:]) for one in record["faces"]
    ]


def test_a_picture_that_cannot_be_read_ends_nothing(group: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    result = run(tmp_path / "broken.jpg", group / "010_2.jpg", "--format", "csv")
    assert result.exit_code == 1
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [bool(row["error"]) for row in rows] == [True, False, False]
    assert "Cannot read" in result.stderr


def test_small_faces_and_doubtful_ones_are_left_out_on_request(group: Path) -> None:
    (every, tall, sure) = (
        json.loads(run(group / "2008_007676.jpg", "--json", *options).stdout)["faces"]
        for options in ((), ("--min-height", 40), ("--min-score", 0.99))
    )
    assert [one["height"] >= 40 for one in every].count(True) == len(tall) < len(every)
    assert [one["score"] >= 0.99 for one in every].count(True) == len(sure) < len(every)


def test_drawn_pictures_have_no_faces(draw_picture, tmp_path: Path) -> None:
    draw_picture(1, (320, 240)).save(tmp_path / "drawn.png")
    result = run(tmp_path / "drawn.png", "--format", "table", "--out", tmp_path)
    assert "drawn.png (320 x 240): no face found" in result.stdout
    assert (result.exit_code, (tmp_path / "drawn.faces.png").exists()) == (0, True)


def test_a_picture_comes_from_stdin(draw_picture) -> None:
    file = io.BytesIO()
    draw_picture(1).save(file, "PNG")
    assert json.loads(run("-", "--json", stdin=file.getvalue()).stdout)["faces"] == []


def test_without_pictures_the_usage_is_told() -> None:
    result = run()
    assert result.exit_code == 2
    assert "Name a picture" in result.stderr
    assert run("a.jpg", "--index", "photos").exit_code == 2


def test_without_its_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, draw_picture, tmp_path: Path) -> None:
    draw_picture(1).save(tmp_path / "drawn.png")
    real = packages.find_spec
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "mtcnn" else real(name))
    result = run(tmp_path / "drawn.png")
    assert result.exit_code == 1
    assert "Faces need mtcnn, which is not installed here: `pip install 'cbir[faces]'` adds it." in result.stderr
