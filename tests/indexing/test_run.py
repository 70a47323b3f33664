"""Bringing an index up to date: the real path, with the bundled network and drawn pictures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cbir.errors import CbirError, IndexConflictError, RefusedToForgetError
from cbir.extract.extractor import Extractor
from cbir.extract.results import Extracted
from cbir.images import contents
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.indexing import run
from cbir.indexing.policy import CommitPolicy
from cbir.indexing.report import Report
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target

Folder = Callable[..., Path]


def refresh(root: Path | None, name: str = "photos", **options: object) -> Report:
    report, _ = build_index(choose_target(root, name), Options(**options))  # type: ignore[arg-type]
    return report


def content(directory: Path) -> dict[str, tuple[str, bytes]]:
    """What an index says of each file: its hash and the bytes of its row."""
    index = Index.open(directory)
    return {
        record.path: (record.sha256, index.features([row]).tobytes())
        for row, record in index.records()
        if index.valid[row]
    }


def home() -> Path:
    return Path(os.environ["CBIR_HOME"])


def counts(report: Report) -> dict[str, int]:
    names = ("added", "changed", "touched", "moved", "copied", "removed", "unchanged")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


def test_a_second_run_opens_no_picture(photo_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = photo_folder(6)
    assert counts(refresh(root)) == {"added": 6}

    def fail(*args: object) -> None:
        raise AssertionError("a picture was to be read")

    monkeypatch.setattr(contents, "open_regular", fail)
    report = refresh(root)
    assert counts(report) == {"unchanged": 6}
    assert report.total == 6


def test_new_changed_moved_copied_touched_and_gone(photo_folder: Folder, tmp_path: Path) -> None:
    root = photo_folder(10, subfolders=["a", "b"])
    refresh(root)
    shutil.copy(root / "a/img_000.jpg", root / "copy.jpg")
    (root / "c").mkdir()
    (root / "a/img_002.jpg").rename(root / "c/moved.jpg")
    shutil.copy(photo_folder(1, "other", first_seed=99) / "img_000.jpg", root / "new.jpg")
    (root / "b/img_001.jpg").unlink()
    shutil.copy(photo_folder(1, "third", first_seed=77) / "img_000.jpg", root / "b/img_003.jpg")
    os.utime(root / "a/img_004.jpg", ns=(1, 1))
    report = refresh(root)
    expected = {"added": 1, "changed": 1, "touched": 1, "moved": 1, "copied": 1, "removed": 1, "unchanged": 6}
    assert counts(report) == expected
    assert report.total == 11
    refresh(root, "clean")
    assert content(home() / "photos") == content(home() / "clean")


def test_moved_and_copied_files_need_no_network(photo_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = photo_folder(4)
    refresh(root)
    (root / "img_000.jpg").rename(root / "renamed.jpg")
    shutil.copy(root / "img_001.jpg", root / "copy.jpg")
    os.utime(root / "img_002.jpg", ns=(5, 5))
    monkeypatch.setattr(Extractor, "engine", property(lambda self: pytest.fail("the network was to be loaded")))
    assert counts(refresh(root)) == {"touched": 1, "moved": 1, "copied": 1, "unchanged": 2}


def test_a_picture_that_comes_twice_in_one_run_is_extracted_once(photo_folder: Folder) -> None:
    root = photo_folder(3)
    for number in range(40):
        shutil.copy(root / "img_001.jpg", root / f"copy_{number:02}.jpg")
    assert counts(refresh(root)) == {"added": 3, "copied": 40}
    rows = content(home() / "photos")
    assert rows["copy_00.jpg"] == rows["img_001.jpg"] == rows["copy_39.jpg"]


def test_bad_files_are_skipped_with_their_reasons(photo_folder: Folder) -> None:
    root = photo_folder(2)
    (root / "empty.jpg").touch()
    (root / "text.png").write_text("no picture at all")
    (root / "cut.jpg").write_bytes((root / "img_000.jpg").read_bytes()[:900])
    (root / "notes.txt").write_text("not looked at")
    report = refresh(root)
    assert counts(report) == {"added": 2}
    assert [path for path, _ in report.skipped] == ["cut.jpg", "empty.jpg", "text.png"]
    assert all(reason for _, reason in report.skipped)
    assert not report.is_complete


def test_a_picture_that_breaks_leaves_the_index_and_one_that_cannot_be_reached_stays(
    photo_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = photo_folder(4)
    refresh(root)
    (root / "img_000.jpg").write_text("broken now")
    os.utime(root / "img_001.jpg", ns=(3, 3))
    real = contents.open_regular

    def read(path: Path) -> bytes:
        if path.name == "img_001.jpg":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(contents, "open_regular", read)
    report = refresh(root)
    assert [path for path, _ in report.skipped] == ["img_000.jpg", "img_001.jpg"]
    assert sorted(content(home() / "photos")) == ["img_001.jpg", "img_002.jpg", "img_003.jpg"]


@pytest.mark.parametrize("disaster", ["missing", "empty", "most gone"])
def test_a_vanished_disk_empties_no_index(photo_folder: Folder, disaster: str) -> None:
    root = photo_folder(10)
    refresh(root)
    before = {path.name: path.read_bytes() for path in (home() / "photos").iterdir()}
    if disaster == "missing":
        shutil.rmtree(root)
    else:
        for number in range(6 if disaster == "most gone" else 10):
            (root / f"img_{number:03}.jpg").unlink()
    with pytest.raises(RefusedToForgetError, match="--prune") as caught:
        refresh(root)
    assert caught.value.exit_code == 3
    assert {path.name: path.read_bytes() for path in (home() / "photos").iterdir()} == before
    if disaster == "most gone":
        assert counts(refresh(root, prune=True)) == {"removed": 6, "unchanged": 4}
    else:
        assert counts(refresh(root, prune=True)) == {"removed": 10}


@pytest.mark.parametrize("file", ["features-000001.npy", "files-000001.json"])
@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_repair_reads_only_what_is_damaged_again(photo_folder: Folder, file: str, damage: str) -> None:
    root = photo_folder(9)
    refresh(root)
    for number in range(3):
        shutil.copy(photo_folder(3, "more", first_seed=50) / f"img_{number:03}.jpg", root / f"new_{number}.jpg")
    refresh(root)
    before = content(home() / "photos")
    path = home() / "photos" / file
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(data if damage == "changed" else data[:-20])
    assert counts(refresh(root, repair=True)) == {"added": 9, "unchanged": 3}
    assert content(home() / "photos") == before
    assert find_problems(Index.open(home() / "photos"), verify=True) == []
    assert counts(refresh(root, repair=True)) == {"unchanged": 12}


def test_half_of_the_pictures_may_go(photo_folder: Folder) -> None:
    root = photo_folder(10)
    refresh(root)
    for number in range(5):
        (root / f"img_{number:03}.jpg").unlink()
    assert counts(refresh(root)) == {"removed": 5, "unchanged": 5}


def test_moving_all_pictures_is_not_losing_them(photo_folder: Folder) -> None:
    root = photo_folder(6)
    refresh(root)
    (root / "sub").mkdir()
    for file in list(root.glob("*.jpg")):
        file.rename(root / "sub" / file.name)
    assert counts(refresh(root)) == {"moved": 6}


def test_excluding_most_pictures_is_not_losing_them_and_is_remembered(photo_folder: Folder) -> None:
    root = photo_folder(9, subfolders=["keep", "raw", "raw/deep"])
    refresh(root)
    assert counts(refresh(root, exclude=["raw"])) == {"removed": 6, "unchanged": 3}
    assert counts(refresh(None)) == {"unchanged": 3}
    assert counts(refresh(root, exclude=[]))["unchanged"] == 3
    assert len(content(home() / "photos")) == 9


def test_a_pattern_that_no_path_can_match_is_refused_before_anything_is_done(photo_folder: Folder) -> None:
    root = photo_folder(2)
    long = "[!" + "a-z" * 20_000 + "]"
    with pytest.raises(CbirError, match=r"^The pattern '\[!a-za.*\]' has 60,003 characters, and no path more than"):
        refresh(root, exclude=[long])
    assert not (home() / "photos").exists()
    refresh(root, exclude=["raw"])
    with pytest.raises(CbirError, match="60,003"):
        refresh(root, exclude=["raw", long])
    assert counts(refresh(None)) == {"unchanged": 2}


def test_pictures_in_a_folder_that_cannot_be_listed_are_kept(
    photo_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = photo_folder(9, subfolders=["a", "b", "c"])
    refresh(root)
    real = os.scandir

    def scandir(path: object) -> object:
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return real(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", scandir)
    report = refresh(root)
    assert report.unreadable_folders == ["b"]
    assert report.total == 9


def test_an_interrupted_run_keeps_what_it_did_and_the_next_goes_on(
    photo_folder: Folder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = photo_folder(40)

    def stop_at(results: Iterator[Extracted[object]], total: int) -> Iterator[Extracted[object]]:
        for number, result in enumerate(results):
            if number == 25:
                raise KeyboardInterrupt
            yield result

    with pytest.raises(KeyboardInterrupt):
        build_index(choose_target(root, "photos"), Options(), watch=stop_at)  # type: ignore[arg-type]
    index = Index.open(home() / "photos")
    assert len(index) == 25
    assert not index.meta.complete
    caplog.set_level("INFO", logger="cbir")
    assert counts(refresh(root)) == {"added": 15, "unchanged": 25}
    assert "25 of 40 already done (the last run was interrupted)." in caplog.text
    refresh(root, "clean")
    assert content(home() / "photos") == content(home() / "clean")
    assert Index.open(home() / "photos").meta.complete


def test_a_long_run_commits_as_it_goes(photo_folder: Folder) -> None:
    root = photo_folder(30)
    shutil.copy(root / "img_000.jpg", root / "z_copy_of_a_committed_row.jpg")
    seen: list[int] = []

    def watch(results: Iterator[Extracted[object]], total: int) -> Iterator[Extracted[object]]:
        for result in results:
            seen.append(len(Index.open(home() / "photos")) if (home() / "photos/meta.json").exists() else 0)
            yield result

    build_index(choose_target(root, "photos"), Options(), watch, commits=CommitPolicy(8, seconds=1000))  # type: ignore[arg-type]
    assert sorted(set(seen)) == [0, 8, 16, 24]
    rows = content(home() / "photos")
    assert len(rows) == 31
    assert rows["z_copy_of_a_committed_row.jpg"] == rows["img_000.jpg"]


def test_an_index_follows_its_folder_to_another_place(photo_folder: Folder, tmp_path: Path) -> None:
    root = photo_folder(4)
    refresh(root)
    moved = root.rename(tmp_path / "moved")
    with pytest.raises(IndexConflictError, match="--root"):
        choose_target(moved, "photos")
    report, _ = build_index(choose_target(None, "photos", root=moved))
    assert counts(report) == {"unchanged": 4}
    assert Index.open(home() / "photos").root == moved


def test_what_contradicts_an_index_is_refused(photo_folder: Folder, tmp_path: Path, draw_picture: object) -> None:
    root = photo_folder(2)
    refresh(root)
    with pytest.raises(IndexConflictError, match="other weights"):
        refresh(root, weights="untrained")
    with pytest.raises(IndexConflictError, match="belongs to"):
        choose_target(photo_folder(1, "other"), "photos")
    assert refresh(root, model="efficientnet_lite0").unchanged == 2


def test_a_new_index_needs_pictures_and_a_place(photo_folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(CbirError, match="no pictures in"):
        refresh(tmp_path / "nothing")
    assert not (home() / "photos").exists()
    with pytest.raises(CbirError, match="is not there"):
        choose_target(tmp_path / "no such folder")
    with pytest.raises(IndexConflictError, match="has files in it"):
        choose_target(photo_folder(1), str(photo_folder(1)))


def test_a_preview_writes_nothing(photo_folder: Folder) -> None:
    root = photo_folder(3)
    plan = run.preview(choose_target(root), Options())
    assert len(plan.fresh) == 3
    assert not home().exists()


def test_unreadable_colours_make_no_row(photo_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = photo_folder(3)
    Image.new("RGB", (50, 50)).save(root / "black.png")
    real = Extractor.run

    def with_a_hole(self: Extractor, *arguments: Any) -> Iterator[Extracted]:  # type: ignore[type-arg]
        for result in real(self, *arguments):
            if result.key.path == "black.png":
                yield Extracted(result.key, result.sha256, np.full(1280, np.nan, dtype=np.float32))
            else:
                yield result

    monkeypatch.setattr(Extractor, "run", with_a_hole)
    report = refresh(root)
    assert report.skipped == [("black.png", "the network makes nothing of it (its features are zero or not finite)")]
    assert report.total == 3
