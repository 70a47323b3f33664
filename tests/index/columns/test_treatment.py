"""How rows' pictures were treated, in an index directory: written, read back, harmless if damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cbir.backbones.backbone import describe
from cbir.errors import CbirError, IndexDamagedError
from cbir.index.columns.treatment import NUMBERS, TREATED, check_numbers, count_vectors, pack
from cbir.index.entries import TreatmentEntry
from cbir.index.files import FileRecord
from cbir.index.format import META, Meta, load_meta
from cbir.index.joined import JoinedIndex
from cbir.index.store import Index
from cbir.index.treatments import check_vector, treatment_of, treatments_of
from cbir.index.verify import find_problems, without_damage, without_damaged_columns
from cbir.index.writer import Writer

COUNT = 24


def vector(seed: int, numbers: int = COUNT) -> np.ndarray:
    found = np.random.default_rng(seed).gamma(2, 1, numbers)
    return (found / np.linalg.norm(found)).astype(np.float32)


def make(directory: Path, its: dict[int, np.ndarray], rows: int, *, numbers: int = COUNT, root: str = "/p") -> Index:
    """An index of rows of which some have a treatment, and others were not looked at."""
    directory.mkdir()
    model = describe("fake").to_json()
    writer = Writer(directory, Meta(model, model["dimension"], root, "2026", "2026"))
    for row in range(rows):
        record = FileRecord(f"{row}.jpg", 1, 1, f"{row:064x}")
        writer.add(record, np.random.default_rng(row).random(128), pack(its[row]) if row in its else {})
    writer.commit(treatment=TreatmentEntry(numbers))
    return Index.open(directory)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Of the first picture and the fourth there is a treatment, of the second none, of the others nobody knows."""
    return make(tmp_path / "index", {0: vector(0), 1: np.zeros(COUNT), 3: vector(3)}, 5)


def test_pack() -> None:
    packed = pack(7 * vector(1))
    assert count_vectors(packed["treatment"][np.newaxis]).tolist() == [1]
    assert packed["treatment_numbers"].shape == (1, COUNT)
    assert np.allclose(packed["treatment_numbers"][0], vector(1), atol=1e-3)
    for nothing in (np.zeros(COUNT), np.full(COUNT, np.nan), np.full(COUNT, np.inf)):
        packed = pack(nothing)
        assert count_vectors(packed["treatment"][np.newaxis]).tolist() == [0]
        assert len(packed["treatment_numbers"]) == 0
    # numbers that float16 does not hold before they have length 1
    assert np.allclose(pack(1e6 * vector(1))["treatment_numbers"][0], vector(1), atol=1e-3)


def test_they_are_read_with_their_rows(index: Index) -> None:
    found = treatments_of(index)
    assert found.rows.tolist() == [0, 3]
    assert np.allclose(found.vectors, [vector(0), vector(3)], atol=1e-3)
    assert np.allclose(treatment_of(index, 3), vector(3), atol=1e-3)
    assert np.linalg.norm(treatment_of(index, 3)) == pytest.approx(1, abs=1e-6)  # type: ignore[arg-type]
    assert treatment_of(index, 1) is treatment_of(index, 2) is None
    assert np.flatnonzero(index.missing(TREATED)).tolist() == [2, 4]
    assert find_problems(index, verify=True) == []
    assert json.loads((index.directory / META).read_text())["treatment"] == {"numbers": COUNT}
    assert load_meta(index.directory).treatment == TreatmentEntry(COUNT)


def test_rows_that_do_not_count_and_pictures_that_cannot_be_read(index: Index) -> None:
    writer = Writer(index.directory, index.meta)
    writer.invalidate([0])
    for column in (TREATED, NUMBERS):
        writer.backfill(column, [2], column.unavailable)
    writer.commit()
    index = Index.open(index.directory)
    assert treatments_of(index).rows.tolist() == [3]
    assert np.flatnonzero(index.missing(TREATED)).tolist() == [4]
    assert np.flatnonzero(index.missing(TREATED, unavailable_too=True)).tolist() == [2, 4]
    assert find_problems(index, verify=True) == []


def test_blocks_are_joined_with_them(tmp_path: Path) -> None:
    index = make(tmp_path / "index", {row: vector(row) for row in range(0, 9, 2)}, 9)
    writer = Writer(index.directory, index.meta)
    for row in range(2):
        writer.add(FileRecord(f"new{row}.jpg", 1, 1, f"{row + 50:064x}"), np.ones(128), pack(vector(50 + row)))
    writer.commit()
    two = Index.open(index.directory)
    assert len(two.meta.blocks) == 2
    assert treatments_of(two).rows.tolist() == [0, 2, 4, 6, 8, 9, 10]
    writer.invalidate(range(1, 7))
    writer.commit()
    writer.tidy()
    again = Index.open(index.directory)
    wanted = [vector(row) for row in (0, 8, 50, 51)]
    assert np.allclose(treatments_of(again).vectors, wanted, atol=1e-3)


def test_an_index_without_says_what_makes_them(index: Index, tmp_path: Path) -> None:
    Writer(index.directory, index.meta).replace(index.meta.without("treatment"))
    without = Index.open(index.directory)
    with pytest.raises(CbirError, match="`cbir index --index index --treatment` looks at them"):
        treatments_of(without)
    record = json.loads((index.directory / META).read_text())
    assert not {"treatment", "treatment_numbers"} & {*record, *record["blocks"][0]}
    # of several, the one that lacks them is named
    other = make(tmp_path / "other", {0: vector(9)}, 1)
    joined = JoinedIndex([other, without], Path("/p"), ["", ""])
    with pytest.raises(CbirError, match="The index index does not know"):
        treatments_of(joined)


def test_several_indexes_are_seen_as_one(index: Index, tmp_path: Path) -> None:
    other = make(tmp_path / "other", {1: vector(9)}, 2, root="/q")
    joined = JoinedIndex([index, other], Path("/"), ["p", "q"])
    assert treatments_of(joined).rows.tolist() == [0, 3, 6]
    assert np.allclose(treatment_of(joined, 6), vector(9), atol=1e-3)
    path = other.directory / other.meta.blocks[0].columns["treatment_numbers"].name
    content = bytearray(path.read_bytes())
    content[-2 * COUNT :] = b"\x01" * 2 * COUNT
    path.write_bytes(content)
    joined = JoinedIndex([index, Index.open(other.directory)], Path("/"), ["p", "q"])
    assert treatments_of(joined).rows.tolist() == [0, 3]
    assert any("treatment_numbers" in problem for problem in joined.damage)


def _forge(index: Index, column: str, change: str) -> None:
    path = index.directory / index.meta.blocks[0].columns[column].name
    content = bytearray(path.read_bytes())
    if change == "cut":
        content = content[:-1]
    elif change == "gone":
        path.unlink()
        return
    elif change == "nan":
        content[-2:] = np.array([np.nan], "<f2").tobytes()
    elif change == "long":
        content[-2:] = np.array([2], "<f2").tobytes()
    elif change == "state":
        content[-4] = 3
    elif change == "count":
        content[-4] = 2
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("treatment", "cut"),
        ("treatment", "gone"),
        ("treatment", "state"),
        ("treatment", "count"),
        ("treatment_numbers", "cut"),
        ("treatment_numbers", "gone"),
        ("treatment_numbers", "nan"),
        ("treatment_numbers", "long"),
    ],
)
def test_damage_is_told_and_costs_nothing_else(index: Index, column: str, change: str) -> None:
    _forge(index, column, change)
    damaged = Index.open(index.directory)
    assert len(damaged) == 5
    with pytest.raises(IndexDamagedError, match="treatment"):
        treatments_of(damaged)
    assert treatment_of(damaged, 3) is None
    assert any("treatment" in problem for problem in find_problems(damaged, verify=True))
    sound, problems = without_damage(index.directory, index.meta)
    assert problems
    assert not {"treatment", "treatment_numbers"} & {*sound.blocks[0].columns}
    assert sound.rows == 5
    without_damaged_columns(index.directory, index.meta)


def test_vectors_of_another_length_are_none_of_the_index(index: Index) -> None:
    Writer(index.directory, index.meta).replace(index.meta.but(treatment=TreatmentEntry(COUNT + 2)))
    forged = Index.open(index.directory)
    with pytest.raises(IndexDamagedError, match=f"{COUNT} numbers instead of {COUNT + 2}"):
        treatments_of(forged)
    assert any("instead of" in problem for problem in find_problems(forged))
    with pytest.raises(IndexDamagedError, match=f"its network makes {COUNT}"):
        check_vector(forged, vector(1))
    check_vector(index, vector(1))


@pytest.mark.parametrize("numbers", [-1, 16_385, "128", None, 1.5])
def test_impossible_entries_are_refused(numbers: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        TreatmentEntry.from_json({"numbers": numbers})


def test_only_vectors_of_length_one_are_sound() -> None:
    check_numbers(vector(1)[np.newaxis].astype(np.float16))
    for wrong in (1.1 * vector(1), 0 * vector(1)):
        with pytest.raises(ValueError, match="length 1"):
            check_numbers(wrong[np.newaxis].astype(np.float16))
