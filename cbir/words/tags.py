"""Words for pictures: as special as their classes' probabilities allow.

A synset's probability is the sum of those of the classes that it is or stands above. The tag of a picture is the synset
with the largest product of squared probability and information (minus the logarithm of its share of all classes), a
more careful form of what Deng, Krause, Berg and Fei-Fei do in "Hedging Your Bets: Optimizing Accuracy-Specificity
Trade-offs in Large Scale Visual Recognition", CVPR 2012: a dog of uncertain breed is a dog. The next tag is the same
among those synsets that share no class with one that was taken. A word above classes that is no everyday one, such as
"diapsid", is worth less than one that is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from cbir.words.wordnet import wordnet

Integers = npt.NDArray[np.integer[Any]]
Reals = npt.NDArray[np.floating[Any]]

#: Tags of a picture, their least probability, and the largest share of all classes that a tag may stand for.
MOST_TAGS, LEAST_PROBABILITY, MAX_GENERAL = 5, 0.15, 0.4

_CLASSES = 1000

# Synsets fewer steps below the root say nothing of a picture (artifact, organism); "animal" has just so many.
_LEAST_DEPTH = 7

# A probability counts to this power: the more, the sooner a tag is general.
_CAUTION = 2

# What a word above classes is worth that is no everyday one.
_UNFAMILIAR = 0.75

# Pictures whose synsets' probabilities are summed up at a time.
_CHUNK = 1000


@dataclass(frozen=True)
class Tag:
    """A word for a picture, and the probability that the picture shows one.

    `synset` is its id in WordNet, `place` its number in `wordnet()`; `is_class` tells one of ImageNet's classes from a
    word above some.
    """

    word: str
    probability: float
    synset: str
    is_class: bool
    place: int = field(default=-1, repr=False, compare=False)


@dataclass(frozen=True)
class _Candidates:
    """The synsets that may be tags, n of them: the classes in their order, then others.

    `covers`, shape (n, 1000), is 1 for the classes that each is or stands above; `above`, shape (1000, most), has the
    candidates above each class, itself included, filled up with n; `information`, shape (n,), is in natural units, and
    less for words that are no everyday ones.
    """

    synsets: npt.NDArray[np.int64]
    covers: npt.NDArray[np.float32]
    above: npt.NDArray[np.int64]
    information: npt.NDArray[np.float32]
    names: dict[int, str] = field(default_factory=dict)
    unrelated: dict[int, npt.NDArray[np.bool_]] = field(default_factory=dict)

    def name(self, place: int) -> str:
        """What a candidate is called."""
        if place not in self.names:
            words = wordnet()
            is_class = place < _CLASSES
            self.names[place] = words.class_names[place] if is_class else words.lemmas(int(self.synsets[place]))[0]
        return self.names[place]

    def without(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which candidates share no class with each of `places`, shape (len(places), n)."""
        for place in set(places.tolist()) - self.unrelated.keys():
            self.unrelated[place] = np.asarray(self.covers @ self.covers[place] == 0, dtype=np.bool_)
        return np.stack([self.unrelated[place] for place in places.tolist()])


def tags(
    classes: Integers,
    probabilities: Reals,
    *,
    count: int = MOST_TAGS,
    min_probability: float = LEAST_PROBABILITY,
    max_general: float = MAX_GENERAL,
) -> Iterator[list[Tag]]:
    """Up to `count` tags of each picture, the most telling first; none where nothing is probable enough.

    `classes` and `probabilities`, shape (rows, n), are the pictures' most probable classes. A tag has at least
    `min_probability`, and stands for at most the share `max_general` of all classes.
    """
    candidates = _candidates(max_general)
    words = wordnet()
    for start in range(0, len(classes), _CHUNK):
        rows = slice(start, start + _CHUNK)
        found: list[list[Tag]] = [[] for _ in range(len(classes[rows]))]
        for numbers, places, sums in _rounds(candidates, classes[rows], probabilities[rows], count, min_probability):
            for row, place, probability in zip(numbers.tolist(), places.tolist(), sums.tolist(), strict=True):
                synset = int(candidates.synsets[place])
                found[row].append(
                    Tag(
                        candidates.name(place),
                        min(probability, 1.0),
                        words.wordnet_id(synset),
                        place < _CLASSES,
                        synset,
                    )
                )
        yield from found


def words_above(tag: Tag) -> list[str]:
    """The everyday words above a tag that could be tags themselves, the most general first, by the first way up."""
    words = wordnet()
    might_be = _everyday(MAX_GENERAL)
    found = []
    place, parents = tag.place, words.parents(tag.place)
    while parents:
        place = parents[0]
        if place in might_be:
            found.append(words.lemmas(place)[0])
        parents = words.parents(place)
    return found[::-1]


def _rounds(
    candidates: _Candidates, classes: Integers, probabilities: Reals, count: int, min_probability: float
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
    """The rows that get another tag, its place among the candidates and its probability, `count` times."""
    size = len(candidates.synsets)
    above = candidates.above[classes]
    cells = above + np.arange(len(classes))[:, np.newaxis, np.newaxis] * (size + 1)
    weights = np.broadcast_to(probabilities[:, :, np.newaxis], above.shape)
    sums = np.bincount(cells.ravel(), weights=weights.ravel(), minlength=len(classes) * (size + 1))
    sums = sums.reshape(len(classes), size + 1)[:, :size].astype(np.float32)
    worth = np.where(sums >= min_probability, sums**_CAUTION * candidates.information, np.float32(0))
    rows = np.arange(len(classes))
    for _ in range(count):
        places = np.argmax(worth[rows], axis=1)
        some = worth[rows, places] > 0
        rows, places = rows[some], places[some]
        if not len(rows):
            return
        yield rows, places, sums[rows, places]
        worth[rows] *= candidates.without(places)


@cache
def _everyday(max_general: float) -> frozenset[int]:
    """Of the synsets that may be tags and are no classes, those with an everyday word."""
    return wordnet().familiar & frozenset(_candidates(max_general).synsets[_CLASSES:].tolist())


@cache
def _candidates(max_general: float) -> _Candidates:
    words = wordnet()
    paths, starts = words.paths
    of_class = np.repeat(np.arange(_CLASSES), np.diff([*starts.tolist(), len(paths)]))
    classes_of: dict[int, list[int]] = {}
    for synset, number in zip(paths.tolist(), of_class.tolist(), strict=True):
        classes_of.setdefault(synset, []).append(number)
    # of synsets above just the same classes, which a picture cannot tell apart: an everyday one, the deepest of those
    chosen: dict[tuple[int, ...], int] = {}

    def rank(synset: int) -> tuple[bool, int]:
        return synset in words.familiar, int(words.depths[synset])

    for synset, numbers in classes_of.items():
        key = tuple(numbers)
        if 1 < len(key) <= max_general * _CLASSES and words.depths[synset] >= _LEAST_DEPTH:
            chosen[key] = max(chosen.get(key, synset), synset, key=rank)
    synsets = np.array([*words.classes.tolist(), *sorted(chosen.values())], dtype=np.int64)
    covers = np.zeros((len(synsets), _CLASSES), dtype=np.float32)
    for place, synset in enumerate(synsets.tolist()):
        covers[place, classes_of[synset]] = 1
    numbers_of, places = np.nonzero(covers.T)
    columns = np.arange(len(numbers_of)) - np.searchsorted(numbers_of, numbers_of)
    above = np.full((_CLASSES, int(columns.max()) + 1), len(synsets), dtype=np.int64)
    above[numbers_of, columns] = places
    information = np.log(_CLASSES / covers.sum(axis=1))
    everyday = [place < _CLASSES or synset in words.familiar for place, synset in enumerate(synsets.tolist())]
    information *= np.where(everyday, 1, _UNFAMILIAR)
    return _Candidates(synsets, covers, above, np.asarray(information, dtype=np.float32))
