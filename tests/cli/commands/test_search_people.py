"""`cbir search --face` and `--person`: what goes together, and how faces are written."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cbir.cli import cli
from cbir.index.home import index_directory
from tests.helpers.people import TWO_PEOPLE, make_index


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an index `photos` that knows Anna, above which the current folder is."""
    monkeypatch.chdir(tmp_path)
    make_index(index_directory("photos"), tmp_path / "photos", TWO_PEOPLE)
    for who in ("1", "2"):
        faces = json.loads(CliRunner().invoke(cli, ["people", "list", who, "--json"]).stdout)[0]["faces"]
        if any(one["face"].startswith("beach") for one in faces):
            assert CliRunner().invoke(cli, ["people", "name", who, "Anna"]).exit_code == 0
    return tmp_path / "photos"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["search", *map(str, arguments)])


def found(*arguments: str | Path) -> list[str]:
    result = run(*arguments, "--format", "paths")
    assert result.exit_code == 0, result.output
    return [Path(line).stem for line in result.stdout.splitlines()]


def test_a_face_and_a_person(photos: Path) -> None:
    assert set(found(photos / "beach.png", "--face")) == {"wood", "boat"}
    assert found(photos / "boat.png", "--face") == ["table"]
    assert set(found(photos / "boat.png", "--face=2", "--self")) == {"beach", "wood", "boat"}
    assert set(found("--face", "2", photos / "boat.png")) == {"beach", "wood"}
    assert set(found("--person", "Anna")) == {"beach", "wood", "boat"}
    assert found(photos / "boat.png", "--face", "--folder", "trip") == ["table"]


def test_no_face_is_an_error(photos: Path) -> None:
    for arguments, said in (
        ([photos / "wall.png", "--face"], "No face was found in"),
        ([photos / "boat.png", "--face", "3"], "There are 2 faces in"),
        (["--person", "Dora"], "There is no person Dora"),
    ):
        result = run(*arguments)
        assert result.exit_code == 1
        assert said in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--face"], "name the picture, or a person with --person"),
        (["--face", "photos/beach.png"], "name the picture before --face"),
        (["photos/beach.png", "--face", "0"], "is no number of a face"),
        (["photos/beach.png", "--face", "--word", "dog"], "--face compares faces with faces"),
        (["photos/beach.png", "--face", "--region", "1,2,3,4"], "--face compares faces with faces"),
        (["photos/beach.png", "photos/wood.png", "--face", "--together"], "--face compares faces with faces"),
        (["photos/beach.png", "--person", "Anna"], "--person is a query by itself"),
        (["--person", "Anna", "--text", "a dog"], "--person is a query by itself"),
        (["--person", "Anna", "--self"], "--self is for a query's pictures"),
    ],
)
def test_what_does_not_go_together_is_told(photos: Path, arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def test_formats_tell_the_faces(photos: Path) -> None:
    record = json.loads(run(photos / "boat.png", "--face", "2", "--format", "json").stdout)
    assert (record["face"], record["box"]) == (2, [100, 10, 80, 90])
    first = record["matches"][0]
    assert first["face"]["box"] == first["box"] == [0, 10, 80, 90]
    assert first["face"]["distance"] == pytest.approx((2 - 2 * first["score"]) ** 0.5, abs=1e-3)
    rows = list(csv.DictReader(io.StringIO(run("--person", "anna", "--format", "csv").stdout)))
    assert {row["face"].split()[1:][0] for row in rows} == {"0,10,80,90", "100,10,80,90"}
    assert {row["face"].split()[-1] for row in rows} == {"grouped"}
    table = run("--person", "anna", "--format", "table").stdout.splitlines()
    assert table[0].split()[:3] == ["rank", "score", "face"]
    assert table[1].split()[2] == "grouped"


def test_sheets_and_pages_draw_the_boxes(photos: Path) -> None:
    assert run(photos / "beach.png", "--face", "--sheet", "s.png", "--html", "p.html").exit_code == 0
    page = Path("p.html").read_text(encoding="utf-8")
    assert "beach.png" in page
    assert run(photos / "beach.png", "--no-rerank", "--sheet", "plain.png", "-k", "2").exit_code in (0, 1)
    with Image.open("s.png") as sheet:
        colours = sheet.convert("RGB").getcolors(1 << 24)
    assert colours is not None
