"""Relevance: it falls with the rank, does not depend on how much is asked for, and is missing where nobody knows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cbir.index.format import META
from cbir.index.quantiles import CosineQuantiles
from cbir.index.store import Index
from cbir.search.queries import CombinedQuery, IndexedQuery
from cbir.search.ranker import Ranker
from cbir.search.relevance import query_rarity, rarity, relevance_of
from cbir.search.results import Match
from cbir.search.searcher import Searcher
from cbir.search.space import ScaledSpace
from tests.helpers.feature_index import make_index

#: Random pairs have cosines from 0 to .5, evenly; the nearest of a picture about .4, rarer than one in five.
QUANTILES = CosineQuantiles(100, (0.0, 0.5, 1.0), (0.0, 0.25, 0.5), (0.3, 0.4, 0.5))


def kinds(count: int, size: int, spread: float = 0.6, seed: int = 1) -> np.ndarray:
    """Features of `count` kinds of `size` pictures each, of length 1."""
    random = np.random.default_rng(seed)
    centres = random.gamma(0.5, size=(count, 1, 64))
    features = np.maximum(centres + random.normal(0, spread, (count, size, 64)), 0).reshape(-1, 64)
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """An index of 400 pictures: ten kinds of 40."""
    return make_index(tmp_path / "kinds", kinds(10, 40))


def query(index: Index, row: int) -> IndexedQuery:
    path = index.root / index.record(row).path
    return IndexedQuery(path, str(path), index.record(row).sha256, index.features([row])[0])


def found(index: Index, query: IndexedQuery | CombinedQuery, **options: object) -> list[Match]:
    (result,) = Searcher(index).search([query], **options)  # type: ignore[arg-type]
    return result.matches


@pytest.mark.parametrize("reranked", [True, False])
def test_it_falls_with_the_rank_and_tells_kinds_apart(index: Index, reranked: bool) -> None:
    for row in (0, 57, 399):
        matches = found(index, query(index, row), count=399, reranked=reranked)
        relevance = [match.relevance or 0 for match in matches]
        assert len(relevance) == 399
        assert all(0 < value <= 1 for value in relevance)
        assert relevance == sorted(relevance, reverse=True)
        of_kind = [match.row // 40 == row // 40 for match in matches]
        told = np.array(relevance)
        assert told[of_kind].mean() > told[~np.array(of_kind)].mean() + 0.1
        if reranked:
            assert [match.score for match in matches] != sorted((match.score for match in matches), reverse=True)


def test_it_does_not_depend_on_how_many_are_asked_for(index: Index) -> None:
    everything = found(index, query(index, 5), count=399)
    for count in (1, 10, 300):
        for match, other in zip(found(index, query(index, 5), count=count), everything, strict=False):
            assert (match.row, match.relevance) == (other.row, other.relevance)


def test_a_copy_is_certain_and_keeps_the_first_place(tmp_path: Path) -> None:
    features = kinds(5, 20)
    index = make_index(tmp_path / "copies", np.concatenate([features, features[:1]]))
    first, second, *_ = found(index, query(index, 0))
    assert (first.row, first.relevance) == (100, 1)
    assert second.relevance is not None
    assert second.relevance < 1


def test_a_stranger_is_promised_less(tmp_path: Path) -> None:
    """Of a picture that has none of its kind the first match says less than of one that has."""
    features = kinds(10, 20)
    strangers = kinds(5, 1, seed=8)
    index = make_index(tmp_path / "index", np.concatenate([features, strangers]))
    for reranked in (True, False):
        rows = [*range(0, 200, 10), *range(200, 205)]
        firsts = [found(index, query(index, row), count=1, reranked=reranked)[0].relevance for row in rows]
        common, lonely = firsts[:20], firsts[20:]
        assert np.mean(lonely) < np.mean(common) - 0.1


def test_it_is_missing_where_nobody_has_measured_it(index: Index) -> None:
    one, other, third = (query(index, row) for row in (1, 2, 300))
    assert all(match.relevance for match in found(index, CombinedQuery((one, other))))
    assert {match.relevance for match in found(index, CombinedQuery((one,), (third,)))} == {None}
    ranker = Ranker(index, ScaledSpace(np.ones(64, dtype=np.float32)))
    assert ranker.relevance(ranker.ranked(one.feature, 5, reranked=True)) is None
    (index.directory / META).write_text(index.meta.but(cosines=None).dump())
    assert {match.relevance for match in found(Index.open(index.directory), one)} == {None}


def test_rarity_is_how_few_random_pairs_are_more_alike() -> None:
    assert rarity(np.array([-1, 0.45, 0.495, 1], dtype=np.float32), QUANTILES) == pytest.approx(
        [0, 1, 2, np.log10(100 * 99 / 2)], abs=1e-3
    )
    # the query itself tells nothing
    assert query_rarity(np.array([1, 0.45, 0.45, 0.45, 0.1]), QUANTILES) == pytest.approx(1)
    assert query_rarity(np.array([1.0]), QUANTILES) == 0


def test_a_first_place_that_was_kept_lowers_no_other() -> None:
    cosines = np.array([0.42, 0.41, 0.4, 0.3], dtype=np.float32)
    evidence = np.array([-6, 1, 0.5, -5], dtype=np.float32)
    told = relevance_of(cosines, evidence, QUANTILES)
    assert told[0] == told[1] > told[2] > told[3]
    longer = relevance_of(np.append(cosines, 0.49).astype(np.float32), evidence, QUANTILES)
    assert longer[:4].tolist() == told.tolist()
    assert longer[4] == told[3]  # what follows by cosine has no more than the last of those


def test_by_a_notion_relevance_does_not_depend_on_how_large_classes_are() -> None:
    likeness = np.array([0.9, 0.5, 0.1], dtype=np.float32)
    few = replace(QUANTILES, random=tuple(0.99 for _ in QUANTILES.random))  # nearly all pairs are as alike
    told = relevance_of(likeness, None, QUANTILES, learnt=True)
    assert told.tolist() == relevance_of(likeness, None, few, learnt=True).tolist()
    assert told[0] > 0.95 > told[1] > 0.8 > 0.2 > told[2]
    plain = relevance_of(likeness, None, few)
    assert plain.tolist() != told.tolist()


def test_no_rows_have_no_relevance() -> None:
    nothing = np.empty(0, dtype=np.float32)
    assert len(relevance_of(nothing, None, QUANTILES)) == len(relevance_of(nothing, nothing, QUANTILES)) == 0
