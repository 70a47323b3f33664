"""The layout of `cbir map`: a grid on which like pictures are neighbours, groups of large collections, and words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from cbir.errors import CbirError
from cbir.map.collection import map_index, representatives
from cbir.map.grid import Grid, arrange, grid_for
from cbir.map.labels import find_labels
from cbir.utils.vectors import l2_normalize
from tests.helpers.feature_index import make_index

Floats = npt.NDArray[np.float32]


def _clusters(sizes: Sequence[int], dimension: int = 24, seed: int = 3) -> tuple[Floats, npt.NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    of = np.repeat(np.arange(len(sizes)), sizes)
    centres = random.standard_normal((len(sizes), dimension))
    return l2_normalize((centres[of] + 0.4 * random.standard_normal((len(of), dimension))).astype(np.float32)), of


def _same_neighbours(of: npt.NDArray[np.int64], cells: npt.NDArray[np.int64], grid: Grid) -> float:
    """The share of neighbours, also across corners, that are of one cluster."""
    where = {divmod(int(cell), grid.columns): int(cluster) for cell, cluster in zip(cells, of, strict=True)}
    pairs = [
        cluster == where[line + down, column + across]
        for (line, column), cluster in where.items()
        for down, across in ((0, 1), (1, 0), (1, 1), (1, -1))
        if (line + down, column + across) in where
    ]
    return sum(pairs) / len(pairs)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100, 101, 2000])
@pytest.mark.parametrize("aspect", [0.5, 1, 1.4, 4])
def test_a_grid_has_room_for_all_and_hardly_more(count: int, aspect: float) -> None:
    grid = grid_for(count, aspect)
    assert count <= grid.columns * grid.rows < count + max(grid)
    if count >= 100:
        assert grid.columns / grid.rows == pytest.approx(aspect, rel=0.3)


def test_each_vector_has_a_cell_and_its_neighbours_are_like_it() -> None:
    vectors, of = _clusters([25] * 12)
    grid = grid_for(len(vectors), 1.4)
    cells = arrange(vectors, grid)
    assert len(set(cells.tolist())) == len(vectors)
    assert set(cells.tolist()) <= set(range(grid.columns * grid.rows))
    shuffled = np.random.default_rng(0).permutation(cells)
    assert _same_neighbours(of, shuffled, grid) < 0.2
    assert _same_neighbours(of, cells, grid) > 0.7
    assert np.array_equal(cells, arrange(vectors, grid))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_few_vectors_are_arranged_too(count: int) -> None:
    vectors = l2_normalize(np.random.default_rng(1).standard_normal((count, 8)).astype(np.float32))
    assert len(set(arrange(vectors, grid_for(count, 1.4)).tolist())) == count
    equal = np.repeat(vectors[:1], count, axis=0)
    assert len(set(arrange(equal, grid_for(count, 1.4)).tolist())) == count


def test_a_grid_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="5 vectors do not fit into 4 cells"):
        arrange(np.eye(5, dtype=np.float32), Grid(2, 2))


def test_representatives_stand_for_groups_of_like_vectors() -> None:
    vectors, of = _clusters([400, 200, 50, 20])
    chosen, sizes = representatives(vectors, 40)
    assert len(chosen) == len(set(chosen.tolist())) <= 40
    assert sizes.sum() == len(vectors)
    for cluster, size in enumerate([400, 200, 50, 20]):
        assert sizes[of[chosen] == cluster].sum() == pytest.approx(size, abs=size * 0.2), "a group mixes clusters"


def test_all_pictures_of_an_index_are_on_its_map(tmp_path: Path) -> None:
    vectors, _ = _clusters([30, 30])
    index = make_index(tmp_path / "index", vectors)
    whole = map_index(index)
    assert {cell.row for cell in whole.cells} == set(range(60))
    assert len({(cell.column, cell.line) for cell in whole.cells}) == 60
    assert {cell.pictures for cell in whole.cells} == {1}
    assert [(cell.line, cell.column) for cell in whole.cells] == sorted(
        (cell.line, cell.column) for cell in whole.cells
    )
    assert whole.cells[0].path == index.root / index.record(whole.cells[0].row).path
    some = map_index(index, most=10)
    assert len(some.cells) <= 10
    assert sum(cell.pictures for cell in some.cells) == some.pictures == 60


def test_the_share_that_is_done_is_told_and_may_end_it(tmp_path: Path) -> None:
    vectors, _ = _clusters([150, 150])
    index = make_index(tmp_path / "index", vectors)
    shares: list[float] = []
    map_index(index, most=200, told=shares.append)
    assert shares == sorted(shares)
    assert shares[0] < 0.2 < 0.8 < shares[-1] <= 1

    def refuse(share: float) -> None:
        raise KeyError(share)

    with pytest.raises(KeyError):
        map_index(index, told=refuse)


def test_an_empty_index_has_no_map(tmp_path: Path) -> None:
    index = make_index(tmp_path / "index", np.zeros((0, 8), dtype=np.float32))
    with pytest.raises(CbirError, match="has no pictures"):
        map_index(index)


def test_words_are_told_of_regions_that_have_one_in_common() -> None:
    words = {(column, line): "cat" if column < 4 else "dog" for column in range(8) for line in range(5)}
    words[7, 4] = "bird"  # too few
    words[6, 0] = "cat"  # apart from the others
    cat, dog = sorted(find_labels(words, Grid(8, 5)), key=lambda label: label.word)
    assert (cat.word, cat.column, cat.line, cat.cells) == ("cat", 2.0, 2.5, 20)
    assert (dog.word, dog.cells) == ("dog", 18)
    assert find_labels({}, Grid(8, 5)) == []


def test_words_stay_on_the_map_and_off_each_other() -> None:
    grid = Grid(30, 20)
    words = {(column, line): "a longer word" for column in range(3) for line in range(20)}
    words |= {(column, line): "another one" for column in range(4, 8) for line in range(8, 13)}
    words |= {(column, line): "far" for column in range(20, 25) for line in range(2)}
    labels = find_labels(words, grid)
    assert [label.word for label in labels] == ["a longer word", "far"], "the smaller of two that meet is left out"
    for label in labels:
        assert label.width / 2 <= label.column <= grid.columns - label.width / 2
        assert label.height / 2 <= label.line <= grid.rows - label.height / 2
