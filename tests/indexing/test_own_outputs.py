"""What cbir made of pictures and put among them is not taken for a picture of the collection."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cbir.cli import cli
from cbir.index.store import Index
from cbir.indexing.report import Report
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target

Folder = Callable[..., Path]


def refresh(root: Path, **options: Any) -> Report:
    report, _ = build_index(choose_target(root, "photos"), Options(**options))
    return report


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


def indexed() -> list[str]:
    index = Index.open(Path(os.environ["CBIR_HOME"]) / "photos")
    return sorted(record.path for row, record in index.records() if index.valid[row])


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_sheets_in_each_format_are_left_out_and_told(photo_folder: Folder, ending: str) -> None:
    root = photo_folder(3)
    refresh(root)
    run("search", root / "img_000.jpg", "--index", "photos", "--sheet", root / f"found.{ending}")
    for _ in range(2):  # found by its mark, then remembered
        report = refresh(root)
        assert (report.total, report.unchanged, report.left_out["own_outputs"]) == (3, 3, 1)
        assert (report.skipped, report.as_before) == ([], set())
    assert "1 picture that cbir made" in run("index", root).stderr
    told = json.loads(run("index", root, "--json").stdout)["left_out"]
    assert told == {"own_outputs": {"count": 1, "examples": [f"found.{ending}"]}}


def test_maps_overlays_and_crops_are_left_out(photo_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = photo_folder(4)
    refresh(root)
    monkeypatch.chdir(root)
    run("map", "--index", "photos")
    run("segment", "img_000.jpg", "--fast", "--crops", "parts")
    run("locate", "img_001.jpg", "img_001.jpg", "--out", ".")
    made = [path for path in root.rglob("*") if path.suffix in (".png", ".jpg") and not path.stem[-1].isdigit()]
    assert len(made) >= 3
    report = refresh(root)
    assert report.left_out["own_outputs"] >= len(made)
    assert indexed() == [f"img_{number:03}.jpg" for number in range(4)]


def test_a_copy_under_another_name_is_known_too_and_a_photo_that_one_replaced_goes(photo_folder: Folder) -> None:
    root = photo_folder(4)
    refresh(root)
    run("search", root / "img_000.jpg", "--index", "photos", "--sheet", root.parent / "sheet.jpg")
    shutil.copy(root.parent / "sheet.jpg", root / "IMG_2026.JPG")
    shutil.copy(root.parent / "sheet.jpg", root / "no_ending")
    shutil.copy(root.parent / "sheet.jpg", root / "img_003.jpg")
    report = refresh(root)
    assert (report.total, report.removed, report.left_out["own_outputs"]) == (3, 1, 3)
    assert indexed() == ["img_000.jpg", "img_001.jpg", "img_002.jpg"]
    report = refresh(root)
    assert (report.total, report.removed, report.unchanged) == (3, 0, 3)


def test_a_picture_of_ours_is_a_query_like_others(photo_folder: Folder) -> None:
    root = photo_folder(3)
    refresh(root)
    sheet = root.parent / "sheet.png"
    run("search", root / "img_000.jpg", "--index", "photos", "--sheet", sheet)
    assert run("search", sheet, "--index", "photos", "--format", "paths").stdout.strip()
