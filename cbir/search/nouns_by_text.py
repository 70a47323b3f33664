"""Nouns near a word by a network's text encoder, and how many pictures of an index show each by that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from cbir.search.searched import SearchedIndex
from cbir.utils.vectors import Floats, l2_normalize
from cbir.words.near_nouns import NearNoun, everyday_nouns
from cbir.words.prompts import SCALE
from cbir.words.score import LEAST_PROBABILITY
from cbir.words.vocabulary import Word


class NounsByText:
    """Everyday nouns, and some `others`, in the space of a network's texts.

    A picture shows those that are probable among all of them, as of `cbir tags --words`, but that names are read
    without prompts: with seven for each of a thousand nouns it would take a minute.
    """

    def __init__(self, searched: SearchedIndex, words: Sequence[Word], others: Sequence[NearNoun]) -> None:
        self._words = {word: everyday_nouns(word) for word in words}
        nouns = [*others, *(noun for its in self._words.values() for noun in its)]
        names = dict.fromkeys([*(word.name for word in words), *(noun.text for noun in nouns)])
        self._number = {name: number for number, name in enumerate(names)}
        self._texts = l2_normalize(searched.engine.text(list(names)))
        self._counts = _shown(searched, self._texts)

    def near(self, word: Word, count: int, *, only_shown: bool = False) -> list[tuple[NearNoun, int]]:
        """Return the nouns whose texts are nearest to a word's, the word first, and how many pictures show each.

        The likeness is the cosine. Nothing where the network knows no such word.
        """
        own = self._texts[self._number[word.name]]
        found = {}
        for noun in self._words[word]:
            cosine = float(self._texts[self._number[noun.text]] @ own)
            if noun.text not in found and (not only_shown or self.count(noun.text)):
                found[noun.text] = replace(noun, likeness=cosine)
        nearest = sorted(found.values(), key=lambda noun: -noun.likeness)
        return [(noun, self.count(noun.text)) for noun in nearest[:count] if noun.likeness > 0]

    def count(self, name: str) -> int:
        """Return how many pictures show a noun."""
        return int(self._counts[self._number[name]])


def _shown(searched: SearchedIndex, texts: Floats) -> npt.NDArray[np.int64]:
    """Count the pictures in which each text is probable among all, shape (texts,)."""
    counts, first = np.zeros(len(texts), dtype=np.int64), 0
    for _, features in searched.index.chunks(0):
        logits = SCALE * (features @ texts.T)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        shows = weights >= LEAST_PROBABILITY * weights.sum(axis=1, keepdims=True)
        counts += shows[searched.index.comparable[first : first + len(features)]].sum(axis=0)
        first += len(features)
    return counts
