"""What an index could not take is remembered, and tried again when it may turn out otherwise."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cbir.cli import cli
from cbir.errors import IndexDamagedError
from cbir.images import contents
from cbir.images import read as reading
from cbir.images import scan as scanning
from cbir.index import refused
from cbir.index.format import load_meta
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.indexing import run
from cbir.indexing.report import Report
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target

Folder = Callable[..., Path]


def refresh(root: Path, **options: Any) -> Report:
    report, _ = build_index(choose_target(root, "photos"), Options(**options))
    return report


def directory() -> Path:
    return Path(os.environ["CBIR_HOME"]) / "photos"


@pytest.fixture
def mixed(photo_folder: Folder) -> Path:
    """Three pictures, three files that look like some, two whose names tell nothing."""
    root = photo_folder(3, subfolders=["a", "b"])
    (root / "empty.jpg").touch()
    (root / "a/text.png").write_text("no picture at all")
    (root / "cut.jpg").write_bytes((root / "a/img_000.jpg").read_bytes()[:900])
    (root / "README").write_text("no picture either")
    (root / "b/notes.xyz").write_text("nor this")
    return root


BAD = ["a/text.png", "cut.jpg", "empty.jpg"]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are opened."""
    names: list[str] = []
    read, look = contents.open_regular, scanning.looks_like_picture
    monkeypatch.setattr(contents, "open_regular", lambda path: names.append(path.name) or read(path))
    monkeypatch.setattr(scanning, "looks_like_picture", lambda path: names.append(path.name) or look(path))
    return names


def test_what_was_refused_is_not_opened_again_and_still_told(mixed: Path, opened: list[str]) -> None:
    first = refresh(mixed)
    assert ([path for path, _ in first.skipped], first.as_before) == (BAD, set())
    opened.clear()
    second = refresh(mixed)
    assert second.skipped == first.skipped
    assert second.as_before == set(BAD)
    assert second.left_out["others"] == 2
    assert not {"empty.jpg", "text.png", "cut.jpg", "README", "notes.xyz"} & set(opened)
    assert "3 skipped as before" in second.summary("photos")
    assert not second.is_complete
    assert find_problems(Index.open(directory()), verify=True) == []


def test_nothing_is_written_where_nothing_has_changed(mixed: Path) -> None:
    refresh(mixed)
    before = {path.name: path.read_bytes() for path in directory().iterdir()}
    refresh(mixed)
    assert {path.name: path.read_bytes() for path in directory().iterdir()} == before


@pytest.mark.parametrize("what", ["content", "time", "rights", "name"])
def test_a_file_that_has_changed_is_tried_again(mixed: Path, what: str) -> None:
    refresh(mixed)
    file = mixed / "cut.jpg"
    if what == "content":
        shutil.copy(mixed / "b/img_001.jpg", file)
    elif what == "time":
        os.utime(file, ns=(7, 7))
    elif what == "rights":
        file.chmod(0o600)
    else:
        file.rename(mixed / "renamed.jpg")
    report = refresh(mixed)
    assert report.as_before == {"a/text.png", "empty.jpg"}
    assert report.copied == (what == "content")
    assert refresh(mixed).as_before == {path for path, _ in report.skipped}


def test_a_name_that_tells_nothing_is_looked_into_again_when_it_has_changed(mixed: Path) -> None:
    refresh(mixed)
    shutil.copy(mixed / "b/img_001.jpg", mixed / "README")
    report = refresh(mixed)
    assert (report.copied, report.left_out["others"]) == (1, 1)


@pytest.mark.parametrize("option", ["retry_skipped", "repair"])
def test_they_are_tried_again_when_somebody_wants_it(mixed: Path, option: str, opened: list[str]) -> None:
    refresh(mixed)
    opened.clear()
    report = refresh(mixed, **{option: True})
    assert ([path for path, _ in report.skipped], report.as_before) == (BAD, set())
    assert {"empty.jpg", "text.png", "cut.jpg", "README", "notes.xyz"} <= set(opened)
    assert refresh(mixed).as_before == set(BAD)


def test_they_are_tried_again_by_another_reader(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refresh(mixed)
    monkeypatch.setattr(run, "describe_readers", lambda max_pixels: "a reader that reads more")
    assert refresh(mixed).as_before == set()
    assert refresh(mixed).as_before == set(BAD)


def test_a_larger_picture_may_be_read_with_another_limit(photo_folder: Folder) -> None:
    root = photo_folder(2)
    shutil.copy(photo_folder(1, "large", size=(400, 300)) / "img_000.jpg", root / "large.jpg")
    assert [path for path, _ in refresh(root, max_pixels=50_000).skipped] == ["large.jpg"]
    assert refresh(root, max_pixels=50_000).as_before == {"large.jpg"}
    report = refresh(root)
    assert (report.skipped, report.total) == ([], 3)
    assert load_meta(directory()).refused is None


def test_a_file_that_could_not_be_reached_is_tried_again(photo_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = photo_folder(3)
    real = contents.open_regular

    def read(path: Path) -> bytes:
        if path.name == "img_001.jpg":
            raise OSError(5, "Input/output error")
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(contents, "open_regular", read)
        assert [path for path, _ in refresh(root).skipped] == ["img_001.jpg"]
    report = refresh(root)
    assert (report.added, report.skipped) == (1, [])


def test_files_out_of_sight_stay_refused(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refresh(mixed)
    real = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("/a"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        assert refresh(mixed).as_before == {"cut.jpg", "empty.jpg"}
    assert refresh(mixed).as_before == set(BAD)


def test_files_that_are_gone_are_forgotten(mixed: Path) -> None:
    refresh(mixed)
    (mixed / "cut.jpg").unlink()
    assert [path for path, _ in refresh(mixed).skipped] == ["a/text.png", "empty.jpg"]
    entry = load_meta(directory()).refused
    assert entry is not None
    assert set(refused.load(directory(), entry)) == {"a/text.png", "empty.jpg", "README", "b/notes.xyz"}


def test_an_interrupted_run_remembers_what_it_refused(mixed: Path) -> None:
    def stop_at(results: Any, total: int) -> Any:
        for number, result in enumerate(results):
            if number == 5:
                raise KeyboardInterrupt
            yield result

    with pytest.raises(KeyboardInterrupt):
        build_index(choose_target(mixed, "photos"), Options(), watch=stop_at)
    assert len(refresh(mixed).as_before) >= 2


@pytest.mark.parametrize("damage", ["gone", "cut", "changed", "link"])
def test_a_damaged_memory_costs_one_more_try(mixed: Path, damage: str) -> None:
    refresh(mixed)
    entry = load_meta(directory()).refused
    assert entry is not None
    path = directory() / entry.file.name
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    elif damage == "changed":
        path.write_bytes(path.read_bytes().replace(b"empty.jpg", b"../../etc"))
    else:
        path.rename(directory() / "elsewhere")
        path.symlink_to(directory() / "elsewhere")
    assert any(entry.file.name in problem for problem in find_problems(Index.open(directory())))
    report = refresh(mixed)
    assert ([name for name, _ in report.skipped], report.as_before) == (BAD, set())
    assert refresh(mixed).as_before == set(BAD)


@pytest.mark.parametrize(
    "row",
    [
        ["../a.jpg", 1, 2, 3, "skipped", "x"],
        ["/etc/passwd", 1, 2, 3, "skipped", "x"],
        ["a.jpg", 1, 2, 3, "removed", "x"],
        ["a.jpg", 1.5, 2, 3, "skipped", "x"],
        ["a.jpg", "1", 2, 3, "skipped", "x"],
        ["a.jpg", 1, 2, 3, "skipped", "x" * 2000],
        ["a.jpg", 1, 2, 3, "skipped"],
        ["a.jpg", 1, 2, 3, "skipped", None],
        {"path": "a.jpg"},
        7,
    ],
)
def test_rows_that_nobody_wrote_are_damage(mixed: Path, row: object) -> None:
    refresh(mixed)
    entry = load_meta(directory()).refused
    assert entry is not None
    content = json.dumps([row]).encode()
    (directory() / entry.file.name).write_bytes(content)
    forged = type(entry)(type(entry.file)(entry.file.name, len(content), entry.file.sha256), entry.readers)
    with pytest.raises(IndexDamagedError):
        refused.load(directory(), forged)


def test_the_command_tells_what_is_as_before(mixed: Path, tmp_path: Path) -> None:
    def run(*options: str) -> Any:
        result = CliRunner().invoke(cli, ["index", str(mixed), *options])
        assert result.exit_code == 0, result.output
        return result

    assert "(as before)" not in run().stderr
    second = run("--log-file", str(tmp_path / "log"))
    assert "skipped: empty.jpg: the file is empty (as before)" in second.stderr
    assert "--retry-skipped" in second.stderr
    assert "skipped: empty.jpg: the file is empty (as before)" in (tmp_path / "log").read_text()
    report = json.loads(run("--json").stdout)
    assert {one["path"]: one["as_before"] for one in report["skipped"]} == dict.fromkeys(BAD, True)
    assert {one["reason"] for one in report["skipped"] if one["path"] == "empty.jpg"} == {"the file is empty"}
    assert "(as before)" not in run("--retry-skipped").stderr
    assert [one["path"] for one in json.loads(run("--dry-run", "--json").stdout)["skipped"]] == BAD
    assert CliRunner().invoke(cli, ["index", str(mixed), "--strict", "-q"]).exit_code == 4


def test_readers_are_told_apart() -> None:
    from cbir.images.formats.readers import describe_readers

    assert describe_readers(5) != describe_readers(6)
    assert "pillow " in describe_readers(5)
    assert reading.MAX_PIXELS > 0
