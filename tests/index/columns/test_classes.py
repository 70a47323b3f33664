"""The classes of rows in an index directory: written, read back, kept with their rows, and harmless when damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cbir.errors import IndexDamagedError
from cbir.index.columns.classes import CLASSES, COUNT, RECORD, pack, unavailable, unpack
from cbir.index.format import META, load_meta
from cbir.index.store import Index
from cbir.index.verify import find_problems, without_damage
from cbir.index.writer import Writer
from tests.index.test_store import DIMENSION, feature, first_state, record


def classes(number: int) -> np.ndarray:
    """Classes unlike those of every other row of these tests."""
    random = np.random.default_rng(number)
    return pack(random.choice(1000, COUNT, replace=False), np.sort(random.random(COUNT) / COUNT + 1e-3)[::-1])


def fill(writer: Writer, numbers: range, *, classified: bool = True) -> None:
    for number in numbers:
        assert writer.add(record(number), feature(number), {"classes": classes(number)} if classified else None)


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    path = tmp_path / "index"
    path.mkdir()
    return Writer(path, first_state())


def number_of(index: Index, row: int) -> int:
    """Which `record` a row belongs to."""
    return index.record(row).size - 100


def check(index: Index, without: set[int]) -> None:
    """Every row has the classes of its own file, but for the files `without`."""
    found = index.classes()
    assert found.numbers.shape == found.probabilities.shape == (index.rows, COUNT)
    assert (found.numbers.dtype, found.probabilities.dtype) == (np.uint16, np.float16)
    for row in range(index.rows):
        number = number_of(index, row)
        assert bool(found.known[row]) == (number not in without)
        right = np.zeros(COUNT, dtype=RECORD) if number in without else classes(number)
        assert found.numbers[row].tolist() == right["class"].tolist()
        assert found.probabilities[row].tolist() == right["probability"].tolist()
    assert find_problems(index, verify=True) == []


def test_classes_are_read_back_and_stay_with_their_rows(writer: Writer) -> None:
    """Through blocks, blocks of some rows without, merging and compaction."""
    fill(writer, range(10))
    writer.commit()
    check(Index.open(writer.directory), set())
    fill(writer, range(10, 13), classified=False)
    writer.commit()
    index = Index.open(writer.directory)
    assert ["classes" not in block.columns for block in index.meta.blocks] == [False, True]
    check(index, {10, 11, 12})
    assert np.flatnonzero(index.missing(CLASSES)).tolist() == [10, 11, 12]
    fill(writer, range(13, 16))
    writer.add(record(16), feature(16))
    writer.commit()
    index = Index.open(writer.directory)
    assert len(index.meta.blocks) == 1
    check(index, {10, 11, 12, 16})
    fill(writer, range(17, 2400))
    writer.commit()
    writer.invalidate(range(0, 2400, 2))
    writer.commit()
    writer.tidy()
    index = Index.open(writer.directory)
    assert index.rows == 1200
    check(index, {11})


def test_an_index_without_classes_has_no_file_of_them(writer: Writer) -> None:
    for start in range(0, 12, 3):
        fill(writer, range(start, start + 3), classified=False)
        writer.commit()
    writer.invalidate(range(10))
    writer.commit()
    assert not list(writer.directory.glob("classes-*"))
    index = Index.open(writer.directory)
    check(index, set(range(12)))
    assert index.missing(CLASSES).all()
    assert writer.stored(CLASSES, 3) is None


def test_an_index_of_an_older_cbir_is_read(writer: Writer) -> None:
    from cbir.index import format as format_module

    fill(writer, range(5), classified=False)
    writer.commit()
    path = writer.directory / META
    meta = json.loads(path.read_text())
    del meta["checksum"]
    for block in meta["blocks"]:
        del block["classes"]
    path.write_text(json.dumps({**meta, "checksum": format_module._checksum(meta)}))
    index = Index.open(writer.directory)
    check(index, set(range(5)))
    assert index.missing(CLASSES).all()


def test_rows_are_given_classes_and_nothing_else_of_them_changes(writer: Writer) -> None:
    fill(writer, range(10), classified=False)
    writer.commit()
    fill(writer, range(10, 13))
    writer.commit()
    before = Index.open(writer.directory)
    writer.backfill(CLASSES, [2, 5], classes(2))
    writer.backfill(CLASSES, [5], classes(5))
    writer.backfill(CLASSES, [7], unavailable())
    assert writer.uncommitted == 3
    assert writer.stored(CLASSES, 5).tolist() == classes(5).tolist()  # type: ignore[union-attr]
    writer.commit()
    assert writer.uncommitted == 0
    after = Index.open(writer.directory)
    check(after, {0, 1, 3, 4, 6, 7, 8, 9})
    assert np.flatnonzero(after.missing(CLASSES)).tolist() == [0, 1, 3, 4, 6, 8, 9]
    for old, new in zip(before.meta.blocks, after.meta.blocks, strict=True):
        assert (old.features, old.files) == (new.features, new.files)
    assert before.meta.blocks[1] == after.meta.blocks[1]
    assert before.classes().known.tolist() == [False] * 10 + [True] * 3
    # the next ones are written under a new name, and the old file goes
    first = after.meta.blocks[0].columns["classes"]
    writer.backfill(CLASSES, [0], classes(0))
    writer.commit()
    check(Index.open(writer.directory), {1, 3, 4, 6, 7, 8, 9})
    assert first is not None
    assert not (writer.directory / first.name).exists()
    # while a reader of the older state still has what it had
    assert after.classes().known[0] == np.False_
    # and what was in vain outlives a merge
    fill(writer, range(13, 40))
    writer.commit()
    index = Index.open(writer.directory)
    assert len(index.meta.blocks) == 1
    assert np.flatnonzero(index.missing(CLASSES)).tolist() == [1, 3, 4, 6, 8, 9]


def test_a_failed_commit_keeps_what_was_classified(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    from cbir.errors import IndexWriteError

    fill(writer, range(4), classified=False)
    writer.commit()
    before = {path.name: path.read_bytes() for path in writer.directory.iterdir()}
    writer.backfill(CLASSES, [1], classes(1))

    def full(self: Writer, *arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Writer, "_replace", full)
    with pytest.raises(IndexWriteError):
        writer.commit()
    assert {path.name: path.read_bytes() for path in writer.directory.iterdir()} == before
    monkeypatch.undo()
    writer.commit()
    check(Index.open(writer.directory), {0, 2, 3})


@pytest.mark.parametrize("damage", ["gone", "cut", "foreign", "class", "probability", "not finite", "a bit"])
def test_damaged_classes_harm_nothing_else_and_are_noticed(writer: Writer, damage: str) -> None:
    fill(writer, range(10))
    writer.commit()
    fill(writer, range(10, 13))
    writer.commit()
    entry = writer.meta.blocks[0].columns["classes"]
    assert entry is not None
    path = writer.directory / entry.name
    data = bytearray(path.read_bytes())
    start = len(data) - 10 * COUNT * 4
    if damage == "gone":
        path.unlink()
    elif damage == "foreign":
        path.write_bytes((writer.directory / "features-000001.npy").read_bytes().ljust(len(data), b"\0")[: len(data)])
    else:
        change = {"class": (0, b"\xe8\x03"), "probability": (2, b"\x01\x3c"), "not finite": (2, b"\x00\x7e")}
        if damage in change:
            offset, value = change[damage]
            data[start + offset : start + offset + 2] = value
        elif damage == "a bit":
            data[start] ^= 1
        path.write_bytes(data[:-4] if damage == "cut" else data)
    index = Index.open(writer.directory)
    assert len(index) == 13
    assert index.features([3]).shape == (1, DIMENSION)
    assert [found for _, found in index.records()] == [record(number) for number in range(13)]
    if damage == "a bit":
        index.classes()
        assert find_problems(index) == []
    else:
        with pytest.raises(IndexDamagedError, match=r"classes-000001\.npy.*--repair"):
            index.classes()
        assert any("classes-000001" in problem for problem in find_problems(index))
    assert any("classes-000001" in problem for problem in find_problems(index, verify=True))
    sound, problems = without_damage(writer.directory, load_meta(writer.directory))
    assert len(problems) == 1
    assert ["classes" not in block.columns for block in sound.blocks] == [True, False]
    assert [(block.rows, block.features, block.files) for block in sound.blocks] == [
        (block.rows, block.features, block.files) for block in index.meta.blocks
    ]
    Writer(writer.directory, load_meta(writer.directory)).replace(sound)
    check(Index.open(writer.directory), set(range(10)))


def test_impossible_records_are_refused() -> None:
    good = np.stack([classes(1), unavailable(), np.zeros(COUNT, dtype=RECORD)])
    assert unpack(good).known.tolist() == [True, False, False]
    assert unpack(good).numbers[1].tolist() == [0] * COUNT
    for change in ({"class": 1000}, {"class": 0xFFFF}, {"probability": 1.001}, {"probability": -0.5}):
        bad = good.copy()
        for name, value in change.items():
            bad[name][0, 3] = value
        with pytest.raises(ValueError, match=r"probability|class"):
            unpack(bad)
