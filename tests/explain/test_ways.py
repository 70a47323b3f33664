"""The ways by which re-ranking comes to a match."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cbir.explain.ways import Ways, strongest_way
from cbir.search.ranker import Ranker
from cbir.search.rerank import Spread, spread
from tests.helpers.feature_index import make_index


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture
def ranker(tmp_path: Path) -> Ranker:
    """An index of a chain, each row of which is like the next, and of as many others."""
    random = np.random.default_rng(4)
    chain = [random.gamma(0.4, 1, 64)]
    for _ in range(29):
        chain.append(0.8 * chain[-1] + 0.45 * random.gamma(0.4, 1, 64))
    return Ranker(make_index(tmp_path / "chain", unit(np.array([*chain, *random.gamma(0.4, 1, (30, 64))]))))


def test_what_reaches_a_node_is_what_its_neighbours_send(ranker: Ranker) -> None:
    _, shortlist = ranker.shortlist(ranker.index.features([0])[0])
    assert shortlist is not None
    found = spread(shortlist)
    assert found is not None
    assert np.abs(found.reached - found.source - found.edges @ found.reached).max() < 1e-3
    assert (found.place == -1).sum() == 1  # the query's own row
    assert len(found.place) == len(shortlist.cosines)


def test_shares_of_neighbours_add_up_and_far_rows_are_reached_through_others(ranker: Ranker) -> None:
    ways = Ways(ranker, ranker.index.features([0])[0])
    assert ways.to(0) is None
    near, far = ways.to(1), ways.to(12)
    assert near is not None
    assert far is not None
    for way in (near, far):
        assert 0 <= way.direct <= 1
        assert way.direct + sum(one.share for one in way.neighbours) <= 1 + 1e-5
        assert 0 < way.share <= 1
        shares = [one.share for one in way.neighbours]
        assert shares == sorted(shares, reverse=True)
    assert near.direct > far.direct
    assert [step.row for step in near.steps] == [1]
    assert len(far.steps) > 1
    assert far.steps[-1].row == 12
    assert all(0 < step.row <= 12 for step in far.steps)


def test_the_strongest_way_is_the_largest_product() -> None:
    edges = np.zeros((4, 4), np.float32)
    for one, other, strength in ((0, 1, 0.5), (1, 2, 0.5), (0, 2, 0.2), (2, 3, 0.4)):
        edges[one, other] = edges[other, one] = strength
    nothing = np.zeros(4, np.float32)
    found = Spread(edges, np.array([2, 0, 0, 0], np.float32), nothing, edges, np.arange(4))
    way, strength = strongest_way(found, 3)
    assert way == [1, 2, 3]
    assert abs(strength - 2 * 0.5 * 0.5 * 0.4) < 1e-6
    began = found._replace(source=np.array([2, 0, 0.9, 0], np.float32))
    assert strongest_way(began, 3)[0] == [2, 3]  # one of the query's nearest


def test_shares_are_parts_of_what_reaches_a_match(ranker: Ranker) -> None:
    query = ranker.index.features([0])[0]
    rows, shortlist = ranker.shortlist(query)
    assert shortlist is not None
    found = spread(shortlist)
    assert found is not None
    node_of = dict(zip(rows.tolist(), found.place.tolist(), strict=True))
    for row in (1, 5, 12):
        way, node = Ways(ranker, query).to(row), node_of[row]
        assert way is not None
        reached = float(found.reached[node])
        straight = float(found.source[node] + found.edges[node, 0] * found.reached[0])
        assert abs(way.direct * reached - straight) < 1e-3 * reached
        for one in way.neighbours:
            sent = float(found.edges[node, node_of[one.row]] * found.reached[node_of[one.row]])
            assert abs(one.share * reached - sent) < 1e-3 * reached
