"""A run says what it left out, and remembers how its patterns are meant."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cbir.cli import cli

Folder = Callable[..., Path]


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def mixed(photo_folder: Folder) -> Path:
    root = photo_folder(3)
    shutil.copy(root / "img_000.jpg", root / "no_ending")
    shutil.copy(root / "img_001.jpg", root / "IMG.GIF")
    (root / "film.mp4").write_bytes(bytes(100))
    (root / ".hidden").mkdir()
    (root / "linked").symlink_to(root, target_is_directory=True)
    return root


def test_what_was_left_out_is_told_to_people_programs_and_the_log(mixed: Path, tmp_path: Path) -> None:
    line = "left out: 1 video (mp4), 1 hidden name, 1 link to a folder"
    log = tmp_path / "log"
    first = run("index", mixed, "--log-file", log)
    assert "photos: 5 pictures" in first.stdout
    assert f"  {line}\n" in first.stderr
    assert line in log.read_text()
    assert ", left out 3" in log.read_text().splitlines()[-1]
    assert line in run("index", mixed, "--dry-run").stderr
    assert line not in run("index", mixed, "-q").output
    for more in ([], ["--dry-run"]):
        report = json.loads(run("index", mixed, "--json", *more).stdout)
        assert report["unchanged"] == 5
        assert {kind: found["count"] for kind, found in report["left_out"].items()} == {
            "videos": 1,
            "hidden": 1,
            "links_to_folders": 1,
        }
        assert report["left_out"]["videos"]["examples"] == ["film.mp4"]


def test_patterns_that_match_nothing_are_told_of_the_run_that_named_them(mixed: Path) -> None:
    first = run("index", mixed, "-x", "*.gif", "-x", "*.JPG", "-x", "no_*", "--json")
    assert "The pattern *.gif matched nothing." in first.stderr
    assert json.loads(first.stdout)["patterns_without_matches"] == ["*.gif", "*.JPG"]
    assert json.loads(first.stdout)["excluded"] == 1
    later = run("index", mixed, "--json")
    assert "matched nothing" not in later.stderr
    assert json.loads(later.stdout)["patterns_without_matches"] == ["*.gif", "*.JPG"]
    assert "The pattern *.gif matched nothing." in run("index", mixed, "-v").stderr


def test_ignoring_case_is_remembered_with_the_patterns(mixed: Path) -> None:
    def excluded(*options: str) -> int:
        return int(json.loads(run("index", mixed, "--json", *options).stdout)["excluded"])

    assert excluded("-x", "*.gif") == 0
    assert excluded("-x", "*.gif", "--ignore-case") == 1
    assert excluded() == 1
    assert json.loads(run("info", "--index", "photos", "--json").stdout)["ignore_case"] is True
    assert excluded("--no-ignore-case") == 0
    assert excluded("--ignore-case") == 1
    assert excluded("-x", "*.gif") == 0
    assert excluded("--no-exclude") == 0


def test_a_folder_with_no_picture_says_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    for name in ("a.mp4", "b.mp4", "notes.txt"):
        (tmp_path / "films" / name).write_bytes(b"text")
    result = CliRunner().invoke(cli, ["index", str(tmp_path / "films")])
    assert result.exit_code == 1
    assert "(left out: 2 videos (mp4), 1 other file (txt))" in result.stderr
    assert not (Path(os.environ["CBIR_HOME"]) / "films").exists()
