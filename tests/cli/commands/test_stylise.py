"""`cbir stylise`: a picture on disk, errors on stdout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

pytest.importorskip("torch")

from cbir.cli import cli
from cbir.imagine import style as styles
from cbir.utils.marks import is_made_by_cbir
from tests.helpers.toy import DRAWN

CONTENT = DRAWN / "hot_air_balloons" / "hot_air_balloons_04.jpg"
STYLE = DRAWN / "coral_reefs" / "coral_reefs_01.jpg"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["stylise", *(str(argument) for argument in arguments)])


def test_a_picture_is_stylised(tmp_path: Path) -> None:
    out = tmp_path / "new" / "styled.png"
    options = ("--style", STYLE, "--out", out, "--size", 64, "--steps", 6)
    result = run(CONTENT, *options, "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["style_error"] < record["style_error_before"]
    assert max(Image.open(out).size) == 64
    assert is_made_by_cbir(out)
    again = run(CONTENT, *options, "--keep-colours", "--format", "table")
    assert again.exit_code == 0, again.output
    assert "from the style" in again.stdout


def test_no_picture_is_written_over_and_none_is_left_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine.png"
    Image.open(CONTENT).save(mine)
    content = mine.read_bytes()
    assert run(CONTENT, "--style", mine, "--out", mine, "--force", "--steps", 1).exit_code == 1
    assert run(CONTENT, "--style", STYLE, "--out", mine, "--steps", 1).exit_code == 1
    assert mine.read_bytes() == content

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(styles, "to_array", interrupted)  # as Ctrl-C does it, at the end of the drawing
    assert run(CONTENT, "--style", STYLE, "--out", tmp_path / "a.png", "--steps", 1, "--size", 64).exit_code == 130
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    refused = run(CONTENT, "--style", STYLE, "--out", out, "--model", "fake")
    assert "not known which layers have style" in refused.stderr
    assert "Cannot read missing.jpg" in run(CONTENT, "--style", "missing.jpg", "--out", out).stderr
    assert "is a .png" in run(CONTENT, "--style", STYLE, "--out", tmp_path / "a.jpg").stderr
