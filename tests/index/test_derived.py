"""What is made of an index's rows is kept for the state that it was made of, and for no other."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cbir.backbones.backbone import describe
from cbir.index import derived, verified
from cbir.index.columns.treatment import NUMBERS, TREATED, pack
from cbir.index.derived import Derived
from cbir.index.entries import TreatmentEntry
from cbir.index.files import FileRecord
from cbir.index.format import Meta
from cbir.index.store import Index
from cbir.index.writer import Writer

MOST = 1000


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of ten rows."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(verified, "_SETTLED_SECONDS", 0.0)
    return written(tmp_path / "index")


def written(directory: Path) -> Path:
    directory.mkdir()
    model = describe("fake")
    meta = Meta(model.to_json(), model.dimension, "/pictures", "", "", treatment=TreatmentEntry(8))
    writer, drawn = Writer(directory, meta), np.random.default_rng(1)
    for row in range(10):
        writer.add(
            FileRecord(f"{row}.jpg", 1, 1, f"{row:064x}"),
            drawn.random(model.dimension, dtype=np.float32),
            pack(drawn.random(8, dtype=np.float32)),
        )
    writer.commit()
    return directory


def of(directory: Path, how: str = "1") -> Derived:
    found = Derived.of(Index.open(directory), "things", (TREATED, NUMBERS), how)
    assert found is not None
    return found


def content(of_it: Derived) -> bytes | None:
    found = of_it.read(MOST)
    return None if found is None else bytes(found)


def test_it_is_found_again(directory: Path) -> None:
    assert content(of(directory)) is None
    of(directory).keep([b"some", b"", b"thing"])
    assert content(of(directory)) == b"something"
    assert of(directory).read(8) is None  # more than it may be
    path = of(directory).path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    of(directory).keep([b"else"])
    assert content(of(directory)) == b"else"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    "change", ["way", "features", "column", "times", "replaced", "rows that count", "another index", "more rows"]
)
def test_of_another_state_it_is_not(directory: Path, change: str, tmp_path: Path) -> None:
    of(directory).keep([b"something"])
    index, how = Index.open(directory), "1"
    files = [index.meta.blocks[0].features, index.meta.blocks[0].columns["treatment"]]
    path = directory / files[change == "column"].name
    if change == "way":
        how = "2"
    elif change in ("features", "column"):
        status = path.stat()
        with path.open("rb+") as file:  # without its length or its times of writing being another
            file.seek(-1, os.SEEK_END)
            file.write(b"\x01")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "times":
        os.utime(path, ns=(1, 1))
    elif change == "replaced":
        (directory / "new").write_bytes(path.read_bytes())
        os.replace(directory / "new", path)
    elif change == "rows that count":
        writer = Writer(directory, index.meta)
        writer.invalidate([3])
        writer.commit()
    elif change == "more rows":
        writer = Writer(directory, index.meta)
        writer.add(FileRecord("new.jpg", 1, 1, f"{99:064x}"), np.ones(index.dimension, np.float32), pack(np.ones(8)))
        writer.commit()
    else:
        directory = written(tmp_path / "other")
    assert content(of(directory, how)) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda found: found[:-1],
        lambda found: found + b"\0",
        lambda found: found[:40],
        lambda found: b"",
        lambda found: found[:-3] + b"\1\2\3",
        lambda found: found[:33] + b"\0\0\0" + found[36:],
        lambda found: bytes(MOST * 5),
    ],
)
def test_what_is_damaged_is_not_used(directory: Path, damage: Callable[[bytes], bytes]) -> None:
    of(directory).keep([b"something"])
    path = of(directory).path
    path.write_bytes(damage(path.read_bytes()))
    assert content(of(directory)) is None


def test_what_others_can_write_to_is_not_used(directory: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "cbir" / "things"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    (folder / "anybody's").touch()
    of(directory).keep([b"something"])
    assert os.listdir(folder) == ["anybody's"]
    assert content(of(directory)) is None


def test_a_cache_that_cannot_be_written_costs_only_time(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in the way").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "in the way"))
    of(directory).keep([b"something"])
    assert content(of(directory)) is None


def test_a_full_disk_leaves_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of(directory).keep([b"before"])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        of(directory).keep([b"something"])
    assert os.listdir(of(directory).path.parent) == [of(directory).path.name]
    assert content(of(directory)) == b"before"


def test_files_that_have_just_changed_give_nothing_to_keep(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified, "_SETTLED_SECONDS", 600.0)
    assert Derived.of(Index.open(directory), "things", (TREATED, NUMBERS), "1") is None


def test_without_a_home_folder_nothing_is_kept(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cbir.utils.cache.users_folder", lambda find: None)
    monkeypatch.delenv("CBIR_HOME", raising=False)
    assert Derived.of(Index.open(directory), "things", (), "1") is None


def test_those_of_other_indexes_do_not_pile_up(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derived, "MOST", 3)
    of(directory).keep([b"something"])
    folder = of(directory).path.parent
    for number in range(5):
        (folder / f"{number}").touch()
        os.utime(folder / f"{number}", (number, number))
    of(directory).keep([b"something"])
    assert sorted(os.listdir(folder)) == sorted(["3", "4", of(directory).path.name])
    assert content(of(directory)) == b"something"
