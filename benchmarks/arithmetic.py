"""A photo, a word that is to be shown and one that is not, by the rules that cbir has and by others, with weights.

The pictures are of two or three photos of different things, one above the other, among single photos. Of each triple
of things there are pictures of the first two, and of all three; a query is a photo of the first, with a word for the
second and without the third. What suits is chosen by the even triples and reported by the odd ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import reranking
from benchmarks.harness import Settings
from benchmarks.results import Result, measured, noted
from benchmarks.words import NAMES, PAIRED, Bools, Pictures, average_precision, stacked
from cbir.search.ranker import Ranker
from cbir.utils.vectors import Floats
from cbir.words.score import with_likeness
from cbir.words.vocabulary import look_up

#: Triples of things, pictures of each two and three of them, and queries a triple.
TRIPLES, EACH, QUERIES = 48, 6, 5

#: Weights of the photo, the word and the unwanted word, and how many of the first pictures are looked at for each.
WEIGHTS = ((1, 1, 1), (2, 1, 1), (4, 1, 1), (1, 2, 1), (1, 4, 1), (1, 1, 4), (1, 1, 0.01))
FIRST = 10

Rule = Callable[[Floats, Floats, Floats, Floats], Floats]


def _z(values: Floats) -> Floats:
    return np.asarray((values - values.mean()) / values.std())


def _rank(values: Floats) -> Floats:
    return np.asarray(values.argsort(kind="stable").argsort(kind="stable") / len(values))


#: From the cosines with a photo as they are and centred, and the probabilities of the wanted and the unwanted word.
RULES: dict[str, Rule] = {
    "c² √(p / (1 + 300 q))": lambda cosine, c, p, q: with_likeness(p / (1 + 300 * q), c),
    "c² √p / (1 + 300 q)": lambda cosine, c, p, q: with_likeness(p, c) / (1 + 300 * q),
    "c² √p / (1 + 300 q)²": lambda cosine, c, p, q: with_likeness(p, c) / (1 + 300 * q) ** 2,
    "c² √p / (1 + 3000 q)": lambda cosine, c, p, q: with_likeness(p, c) / (1 + 3000 * q),
    "c² √p (1 - q)": lambda cosine, c, p, q: with_likeness(p, c) * (1 - q),
    "c² p^¼ / √(1 + 300 q)": lambda cosine, c, p, q: np.maximum(c, 0) ** 2 * p**0.25 / (1 + 300 * q) ** 0.5,
    "c² p^¾ / √(1 + 300 q)": lambda cosine, c, p, q: np.maximum(c, 0) ** 2 * p**0.75 / (1 + 300 * q) ** 0.5,
    "steps of spread, summed": lambda cosine, c, p, q: _z(cosine) + _z(p) - _z(q),
    "the same of logarithms": lambda cosine, c, p, q: _z(cosine) + _z(np.log(p + 1e-5)) - _z(np.log(q + 1e-5)),
    "ranks, summed": lambda cosine, c, p, q: _rank(cosine) + _rank(p) - _rank(q),
    "c + p - q, rclip's way": lambda cosine, c, p, q: cosine + p - q,
}


class Asked(NamedTuple):
    """A query: the number of its triple, the row of its photo, and the three things."""

    triple: int
    row: int
    like: str
    word: str
    without: str


def run(settings: Settings) -> Iterator[Result]:
    """Rules, and what weights do."""
    pictures, asked = _made(settings.shared / "photos", settings.pick(TRIPLES, 8))
    shows = {name: np.array([name in one.split() for one in pictures.folders.tolist()]) for name in PAIRED}
    each = {name: pictures.score([look_up(NAMES.get(name, name))]).shown for name in PAIRED}
    ranker = Ranker(reranking.make_index(settings.scratch / "arithmetic", pictures.features))
    centred = {one.row: ranker.scanner.likenesses(pictures.features[one.row]) for one in asked}
    for name, rule in RULES.items():
        found = [_precisions(_order(pictures, centred, each, rule, one), _right(shows, one)) for one in asked]
        halves = [
            np.mean([one for one, its in zip(found, asked, strict=True) if its.triple % 2 == h], 0) for h in (0, 1)
        ]
        told = f"even {halves[0][0]:.3f} (P@{EACH} {halves[0][1]:.3f}), odd {halves[1][0]:.3f} ({halves[1][1]:.3f})"
        yield noted(10, f"a photo, a word and not a word, mean AP: {name}", float(halves[1][0]), "", told)
        if name == next(iter(RULES)):
            yield measured("arithmetic", float(halves[1][0]), told)
    for weights in WEIGHTS:
        told = ", ".join(f"{what} {share:.2f}" for what, share in _shares(centred, each, shows, asked, weights).items())
        yield noted(
            10, "a photo, a word and not a word, by weights " + ", ".join(f"{one:g}" for one in weights), 0, "", told
        )


def _made(root: Path, count: int) -> tuple[Pictures, list[Asked]]:
    random = np.random.default_rng(5)
    every = list(combinations(PAIRED, 3))
    triples = [tuple(random.permutation(every[number])) for number in random.choice(len(every), count, replace=False)]
    files: list[tuple[str, Path | bytes]] = [
        (" ".join(names), data)
        for triple in triples
        for names in (triple[:2], triple)
        for data in stacked(root, names, EACH)
    ]
    files += [(name, path) for name in PAIRED for path in sorted((root / name).glob("*.jpg"))]
    pictures = Pictures(files)
    asked = []
    for number, triple in enumerate(triples):
        rows = np.flatnonzero(pictures.folders == triple[0])
        asked += [Asked(number, int(row), *triple) for row in random.choice(rows, QUERIES, replace=False)]
    return pictures, asked


def _order(
    pictures: Pictures, centred: dict[int, Floats], each: dict[str, Floats], rule: Rule, one: Asked
) -> np.ndarray:
    cosine = pictures.features @ pictures.features[one.row]
    order = np.argsort(-rule(cosine, centred[one.row], each[one.word], each[one.without]), kind="stable")
    return np.asarray(order[order != one.row])


def _shares(
    centred: dict[int, Floats],
    each: dict[str, Floats],
    shows: dict[str, Bools],
    asked: list[Asked],
    weights: tuple[float, float, float],
) -> dict[str, float]:
    """Return which shares of the first pictures show each thing, where weights are the powers of what speaks for it."""
    own, wanted, unwanted = (weight / max(weights) for weight in weights)
    found = []
    for one in asked:
        evidence = each[one.word] ** wanted / (1 + 300 * each[one.without]) ** unwanted
        order = np.argsort(-with_likeness(evidence, centred[one.row], own), kind="stable")
        first = order[order != one.row][:FIRST]
        found.append([shows[name][first].mean() for name in (one.like, one.word, one.without)])
    return dict(zip(("photo", "word", "unwanted"), np.mean(found, axis=0).tolist(), strict=True))


def _right(shows: dict[str, Bools], one: Asked) -> Bools:
    return np.asarray(shows[one.like] & shows[one.word] & ~shows[one.without])


def _precisions(order: np.ndarray, right: Bools) -> tuple[float, float]:
    return average_precision(order, right), float(right[order[:EACH]].mean())
