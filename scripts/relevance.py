"""Fit the maps of cbir/search/relevance.py, and tell how well they hold.

    .venv/bin/python scripts/relevance.py INDEX... --unseen INDEX...

Pictures of a folder are a class, whatever lies above the folder. Each INDEX is a path, and each of its pictures a query
among all others. The constants are fitted to the even classes of each INDEX, and to small collections drawn from these
classes, which hold few pictures of a kind or one of each; they are judged by the odd ones, and by the --unseen
indexes. An index counts as much as any other, a drawn collection a quarter of that.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from benchmarks.reranking import make_index
from cbir.index.store import Index
from cbir.search.ranker import Ranker
from cbir.search.relevance import query_rarity, rarity, relevance_of, usual_rarity

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

#: Matches of a query that count, and queries of a collection at most.
DEPTH, QUERIES = 30, 500

#: Pictures of each class in drawn collections, and how often each is drawn.
DRAWN, DRAWS, DRAWN_WEIGHT = (1, 2, 5, 10, 20), 3, 0.25

#: Steps of a reliability table.
STEPS = 10


@dataclass(frozen=True)
class Sample:
    """Matches of one collection: numbers for the maps, what the maps say now, and which are right."""

    name: str
    weight: float
    reranked: Floats
    by_cosine: Floats
    said: dict[str, Floats]
    right: dict[str, Floats]


def main() -> None:
    """Parse the command line, fit, and print constants and tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("indexes", nargs="+", type=Path, metavar="INDEX")
    parser.add_argument("--unseen", nargs="*", type=Path, default=[], metavar="INDEX")
    options = parser.parse_args()
    fitted, held = [], []
    for path in options.indexes:
        for parity, samples in ((0, fitted), (1, held)):
            samples.extend(samples_of(path, parity))
            print(f"{path.name}, {'even' if parity == 0 else 'odd'} classes", file=sys.stderr, flush=True)
    unseen = [sample for path in options.unseen for sample in samples_of(path, None)]
    for order in ("reranked", "by_cosine"):
        constants = fit(fitted, order)
        print(f"\n{order}: {', '.join(f'{number:.3f}' for number in constants)} (the last is added)")
        for name, samples in (("fitted to", fitted), ("held out", held), ("unseen", unseen)):
            if samples:
                report(name, samples, order, constants)


def samples_of(path: Path, parity: int | None) -> Iterator[Sample]:
    """The matches of queries of the classes of one parity, or of all; and those of collections drawn from these."""
    index = Index.open(path)
    names = [Path(one).parent.name for one in index.files().paths]
    labels = np.unique(names, return_inverse=True)[1].astype(np.int64)
    random = np.random.default_rng(0)
    rows = np.flatnonzero(labels % 2 == parity) if parity is not None else np.arange(len(labels))
    yield sample(path.name, index, labels, random.permutation(rows)[:QUERIES], 1)
    if parity is None:
        return
    features = index.features(np.arange(index.rows))
    classes, sizes = np.unique(labels[rows], return_counts=True)
    for size in DRAWN:
        for draw in range(DRAWS):
            chosen = [
                random.choice(np.flatnonzero(labels == one), size, replace=False) for one in classes[sizes >= size]
            ]
            own = np.concatenate(chosen)
            with tempfile.TemporaryDirectory() as scratch:
                drawn = make_index(Path(scratch) / str(draw), features[own])
                queries = random.permutation(len(own))[: QUERIES // 5]
                yield sample(f"{path.name}, {size} of each", drawn, labels[own], queries, DRAWN_WEIGHT / DRAWS)


def sample(name: str, index: Index, labels: Labels, queries: Labels, weight: float) -> Sample:
    """The first matches of some rows of an index as queries, re-ranked and by cosine."""
    ranker, quantiles = Ranker(index), index.meta.cosines
    assert quantiles is not None
    usual = usual_rarity(quantiles)
    numbers: dict[str, list[Floats]] = {"reranked": [], "by_cosine": []}
    said: dict[str, list[Floats]] = {"reranked": [], "by_cosine": []}
    right: dict[str, list[Floats]] = {"reranked": [], "by_cosine": []}
    for query in queries.tolist():
        feature = index.features([query])[0]
        for order in numbers:
            ranking = ranker.ranked(feature, DEPTH + 1, reranked=order == "reranked")
            kept = np.flatnonzero(ranking.rows != query)[:DEPTH]
            own = ranking.evidence[kept] if ranking.evidence is not None else rarity(ranking.cosines[kept], quantiles)
            if ranking.evidence is None and order == "reranked":
                continue  # too few rows
            nearest = query_rarity(ranking.cosines, quantiles) if order == "reranked" else 0.0
            ones = np.ones(len(kept))
            numbers[order].append(np.stack([own, nearest * ones, usual * ones, ones], axis=1))
            said[order].append(relevance_of(ranking.cosines, ranking.evidence, quantiles, ranking.copies)[kept])
            right[order].append((labels[ranking.rows[kept]] == labels[query]).astype(np.float64))
    joined = {order: np.concatenate([*its, np.empty((0, 4))]) for order, its in numbers.items()}
    return Sample(
        name,
        weight,
        joined["reranked"],
        joined["by_cosine"],
        {order: np.concatenate([*its, np.empty(0)]) for order, its in said.items()},
        {order: np.concatenate([*its, np.empty(0)]) for order, its in right.items()},
    )


def fit(samples: Sequence[Sample], order: str) -> Floats:
    """The constants of the most probable logistic map, shape (4,)."""
    numbers = np.concatenate([getattr(one, order) for one in samples])
    right = np.concatenate([one.right[order] for one in samples])
    weights = weights_of(samples, order)
    scale = np.maximum(np.abs(numbers).max(axis=0), 1e-9)

    def loss(constants: Floats) -> tuple[float, Floats]:
        logit = numbers / scale @ constants
        slope = weights * (1 / (1 + np.exp(-logit)) - right)
        return float(weights @ (np.logaddexp(0, logit) - right * logit)), (numbers / scale).T @ slope

    found: Floats = minimize(loss, np.zeros(4), jac=True).x / scale
    return found


def weights_of(samples: Sequence[Sample], order: str) -> Floats:
    """How much each match counts, shape (n,), so that samples count as much as they are to; the sum is 1."""
    parts = [np.full(len(one.right[order]), one.weight / max(len(one.right[order]), 1)) for one in samples]
    weights = np.concatenate(parts)
    return np.asarray(weights / weights.sum())


def report(name: str, samples: Sequence[Sample], order: str, constants: Floats) -> None:
    """Print the reliability of the new map, and of what cbir says now, and the mean of each collection."""
    right, weights = np.concatenate([one.right[order] for one in samples]), weights_of(samples, order)
    new = 1 / (1 + np.exp(-(np.concatenate([getattr(one, order) for one in samples]) @ constants)))
    now = np.concatenate([one.said[order] for one in samples])
    errors = error(new, right, weights), error(now, right, weights)
    print(f"{name}: expected calibration error {errors[0]:.3f}, of cbir now {errors[1]:.3f}")
    step = np.minimum((now * STEPS).astype(int), STEPS - 1)
    for one in range(STEPS):
        its = step == one
        if its.any():
            mean, share = (np.average(values[its], weights=weights[its]) for values in (now, right))
            print(f"   from {one / STEPS:.1f} on: {its.sum():7,} matches, said {mean:.3f}, right {share:.3f}")
    for called in dict.fromkeys(one.name for one in samples):
        own = [one for one in samples if one.name == called]
        said, is_right = (np.concatenate([getattr(one, what)[order] for one in own]) for what in ("said", "right"))
        if len(said):
            print(f"   {called:44} said {said.mean():.3f}, right {is_right.mean():.3f}")


def error(said: Floats, right: Floats, weights: Floats) -> float:
    """The expected calibration error: how far shares are from what was said, over the steps."""
    step = np.minimum((said * STEPS).astype(int), STEPS - 1)
    apart = [abs(weights[step == one] @ (said[step == one] - right[step == one])) for one in range(STEPS)]
    return float(np.sum(apart))


if __name__ == "__main__":
    main()
