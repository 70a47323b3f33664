"""`cbir evaluate --faces`: measures of a folder of people, and thresholds of a network of one's own."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cbir.cli import cli
from cbir.faces.packages import has_packages
from tests.helpers.face_models import write

pytestmark = pytest.mark.skipif(not has_packages(), reason="the packages of cbir[faces] are not installed")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, list(map(str, arguments)))


@pytest.fixture(scope="module")
def folder(shared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 26 people."""
    root = tmp_path_factory.mktemp("people") / "people"
    shutil.copytree(shared("faces"), root, ignore=shutil.ignore_patterns("group", "*.json", "*.txt"))
    return root


def test_people_are_told_apart(folder: Path, draw_picture) -> None:
    record = json.loads(run("evaluate", folder, "--faces", "--json").stdout)
    assert (record["people"], record["faces"], record["remembered"]) == (26, 106, False)
    assert record["same_pairs"] == 171
    at = {one["false"]: one["true"] for one in record["accepted"]}
    assert at[0.005] == 1.0
    assert record["answers"]["same"]["different"] == 0
    assert record["answers"]["different"]["same"] == 0
    assert record["answers"]["same"]["same"] > 0.95
    table = run("evaluate", folder, "--faces").stdout
    assert f"{folder}: 26 people, 106 photos; by dlib" in table
    assert "same up to 0.360, different from 0.449 on" in table


def test_of_an_own_network_thresholds_are_learnt_and_used(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = write(tmp_path / "own.onnx")
    pair = (folder / "lfw-Kofi_Annan" / "1.jpg", folder / "lfw-Kofi_Annan" / "2.jpg")
    unknown = run("verify", *pair, "--face-model", model)
    assert (unknown.exit_code, "is not known yet" in unknown.stderr) == (1, True)
    record = json.loads(run("evaluate", folder, "--faces", "--face-model", model, "--json").stdout)
    assert (record["model"], record["remembered"]) == ("own", True)
    verified = json.loads(run("verify", *pair, "--face-model", model, "--json").stdout)
    assert (verified["model"], verified["thresholds"]["same"]) == (
        "own",
        pytest.approx(record["thresholds"]["same"], abs=1e-3),
    )
    found = json.loads(run("faces", pair[0], "--face-model", model, "--vectors", "--json").stdout)
    assert len(found["faces"][0]["vector"]) == 96


def test_from_few_photos_nothing_is_learnt(folder: Path, tmp_path: Path, draw_picture) -> None:
    for name in ("lfw-Kofi_Annan", "johns-John_Salley"):
        shutil.copytree(folder / name, tmp_path / "few" / name)
    draw_picture(1, (200, 200)).save(tmp_path / "few" / "lfw-Kofi_Annan" / "drawn.jpg")
    (tmp_path / "few" / "lfw-Kofi_Annan" / "broken.jpg").write_bytes(b"no picture")
    result = run(
        "evaluate", tmp_path / "few", "--faces", "--face-model", write(tmp_path / "own.onnx"), "--format", "csv"
    )
    assert result.exit_code == 1
    assert "Cannot read" in result.stderr
    assert "From so few photos nothing is learnt: it takes 50 pairs of one person's, and 1,000" in result.stderr
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    assert (row["model"], row["people"]) == ("own", "2")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--faces",),
        ("x", "--face-model", "a.onnx"),
        ("x", "--faces", "--compare"),
        ("x", "--faces", "--boxes", "a.json"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(arguments: tuple[str, ...]) -> None:
    assert run("evaluate", *arguments).exit_code == 2


def test_nobody_cannot_be_measured(tmp_path: Path, draw_picture) -> None:
    (tmp_path / "anna").mkdir()
    draw_picture(1).save(tmp_path / "anna" / "1.jpg")
    result = run("evaluate", tmp_path, "--faces")
    assert (result.exit_code, "two people at least" in result.stderr) == (1, True)
