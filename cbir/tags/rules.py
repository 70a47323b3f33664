"""Words for pictures: as special as their classes' probabilities allow.

A synset's probability is the sum of those of the classes that it is or stands above. The tag of a picture is the synset
with the largest product of squared probability and information (minus the logarithm of its share of all classes), a
more careful form of what Deng, Krause, Berg and Fei-Fei do in "Hedging Your Bets: Optimizing Accuracy-Specificity
Trade-offs in Large Scale Visual Recognition", CVPR 2012: a dog of uncertain breed is a dog. The next tag is the same
among those synsets that share no class with one that was taken. A word above classes that is no everyday one, such as
"passerine", is worth less than one that is, and some vague ones are never taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from cbir.words.score import LEAST_PROBABILITY
from cbir.words.tag import Tag
from cbir.words.wordnet import wordnet

Integers = npt.NDArray[np.integer[Any]]
Reals = npt.NDArray[np.floating[Any]]

#: Tags of a picture, and the largest share of all classes that a tag may stand for.
MOST_TAGS, MAX_GENERAL = 5, 0.4

_CLASSES = 1000

# Synsets fewer steps below the root say nothing of a picture (artifact, organism); "animal" has just so many.
_LEAST_DEPTH = 7

# A probability counts to this power: the more, the sooner a tag is general.
_CAUTION = 2

# What a word above classes is worth that is no everyday one.
_UNFAMILIAR = 0.75

# Words that nobody writes under a photo, and without which tags are right as often, so that a more special or a more
# general one is taken: "timepiece" or "animal". "Device" is as vague, but what is left without it is more often wrong.
_VAGUE = (
    "n01471682",  # vertebrate
    "n01905661",  # invertebrate
    "n01886756",  # placental
    "n01661818",  # diapsid
    "n03100490",  # conveyance
    "n04170037",  # self-propelled vehicle
    "n03125870",  # craft
    "n03093574",  # consumer goods
    "n04550840",  # ware
    "n03405265",  # furnishing
    "n03563967",  # implement
    "n04014297",  # protective covering
    "n04081844",  # restraint
    "n03323703",  # fastener
    "n03738472",  # mechanism
    "n03736970",  # mechanical device
    "n03278248",  # electronic equipment
    "n03297735",  # establishment
    "n03748162",  # mercantile establishment
    "n03546340",  # housing
)

# Pictures whose synsets' probabilities are summed up at a time.
_CHUNK = 1000


@dataclass(frozen=True)
class _Candidates:
    """The synsets that may be tags, n of them: the classes in their order, then others.

    `covers[starts[i]:starts[i + 1]]` are the classes that candidate i is or stands above; `above`, shape (1000, most),
    has the candidates above each class, itself included, filled up with n; `information`, shape (n,), is in natural
    units, and less for words that are no everyday ones. `unrelated`, shape (n, n + 1), tells which share no class, in
    the rows of those that were `looked_at`.
    """

    synsets: npt.NDArray[np.int64]
    covers: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    above: npt.NDArray[np.int64]
    information: npt.NDArray[np.float32]
    unrelated: npt.NDArray[np.bool_]
    names: dict[int, str] = field(default_factory=dict)
    looked_at: set[int] = field(default_factory=set)

    def name(self, place: int) -> str:
        """Return a candidate's name, without the kind in parentheses that tells two classes of one name apart."""
        if place not in self.names:
            words = wordnet()
            is_class = place < _CLASSES
            name = words.class_names[place] if is_class else words.lemmas(int(self.synsets[place]))[0]
            self.names[place] = name.partition(" (")[0]
        return self.names[place]

    def share_none(self, places: npt.NDArray[np.int64], others: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Tell which of some others, shape (n, m), share no class with the place of their row, shape (n,)."""
        for place in set(places.tolist()) - self.looked_at:
            unrelated = np.ones(len(self.synsets) + 1, dtype=np.bool_)
            unrelated[self.above[self.covers[self.starts[place] : self.starts[place + 1]]]] = False
            self.unrelated[place] = unrelated  # at once: other threads may be doing the same
            self.looked_at.add(place)
        return np.asarray(self.unrelated[places[:, np.newaxis], others])


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
    for start in range(0, len(classes), _CHUNK):
        rows = slice(start, start + _CHUNK)
        found: list[list[Tag]] = [[] for _ in range(len(classes[rows]))]
        for numbers, places, sums in _rounds(candidates, classes[rows], probabilities[rows], count, min_probability):
            for row, place, probability in zip(numbers.tolist(), places.tolist(), sums.tolist(), strict=True):
                synset = int(candidates.synsets[place])
                found[row].append(Tag(candidates.name(place), min(probability, 1.0), synset, place < _CLASSES))
        yield from found


def worth(tag: Tag) -> float:
    """Rate a tag for how telling it is, as those by classes are chosen; one that WordNet lacks counts as a class."""
    if tag.place is None:
        share, is_everyday = 1, True
    else:
        share, is_everyday = _classes_below(tag.place), tag.is_class or tag.place in wordnet().familiar
    return float(tag.probability**_CAUTION * np.log(_CLASSES / share) * (1 if is_everyday else _UNFAMILIAR))


@cache
def _classes_below(place: int) -> int:
    """Count the classes that a synset is or stands above, 1 at least."""
    return max(1, int(np.count_nonzero(wordnet().paths[0] == place)))


def words_above(tag: Tag) -> list[str]:
    """List the everyday words above a tag that could be tags, the most general first, by the first way up."""
    if tag.place is None:
        return []
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
    """Yield the rows that get another tag, its place among the candidates and its probability, `count` times."""
    its, sums = _probable(candidates, classes, probabilities, min_probability)
    worth = sums**_CAUTION * candidates.information[its]
    rows = np.arange(len(classes))
    for _ in range(count):
        best = np.argmax(worth[rows], axis=1)
        some = worth[rows, best] > 0
        rows, best = rows[some], best[some]
        if not len(rows):
            return
        yield rows, its[rows, best], sums[rows, best]
        worth[rows] *= candidates.share_none(its[rows, best], its[rows])


def _probable(
    candidates: _Candidates, classes: Integers, probabilities: Reals, min_probability: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the candidates that are probable enough of each row, in their order, and their probabilities.

    Both have shape (rows, the most of any row), filled up with such as have a probability of 0. They are few of all,
    for all of which each step would take five times as long.
    """
    size = len(candidates.synsets)
    above = candidates.above[classes]
    cells = above + np.arange(len(classes))[:, np.newaxis, np.newaxis] * (size + 1)
    weights = np.broadcast_to(probabilities[:, :, np.newaxis], above.shape)
    of_cells = np.bincount(cells.ravel(), weights=weights.ravel(), minlength=len(classes) * (size + 1))
    of_cells = of_cells.astype(np.float32)
    enough = np.flatnonzero(of_cells >= min_probability)
    enough = enough[enough % (size + 1) < size]
    rows, places = enough // (size + 1), enough % (size + 1)
    counts = np.bincount(rows, minlength=len(classes))
    columns = np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
    shape = len(classes), int(counts.max(initial=1))
    its, sums = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.float32)
    its[rows, columns], sums[rows, columns] = places, of_cells[enough]
    return its, sums


@cache
def _everyday(max_general: float) -> frozenset[int]:
    """Return the synsets with an everyday word, of those that may be tags and are no classes."""
    return wordnet().familiar & frozenset(_candidates(max_general).synsets[_CLASSES:].tolist())


@cache
def _candidates(max_general: float) -> _Candidates:
    words = wordnet()
    paths, path_starts = words.paths
    of_class = np.repeat(np.arange(_CLASSES), np.diff([*path_starts.tolist(), len(paths)]))
    order = np.argsort(paths, kind="stable")
    # not by `np.unique` or `np.isin`, which load NumPy's masked arrays: that takes longer than the rest
    firsts = np.flatnonzero(np.diff(paths[order], prepend=-1))
    synsets, counts = paths[order[firsts]], np.diff(firsts, append=len(order))
    below = of_class[order]
    is_familiar = np.zeros(len(words), dtype=np.bool_)
    is_familiar[list(words.familiar)] = True
    familiar = is_familiar[synsets]
    depths = words.depths[synsets]
    # of synsets above just the same classes, which a picture cannot tell apart: an everyday one, the deepest of those
    chosen: dict[bytes, int] = {}

    def rank(number: int) -> tuple[bool, int]:
        return bool(familiar[number]), int(depths[number])

    may_be = (counts > 1) & (counts <= max_general * _CLASSES) & (depths >= _LEAST_DEPTH)
    for number in np.flatnonzero(may_be).tolist():
        key = below[firsts[number] : firsts[number] + counts[number]].tobytes()
        chosen[key] = max(chosen.get(key, number), number, key=rank)
    vague = {words.find(one) for one in _VAGUE}
    others = sorted(number for number in chosen.values() if int(synsets[number]) not in vague)
    numbers = np.concatenate([np.searchsorted(synsets, words.classes), np.array(others, dtype=np.int64)])
    starts = np.concatenate([[0], np.cumsum(counts[numbers])])
    places = np.repeat(np.arange(len(numbers)), counts[numbers])
    covers = below[np.arange(len(places)) + (firsts[numbers] - starts[:-1])[places]]
    by_class = np.argsort(covers, kind="stable")
    columns = np.arange(len(places)) - np.searchsorted(covers[by_class], covers[by_class])
    above = np.full((_CLASSES, int(columns.max()) + 1), len(numbers), dtype=np.int64)
    above[covers[by_class], columns] = places[by_class]
    everyday = familiar[numbers] | (np.arange(len(numbers)) < _CLASSES)
    information = np.log(_CLASSES / counts[numbers]) * np.where(everyday, 1, _UNFAMILIAR)
    unrelated = np.empty((len(numbers), len(numbers) + 1), dtype=np.bool_)
    return _Candidates(synsets[numbers], covers, starts, above, information.astype(np.float32), unrelated)
