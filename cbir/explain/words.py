"""Words, of the network's classes, for what two pictures both show; and where a picture shows a word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cbir.backbones.head import Classifier
from cbir.backbones.imagenet import classes
from cbir.explain.looks import Look
from cbir.utils.vectors import Floats
from cbir.words.vocabulary import Word


@dataclass(frozen=True)
class SharedWord:
    """A class that both pictures may show: its name, its probability in each, and its part in what both show.

    Parts are products of the roots of probabilities, whose sum over all classes is 1 where both are alike.
    """

    name: str
    query: float
    match: float
    part: float


class WordPlaces(NamedTuple):
    """The evidence of each place for a word, shape (n,), which with `rest` adds up to that of the picture, `evidence`.

    It is the mean logit of the word's classes, as probable as they are in the picture, above that of all classes.
    """

    shares: Floats
    rest: float
    evidence: float
    probability: float

    def above(self, look: Look) -> Floats:
        """Return by how much each place's evidence is above its even part: where positive, it speaks for the word."""
        places, _ = look.of_first()
        found = np.zeros(len(self.shares), dtype=np.float32)
        found[places] = self.shares[places] - np.float32(self.shares[places].mean())
        return found


def shared_words(classifier: Classifier, query: Look, match: Look, count: int = 5) -> list[SharedWord]:
    """Find the classes that both pictures show most, the one with the largest part first."""
    ours, theirs = (_probabilities(classifier, look) for look in (query, match))
    parts = np.sqrt(ours * theirs)
    order = np.argsort(-parts, kind="stable")[:count]
    names = classes()
    return [SharedWord(names[one].name, float(ours[one]), float(theirs[one]), float(parts[one])) for one in order]


def word_places(classifier: Classifier, look: Look, word: Word) -> WordPlaces:
    """Take apart what speaks for a word in a picture. Places are those of the first network; others have none."""
    places, vectors = look.of_first()
    probabilities = _probabilities(classifier, look)
    weights = np.asarray(word.weights, dtype=np.float32)
    its = weights * np.maximum(probabilities, np.float32(1e-12))
    direction, rest = classifier.direction(its / its.sum())
    shares = np.zeros(len(look.vectors), dtype=np.float32)
    shares[places] = vectors @ direction
    return WordPlaces(shares, rest, float(shares.sum()) + rest, min(float(weights @ probabilities), 1.0))


def _probabilities(classifier: Classifier, look: Look) -> Floats:
    _, vectors = look.of_first()
    return np.asarray(classifier.probabilities(vectors.sum(axis=0, keepdims=True))[0])
