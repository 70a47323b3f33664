"""The index directory: what is written is read back, commits are whole, blocks merge, damage is noticed."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cbir.errors import IndexDamagedError, IndexLockedError, IndexNotFoundError, IndexWriteError
from cbir.index.files import FileRecord
from cbir.index.format import FORMAT_OF_SEVERAL, META, Meta, load_meta
from cbir.index.lock import exclusive
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.index.writer import Writer

DIMENSION = 16


def first_state(dimension: int = DIMENSION) -> Meta:
    return Meta({"name": "test"}, dimension, "/photos", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z")


def record(number: int, content: int | None = None) -> FileRecord:
    return FileRecord(f"folder/{number}.jpg", 100 + number, 10**18 + number, f"{content or number:064x}")


def feature(number: int) -> np.ndarray:
    return np.random.default_rng(number).random(DIMENSION, dtype=np.float32)


def fill(writer: Writer, numbers: range) -> None:
    for number in numbers:
        assert writer.add(record(number), feature(number))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "index"
    path.mkdir()
    return path


@pytest.fixture
def committed(directory: Path) -> Path:
    """An index of two blocks: rows 0 to 9 and 10 to 12, of which rows 3, 4 and 11 are invalid."""
    writer = Writer(directory, first_state())
    fill(writer, range(10))
    writer.commit()
    fill(writer, range(10, 13))
    writer.invalidate([3, 4])
    writer.commit()
    writer.invalidate([11])
    writer.commit()
    return directory


def test_rows_and_records_are_read_back(committed: Path) -> None:
    index = Index.open(committed)
    assert [block.rows for block in index.meta.blocks] == [10, 3]
    assert index.rows == 13
    assert len(index) == 10
    assert np.flatnonzero(~index.valid).tolist() == [3, 4, 11]
    rows = index.features([12, 0, 5])
    for got, number in zip(rows, [12, 0, 5], strict=True):
        wanted = feature(number) / np.linalg.norm(feature(number))
        assert np.allclose(got, wanted, atol=1e-3)
    assert index.record(12) == record(12)
    assert [found for _, found in index.records()] == [record(number) for number in range(13)]
    assert np.allclose(np.concatenate([chunk for _, chunk in index.chunks(4)]), index.features(range(4, 13)))


def test_a_content_is_found_by_its_hash_in_valid_rows_only(committed: Path) -> None:
    index = Index.open(committed)
    assert index.find(record(12).sha256) == [12]
    assert index.find(record(11).sha256) == []
    assert index.find("f" * 64) == []
    for row in index.valid.nonzero()[0].tolist():
        assert index.rows_of_content(record(row).sha256) == [row]
    assert index.rows_of_content(record(11).sha256) == index.rows_of_content("f" * 64) == []


def test_copies_are_found_by_what_their_hashes_begin_with(directory: Path) -> None:
    writer = Writer(directory, first_state())
    hashes = ["ab" * 32, "ab" * 8 + "cd" * 24, "ab" * 32, "0" * 64, "f" * 64]
    for row, sha256 in enumerate(hashes):
        writer.add(FileRecord(f"{row}.jpg", 1, 1, sha256), feature(row))
    writer.commit()
    index = Index.open(directory)
    assert index.rows_of_content("ab" * 8) == [0, 1, 2]
    assert index.rows_of_content("ab" * 32) == index.rows_of_content("ab" * 10) == [0, 2]
    assert [index.rows_of_content(digit * 64) for digit in "0f"] == [[3], [4]]


def test_files_of_some_rows_are_those_of_each(committed: Path) -> None:
    for rows in ([12, 0, 5, 11, 0], [2], [], [12, 10], [*range(13)]):
        index = Index.open(committed)
        assert index.files_of(rows) == [record(row) for row in rows]
        assert index.files_of([12, *rows, 3]) == [record(row) for row in [12, *rows, 3]]


@pytest.mark.parametrize("line", ["[1, 2, 3]", "1", '"x', '["/etc/passwd", 1, 1, "' + "0" * 64 + '"]'])
def test_of_many_rows_the_damaged_one_is_named(directory: Path, line: str) -> None:
    writer = Writer(directory, first_state())
    fill(writer, range(6))
    writer.commit()
    file = directory / "files-000001.json"
    lines = file.read_text().splitlines()
    lines[5] = line.ljust(len(lines[5]) - 1) + ","
    file.write_text("\n".join(lines) + "\n")
    index = Index.open(directory)
    assert index.files_of([0, 1, 3, 5]) == [record(row) for row in (0, 1, 3, 5)]
    with pytest.raises(IndexDamagedError, match="row 4"):
        index.files_of([2, 4])
    assert index.rows_of_content("f" * 64) == []


def test_names_of_any_bytes_survive(directory: Path) -> None:
    names = [
        "a\nb.jpg",
        'quote".jpg',
        "tab\t.jpg",
        "\udcff\udcfe.jpg",
        "émoji🙂.jpg",
        "-dash.jpg",
        "\\u0041.jpg",
        "],.jpg",
    ]
    writer = Writer(directory, first_state())
    for number, name in enumerate(names):
        writer.add(FileRecord(name, 1, 1, f"{number:064x}"), feature(number))
    writer.commit()
    index = Index.open(directory)
    assert [index.record(row).path for row in range(len(names))] == names
    assert [found.path for _, found in index.records()] == names
    assert [index.find(f"{number:064x}") for number in range(len(names))] == [[number] for number in range(len(names))]


def test_features_that_say_nothing_are_refused(directory: Path) -> None:
    writer = Writer(directory, first_state())
    assert not writer.add(record(1), np.zeros(DIMENSION, dtype=np.float32))
    assert not writer.add(record(1), np.full(DIMENSION, np.nan, dtype=np.float32))
    assert not writer.add(record(1), np.full(DIMENSION, np.inf, dtype=np.float32))
    assert writer.pending == 0
    with pytest.raises(ValueError, match="dimension 16"):
        writer.add(record(1), np.ones(DIMENSION + 1, dtype=np.float32))


def test_small_blocks_are_merged_and_rows_keep_their_numbers(directory: Path) -> None:
    writer = Writer(directory, first_state())
    for start in range(0, 64, 2):
        fill(writer, range(start, start + 2))
        if start == 20:
            writer.invalidate([7, 19])
        writer.commit()
        sizes = [block.rows for block in writer.meta.blocks]
        assert all(before >= 2 * after for before, after in pairwise(sizes)), sizes
    index = Index.open(directory)
    assert len(index.meta.blocks) <= 6
    assert [found for _, found in index.records()] == [record(number) for number in range(64)]
    assert np.flatnonzero(~index.valid).tolist() == [7, 19]
    for row in range(64):
        wanted = feature(row) / np.linalg.norm(feature(row))
        assert np.allclose(index.features([row])[0], wanted, atol=1e-3)
    named = {entry.name for entry in index.meta.files()} | {META}
    assert {path.name for path in directory.iterdir()} == named


def test_many_invalid_rows_are_dropped(directory: Path) -> None:
    writer = Writer(directory, first_state())
    fill(writer, range(2400))
    writer.commit()
    writer.invalidate(range(0, 2400, 2))
    writer.commit()
    assert Index.open(directory).rows == 2400
    writer.tidy()
    index = Index.open(directory)
    assert index.rows == len(index) == 1200
    assert [found for _, found in index.records()] == [record(number) for number in range(1, 2400, 2)]
    wanted = feature(1001) / np.linalg.norm(feature(1001))
    assert np.allclose(index.features([500])[0], wanted, atol=1e-3)


def test_nothing_is_written_where_nothing_changed(committed: Path) -> None:
    before = (committed / META).stat().st_mtime_ns
    Writer(committed, load_meta(committed)).commit()
    assert (committed / META).stat().st_mtime_ns == before


def test_rubbish_of_a_killed_run_is_removed_and_other_files_are_not(committed: Path) -> None:
    for name in ("features-000099.npy", "meta.json.new", "notes.txt"):
        (committed / name).write_text("x")
    Writer(committed, load_meta(committed))
    assert not (committed / "features-000099.npy").exists()
    assert not (committed / "meta.json.new").exists()
    assert (committed / "notes.txt").exists()
    assert not find_problems(Index.open(committed), verify=True)


def test_a_failed_commit_leaves_the_last_state_and_no_leftovers(
    committed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in committed.iterdir()}
    writer = Writer(committed, load_meta(committed))
    fill(writer, range(20, 22))

    def full(self: Writer, meta: Meta, *rest: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Writer, "_replace", full)
    with pytest.raises(IndexWriteError, match=r"no space left on device.*intact"):
        writer.commit()
    assert {path.name: path.read_bytes() for path in committed.iterdir()} == before
    monkeypatch.undo()
    writer.commit()
    assert Index.open(committed).rows == 15


@pytest.mark.parametrize(
    "unreadable",
    [
        {"exclude": ("x" * 32_768,)},
        {"exclude": ("\ud800",)},
        {"exclude": ("x",) * 100_001},
        {"dimension": 0},
        {"model": {"name": "x" * 40_000}},
    ],
    ids=["long", "no character", "many", "number", "network"],
)
def test_nothing_is_committed_that_could_not_be_read_again(committed: Path, unreadable: dict[str, Any]) -> None:
    before = {path.name: path.read_bytes() for path in committed.iterdir()}
    writer = Writer(committed, load_meta(committed))
    with pytest.raises(IndexWriteError, match=r"cannot hold what is to be written \(not .*intact"):
        writer.replace(writer.meta.but(**unreadable))
    assert {path.name: path.read_bytes() for path in committed.iterdir()} == before
    writer.replace(writer.meta.but(exclude=("x" * 32_767,)))
    assert Index.open(committed).rows == 13


def test_an_open_index_answers_from_its_own_state_while_files_are_replaced(committed: Path) -> None:
    index = Index.open(committed)
    writer = Writer(committed, load_meta(committed))
    fill(writer, range(13, 40))
    writer.commit()  # merges all blocks and removes the old files
    assert [found for _, found in index.records()] == [record(number) for number in range(13)]
    assert index.features([12]).shape == (1, DIMENSION)


def test_a_second_writer_is_told_who_is_first(directory: Path) -> None:
    message = r"process \d+ on .*since 2.*--wait"
    with exclusive(directory), pytest.raises(IndexLockedError, match=message), exclusive(directory):
        pass
    with exclusive(directory):
        pass


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("delete features", "is missing"),
        ("truncate features", "bytes instead of"),
        ("foreign features", "instead of"),
        ("delete files", "is missing"),
        ("garbage files", "damaged"),
        ("link files", "is a link"),
        ("edit meta", "checksum is wrong"),
        ("truncate meta", "damaged"),
        ("newer meta", "newer cbir"),
        ("outside meta", "damaged"),
    ],
)
def test_damage_is_a_clear_error(committed: Path, damage: str, message: str) -> None:
    what, which = damage.split()
    path = {"features": "features-000001.npy", "files": "files-000001.json", "meta": META}[which]
    file = committed / path
    if what == "delete":
        file.unlink()
    elif what == "truncate":
        file.write_bytes(file.read_bytes()[:-7])
    elif what == "foreign":
        size = file.stat().st_size
        np.save(file, np.zeros((5, DIMENSION * 2), dtype=np.float16))
        file.write_bytes(file.read_bytes().ljust(size, b"\0")[:size])
    elif what == "garbage":
        file.write_bytes(b"\xff\n" * (file.stat().st_size // 2) + b"x" * (file.stat().st_size % 2))
    elif what == "link":
        shutil.move(file, committed / "elsewhere")
        file.symlink_to(committed / "elsewhere")
    elif what == "edit":
        file.write_text(file.read_text().replace("/photos", "/photoz"))
    elif what == "newer":
        file.write_text(json.dumps({**json.loads(file.read_text()), "format": FORMAT_OF_SEVERAL + 1}))
    elif what == "outside":
        file.write_text(file.read_text().replace("features-000001.npy", "../../../etc/passwd"))
    with pytest.raises(IndexDamagedError, match=message) as caught:
        read_all(committed)
    assert str(committed) in str(caught.value)


def read_all(directory: Path) -> None:
    index = Index.open(directory)
    index.record(0)
    list(index.records())


def test_verify_finds_a_changed_bit(committed: Path) -> None:
    file = committed / "features-000001.npy"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    index = Index.open(committed)
    assert find_problems(index) == []
    assert [str(file) in problem for problem in find_problems(index, verify=True)] == [True]


def test_a_path_that_leads_out_of_the_root_is_refused(directory: Path) -> None:
    for path in ("/etc/passwd", "../secret.jpg", "a/../../b.jpg", ""):
        writer = Writer(directory, first_state())
        writer.add(FileRecord(path, 1, 1, "0" * 64), feature(1))
        writer.commit()
        with pytest.raises(IndexDamagedError, match="row 0"):
            Index.open(directory).record(0)
        for file in directory.iterdir():
            file.unlink()


def test_no_index_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(IndexNotFoundError, match="no index in"):
        Index.open(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(IndexNotFoundError, match="not an index"):
        Index.open(tmp_path / "file")


def test_of_two_runs_whose_lock_was_removed_the_later_harms_nothing(directory: Path) -> None:
    first, second = Writer(directory, first_state()), Writer(directory, first_state())
    fill(first, range(10))
    fill(second, range(20, 25))
    first.commit()
    with pytest.raises(IndexWriteError, match="remove the file lock"):
        second.commit()
    assert not find_problems(Index.open(directory), verify=True)
    assert list(Index.open(directory).files().paths) == [record(row).path for row in range(10)]


def test_a_run_whose_files_another_removed_commits_nothing(committed: Path) -> None:
    first = Writer(committed, load_meta(committed))
    fill(first, range(20, 21))  # too few to be joined with others
    write, removed = first._new.write, []

    def write_and_lose(name: str, content: object) -> object:
        entry = write(name, content)  # type: ignore[arg-type]
        if name.startswith("features"):
            removed.append(name)
            Writer(committed, load_meta(committed))  # a second run begins, and removes what no state names
        return entry

    first._new.write = write_and_lose  # type: ignore[method-assign, assignment]
    with pytest.raises(IndexWriteError, match="remove the file lock"):
        first.commit()
    assert removed
    assert not find_problems(Index.open(committed), verify=True)
    assert Index.open(committed).rows == 13
