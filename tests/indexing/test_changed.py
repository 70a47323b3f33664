"""A changed picture is noticed, whatever was done to its times; and one whose times alone changed is told from it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cbir.cli import cli
from cbir.extract.extractor import Extractor
from cbir.images import contents
from cbir.images import scan as scanning
from cbir.images.scan import FoundFile
from cbir.images.sources import source as sources
from cbir.index.columns.times import CHANGED, noted
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.indexing.report import Report
from cbir.indexing.run import Options, build_index, index_folder
from cbir.indexing.target import choose_target
from tests.helpers.waiting import wait_for

Folder = Callable[..., Path]


def refresh(root: Path | None, **options: Any) -> Report:
    report, _ = build_index(choose_target(root, "photos"), Options(**options))
    return report


def counts(report: Report) -> dict[str, int]:
    names = ("added", "changed", "changed_unseen", "touched", "moved", "copied", "removed", "unchanged")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


def opened() -> Index:
    return Index.open(Path(os.environ["CBIR_HOME"]) / "photos")


def replace_content(file: Path, other: Path) -> None:
    """Put another picture there, of the same length, with its time set back, as `rsync -t` and restored backups do."""
    status, data = file.stat(), other.read_bytes()
    length = max(status.st_size, len(data))
    assert len(data) <= status.st_size
    file.write_bytes(data + bytes(length - len(data)))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)


@pytest.fixture
def padded(photo_folder: Folder) -> Path:
    """Six pictures with room for others at their ends."""
    root = photo_folder(6)
    for file in root.iterdir():
        file.write_bytes(file.read_bytes() + bytes(20_000))
    return root


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def forbid() -> None:
        monkeypatch.setattr(Extractor, "engine", property(lambda self: pytest.fail("the network was to be loaded")))

    return forbid


def test_another_content_of_the_same_size_and_time_is_noticed(padded: Path, photo_folder: Folder) -> None:
    refresh(padded)
    other = photo_folder(1, "other", first_seed=50) / "img_000.jpg"
    replace_content(padded / "img_002.jpg", other)
    assert counts(refresh(padded)) == {"changed": 1, "unchanged": 5}
    assert counts(refresh(padded)) == {"unchanged": 6}
    index_folder(padded, "clean")
    rows = {}
    for name in ("photos", "clean"):
        index = Index.open(Path(os.environ["CBIR_HOME"]) / name)
        (row,) = (row for row, one in index.records() if one.path == "img_002.jpg" and index.valid[row])
        rows[name] = index.features([row])
    assert np.array_equal(rows["photos"], rows["clean"])


def let_the_clock_tick(folder: Path) -> None:
    """Wait until a change of a file gets a later time than one that was just made: clocks of disks are coarse."""
    probe = folder.parent / "probe"
    probe.touch()
    before = probe.stat().st_ctime_ns

    def ticked() -> bool:
        probe.touch()
        return probe.stat().st_ctime_ns > before

    wait_for(ticked)


@pytest.mark.parametrize("how", ["chmod", "link", "rename", "rewrite"])
def test_a_change_of_ctime_alone_keeps_the_row_and_needs_no_network(
    photo_folder: Folder, no_network: Callable[[], None], how: str
) -> None:
    root = photo_folder(4)
    refresh(root)
    before = opened()
    file = root / "img_001.jpg"
    status = file.stat()
    let_the_clock_tick(root)
    if how == "chmod":
        file.chmod(0o600)
    elif how == "link":
        os.link(file, root.parent / "backup.jpg")
    elif how == "rename":
        file.rename(root / "img_001.tmp.jpg").rename(file)
    else:
        file.write_bytes(file.read_bytes())
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_ctime_ns != status.st_ctime_ns
    no_network()
    assert counts(refresh(root)) == {"touched": 1, "unchanged": 3}
    assert counts(refresh(root)) == {"unchanged": 4}
    after = opened()
    assert after.meta.blocks[0].features == before.meta.blocks[0].features
    assert after.meta.blocks[0].files == before.meta.blocks[0].files
    assert find_problems(after, verify=True) == []


def test_touched_files_keep_their_features(photo_folder: Folder, no_network: Callable[[], None]) -> None:
    root = photo_folder(3)
    refresh(root)
    os.utime(root / "img_000.jpg", ns=(5, 5))
    no_network()
    assert counts(refresh(root)) == {"touched": 1, "unchanged": 2}
    assert counts(refresh(root)) == {"unchanged": 3}


@pytest.mark.parametrize("seconds", [13_569_465_600, -2_000_000_000, 0, 9_000_000_000_000, -1])
def test_times_far_from_ours_are_times_like_others(photo_folder: Folder, seconds: int) -> None:
    root = photo_folder(2)
    try:
        os.utime(root / "img_000.jpg", (seconds, seconds))
    except (OSError, OverflowError):
        pytest.skip("this system has no such time")
    refresh(root)
    assert counts(refresh(root)) == {"unchanged": 2}
    assert counts(refresh(root, rehash=True)) == {"unchanged": 2}


@pytest.mark.parametrize("ctime_ns", [1, -1, 2**62, 2**63 - 1, 2**63, 10**30, -(10**30)])
def test_any_ctime_can_be_noted(
    photo_folder: Folder, monkeypatch: pytest.MonkeyPatch, ctime_ns: int, no_network: Callable[[], None]
) -> None:
    root = photo_folder(2)
    real = scanning.scan

    def scan(*arguments: Any) -> scanning.Scan:
        found = real(*arguments)
        found.files = [file._replace(ctime_ns=ctime_ns) for file in found.files]
        return found

    monkeypatch.setattr(sources, "scan", scan)
    refresh(root)
    no_network()
    assert counts(refresh(root)) == {"unchanged": 2}
    assert noted(ctime_ns) != 0


def without_times(index: Index) -> None:
    """Make it an index of an older cbir, which noted no such times."""
    blocks = tuple(block.with_columns({"changed": None}) for block in index.meta.blocks)
    (index.directory / "meta.json").write_text(index.meta.but(blocks=blocks).dump())


def test_an_older_index_gets_its_times_noted_without_a_picture_being_read(
    padded: Path, monkeypatch: pytest.MonkeyPatch, photo_folder: Folder
) -> None:
    refresh(padded)
    without_times(opened())
    assert opened().missing(CHANGED).all()
    with monkeypatch.context() as patch:
        patch.setattr(contents, "open_regular", lambda path: pytest.fail("a picture was to be read"))
        assert counts(refresh(padded)) == {"unchanged": 6}
    assert not opened().missing(CHANGED).any()
    assert find_problems(opened(), verify=True) == []
    replace_content(padded / "img_003.jpg", photo_folder(1, "other", first_seed=50) / "img_000.jpg")
    assert counts(refresh(padded)) == {"changed": 1, "unchanged": 5}


def test_damaged_times_cost_nothing_else(photo_folder: Folder, no_network: Callable[[], None]) -> None:
    root = photo_folder(3)
    refresh(root)
    entry = opened().meta.blocks[0].columns["changed"]
    assert entry is not None
    (opened().directory / entry.name).write_bytes(b"damaged")
    no_network()
    assert counts(refresh(root)) == {"unchanged": 3}
    assert not opened().missing(CHANGED).any()


def test_rows_that_are_joined_and_compacted_keep_their_times(photo_folder: Folder) -> None:
    root = photo_folder(5)
    refresh(root)
    for number in range(4):
        shutil.copy(photo_folder(1, "more", first_seed=60 + number) / "img_000.jpg", root / f"new_{number}.jpg")
        refresh(root)
    index = opened()
    stored = {record.path: int(index.stored(CHANGED, [row])[0, 0]) for row, record in index.records()}
    assert stored == {file.name: file.stat().st_ctime_ns for file in root.iterdir()}


def test_rehash_finds_what_no_time_tells(padded: Path, photo_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    refresh(padded)
    replace_content(padded / "img_004.jpg", photo_folder(1, "other", first_seed=50) / "img_000.jpg")
    # as where a disk has changed bits in silence
    without_times(opened())
    assert counts(refresh(padded)) == {"unchanged": 6}
    report = refresh(padded, rehash=True)
    assert counts(report) == {"changed": 1, "changed_unseen": 1, "unchanged": 5}
    assert "1 changed with the times of before, 5 unchanged" in report.summary("photos")
    assert "changed 1, touched 0," in report.counts()
    assert report.to_dict()["changed_unseen"] == 1
    assert counts(refresh(padded, rehash=True)) == {"unchanged": 6}


def test_a_rehash_reads_every_file_and_decodes_none_that_is_known(
    photo_folder: Folder, no_network: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = photo_folder(5)
    shutil.copy(root / "img_000.jpg", root / "copy.jpg")
    refresh(root)
    no_network()
    read: list[str] = []
    real = contents.open_regular
    monkeypatch.setattr(contents, "open_regular", lambda path: read.append(path.name) or real(path))
    assert counts(refresh(root, rehash=True)) == {"unchanged": 6}
    assert {"copy.jpg", *(f"img_{number:03}.jpg" for number in range(5))} <= set(read)


def test_a_file_that_cannot_be_read_in_a_rehash_stays(photo_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = photo_folder(3)
    refresh(root)
    real = contents.open_regular

    def read(path: Path) -> bytes:
        if path.name == "img_001.jpg":
            raise OSError(5, "Input/output error")
        return real(path)

    monkeypatch.setattr(contents, "open_regular", read)
    report = refresh(root, rehash=True)
    assert report.skipped == [("img_001.jpg", "input/output error")]
    assert report.total == 3


def test_what_an_index_lacks_is_found_when_its_files_are_read_anyway(photo_folder: Folder) -> None:
    root = photo_folder(3)
    refresh(root)
    index = opened()
    blocks = tuple(block.with_columns({"thumbnails": None}) for block in index.meta.blocks)
    (index.directory / "meta.json").write_text(index.meta.but(blocks=blocks).dump())
    report = refresh(root, rehash=True)
    assert counts(report) == {"unchanged": 3}
    assert report.backfilled["thumbnails"] == 3


def test_the_command_tells_times_from_contents(padded: Path, photo_folder: Folder) -> None:
    def run(*options: str) -> Any:
        result = CliRunner().invoke(cli, ["index", str(padded), "--json", *options])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    run()
    let_the_clock_tick(padded)
    (padded / "img_000.jpg").chmod(0o600)
    replace_content(padded / "img_001.jpg", photo_folder(1, "other", first_seed=50) / "img_000.jpg")
    planned = run("--dry-run")
    assert (planned["compared"], planned["changed"], planned["unchanged"]) == (["img_000.jpg", "img_001.jpg"], [], 4)
    report = run()
    assert (report["changed"], report["touched"], report["changed_unseen"], report["unchanged"]) == (1, 1, 0, 4)
    assert len(run("--dry-run", "--rehash")["compared"]) == 6
    assert run("--rehash")["unchanged"] == 6


def test_files_of_unknown_ctime_are_compared_by_size_and_time() -> None:
    assert FoundFile("a.jpg", 1, 2).ctime_ns == 0
