"""The nouns nearest to a word in WordNet's tree: what else to search for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from cbir.words.vocabulary import Sense, Word
from cbir.words.wordnet import plain, wordnet

Relation = Literal["same", "broader", "narrower", "beside"]

# Nouns less like a word than that have little to do with it, a horse and a car say.
_LEAST = 0.6


@dataclass(frozen=True)
class NearNoun:
    """A noun near a word: its synset's number is `place`.

    `likeness`, from 0 to 1, is Wu's and Palmer's (`nearness.similarities`). `relation` says whether it is another word
    for the `same`, stands above it (`broader`), below it (`narrower`), or `beside` it.
    """

    place: int
    likeness: float
    relation: Relation
    text: str

    @cached_property
    def word(self) -> Word:
        """The noun as a word to search by, in this one sense."""
        name = plain(self.text)
        senses = tuple(Sense(number, place) for number, place in enumerate(wordnet().synsets(name), start=1))
        return Word(self.text, name, senses, next(one.number for one in senses if one.place == self.place))

    @property
    def sense(self) -> Sense:
        """The one sense."""
        return self.word.used[0]

    @property
    def meaning(self) -> str:
        """The meaning in a few words."""
        return self.sense.gloss or f"a kind of {self.sense.kind}"


def nouns_near(word: Word, *, others: bool = False) -> Iterator[list[NearNoun]]:
    """Yield the nouns near any of a word's senses, nearest first, those that are as near together: the word first.

    They are those of which networks know classes, and with `others` all nouns but names of persons and places.
    """
    words = wordnet()
    places = [sense.place for sense in word.used]
    depths = words.depths.astype(np.float32)
    each = np.array([2 * words.common_depths(place) / (depths + depths[place]) for place in places])
    likeness = each.max(axis=0)
    has_classes = np.zeros(len(words), dtype=np.bool_)
    has_classes[words.paths[0]] = True
    wanted = likeness >= _LEAST if others else (likeness >= _LEAST) & has_classes
    wanted[places] = True
    near = np.flatnonzero(wanted)
    near = near[np.lexsort((near, ~has_classes[near], -likeness[near]))]
    for first in np.split(near, np.flatnonzero(np.diff(likeness[near])) + 1):
        group = []
        for place in first.tolist():
            text = word.name if place in places else words.lemmas(place)[0]
            if place in places or has_classes[place] or text == text.lower():
                sense = places[int(each[:, place].argmax())]
                group.append(NearNoun(place, float(likeness[place]), _relation(place, sense), text))
        if group:
            yield group


def everyday_nouns(word: Word) -> list[NearNoun]:
    """Return the everyday nouns of which networks know classes, as they stand to a word in the tree, in any order."""
    words, sense = wordnet(), word.used[0].place
    common, depths = words.common_depths(sense), words.depths.astype(np.float32)
    return [
        NearNoun(
            place,
            float(2 * common[place] / (depths[place] + depths[sense])),
            _relation(place, sense),
            words.lemmas(place)[0],
        )
        for place in sorted(words.familiar)
    ]


def _relation(place: int, sense: int) -> Relation:
    if place == sense:
        return "same"
    if place in wordnet().above(sense):
        return "broader"
    return "narrower" if sense in wordnet().above(place) else "beside"
