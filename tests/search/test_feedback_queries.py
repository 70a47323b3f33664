"""Queries with judged pictures: Rocchio's rule by hand, what they find and leave out, and how they are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cbir.index.store import Index
from cbir.search.combination import ASKED, LESS, MORE, Combination, judged
from cbir.search.queries import CombinedQuery, FeedbackQuery, IndexedQuery, Query, VectorQuery
from cbir.search.searcher import Searcher
from tests.helpers.feature_index import make_index

RIGHT, UP, DEEP = np.eye(3, dtype=np.float32)


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Three clusters of ten pictures in 16 dimensions: rows 0 to 9, 10 to 19, 20 to 29."""
    rng = np.random.default_rng(1)
    centres = np.abs(rng.normal(size=(3, 16)))
    features = np.concatenate([centre + 0.2 * np.abs(rng.normal(size=(10, 16))) for centre in centres])
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return make_index(tmp_path / "index", features.astype(np.float32))


def picture(index: Index, row: int) -> IndexedQuery:
    record = index.record(row)
    return IndexedQuery(index.root / record.path, record.path, record.sha256, index.features([row])[0])


def rows(index: Index, query: FeedbackQuery, **options: object) -> list[int]:
    (result,) = Searcher(index).search([query], **{"count": 30, **options})  # type: ignore[arg-type]
    assert result.error is None
    return [match.row for match in result.matches]


def test_rocchios_rule_by_hand() -> None:
    found = judged(Combination(RIGHT, RIGHT), [UP], [DEEP])
    assert found is not None
    expected = unit(unit(ASKED * RIGHT + MORE * UP) - LESS * DEEP)
    assert found.direction == pytest.approx(expected, abs=1e-6)
    assert found.likeness == pytest.approx((ASKED * RIGHT + MORE * UP) / (ASKED + MORE))
    only_less = judged(None, [], [DEEP])
    assert only_less is not None
    assert only_less.direction == pytest.approx(-DEEP)
    assert only_less.likeness is None
    assert judged(None, [], []) is None


@pytest.mark.parametrize("reranked", [True, False])
def test_judgements_bring_what_is_like_the_good_ones_and_leave_out_the_others(index: Index, reranked: bool) -> None:
    asked, good, bad = picture(index, 0), picture(index, 12), picture(index, 3)
    found = rows(index, FeedbackQuery(asked, (good,), (bad,)), reranked=reranked)
    assert 0 not in found
    assert 3 not in found
    assert 12 in found
    assert sorted(found) == sorted(set(range(30)) - {0, 3})
    assert 3 not in rows(index, FeedbackQuery(asked, (good,), (bad,)), reranked=reranked, include_self=True)
    only_good = rows(index, FeedbackQuery(None, (good,)), reranked=reranked)
    assert sorted(only_good[:10]) == list(range(10, 20))


def test_without_judgements_it_is_what_was_asked(index: Index) -> None:
    asked = picture(index, 5)
    plain = next(Searcher(index).search([asked], count=30))
    judged_ = next(Searcher(index).search([FeedbackQuery(asked)], count=30))
    assert [(one.row, one.score) for one in judged_.matches] == [(one.row, one.score) for one in plain.matches]


def test_a_vector_stands_wherever_a_picture_may(index: Index) -> None:
    first, second = (index.features([row])[0] for row in (0, 12))
    both = CombinedQuery((VectorQuery(3 * first), VectorQuery(second)))
    same = CombinedQuery((picture(index, 0), picture(index, 12)))
    options = {"count": 30, "include_self": True}
    by_vector, by_picture = Searcher(index).search([both, same], **options)  # type: ignore[arg-type]
    assert [one.row for one in by_vector.matches] == [one.row for one in by_picture.matches]
    judged_ = FeedbackQuery(VectorQuery(first), (VectorQuery(second),))
    assert rows(index, judged_) == rows(
        index, FeedbackQuery(picture(index, 0), (picture(index, 12),)), include_self=True
    )
    with pytest.raises(ValueError, match="shape"):
        rows(index, FeedbackQuery(VectorQuery(np.ones(3, np.float32))))


def test_nothing_asked_is_all_pictures_page_by_page(index: Index) -> None:
    (result,) = Searcher(index).search([FeedbackQuery()], count=4, offset=4)
    assert [match.row for match in result.matches] == [4, 5, 6, 7]
    assert [match.rank for match in result.matches] == [5, 6, 7, 8]
    assert result.to_dict()["query"] is None
    assert result.figures == []


def test_pages_join_to_one_list(index: Index) -> None:
    query = FeedbackQuery(picture(index, 0), (picture(index, 4),), (picture(index, 20),))
    whole = rows(index, query)
    assert [row for first in range(0, 30, 7) for row in rows(index, query, count=7, offset=first)] == whole


def test_records_tell_what_was_judged() -> None:
    a, b, c = (Query(b"", name) for name in "abc")
    assert FeedbackQuery(a, (b,), (c,)).to_dict() == {"query": "a", "more": ["b"], "less": ["c"]}
    assert FeedbackQuery(a, (b,), (c,)).like == (a, b)


def test_judgements_of_judgements_and_parts_are_refused() -> None:
    with pytest.raises(TypeError, match="judgements"):
        FeedbackQuery(FeedbackQuery())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="parts"):
        FeedbackQuery(Query(b"", "a", parts=True))
