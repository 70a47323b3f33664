"""Indexes as a stranger may hand them over: how they are opened, what they say of themselves, and who may read them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cbir.backbones.backbone import Backbone, describe, named_by_user
from cbir.backbones.weights import Weights
from cbir.cli.terminal import opening
from cbir.errors import IndexDamagedError, IndexLockedError, IndexWriteError, ModelError, WeightsError
from cbir.images.formats.first_bytes import is_picture_below
from cbir.index import verified
from cbir.index.ann.codes import quantised, signs
from cbir.index.columns.parts import PARTS, SIGNS, PartRows, pack
from cbir.index.entries import PartsEntry
from cbir.index.files import FileRecord
from cbir.index.format import META, load_meta
from cbir.index.lock import HOLDER, LOCK, exclusive
from cbir.index.rights import Rights
from cbir.index.store import Index
from cbir.index.verify import doubles_in, find_problems, without_damage
from cbir.index.writer import Writer
from cbir.search.by_parts import find_parts
from cbir.search.searcher import Searcher
from cbir.utils import cache
from tests.helpers.feature_index import make_index

DIMENSION = 16

on_posix = pytest.mark.skipif(os.name != "posix", reason="FIFOs, and rights of owner, group and others")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An index of 12 pictures in one block."""
    make_index(tmp_path / "index", features(12))
    return tmp_path / "index"


def features(count: int) -> np.ndarray:
    found: np.ndarray = np.random.default_rng(1).gamma(0.5, 1.0, (count, DIMENSION))
    return found


def forge(directory: Path, change: Callable[[dict[str, Any]], None] = lambda meta: None, **files: bytes) -> None:
    """Change meta.json, and data files whose names begin so, and make lengths, hashes and the checksum fit."""
    meta = json.loads((directory / META).read_text())
    del meta["checksum"]
    for what, data in files.items():
        entry = meta["blocks"][0][what]
        (directory / entry["name"]).write_bytes(data)
        entry.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    change(meta)
    canonical = json.dumps(meta, sort_keys=True, separators=(",", ":"))
    meta["checksum"] = hashlib.sha256(canonical.encode("ascii")).hexdigest()
    (directory / META).write_text(json.dumps(meta))


def set_rows(directory: Path, change: Callable[[list[list[Any]]], None]) -> None:
    """Change what files-….json says."""
    rows = json.loads((directory / "files-000001.json").read_text())
    change(rows)
    forge(directory, files=b"[\n" + b",\n".join(json.dumps(row).encode() for row in rows) + b"\n]\n")


def read_all(directory: Path) -> None:
    index = Index.open(directory)
    for row in range(index.rows):
        index.record(row)
    assert not doubles_in(index)


# --- what is opened


@on_posix
@pytest.mark.parametrize("what", ["FIFO", "folder", "device", "link", "dangling link"])
@pytest.mark.parametrize("name", [META, "features-000001.npy", "files-000001.json"])
def test_what_is_no_regular_file_is_refused_at_once(directory: Path, name: str, what: str) -> None:
    path = directory / name
    path.rename(directory.parent / "elsewhere")
    if what == "FIFO":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to({"device": "/dev/zero", "link": "../elsewhere", "dangling link": "nothing"}[what])
    with pytest.raises(IndexDamagedError, match=r"not a regular file|is a folder|is a link"):
        Index.open(directory)


def test_a_huge_meta_json_is_refused_before_it_is_read(directory: Path) -> None:
    with (directory / META).open("rb+") as file:
        file.truncate(50 << 30)
    with pytest.raises(IndexDamagedError, match="more than it may have"):
        Index.open(directory)


@on_posix
def test_terabytes_that_cost_nothing_are_refused_before_anything_is_made_of_them(directory: Path) -> None:
    rows = 400_000_000
    header = b"{'descr': '<f2', 'fortran_order': False, 'shape': (%d, 16), }" % rows
    header = b"\x93NUMPY\x01\0" + (len(header) + 1).to_bytes(2, "little") + header + b"\n"
    sizes = {"features": len(header) + rows * 32, "files": 100 * rows}
    (directory / "features-000001.npy").write_bytes(header)
    for name, size in zip(("features-000001.npy", "files-000001.json"), sizes.values(), strict=True):
        os.truncate(directory / name, size)

    def change(meta: dict[str, Any]) -> None:
        meta["blocks"][0]["rows"] = rows
        for what, size in sizes.items():
            meta["blocks"][0][what]["bytes"] = size

    forge(directory, change)
    with pytest.raises(IndexDamagedError, match="bytes on the disk instead of"):
        Index.open(directory)


@on_posix
@pytest.mark.parametrize("what", ["link", "dangling link", "FIFO", "folder", "hard link"])
def test_who_holds_the_lock_is_never_written_into_another_file(directory: Path, what: str) -> None:
    victim = directory.parent / "victim"
    if what != "dangling link":
        victim.write_text("precious")
    holder = directory / HOLDER
    if what == "FIFO":
        os.mkfifo(holder)
    elif what == "folder":
        holder.mkdir()
    elif what == "hard link":
        os.link(victim, holder)
    else:
        holder.symlink_to(victim)
    with exclusive(directory):
        pass
    assert not victim.exists() if what == "dangling link" else victim.read_text() == "precious"


@on_posix
@pytest.mark.parametrize("what", ["link", "dangling link", "FIFO", "hard link"])
def test_a_lock_that_is_another_file_is_refused(directory: Path, what: str) -> None:
    victim, lock = directory.parent / "victim", directory / LOCK
    lock.unlink(missing_ok=True)
    if what != "dangling link":
        victim.write_text("precious")
    if what == "FIFO":
        os.mkfifo(lock)
    elif what == "hard link":
        os.link(victim, lock)
    else:
        lock.symlink_to(victim)
    with pytest.raises(IndexWriteError, match="no file that cbir made"), exclusive(directory):
        pass
    assert not victim.exists() if what == "dangling link" else victim.read_text() == "precious"


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 200_000,
        b"[1]",
        b"null",
        b"\xff",
        b'{"process": ' + b"9" * 5000 + b', "host": 1, "since": 1}',
        b" " * (1 << 20),
        b'{"process": 5, "host": "\\u001b[31m\\u202e", "since": "s\\r\\nError: no"}',
        json.dumps({"process": 5, "host": "h" * 10_000, "since": "now"}).encode(),
    ],
)
def test_what_the_holder_of_a_lock_says_is_told_harmlessly(directory: Path, content: bytes) -> None:
    with exclusive(directory):
        (directory / HOLDER).write_bytes(content)
        with pytest.raises(IndexLockedError) as raised, exclusive(directory):
            pass
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 600


@on_posix
@pytest.mark.parametrize("name", ["meta.json.new", "features-000002.npy", "files-000002.json"])
def test_a_commit_follows_no_link_and_writes_over_nothing(directory: Path, name: str) -> None:
    victim = directory.parent / "victim"
    victim.write_text("precious")
    (directory / name).symlink_to(victim)
    writer = Writer(directory, load_meta(directory))
    (directory / name).unlink(missing_ok=True)
    (directory / name).symlink_to(victim)  # as somebody might who is quick
    writer.add(FileRecord("new.jpg", 1, 1, "f" * 64), features(13)[12])
    if name == "meta.json.new":
        writer.commit()
    else:
        with pytest.raises(IndexWriteError, match="as if this one had no lock"):
            writer.commit()
    assert victim.read_text() == "precious"
    assert not find_problems(Index.open(directory), verify=True)


@pytest.mark.parametrize("name", ["files-000001.json", "features-000001.npy"])
def test_a_file_that_is_cut_off_later_is_an_error_and_no_crash(directory: Path, name: str) -> None:
    index = Index.open(directory)
    os.truncate(directory / name, 10)
    with pytest.raises(IndexDamagedError, match="ends too early"):
        index.record(3), index.features([3])


# --- what an index says of itself


def a_list(meta: dict[str, Any]) -> None:
    meta["blocks"] = [meta["blocks"][0]] * 3000


@pytest.mark.parametrize(
    "change",
    [
        lambda meta: meta.update(root="a" * 300_000),
        lambda meta: meta.update(root="nul\0"),
        lambda meta: meta.update(root="\ud800"),
        lambda meta: meta.update(root=["/"]),
        lambda meta: meta.update(created=5),
        lambda meta: meta.update(updated="x" * 10_000),
        lambda meta: meta.update(exclude=[5]),
        lambda meta: meta.update(exclude="*"),
        lambda meta: meta.update(complete=1),
        lambda meta: meta.update(format=True),
        lambda meta: meta.update(format=1.0),
        lambda meta: meta.update(dimension=True),
        lambda meta: meta.update(next_number="1"),
        lambda meta: meta.update(next_number=1.5),
        lambda meta: meta.update(model="x"),
        lambda meta: meta["model"].update(more=[[[[[[[1]]]]]]]),
        lambda meta: meta["model"].update(more=list(range(1000))),
        lambda meta: meta.update(blocks=[meta["blocks"][0]] * 2),
        a_list,
        lambda meta: meta["blocks"][0].update(rows=True),
        lambda meta: meta["blocks"][0].update(rows=0),
        lambda meta: meta["blocks"][0].update(rows=10**30),
        lambda meta: meta["blocks"][0].update(invalid=[[5, 6], [2, 3]]),
        lambda meta: meta["blocks"][0].update(invalid=[[2, 6], [5, 8]]),
        lambda meta: meta["blocks"][0].update(invalid=[[2.0, 6]]),
        lambda meta: meta["blocks"][0].update(files=meta["blocks"][0]["features"]),
        lambda meta: meta["blocks"][0]["features"].update(bytes=-1),
        lambda meta: meta["blocks"][0]["features"].update(bytes=True),
        lambda meta: meta["blocks"][0]["features"].update(name="features-000001.npy\n"),
        lambda meta: meta["blocks"][0]["features"].update(name="features-٠٠٠٠٠١.npy"),
        lambda meta: meta["blocks"][0]["features"].update(sha256="0" * 63),
        lambda meta: meta["cosines"].update(random=[float("nan")] * len(meta["cosines"]["random"])),
        lambda meta: meta["cosines"].update(random=[5.0] * len(meta["cosines"]["random"])),
        lambda meta: meta["cosines"].update(probabilities=[0.5] * 100_000),
        lambda meta: meta["cosines"].update(rows=-1),
        lambda meta: meta.update(parts={"whitening": "0" * 64, "pictures": True}),
        lambda meta: meta.update(parts={"whitening": 5}),
    ],
)
def test_what_cannot_be_in_meta_json_is_damage(directory: Path, change: Callable[[dict[str, Any]], None]) -> None:
    forge(directory, change)
    with pytest.raises(IndexDamagedError, match=r"meta\.json is damaged") as raised:
        Index.open(directory)
    assert len(str(raised.value)) < 2000


@pytest.mark.parametrize(
    "text", ['{"format": 1, "format": 1}', "[" * 100_000, '{"format": NaN}', '{"format": 1e999}', "5"]
)
def test_a_meta_json_that_is_none_is_damage(directory: Path, text: str) -> None:
    (directory / META).write_text(text)
    with pytest.raises(IndexDamagedError):
        Index.open(directory)


@pytest.mark.parametrize("number", [-5, 0, 1, 2, 999_999, 10**12, 10**190])
def test_an_index_stays_usable_whatever_its_next_number_is(directory: Path, number: int) -> None:
    forge(directory, lambda meta: meta.update(next_number=number))
    before = (directory / "features-000001.npy").read_bytes()
    for turn in range(3):
        writer = Writer(directory, load_meta(directory))
        writer.add(FileRecord(f"new{turn}.jpg", 1, 1, f"{turn:064x}"), features(20)[12 + turn])
        writer.commit()
        if turn == 0:
            assert (directory / "features-000001.npy").read_bytes() == before
        assert not find_problems(Index.open(directory), verify=True)
    assert len(Index.open(directory)) == 15


@pytest.mark.parametrize(
    "row",
    [
        ["a" * 300_000, 1, 1, "0" * 64],
        ["a" * 256 + ".jpg", 1, 1, "0" * 64],
        ["a/" * 150_000 + "b", 1, 1, "0" * 64],
        ["nul\0", 1, 1, "0" * 64],
        ["\ud800.jpg", 1, 1, "0" * 64],
        ["../x.jpg", 1, 1, "0" * 64],
        ["a/./b.jpg", 1, 1, "0" * 64],
        ["a//b.jpg", 1, 1, "0" * 64],
        ["a/", 1, 1, "0" * 64],
        ["/etc/passwd", 1, 1, "0" * 64],
        ["", 1, 1, "0" * 64],
        ["a.jpg", -1, 1, "0" * 64],
        ["a.jpg", True, 1, "0" * 64],
        ["a.jpg", 10**30, 1, "0" * 64],
        ["a.jpg", 1, 1.5, "0" * 64],
        ["a.jpg", 1, -(10**40), "0" * 64],
        ["a.jpg", 1, 1, "g" * 64],
        ["a.jpg", 1, 1, "0" * 65],
        ["a.jpg", 1, 1, "é" * 64],
        ["a.jpg", 1, 1],
        [["a.jpg"], 1, 1, "0" * 64],
        "a.jpg",
    ],
)
def test_a_row_that_is_no_file_below_the_root_is_damage(directory: Path, row: Any) -> None:
    set_rows(directory, lambda rows: rows.__setitem__(3, row))
    index = Index.open(directory)
    for read in (lambda: index.record(3), index.files):
        with pytest.raises(IndexDamagedError, match="row 3"):
            read()
    assert index.record(4).path == "4.jpg"
    assert find_problems(index)


@pytest.mark.parametrize(
    "name", ["\udcff\udcfe.jpg", "🙂" * 60 + ".jpg", "a" * 255, "b/" * 15_000 + "c", " ", "..a", "a..", "c:x"]
)
def test_names_that_files_can_have_are_read(directory: Path, name: str) -> None:
    set_rows(directory, lambda rows: rows[3].__setitem__(0, name))
    assert Index.open(directory).record(3).path == name
    assert not find_problems(Index.open(directory), verify=True)


def test_one_file_twice_is_damage_that_can_be_repaired(directory: Path) -> None:
    set_rows(directory, lambda rows: rows[3].__setitem__(0, "4.jpg"))
    (problem,) = find_problems(Index.open(directory))
    assert "1 files twice" in problem
    assert "--repair" in problem
    sound, problems = without_damage(directory, load_meta(directory))
    assert sound.blocks == ()
    assert problems == [problem]
    # a row that does not count may have the name of one that does
    forge(directory, lambda meta: meta["blocks"][0].update(invalid=[[3, 4]]))
    assert not find_problems(Index.open(directory))


def test_times_of_any_year_are_read(directory: Path) -> None:
    for time in (2**63 * 10**9, -(2**63) * 10**9, 0):
        set_rows(directory, lambda rows, time=time: rows[3].__setitem__(2, time))
        assert Index.open(directory).record(3).mtime_ns == time
        assert not find_problems(Index.open(directory))


@pytest.mark.parametrize("content", [b"", b"[]", b"\0" * 2000, b"[\n" + b"\n" * 2000 + b"\n]\n"])
def test_a_list_of_files_that_is_none_is_damage(directory: Path, content: bytes) -> None:
    forge(directory, files=content)
    with pytest.raises(IndexDamagedError):
        read_all(directory)


def test_a_large_list_of_files_is_read_in_parts(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Index.open(directory)
    for size in (1, 7, 64, 66, 1000):
        monkeypatch.setattr("cbir.index.files._PART_BYTES", size)
        index = Index.open(directory)
        assert [index.find(f"{row:064x}") for row in range(12)] == [[row] for row in range(12)]
        assert [index.record(row) for row in range(12)] == [whole.record(row) for row in range(12)]
        assert index.files() == whole.files()


# --- rows that are none


BAD = {"NaN": 0x7FFF, "infinity": 0x7C00, "minus infinity": 0xFC00, "60000": 0x7B53, "1": 0x3C00, "zeros": None}


def spoil(directory: Path, row: int, what: str) -> None:
    """Let one number of a row rot, or all."""
    path = directory / "features-000001.npy"
    content = bytearray(path.read_bytes())
    at = len(content) - 12 * 2 * DIMENSION + row * 2 * DIMENSION
    bits = BAD[what]
    if bits is None:
        content[at : at + 2 * DIMENSION] = bytes(2 * DIMENSION)
    else:
        content[at + 8 : at + 10] = bits.to_bytes(2, "little")
    path.write_bytes(content)


@pytest.mark.parametrize("reranked", [True, False])
@pytest.mark.parametrize("what", BAD)
def test_a_row_that_is_no_feature_is_no_match_and_said(
    directory: Path, what: str, reranked: bool, caplog: pytest.LogCaptureFixture
) -> None:
    sound = Searcher(Index.open(directory))
    queries = sound.index.features(range(12))
    wanted = [[row for row in sound.ranked(query, 12, reranked=False)[0].tolist() if row != 7] for query in queries]
    spoil(directory, 7, what)
    index = Index.open(directory)
    searcher = Searcher(index)
    for query, expected in zip(queries, wanted, strict=True):
        rows, scores = searcher.ranked(query, 12, reranked=reranked)
        assert 7 not in rows
        assert sorted(rows) == sorted(expected) if reranked else rows.tolist() == expected
        assert np.isfinite(scores).all()
        assert scores.max() < 1.01
    assert index.damage == [caplog.messages[0].partition(" Until")[0]]
    assert "features-000001.npy is damaged" in caplog.text
    assert "--repair" in caplog.text
    assert len(index.valid) == 12 == int(index.valid.sum())


def test_a_row_that_is_no_feature_is_found_by_verify_and_repaired_though_the_checksums_fit(directory: Path) -> None:
    spoil(directory, 7, "60000")
    forge(directory, features=(directory / "features-000001.npy").read_bytes())
    (problem,) = find_problems(Index.open(directory), verify=True)
    assert "rows that are no features" in problem
    sound, problems = without_damage(directory, load_meta(directory))
    assert sound.blocks == ()
    assert problems == [problem]


def test_a_writer_takes_rotten_rows_along_as_they_are(directory: Path) -> None:
    spoil(directory, 7, "60000")
    writer = Writer(directory, load_meta(directory))
    assert writer.feature(7) is None
    assert writer.feature(6) is not None
    for row, feature in enumerate(features(30)[12:], 12):
        writer.add(FileRecord(f"{row}.jpg", 1, 1, f"{row:064x}"), feature)
    writer.commit()  # joins the blocks, and the damage must not be hidden by that
    assert len(load_meta(directory).blocks) == 1
    assert find_problems(Index.open(directory), verify=True)


# --- who may read, and what is not trusted


@on_posix
@pytest.mark.parametrize(
    ("root_mode", "folder", "file"), [(0o700, 0o700, 0o600), (0o755, 0o755, 0o644), (0o711, 0o700, 0o600)]
)
def test_an_index_is_for_those_who_may_read_its_root(tmp_path: Path, root_mode: int, folder: int, file: int) -> None:
    root, directory = tmp_path / "root", tmp_path / "index"
    root.mkdir()
    root.chmod(root_mode)
    before = os.umask(0o022)
    try:
        directory.mkdir()
        make_index(directory / "made", features(12), root=root)
        with exclusive(directory / "made", rights=Rights.like(root, directory)):
            writer = Writer(directory / "made", load_meta(directory / "made"))
            writer.add(FileRecord("new.jpg", 1, 1, "f" * 64), features(13)[12])
            writer.commit()
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (directory / "made").iterdir()}
    finally:
        os.umask(before)
    assert set(modes) >= {META, LOCK, HOLDER, "features-000001.npy"}
    assert modes == dict.fromkeys(modes, file)
    assert stat.S_IMODE((directory / "made").stat().st_mode) == folder


@on_posix
def test_what_lies_below_a_private_folder_is_private(tmp_path: Path) -> None:
    (tmp_path / "home" / "photos").mkdir(parents=True)
    (tmp_path / "home").chmod(0o700)
    rights = Rights.like(tmp_path / "home" / "photos", tmp_path / "index")
    assert rights.of_folder & 0o007 == 0
    assert rights.of_files & 0o007 == 0


@on_posix
def test_an_index_whose_root_is_away_stays_as_private_as_it_is(directory: Path) -> None:
    for mode, file in ((0o700, 0o600), (0o750, 0o640), (0o755, 0o644)):
        directory.chmod(mode)
        rights = Rights.like(directory.parent / "gone", directory)
        assert (rights.of_folder, rights.of_files & 0o644) == (mode, file)


def test_a_file_of_the_cache_that_cannot_be_looked_for_is_not_there(tmp_path: Path) -> None:
    assert cache.kept(tmp_path / ("n" * 300), 10) is None


@on_posix
@pytest.mark.parametrize("where", ["folder", "above"])
@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_cache_that_others_can_write_to_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str, mode: int
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache._is_ours.cache_clear()
    file = cache.cache_folder("checked") / "some"
    cache.keep(file, b"con", b"tent")
    assert cache.kept(file, 100) == b"content"
    assert cache.kept(file, 6) is None
    (file.parent if where == "folder" else tmp_path / "cache").chmod(mode)
    cache._is_ours.cache_clear()
    is_used = where == "above" and mode == 0o1777  # there others cannot replace what is the user's
    assert cache.kept(file, 100) == (b"content" if is_used else None)
    cache.keep(file, b"changed")
    assert file.read_bytes() == (b"changed" if is_used else b"content")
    assert caplog.text.count("is not used") == (0 if is_used else 1)
    cache._is_ours.cache_clear()


@on_posix
def test_the_cache_is_for_the_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not there" / "yet"))
    cache._is_ours.cache_clear()
    cache.keep(cache.cache_folder("checked") / "some", b"content")
    for path in (tmp_path / "not there").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


@on_posix
@pytest.mark.parametrize("what", ["FIFO", "device"])
def test_a_file_of_the_cache_that_never_ends_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = cache.cache_folder("checked") / "some"
    cache.make_private(file.parent)
    os.mkfifo(file) if what == "FIFO" else file.symlink_to("/dev/zero")
    assert cache.kept(file, 1 << 40) is None
    assert not verified.is_marked(tmp_path, "0" * 64)


# --- what an index leads to


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache of nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    cache._is_ours.cache_clear()
    return tmp_path


def test_weights_that_only_an_index_names_are_not_opened(home: Path) -> None:
    file = home / "weights.pth"
    file.write_bytes(b"numbers")
    index_says = Weights.from_json(Weights.from_file(file).to_json())
    with pytest.raises(WeightsError, match=r"not used here before.*--weights") as raised:
        index_says.locate()
    assert str(file) in str(raised.value)
    named_by_user(str(file), "resnet50")
    assert index_says.locate() == file
    file.write_bytes(b"others")
    with pytest.raises(WeightsError, match="not on this machine any more"):
        index_says.locate()


def test_a_large_network_of_random_numbers_needs_the_users_word(home: Path) -> None:
    record = describe("squeezenet1_1", "untrained").to_json()
    (home / "cache" / "cbir" / "weights" / "untrained-squeezenet1_1").unlink()
    backbone = Backbone.from_json(record)
    with pytest.raises(WeightsError, match="--weights untrained"):
        backbone.build()
    named_by_user("untrained", "squeezenet1_1")
    assert backbone.build() is not None
    record["preprocessing"]["crop"] = 200
    with pytest.raises(ModelError, match="not that of squeezenet1_1"):
        Backbone.from_json(record).build()


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../../x"},
        {"name": "x" * 1000},
        {"name": 5},
        {"dimension": True},
        {"preprocessing": {"resize": 4096, "crop": 4096}},
        {"preprocessing": {"mean": [1, 2, 3]}},
        {"preprocessing": {"crop": True}},
        {"weights": {"source": "elsewhere"}},
        {"weights": {"source": "hub"}},
        {"weights": {"path": "nul\0"}},
        {"weights": {"path": 5}},
        {"weights": {"url": ["x"]}},
        {"weights": {"sha256": 5}},
        {"weights": 5},
    ],
)
def test_a_network_that_cannot_be_is_damage(directory: Path, change: dict[str, Any]) -> None:
    def forged(meta: dict[str, Any]) -> None:
        for key, value in change.items():
            if isinstance(value, dict):
                meta["model"][key].update(value)
            else:
                meta["model"][key] = value

    forge(directory, forged)
    with pytest.raises(IndexDamagedError, match=r"names no backbone|meta\.json is damaged"):
        Searcher(Index.open(directory))


def test_an_index_whose_network_makes_other_features_is_damage_and_no_crash(directory: Path, tmp_path: Path) -> None:
    Image.new("RGB", (300, 300), "teal").save(tmp_path / "query.png")
    with pytest.raises(IndexDamagedError, match="16 numbers a row, but its network makes 1280"):
        list(Searcher(Index.open(directory)).search([tmp_path / "query.png"]))


def a_picture(format_: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(file, format_, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "is_picture"),
    [
        ("a.jpg", a_picture("JPEG"), True),
        ("a.tga", a_picture("TGA"), True),
        ("a.xbm", b"#define x_width 8\n", True),
        ("a.ppm", a_picture("PPM"), True),
        ("a", a_picture("PNG"), True),
        ("a.jpg", b"[Desktop Entry]\nExec=x\n", False),
        ("a.desktop", a_picture("PNG"), False),
        ("a.html", a_picture("GIF") + b"<script>", False),
        ("a.sh", b"#!/bin/sh\n", False),
        ("a", b"#define x_width 8\n", False),
        ("a.svg", b"<svg/>", False),
        ("a.jpg", b"", False),
    ],
)
def test_only_pictures_are_opened(tmp_path: Path, name: str, content: bytes, is_picture: bool) -> None:
    (tmp_path / name).write_bytes(content)
    assert opening._is_picture(tmp_path / name) is is_picture


@on_posix
def test_links_and_pipes_are_opened_as_what_they_lead_to(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_bytes(a_picture("PNG"))
    (tmp_path / "a.png").symlink_to("page.html")
    os.mkfifo(tmp_path / "b.png")
    (tmp_path / "c.png").symlink_to("/dev/zero")
    (tmp_path / "real.png").write_bytes(a_picture("PNG"))
    (tmp_path / "d.png").symlink_to("real.png")
    assert [name for name in "abcd" if opening._is_picture(tmp_path / f"{name}.png")] == ["d"]


@on_posix
def test_sidecars_are_for_pictures_that_really_are_below_the_root(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for folder in (root, elsewhere):
        folder.mkdir()
        (folder / "a.png").write_bytes(a_picture("PNG"))
    (root / "text.jpg").write_text("no picture")
    (root / "folder").symlink_to(elsewhere)
    (root / "link.png").symlink_to(elsewhere / "a.png")
    names = ("a.png", "link.png", "text.jpg", "folder/a.png", "../elsewhere/a.png", "nothing.png")
    real = os.path.realpath(root)
    assert [name for name in names if is_picture_below(real, root / name)] == ["a.png", "link.png"]


def test_a_window_whose_numbers_are_none_is_no_match(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_index(tmp_path / "index", features(12))
    writer = Writer(tmp_path / "index", load_meta(tmp_path / "index"))
    rng = np.random.default_rng(2)
    for row in range(12):
        rows = rng.normal(size=(3, 896)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        numbers = quantised(rows) if row != 5 else np.full((3, 896), 127, dtype=np.int8)
        boxes = np.array([[0, 0, 9, 9]] * 3, dtype=np.int32)
        kept = pack(PartRows(boxes, numbers, signs(numbers)))
        for column, records in zip((PARTS, SIGNS), kept, strict=True):
            writer.backfill(column, [row], records)
    writer.commit(parts=PartsEntry())
    index = Index.open(tmp_path / "index")
    query = np.full(896, 896**-0.5, dtype=np.float32)
    found = find_parts(index, query, 12, [])
    assert sorted(found.rows) == [row for row in range(12) if row != 5]
    assert found.scores.max() < 1.01
    assert index.damage
    assert "parts that are none" in caplog.text
