"""Which pictures are asked for: uncertain ones, of which many others can be told, and no two that tell the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cbir.index.files import FileRecord
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.learn import ask as ask_module
from cbir.learn.ask import Asked, ask, doubts, most_telling
from cbir.notions.notion import Labels
from cbir.notions.ridge import RIDGE
from cbir.utils.vectors import l2_normalize
from tests.helpers.feature_index import make_index
from tests.helpers.notions import make_notion

DIMENSION = 24


def rows_of(count: int, seed: int = 0, dimension: int = DIMENSION) -> np.ndarray:
    return l2_normalize(np.random.default_rng(seed).normal(0, 1, (count, dimension)).astype(np.float32))


def around(centres: np.ndarray, each: int, spread: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    rows = np.repeat(centres, each, axis=0)
    return l2_normalize((rows + spread * random.normal(0, 1, rows.shape)).astype(np.float32))


def even(count: int) -> np.ndarray:
    return np.ones(count, np.float32)


def variance(rows: np.ndarray, labelled: np.ndarray) -> float:
    """The sum of the rows' variances after labels, by the textbook."""
    products = labelled @ labelled.T + RIDGE * np.eye(len(labelled))
    across = rows @ labelled.T
    return float(np.square(rows).sum() - np.einsum("ij,ij->", across @ np.linalg.inv(products), across))


@pytest.mark.parametrize("labelled", [0, 10, 60], ids=["none", "dual", "primal"])
def test_each_choice_lowers_the_variance_most(labelled: int) -> None:
    candidates, counted, known = rows_of(40, 1), rows_of(50, 2), rows_of(labelled, 3)
    doubt = np.random.default_rng(4).random(40).astype(np.float32)
    chosen = most_telling(candidates, counted, known, doubt, 3)
    for number, place in enumerate(chosen.tolist()):
        before = np.concatenate([known, candidates[chosen[:number]]])
        least = [variance(counted, np.concatenate([before, candidates[other : other + 1]])) for other in range(40)]
        gains = doubt * (variance(counted, before) - np.array(least))
        gains[chosen[:number]] = 0
        assert gains[place] == pytest.approx(gains.max(), rel=1e-3)
    assert len(set(chosen.tolist())) == 3


def test_of_like_rows_one_is_asked_for_and_of_large_groups_first() -> None:
    centres = np.eye(4, DIMENSION)
    sizes = (30, 24, 18, 12)
    rows = np.concatenate([around(centres[one : one + 1], size, 0.02, one) for one, size in enumerate(sizes)])
    kinds = np.repeat(np.arange(4), sizes)
    chosen = most_telling(rows, rows, rows[:0], even(84), 4)
    assert kinds[chosen].tolist() == [0, 1, 2, 3]
    # a group that has a label is the last
    labelled = most_telling(rows, rows, rows[:1], even(84), 4)
    assert kinds[labelled].tolist() == [1, 2, 3, 0]


def test_what_is_in_doubt_comes_first() -> None:
    rows = around(np.eye(2, DIMENSION), 20, 0.02)
    some = np.where(np.arange(40) < 20, 0.1, 1).astype(np.float32)
    assert (most_telling(rows, rows, rows[:0], some, 1) >= 20).all()
    assert (most_telling(rows, rows, rows[:0], some[::-1].copy(), 1) < 20).all()


def test_doubt_is_that_the_first_class_is_hardly_before_the_second() -> None:
    found = doubts(np.float32([[1, 0, 0.1], [0.6, 0.5, 0], [0, 0, 0], [2, 0, 0]]))
    assert found == pytest.approx([0.1, 0.9, 1, 0], abs=0.002)
    assert (found > 0).all()
    # of one class, that it is as far from it as from none
    assert doubts(np.float32([[0], [0.5], [1], [3]])) == pytest.approx([0, 1, 0, 0], abs=0.002)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Sixty pictures of three kinds, row by row, the last six of which are between two kinds."""
    centres = np.eye(3, DIMENSION)
    rows = np.concatenate([around(centres, 18, 0.05), around(centres[:2].mean(axis=0, keepdims=True), 6, 0.05, 7)])
    return make_index(tmp_path / "index", rows)


def test_pictures_between_two_classes_are_asked_for_by_name(index: Index) -> None:
    labelled = np.array([0, 1, 2, 18, 19, 20, 36, 37, 38])
    notion = replace(make_notion(index, labelled, labelled // 18), classes=("cat", "dog", "bird"))
    found = ask(index, 4, notion)
    assert all(one.row >= 54 for one in found)
    claimed = [one for one in found if one.likely]
    assert {frozenset(one.likely) for one in claimed} == {frozenset(("cat", "dog"))}
    assert claimed[0].why in ("cat or dog?", "dog or cat?")
    everything = ask(index, 1000, notion)
    assert len(everything) == 60 - len(labelled)
    assert len({one.row for one in everything}) == len(everything)
    assert not {one.row for one in everything} & set(labelled.tolist())


def test_without_a_notion_one_of_each_kind_is_asked_for(index: Index) -> None:
    found = ask(index, 3)
    assert {one.row // 18 for one in found} == {0, 1, 2}
    record = index.record(found[0].row)
    assert found[0] == Asked(found[0].row, index.root / record.path, ())
    assert found[0].why == "unlike what has a label"
    first = index.record(found[0].row).sha256
    assert first not in {index.record(one.row).sha256 for one in ask(index, 60, labelled=[first])}
    assert ask(index, 3, labelled=[record.sha256 for _, record in index.records()]) == []


def test_labels_of_pictures_elsewhere_count(index: Index) -> None:
    rows = np.array([0, 18])
    notion = make_notion(index, rows, np.array([0, 1]))
    third = index.features(range(36, 46)).astype(np.float16)
    labels = notion.labels
    more = Labels(
        np.concatenate([np.full((10, 32), 9, np.uint8), labels.sha256s]),
        np.concatenate([np.zeros(10, np.int32), labels.classes]),
        third,
    )
    plain = replace(notion, weights=np.zeros_like(notion.weights))
    assert ask(index, 1, plain)[0].row // 18 == 2
    assert ask(index, 1, replace(plain, labels=more))[0].row // 18 != 2


def test_of_several_files_of_one_content_one_is_asked_for(tmp_path: Path, index: Index) -> None:
    writer = Writer(index.directory, index.meta)
    for number in range(5):
        writer.add(FileRecord(f"copy-{number}.jpg", 1, 1, index.record(0).sha256), index.features([0])[0])
    writer.commit()
    found = ask(Index.open(index.directory), 100)
    assert len(found) == 60
    assert 0 in {one.row for one in found}


def test_damaged_features_are_left_out(index: Index) -> None:
    (entry,) = [block.features for block in index.meta.blocks]
    with (index.directory / entry.name).open("r+b") as file:
        file.seek(-2 * DIMENSION * 10, 2)
        file.write(bytes(2 * DIMENSION))
    damaged = Index.open(index.directory)
    labelled = np.array([0, 18])
    for notion in (None, make_notion(index, labelled, np.array([0, 1]))):
        assert 50 not in {one.row for one in ask(damaged, 100, notion)}


def test_of_a_large_index_the_most_doubtful_are_looked_at(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask_module, "_CANDIDATES", 6)
    monkeypatch.setattr(ask_module, "_COUNTED", 10)
    labelled = np.array([0, 1, 2, 18, 19, 20, 36, 37, 38])
    notion = make_notion(index, labelled, labelled // 18)
    assert sorted(one.row for one in ask(index, 100, notion)) == list(range(54, 60))
