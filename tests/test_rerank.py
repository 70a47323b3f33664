"""Re-ranking on made-up features whose right order is known."""

from __future__ import annotations

import numpy as np

from cbir.rerank import LEAST_ROWS, rerank


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def candidates(query: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows in descending order of cosine, their cosines, and where each came from."""
    order = np.argsort(-(rows @ query))
    return rows[order], (rows @ query)[order], order


def chain(length: int, dimension: int = 40) -> np.ndarray:
    """Unit vectors along an arc: each is near the next, the last is far from the first."""
    angles = np.linspace(0, 1.9, length)
    vectors = np.zeros((length, dimension))
    vectors[:, 0], vectors[:, 1] = np.cos(angles), np.sin(angles)
    return vectors


def test_what_a_chain_of_neighbours_leads_to_comes_before_strangers_that_look_nearer() -> None:
    rng = np.random.default_rng(0)
    same = unit(chain(30) + rng.normal(0, 0.02, (30, 40)))
    strangers = rng.normal(0, 1, (60, 40))
    strangers[:, 0] = 2.2  # each a little like the query, none like another
    strangers = unit(strangers)
    query, rows = same[0], np.concatenate([same[1:], strangers])
    ordered, cosines, origin = candidates(query, rows)
    mean = rows.mean(axis=0)
    order = rerank(query, ordered, cosines, mean)
    assert sorted(order.tolist()) == list(range(len(rows)))
    before = (origin[:29] < 29).mean()
    after = (origin[order][:29] < 29).mean()
    assert after > before
    assert after >= 0.9


def test_copies_stay_first_in_cosine_order() -> None:
    rng = np.random.default_rng(1)
    query = unit(rng.random(64))
    copies = unit(query + rng.normal(0, 1, (6, 64)) * np.linspace(0.002, 0.02, 6)[:, np.newaxis])
    others = unit(rng.random((80, 64)) + 0.5 * query)
    ordered, cosines, origin = candidates(query, np.concatenate([copies, others]))
    order = rerank(query, ordered, cosines, others.mean(axis=0))
    copied = cosines >= 0.92
    assert copied.sum() >= 6
    assert order[: copied.sum()].tolist() == list(range(copied.sum()))
    assert set(origin[order][:6].tolist()) == set(range(6))


def test_few_rows_keep_their_order() -> None:
    rng = np.random.default_rng(2)
    rows = unit(rng.random((LEAST_ROWS - 1, 8)))
    query = unit(rng.random(8))
    ordered, cosines, _ = candidates(query, rows)
    assert rerank(query, ordered, cosines, rows.mean(axis=0)).tolist() == list(range(len(rows)))


def test_identical_rows_do_not_break_it() -> None:
    rows = np.tile(unit(np.ones(8)), (50, 1))
    order = rerank(rows[0], rows, np.ones(50, dtype=np.float32), rows.mean(axis=0))
    assert order.tolist() == list(range(50))
