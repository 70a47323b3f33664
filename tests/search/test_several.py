"""Indexes by different networks: one ranking by what is comparable, or a sentence that says why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cbir.errors import CbirError, IndexConflictError
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.search.queries import VectorQuery, WordQuery
from cbir.search.results import Match, SearchResult
from cbir.search.several import by_network, check_comparable, merged
from tests.helpers.feature_index import make_index
from tests.moving.test_vectorfile import unit

QUERY = VectorQuery(np.ones(2, dtype=np.float32), "q")


def result(name: str, *relevances: float | None, percentile: float | None = 50.0) -> SearchResult:
    matches = [
        Match(rank, Path(f"/{name}/{rank}"), 0.5, percentile, relevance=relevance)
        for rank, relevance in enumerate(relevances, start=1)
    ]
    return SearchResult(QUERY, Path(name), name, matches)


def failing(*before: SearchResult) -> Iterator[SearchResult]:
    yield from before
    raise CbirError("its disk is gone")


def never(error: CbirError) -> None:
    raise AssertionError(error)


def test_indexes_are_joined_by_their_networks(tmp_path: Path) -> None:
    names = {"a": 32, "b": 33, "c": 32}
    indexes = [make_index(tmp_path / name, unit(5, dimension), Path(f"/p/{name}")) for name, dimension in names.items()]
    groups, problems = by_network(indexes)
    assert [len(group) for group in groups] == [10, 5]
    assert groups[0].directories == (tmp_path / "a", tmp_path / "c")
    assert (groups[1], problems) == (indexes[1], [])


def test_one_whose_network_is_unknown_is_told_and_the_others_stay(tmp_path: Path) -> None:
    indexes = [make_index(tmp_path / name, unit(5), Path(f"/p/{name}")) for name in "ab"]
    meta = indexes[1].meta
    Writer(indexes[1].directory, meta).replace(meta.but(model={**meta.model, "name": "../x"}))
    groups, problems = by_network([indexes[0], Index.open(indexes[1].directory)])
    assert (len(groups), len(problems)) == (1, 1)
    assert str(tmp_path / "b") in str(problems[0])


def test_each_keeps_its_order_and_the_most_relevant_comes_first() -> None:
    (found,) = merged([iter([result("a", 0.9, 0.4, 0.6)]), iter([result("b", 0.5, 0.45)])], 4, never)
    assert [str(match.path) for match in found.matches] == ["/a/1", "/b/1", "/b/2", "/a/2"]
    assert [match.rank for match in found.matches] == [1, 2, 3, 4]
    assert [str(match.index) for match in found.matches] == ["a", "b", "b", "a"]
    assert found.to_dict()["index"] == ["a", "b"]
    assert found.model == "a, b"


def test_a_picture_that_several_have_is_found_once() -> None:
    one, other = result("a", 0.9, 0.8), result("a", 0.95, 0.7)
    (found,) = merged([iter([one]), iter([replace(other, index=Path("b"))])], 4, never)
    assert [(str(match.path), str(match.index)) for match in found.matches] == [("/a/1", "b"), ("/a/2", "a")]


def test_percentiles_rank_where_relevance_is_not_known() -> None:
    both = [iter([result("a", None, percentile=70.0)]), iter([result("b", 0.9, percentile=80.0)])]
    (found,) = merged(both, 4, never)
    assert [str(match.path) for match in found.matches] == ["/b/1", "/a/1"]


def test_what_cannot_be_compared_is_refused() -> None:
    both = [iter([result("a", None, percentile=None)]), iter([result("b", None, percentile=80.0)])]
    with pytest.raises(IndexConflictError, match="search one after the other"):
        list(merged(both, 4, never))


def test_probabilities_of_words_are_those_of_any_network() -> None:
    words = WordQuery.from_text("dog")
    results = [
        SearchResult(words, Path(name), name, [Match(1, Path(f"/{name}"), share, probability=share)])
        for name, share in (("a", 0.3), ("b", 0.8))
    ]
    (found,) = merged([iter([one]) for one in results], 4, never)
    assert [str(match.path) for match in found.matches] == ["/b", "/a"]


def test_one_that_fails_is_told_and_the_others_go_on() -> None:
    told: list[CbirError] = []
    good = iter([result("a", 0.9), result("a", 0.8)])
    found = list(merged([good, failing(result("b", 0.95))], 4, told.append))
    assert [[str(match.path) for match in one.matches] for one in found] == [["/b/1", "/a/1"], ["/a/1"]]
    assert list(map(str, told)) == ["its disk is gone"]
    with pytest.raises(CbirError, match="its disk is gone"):
        list(merged([failing(), failing()], 4, told.append))


def test_an_index_that_knows_no_percentiles_is_refused_among_others(tmp_path: Path) -> None:
    one = make_index(tmp_path / "a", unit(5))
    alone = make_index(tmp_path / "b", unit(1, 33))
    with pytest.raises(IndexConflictError, match="cannot be ranked with those of another network"):
        check_comparable([one, alone])
