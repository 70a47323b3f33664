"""What was found sound is not checked again until it changes; nothing else is trusted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cbir.index import verified


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(verified, "_SETTLED_SECONDS", 0.0)
    path = tmp_path / "index" / "index-000001.ann"
    path.parent.mkdir()
    path.write_bytes(b"trees")
    return path


def test_a_marked_file_is_known_again(file: Path) -> None:
    assert not verified.is_marked(file, "5a" * 32)
    verified.mark(file, "5a" * 32)
    assert verified.is_marked(file, "5a" * 32)
    assert not verified.is_marked(file, "5b" * 32)


@pytest.mark.parametrize("change", ["write in place", "replace", "restore the times", "other name", "remove"])
def test_a_file_that_changed_is_not(file: Path, change: str) -> None:
    verified.mark(file, "5a" * 32)
    status = file.stat()
    if change == "write in place":
        with file.open("rb+") as stream:
            stream.write(b"TREES")
    elif change == "replace":
        (file.parent / "new").write_bytes(b"trees")
        os.replace(file.parent / "new", file)
    elif change == "restore the times":
        file.write_bytes(b"TREES")
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "other name":
        file = file.rename(file.with_name("index-000002.ann"))
    else:
        file.unlink()
    assert not verified.is_marked(file, "5a" * 32)


def test_a_file_that_has_just_changed_gets_no_mark(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified, "_SETTLED_SECONDS", 60.0)
    verified.mark(file, "5a" * 32)
    assert not verified.is_marked(file, "5a" * 32)


def test_a_cache_that_cannot_be_written_costs_only_the_check(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in the way").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "in the way"))
    verified.mark(file, "5a" * 32)
    assert not verified.is_marked(file, "5a" * 32)


def test_marks_do_not_pile_up(file: Path) -> None:
    for number in range(3):
        other = file.with_name(f"index-{number:06}.ann")
        other.write_bytes(b"trees")
        verified.mark(other, "5a" * 32)
    assert len(list((Path(os.environ["XDG_CACHE_HOME"]) / "cbir" / "checked").iterdir())) == 1
