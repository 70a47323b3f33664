"""The vocabulary: words as users type them, their meanings, and the classes of ImageNet that stand for these."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from cbir.errors import WordError
from cbir.utils.printable import shortened
from cbir.utils.vectors import Floats
from cbir.words.nearness import class_weights, classes_below
from cbir.words.wordnet import plain, wordnet

# No noun in WordNet is half as long; the parts of thousands of letters would be tried one by one.
_LONGEST = 200

# How a regular plural ends, and its singular, the likeliest first where both are words: kites are of kite, not kit.
_ENDINGS = (
    ("s", ""),
    ("ies", "y"),
    ("men", "man"),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("ves", "f"),
    ("es", ""),
)


@dataclass(frozen=True)
class Sense:
    """One meaning of a word. `number` counts a word's senses from 1, the most usual first.

    `place` is the number of its synset in `wordnet()`, from which all else is read when it is asked for.
    """

    number: int
    place: int

    @cached_property
    def synset(self) -> str:
        """WordNet's id, such as n02012849."""
        return wordnet().wordnet_id(self.place)

    @cached_property
    def lemmas(self) -> tuple[str, ...]:
        """The words for it, the most usual first."""
        return wordnet().lemmas(self.place)

    @cached_property
    def gloss(self) -> str:
        """Its meaning in words; it may be empty (`WordNet.gloss`)."""
        return wordnet().gloss(self.place)

    @cached_property
    def kind(self) -> str:
        """The first word for what it is a kind of."""
        parents = wordnet().parents(self.place)
        return wordnet().lemmas(parents[0])[0] if parents else self.lemmas[0]

    @cached_property
    def classes(self) -> tuple[int, ...]:
        """The numbers of ImageNet's classes that it is or stands above."""
        return tuple(classes_below(self.place).tolist())

    @property
    def exact(self) -> bool:
        """True if ImageNet has classes of just this."""
        return bool(self.classes)

    def is_name(self, word: str) -> bool:
        """Tell whether `word`, a plain one, is in it only with capitals, as the name of a person or place."""
        spellings = [lemma for lemma in self.lemmas if plain(lemma) == word]
        return bool(spellings) and all(lemma != lemma.lower() for lemma in spellings)

    def describe(self) -> str:
        """Return the meaning in a line: words and gloss."""
        return f"{', '.join(self.lemmas)}: {self.gloss or f'a kind of {self.kind}'}"


@dataclass(frozen=True)
class Word:
    """A word that WordNet knows. `text` is what was typed, `name` the word in WordNet that it was taken for.

    `senses` are all its meanings, `chosen` the number of the one that was asked for, if one was. `counts` is how much
    it counts beside other words and pictures.
    """

    text: str
    name: str
    senses: tuple[Sense, ...]
    chosen: int | None = None
    counts: float = 1.0

    def choose(self, number: int) -> Word:
        """Return the same word in one sense only. WordError where it has no sense of that number."""
        if not 1 <= number <= len(self.senses):
            how_many = "one sense" if len(self.senses) == 1 else f"{len(self.senses)} senses"
            raise WordError(
                f"{self.text!r} has {how_many}, and no sense {number}: --sense list shows what it may mean."
            )
        return replace(self, chosen=number)

    @cached_property
    def used(self) -> tuple[Sense, ...]:
        """The meanings that are looked for: the chosen one, else those with classes of their own, else all.

        Of the latter, names of persons and places (C. P. Snow) only count where the word was typed as a name or is
        nothing else.
        """
        if self.chosen is not None:
            return (self.senses[self.chosen - 1],)
        if exact := tuple(sense for sense in self.senses if sense.exact):
            return exact
        if self.text != self.text.lower():
            return self.senses
        return tuple(sense for sense in self.senses if not sense.is_name(self.name)) or self.senses

    @property
    def exact(self) -> bool:
        """True if ImageNet has classes of just this: scores are then probabilities, else likenesses."""
        return self.used[0].exact

    @cached_property
    def weights(self) -> Floats:
        """The weights by which classes speak for the word, from 0 to 1, shape (1000,); see `class_weights`."""
        return class_weights([sense.place for sense in self.used])

    def to_dict(self) -> dict[str, Any]:
        """Return the word as JSON records have it: as typed, whether it is exact, and the synsets that are taken."""
        weight = {} if self.counts == 1 else {"weight": self.counts}
        return {"word": self.text, "exact": self.exact, "synsets": [sense.synset for sense in self.used]} | weight

    def relatives(self, count: int = 3) -> list[str]:
        """Return the names of the classes that count most for an inexact word."""
        order = np.argsort(-self.weights, kind="stable")[:count]
        names = wordnet().class_names
        return [names[place] for place in order.tolist()]

    def remarks(self) -> list[str]:
        """Return sentences for the user about how the word was taken, often none."""
        said = []
        if self.name != plain(self.text) and plain(self.text).endswith(f" {self.name}"):
            said.append(f"WordNet has no {self.text!r}: taken as {self.name!r}.")
        if not self.exact:
            said.append(f"No class for {self.name}; by its relatives: {', '.join(self.relatives())}.")
        elif self.chosen is None and (len(self.used) > 1 or self.used[0].number > 1):
            kinds = "; ".join(f"{sense.number}, {sense.kind}" for sense in self.used)
            how = (
                f"all that have classes are taken ({kinds})"
                if len(self.used) > 1
                else f"the one with classes is {kinds}"
            )
            said.append(f"{self.name!r} has {len(self.senses)} senses: {how}; --sense NUMBER chooses another.")
        return said


def look_up(text: str, sense: int | None = None) -> Word:
    """Return the word that a user typed: in any case, with spaces, hyphens or underscores, in the singular or plural.

    An irregular or regular plural is taken for its singular, unless it is a word of its own that has classes
    ("sunglasses"). A compound that WordNet lacks, of words that it has, is taken for its last part: a ceiling fan is
    a fan. WordError, with the nearest spellings, where it knows no such word.
    """
    if len(text) > _LONGEST:
        raise WordError(f"{shortened(text)} is too long for a word: it has {len(text):,} letters.")
    word = find(text)
    if word is None:
        # a word that is known needs none of it
        from cbir.words.spelling import nearest_spellings

        near = nearest_spellings(plain(text))
        hint = f" Did you mean {_listed(near)}?" if near else " Words are nouns in English, such as dog or grand piano."
        raise WordError(f"There is no word {text!r} in WordNet.{hint}")
    return word if sense is None else word.choose(sense)


def find(text: str) -> Word | None:
    """Return the same word as `look_up`; None where WordNet knows no such word."""
    wanted = plain(text) if len(text) <= _LONGEST else ""
    found = _known(wanted) if wanted else None
    if found is None and " " in wanted:
        found = _known(wanted.replace(" ", ""))
        parts = wanted.split()
        if found is None and all(_known(part) is not None for part in parts):
            tails = (" ".join(parts[first:]) for first in range(1, len(parts)))
            found = next(known for known in map(_known, tails) if known is not None)
    if found is None:
        return None
    name, synsets = found
    return Word(text, name, tuple(Sense(number, place) for number, place in enumerate(synsets, start=1)))


def _known(wanted: str) -> tuple[str, list[int]] | None:
    """Return a plain word or its singular, and its synsets; None where there is none.

    Where the word and its singular both are words (glasses), the word itself counts if a sense has classes, else both.
    """
    own = wordnet().synsets(wanted)
    if any(len(classes_below(synset)) for synset in own):
        return wanted, own
    for singular in _singulars(wanted):
        if others := wordnet().synsets(singular):
            return (wanted if own else singular), list(dict.fromkeys([*own, *others]))
    return (wanted, own) if own else None


def _singulars(plural: str) -> list[str]:
    """Return the words that one ending in a plural may be the plural of, the likeliest first."""
    if irregular := wordnet().singular(plural):
        return [irregular]
    start, space, last = plural.rpartition(" ")
    if irregular := wordnet().singular(last):
        return [f"{start}{space}{irregular}"]
    if len(last) < 3 or last.endswith("ss"):
        return []
    return [f"{start}{space}{last[: -len(ending)]}{singular}" for ending, singular in _ENDINGS if last.endswith(ending)]


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
