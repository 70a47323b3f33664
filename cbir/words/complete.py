"""Completing a word while it is typed: first the nouns that find something in an index, by how many pictures."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cbir.index.columns.classes import RowClasses
from cbir.words.vocabulary import Word, look_up
from cbir.words.wordnet import plain, wordnet

# Rows that are counted at a time, so that what is summed stays in the processor's cache.
_PART = 64

_CLASSES = 1000


@dataclass(frozen=True)
class Completed:
    """A word that begins with what was typed, and its meaning, a short text.

    `pictures` says how many pictures of the index show one; None of a word without classes of its own, which is found
    by its relatives.
    """

    word: str
    meaning: str
    pictures: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return the word as JSON records have it."""
        return {"word": self.word, "meaning": self.meaning, "pictures": self.pictures}


class Completion:
    """The words of an index: `classes` are its rows', `least` is the probability from which a picture shows a word."""

    def __init__(self, classes: RowClasses, least: float) -> None:
        table = _exact()
        counts = _pictures(classes, table.sets, least)
        # those of most pictures first, then by the alphabet
        ordered = sorted(zip(table.words, table.set_of, strict=True), key=lambda one: (-counts[one[1]], one[0]))
        self._words = [(word, number, int(counts[number])) for word, number in ordered]

    def complete(self, typed: str, count: int = 12) -> list[Completed]:
        """Return up to `count` nouns that begin with `typed`, as it is written in any way.

        Of several words for the same thing there is the most usual. Those without classes of their own come last.
        """
        wanted = plain(typed)
        if not wanted:
            return []
        found: dict[int, tuple[int, str, int]] = {}
        for word, number, pictures in self._words:
            if word.startswith(wanted) and (number in found or len(found) < count):
                rank = 0 if word == wanted else 1 + _exact().ranks[word]
                if number not in found or rank < found[number][0]:
                    found[number] = rank, word, pictures
        completed = [_completed(word, pictures) for _, word, pictures in found.values()]
        for word in _beginning(wanted):
            if len(completed) >= count:
                break
            if word not in _exact().ranks:
                completed.append(_completed(word, None))
        return completed


def _pictures(classes: RowClasses, sets: Sequence[frozenset[int]], least: float) -> npt.NDArray[np.int64]:
    """Count the rows whose probabilities of a set's classes come to `least`, of each of `sets`: shape (sets,)."""
    of_class: list[list[int]] = [[] for _ in range(_CLASSES)]
    for number, one in enumerate(sets):
        for its in one:
            of_class[its].append(number)
    # filled up with a set that is none
    above = np.full((_CLASSES, max(map(len, of_class))), len(sets), dtype=np.int64)
    for its, numbers in enumerate(of_class):
        above[its, : len(numbers)] = numbers
    counts = np.zeros(len(sets), dtype=np.int64)
    for start in range(0, len(classes.numbers), _PART):
        cells = above[classes.numbers[start : start + _PART]]
        rows = len(cells)
        cells += np.arange(rows)[:, np.newaxis, np.newaxis] * (len(sets) + 1)
        weights = classes.probabilities[start : start + _PART].astype(np.float64)
        weights = np.broadcast_to(weights[:, :, np.newaxis], cells.shape)
        sums = np.bincount(cells.ravel(), weights.ravel(), rows * (len(sets) + 1)).reshape(rows, -1)
        counts += (sums[:, :-1].astype(np.float32) >= np.float32(least)).sum(axis=0)
    return counts


class _Exact(NamedTuple):
    """The words with classes of their own: plainly written, and for each which of the `sets` of classes it stands for.

    `ranks` tells how usual a word is among those for one thing, 0 the most.
    """

    words: list[str]
    set_of: list[int]
    sets: list[frozenset[int]]
    ranks: dict[str, int]


@cache
def _exact() -> _Exact:
    words = wordnet()
    path, starts = words.paths
    below: dict[int, set[int]] = defaultdict(set)
    for number, (start, stop) in enumerate(zip(starts.tolist(), [*starts.tolist()[1:], len(path)], strict=True)):
        for synset in path[start:stop].tolist():
            below[synset].add(number)
    of_word: dict[str, set[int]] = defaultdict(set)
    ranks: dict[str, int] = {}
    for synset, its in below.items():
        for rank, lemma in enumerate(words.lemmas(synset)):
            word = plain(lemma)
            of_word[word] |= its
            ranks[word] = min(rank, ranks.get(word, rank))
    numbers: dict[frozenset[int], int] = {}
    set_of = [numbers.setdefault(frozenset(its), len(numbers)) for its in of_word.values()]
    return _Exact(list(of_word), set_of, list(numbers), ranks)


@cache
def _others() -> list[str]:
    """List all nouns that are no names of persons or places, plainly written, by the alphabet."""
    return sorted({plain(word) for word in wordnet().words() if word == word.lower()})


def _beginning(wanted: str) -> Iterator[str]:
    others = _others()
    for place in range(bisect_left(others, wanted), len(others)):
        if not others[place].startswith(wanted):
            return
        yield others[place]


def _completed(name: str, pictures: int | None) -> Completed:
    return Completed(name, _meaning(look_up(name)), pictures)


def _meaning(word: Word) -> str:
    sense = word.used[0]
    return sense.gloss or f"a kind of {sense.kind}"
