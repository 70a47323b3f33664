"""Scoring the pictures of a collection against words. docs/method/words.md has what the rules gain.

Pictures are known by their most probable classes: `classes` and `probabilities`, shape (rows, n), as an index keeps
them (uint16 and float16), or any other integers and floats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cbir.utils.half import to_float32
from cbir.utils.vectors import Floats
from cbir.words.vocabulary import Word
from cbir.words.wordnet import wordnet

Integers = npt.NDArray[np.integer[Any]]
Reals = npt.NDArray[np.floating[Any]]

#: The probability from which a picture counts as one that shows a word: for tags, filters by tags, and completion.
LEAST_PROBABILITY = 0.15

# The share of each class in a collection is estimated from this many rows.
_SAMPLE = 10_000

# Rows that are scored at a time, so that they stay in the processor's cache.
_PART = 4096

# A class counts to an inexact word by this power of its share, to which _LEAST_SHARE is added.
_SHARE_POWER, _LEAST_SHARE = -0.5, 1e-3

# A picture that shows what it should not, to a probability p, counts 1 / (1 + 300 p).
_AGAINST = 300


@dataclass(frozen=True)
class Scores:
    """The scores of all pictures for words.

    `shown`, shape (rows,), is for people: the probability that the picture shows all the words and none of those
    that it should not; of an inexact word, how like it is, from 0 to 1. `evidence`, shape (rows,), not negative, is
    what pictures are ordered by, largest first; only its order and its ratios mean something. `of_one_word` tells
    the scores of one word and nothing else, of which no detector knows, either: re-ranking makes these better, and
    others worse.
    """

    shown: Floats
    evidence: Floats
    of_one_word: bool


def nothing_seen(word: Word) -> None:
    """Stand for a detector that knows no word."""


def score_words(
    words: Sequence[Word],
    without: Sequence[Word],
    classes: Integers,
    probabilities: Reals,
    seen: Callable[[Word], Floats | None] = nothing_seen,
) -> Scores:
    """Score every picture by all of `words`, as if they were independent, and by none of `without`.

    Evidence counts by the power of a word's own weight (`Word.counts`); what people are shown does not.

    Without any word all pictures have the score 1. `seen` gives the scores by which a detector sees a word in each
    picture, shape (rows,), None of a word that it does not know.
    """
    own_seen = {word: seen(word) for word in (*words, *without)}
    shown = np.ones(len(classes), dtype=np.float32)
    evidence = np.ones(len(classes), dtype=np.float32)
    shares: Floats | None = None
    for word in words:
        own = weighted_sums(word.weights, classes, probabilities)
        shown *= _either(own, own_seen[word])
        if not word.exact:
            shares = class_shares(classes, probabilities) if shares is None else shares
            own = weighted_sums(_balanced(word.weights, shares), classes, probabilities)
        evidence *= _powered(_either(own, own_seen[word]), word.counts)
    for word in without:
        own = _either(weighted_sums(word.weights, classes, probabilities), own_seen[word])
        shown *= 1 - own
        evidence /= _powered(1 + _AGAINST * own, word.counts)
    is_one_word = len(words) == 1 and not without and own_seen[words[0]] is None
    return Scores(shown, evidence, of_one_word=is_one_word)


def with_likeness(evidence: Floats, likeness: Floats, weight: float = 1.0) -> Floats:
    """Return the evidence of words and a picture together, shape (rows,), the picture counting by its weight.

    `likeness`, shape (rows,), are the cosines of pictures with that picture's feature, both with the collection's mean
    taken off (`Centre.centred`).
    """
    return np.asarray(_powered(np.maximum(likeness, 0), 2 * weight) * np.sqrt(evidence), dtype=np.float32)


def weighted_sums(weights: Floats, classes: Integers, probabilities: Reals) -> Floats:
    """Return the sum of the classes' probabilities, each times its weight, shape (rows,), at most 1."""
    sums = np.empty(len(classes), dtype=np.float32)
    for start in range(0, len(classes), _PART):
        part = slice(start, start + _PART)
        its = probabilities[part]
        numbers = to_float32(its) if its.dtype == np.float16 else its.astype(np.float32)
        # "clip": no check of each number, which an index has been checked for; it would take half of the time
        np.einsum("ij,ij->i", weights.take(classes[part], mode="clip"), numbers, out=sums[part])
    return np.minimum(sums, np.float32(1))


def class_shares(classes: Integers, probabilities: Reals) -> Floats:
    """Return the mean probability of each class in a collection, shape (1000,), from some thousand of its pictures."""
    step = max(1, -(-len(classes) // _SAMPLE))
    some = classes[::step].ravel()
    sums = np.bincount(some, weights=probabilities[::step].ravel(), minlength=len(wordnet().classes))
    return np.asarray(sums / max(len(classes[::step]), 1), dtype=np.float32)


def _either(probability: Floats, score: Floats | None) -> Floats:
    """Return the probability that at least one of two is right, as if they erred independently, shape (rows,)."""
    return probability if score is None else 1 - (1 - probability) * (1 - score)


def _powered(values: Floats, power: float) -> Floats:
    return values if power == 1 else np.power(values, np.float32(power))


def _balanced(weights: Floats, shares: Floats) -> Floats:
    """Weights of classes of which those count less that many pictures have, scaled to the same largest.

    Of the relatives of what is looked for, those that are there themselves bring their own pictures first.
    """
    balanced = weights * (shares + _LEAST_SHARE) ** _SHARE_POWER
    return np.asarray(balanced * (weights.max() / balanced.max()), dtype=np.float32)
