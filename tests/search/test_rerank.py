"""Re-ranking: on made-up features whose right order is known, where it cannot help, and on the test photos."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.search.centre import Centre, affinities, roots, square_roots
from cbir.search.rerank import (
    COPY,
    IDENTICAL,
    LEAST_ROWS,
    SHORTLIST,
    _diffuse,
    _nearest,
    _smoothed,
    largest,
    rerank,
)
from cbir.search.searcher import Searcher
from cbir.search.space import Space
from tests.helpers.feature_index import make_index

MakeIndex = Callable[[np.ndarray], Index]


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def index_of(tmp_path: Path) -> MakeIndex:
    """A function that makes an index of features, shape (n, dimension), in a folder of its own."""

    def make(features: np.ndarray) -> Index:
        return make_index(tmp_path / f"index-{len(list(tmp_path.iterdir()))}", features)

    return make


@pytest.fixture
def photo_features(shared: Callable[[str], Path]) -> tuple[np.ndarray, np.ndarray]:
    """Features of the test photos, shape (2000, 1280), and the class of each."""
    with np.load(shared("reference/efficientnet_lite0_photos.npz")) as reference:
        _, labels = np.unique([path.split("/")[0] for path in reference["paths"]], return_inverse=True)
        return reference["features"].astype(np.float32), labels


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)).astype(np.float32)


def reranked(query: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order by cosine and the new one, both as positions in `rows`."""
    cosines = rows @ query
    by_cosine = np.lexsort((np.arange(len(rows)), -cosines))
    ordered = rows[by_cosine]
    centre = Centre.of(rows, len(rows))
    order, _ = rerank(Space().shortlist(query, ordered, cosines[by_cosine], centre))
    return by_cosine, by_cosine[order]


def classes(count: int, size: int, spread: float, seed: int, dimension: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """ReLU-like features of `count` classes of `size`, shape (count * size, dimension), and the class of each."""
    rng = np.random.default_rng(seed)
    centres = rng.gamma(0.5, 1.0, (count, dimension))
    labels = np.repeat(np.arange(count), size)
    return unit(np.maximum(centres[labels] + rng.normal(0, spread, (len(labels), dimension)), 0)), labels


def chain(rng: np.random.Generator, length: int = 20) -> np.ndarray:
    """Features that go from one thing to another step by step, shape (length, 128): each is near the next."""
    start, end = rng.gamma(0.5, 1.0, (2, 128))
    part = np.linspace(0, 1, length)[:, np.newaxis]
    return np.maximum((1 - part) * start + part * end + rng.normal(0, 0.3, (length, 128)), 0)


def quality(searcher: Searcher, features: np.ndarray, labels: np.ndarray, queries: range, rerank: bool) -> np.ndarray:
    """Mean over `queries`, each removed from its ranking, of average precision, precision at 1 and at 10."""
    figures = []
    for query in queries:
        rows, _ = searcher.ranked(features[query], len(features), reranked=rerank)
        rows = rows[rows != query]
        assert len(rows) == len(features) - 1
        right = labels[rows] == labels[query]
        ranks = np.flatnonzero(right) + 1
        figures.append(((np.arange(len(ranks)) + 1) @ (1 / ranks) / len(ranks), right[0], right[:10].mean()))
    return np.mean(figures, axis=0)


@pytest.mark.parametrize("seed", [0, 1, 4])
def test_what_a_chain_of_neighbours_leads_to_comes_before_strangers_that_look_nearer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    same = chain(rng)
    # each a little like the query, none like another
    strangers = 0.2 * same[0] + rng.gamma(0.5, 1.0, (100, 128))
    before, after = reranked(unit(same[0]), unit(np.concatenate([same[1:], strangers])))
    assert sorted(after.tolist()) == list(range(119))
    assert (before[:19] < 19).mean() < 0.75
    assert (after[:19] < 19).mean() >= 0.94


def test_classes_are_told_apart_better(index_of: MakeIndex) -> None:
    features, labels = classes(12, 15, 1.0, seed=3)
    searcher = Searcher(index_of(features))
    plain, new = (quality(searcher, features, labels, range(0, 180, 3), rerank) for rerank in (False, True))
    assert new[0] >= plain[0] + 0.05
    assert (new[1:] >= plain[1:]).all()


def test_copies_stay_first_in_cosine_order() -> None:
    rng = np.random.default_rng(1)
    query = unit(rng.random(64))
    copies = unit(query + rng.normal(0, 1, (6, 64)) * np.linspace(0.002, 0.02, 6)[:, np.newaxis])
    rows = np.concatenate([unit(rng.random((80, 64)) + 0.5 * query), copies])
    before, after = reranked(query, rows)
    copied = int((rows @ query >= COPY).sum())
    assert copied >= 6
    assert after[:copied].tolist() == before[:copied].tolist()
    assert set(range(80, 86)) <= set(after[:copied].tolist())


def test_more_copies_than_the_shortlist_holds_stay_first(index_of: MakeIndex) -> None:
    features, _ = classes(10, 20, 0.4, seed=4)
    rng = np.random.default_rng(4)
    copies = unit(features[0] + rng.normal(0, 0.02, (SHORTLIST + 50, features.shape[1])))
    everything = np.concatenate([features, copies])
    rows, scores = Searcher(index_of(everything)).ranked(features[0], len(everything), reranked=True)
    assert len(set(rows.tolist())) == len(everything)
    copied = int((scores >= COPY).sum())
    assert copied > SHORTLIST
    assert (scores[:copied] >= COPY).all()
    assert (np.diff(scores[:copied]) <= 0).all()


@pytest.mark.parametrize("copies", [1, 20])
def test_the_same_picture_many_times_in_the_index_changes_nothing_else(index_of: MakeIndex, copies: int) -> None:
    features, labels = classes(12, 15, 0.55, seed=5)
    query, others = features[0], features[1:]
    alone, _ = Searcher(index_of(others)).ranked(query, len(others), reranked=True)
    rows, scores = Searcher(index_of(np.concatenate([others, np.repeat(features[:1], copies, axis=0)]))).ranked(
        query, len(others) + copies, reranked=True
    )
    assert rows[:copies].tolist() == list(range(len(others), len(others) + copies))
    assert (scores[:copies] >= IDENTICAL).all()
    kept = rows[copies:]
    # the mean of the collection moves a little, and some neighbours change places by it
    assert len(set(kept[:14].tolist()) & set(alone[:14].tolist())) >= 13
    assert (labels[1:][kept[:14]] == 0).sum() >= (labels[1:][alone[:14]] == 0).sum() - 1


def test_copies_of_another_row_do_not_crowd_out_the_neighbourhood() -> None:
    features, labels = classes(12, 15, 1.0, seed=5)
    query, rows, of = features[0], features[1:], labels[1:]
    rng = np.random.default_rng(5)
    stranger = unit(query + rows[of == 7][0])
    crowd = unit(stranger + rng.normal(0, 0.003, (80, 128)))
    _, without = reranked(query, np.concatenate([rows, crowd[:1]]))
    _, crowded = reranked(query, np.concatenate([rows, crowd]))
    without, crowded = without[without < len(rows)], crowded[crowded < len(rows)]
    assert (of[crowded[:14]] == 0).sum() >= (of[without[:14]] == 0).sum() - 1


def test_copies_of_a_neighbour_are_one_witness_and_not_many() -> None:
    features, labels = classes(12, 15, 1.0, seed=5)
    found = []
    for query in range(0, 180, 9):
        rows, of = np.delete(features, query, axis=0), np.delete(labels, query)
        noise = np.random.default_rng(query).normal(0, 0.05, (40, 128))
        copies = unit(rows[np.argmax(rows @ features[query])] * (1 + noise))
        _, after = reranked(features[query], np.concatenate([rows, copies]))
        found.append((of[after[after < len(rows)][:14]] == labels[query]).mean())
    assert np.mean(found) >= 0.98  # each copy by itself: 0.95


def test_where_the_nearest_leads_counts_more_than_where_several_others_do() -> None:
    """One row is .6 like the query and leads to seven; four are .4 like it and lead to twelve."""
    affinity = np.eye(25, dtype=np.float32)
    near, far = slice(1, 9), slice(9, 25)
    affinity[near, near] = affinity[far, far] = 0.6
    affinity[0, 1] = affinity[1, 0] = 0.6
    affinity[0, 9:13] = affinity[9:13, 0] = 0.4
    np.fill_diagonal(affinity, 1)
    reached = _diffuse(affinity)
    assert reached[2:9].min() > reached[13:].max()


def test_the_cosine_margin_of_a_lonely_query_counts() -> None:
    rng = np.random.default_rng(13)
    features = unit(rng.gamma(0.5, 1.0, (200, 128)))
    kept = 0
    for query in range(0, 200, 4):
        rows = np.delete(features, query, axis=0)
        before, after = reranked(features[query], rows)
        lead = (rows @ features[query])[before[:2]]
        kept += before[0] == after[0] or lead[0] - lead[1] < 0.02
    assert kept == 50


def test_few_rows_keep_their_order() -> None:
    rng = np.random.default_rng(2)
    for count in range(LEAST_ROWS):
        before, after = reranked(unit(rng.random(8)), unit(rng.random((count, 8))))
        assert after.tolist() == before.tolist()


def test_five_pictures_keep_their_first(index_of: MakeIndex) -> None:
    kept = 0
    for seed in range(20):
        features, _ = classes(5, 1, 0.3, seed)
        searcher = Searcher(index_of(features))
        for query in features:
            plain, new = (searcher.ranked(query, 5, reranked=rerank)[0] for rerank in (False, True))
            assert sorted(new.tolist()) == list(range(5))
            kept += plain[1] == new[1]
    assert kept >= 90


@pytest.mark.parametrize(("count", "size"), [(25, 2), (10, 5)])
def test_small_classes_are_found_as_well_as_by_cosine(
    index_of: MakeIndex, photo_features: tuple[np.ndarray, np.ndarray], count: int, size: int
) -> None:
    everything, of = photo_features
    figures = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        chosen = np.concatenate(
            [rng.choice(np.flatnonzero(of == one), size, replace=False) for one in rng.choice(50, count, replace=False)]
        )
        searcher = Searcher(index_of(everything[chosen]))
        figures.append(
            [quality(searcher, everything[chosen], of[chosen], range(50), rerank) for rerank in (False, True)]
        )
    plain, new = np.mean(figures, axis=0)
    assert (new >= plain - 1e-6).all()


def test_where_no_two_are_alike_the_first_is_mostly_kept(index_of: MakeIndex) -> None:
    features = unit(np.abs(np.random.default_rng(6).normal(0, 1, (1000, 256))))
    searcher = Searcher(index_of(features))
    kept = 0
    for query in range(0, 1000, 10):
        plain, new = (searcher.ranked(features[query], 3, reranked=rerank)[0] for rerank in (False, True))
        assert new[0] == query
        kept += plain[1] == new[1]
    assert kept >= 75


def test_nothing_but_near_duplicates(index_of: MakeIndex) -> None:
    rng = np.random.default_rng(7)
    features = unit(rng.random(64) + rng.normal(0, 0.03, (400, 64)))
    rows, scores = Searcher(index_of(features)).ranked(features[3], 400, reranked=True)
    assert rows[0] == 3
    assert (np.diff(scores) <= 0).all()
    assert len(set(rows.tolist())) == 400


def test_identical_and_empty_rows_do_not_break_it() -> None:
    same = np.tile(unit(np.ones(8)), (50, 1))
    assert reranked(same[0], same)[1].tolist() == list(range(50))
    rng = np.random.default_rng(8)
    rows = unit(rng.normal(0, 1, (60, 8)))
    rows[10:20] = 0
    rows[30:40] = rows[30]
    for query in (rows[0], np.zeros(8, dtype=np.float32), rows[30]):
        assert sorted(reranked(query, rows)[1].tolist()) == list(range(60))


def test_equal_inputs_give_equal_orders(index_of: MakeIndex) -> None:
    features, _ = classes(12, 15, 0.55, seed=9)
    index = index_of(features)
    first, second = (Searcher(index).ranked(features[7], 180, reranked=True) for _ in range(2))
    assert first[0].tolist() == second[0].tolist()
    assert first[1].tolist() == second[1].tolist()


def test_signed_features_are_compared_too() -> None:
    rows = np.array([[0.5, -0.5, 0.0], [-0.5, 0.5, 0.0]], dtype=np.float32)
    assert np.allclose(roots(rows), unit(np.sign(rows) * np.sqrt(np.abs(rows))))


def test_affinities_are_the_cosines_of_centred_roots() -> None:
    rows, _ = classes(12, 5, 0.6, seed=15)
    rows[7] = 0
    centre = Centre.of(rows, len(rows))
    centred = roots(rows).astype(np.float64) - centre.root_mean
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    assert np.allclose(affinities(square_roots(rows), centre), centred @ centred.T, atol=2e-6)


def test_smoothing_is_the_mean_of_a_row_and_its_nearest() -> None:
    rng = np.random.default_rng(16)
    rows = rng.normal(0, 1, (60, 20))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    affinity = rows @ rows.T
    near = np.argsort(-affinity, axis=1)[:, :6]
    weights = np.maximum(np.take_along_axis(affinity, near, axis=1), 0) ** 3
    moved = np.einsum("nk,nkd->nd", weights, rows[near])
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    assert np.allclose(_smoothed(affinity.astype(np.float32)), moved @ moved.T, atol=1e-5)


@pytest.mark.parametrize("count", [6, 31, 300, 400])
def test_the_nearest_of_each_row_come_in_order_and_of_equal_ones_the_first(count: int) -> None:
    values = np.random.default_rng(17).integers(0, 90, (300, 300)).astype(np.float32) / 90
    columns, nearest = _nearest(values, count)
    assert columns.tolist() == np.argsort(-values, axis=1, kind="stable")[:, :count].tolist()
    assert nearest.tolist() == np.take_along_axis(values, columns, axis=1).tolist()


def test_the_centre_of_few_rows_is_shrunk() -> None:
    rows = unit(np.random.default_rng(10).random((2000, 16)))
    assert np.allclose(Centre.of(rows, 2000).mean, rows.mean(axis=0), rtol=0.01)
    assert np.linalg.norm(Centre.of(rows[:1], 1).mean) < 0.2


def test_the_largest_of_equal_values_are_those_that_come_first() -> None:
    assert largest(np.array([1, 3, 2, 3, 3], dtype=np.float32), 2).tolist() == [1, 3]
    assert largest(np.array([1, 3, 2], dtype=np.float32), 9).tolist() == [1, 2, 0]


def test_a_large_index_is_reranked_by_its_candidates(index_of: MakeIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = classes(260, 20, 1.1, seed=11)
    index = index_of(features)
    assert index.meta.candidates is not None
    monkeypatch.setattr(Index, "chunks", lambda self, first=0: iter(()) if first else pytest.fail("a scan of all rows"))
    searcher = Searcher(index)
    plain = [searcher.ranked(features[query], 20, reranked=False)[0][1:20] for query in range(0, 5200, 130)]
    new = [searcher.ranked(features[query], 20, reranked=True)[0][1:20] for query in range(0, 5200, 130)]
    before, after = (
        np.mean(
            [(labels[rows] == labels[query]).mean() for rows, query in zip(found, range(0, 5200, 130), strict=True)]
        )
        for found in (plain, new)
    )
    assert after >= before + 0.02


def test_features_are_read_once_for_many_queries(index_of: MakeIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    features, _ = classes(260, 20, 1.1, seed=11)
    index = index_of(features)
    assert index.meta.candidates is not None
    read: list[int] = []
    stored = Index.features
    monkeypatch.setattr(Index, "features", lambda self, rows: read.extend(rows) or stored(self, rows))
    searcher = Searcher(index)
    found = [searcher.ranked(features[query], 20, reranked=True) for query in (0, 1, 0)]
    assert len(read) == len(set(read))
    assert found[0][0].tolist() == found[2][0].tolist()
    assert found[0][1].tolist() == found[2][1].tolist()


def test_the_order_does_not_depend_on_how_many_are_wanted(index_of: MakeIndex) -> None:
    features, _ = classes(40, 15, 0.55, seed=12)
    searcher = Searcher(index_of(features))
    many = searcher.ranked(features[0], 600, reranked=True)
    for count in (10, SHORTLIST, 400):
        rows, scores = searcher.ranked(features[0], count, reranked=True)
        assert rows.tolist() == many[0][:count].tolist()
        assert scores.tolist() == many[1][:count].tolist()
    assert len(many[1]) == 600
    assert (np.diff(many[1][SHORTLIST:]) <= 0).all()
    assert not (np.diff(many[1][:SHORTLIST]) <= 0).all()


@pytest.mark.parametrize("reranked", [False, True])
def test_rows_of_the_querys_own_are_left_out_and_others_take_their_places(index_of: MakeIndex, reranked: bool) -> None:
    features, _ = classes(40, 15, 0.55, seed=12)
    searcher = Searcher(index_of(features))
    everything, cosines = searcher.ranked(features[0], 600, reranked=reranked)
    own = everything[[0, 3, 7]].tolist()
    rows, scores = searcher.ranked(features[0], 10, reranked=reranked, own=own)
    kept = [place for place in range(13) if place not in (0, 3, 7)]
    assert rows.tolist() == everything[kept].tolist()
    assert scores.tolist() == cosines[kept].tolist()


def test_on_the_test_photos(index_of: MakeIndex, photo_features: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = photo_features
    average, first, ten = quality(Searcher(index_of(features)), features, labels, range(0, 2000, 5), rerank=True)
    assert average >= 0.89
    assert first >= 0.94
    assert ten >= 0.925


@pytest.mark.parametrize("size", [15, 150])
def test_invalid_rows_never_come_back(index_of: MakeIndex, size: int) -> None:
    """In a small index, which is scanned, and in one with candidates."""
    features, _ = classes(40, size, 0.6, seed=14)
    index = index_of(features)
    assert (index.meta.candidates is not None) == (size == 150)
    writer = Writer(index.directory, index.meta)
    gone = set(range(1, size, 2))
    writer.invalidate(sorted(gone))
    writer.commit()
    searcher = Searcher(Index.open(index.directory))
    for count in (10, len(features)):
        rows, _ = searcher.ranked(features[0], count, reranked=True)
        assert not set(rows.tolist()) & gone
    assert len(rows) == len(features) - len(gone)
