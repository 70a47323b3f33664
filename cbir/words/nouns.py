"""The nouns of a sentence that WordNet knows, for networks that read no sentences."""

from __future__ import annotations

import re

from cbir.words.vocabulary import Word, find

# Nouns of WordNet that are something else in most sentences, or speak of the picture itself.
_TEXT = """
a an am are as at be been but by can could do does down for had has have he her here his how i in is it its
may me might more most must my no nor not of off on one or our out over she so some than that the their them
then there these they this those to two three four five six seven eight nine ten under up us was we were what
when where which while who why will with would you your background close front image look looking photo
photograph picture shot side view
"""
_OTHERS = frozenset(_TEXT.split())

# Words of a sentence that are looked at, the first ones, nouns that are looked for, and words of one noun, at most.
_LOOKED_AT, _MOST, _MOST_WORDS = 200, 20, 4


def noun(text: str) -> Word | None:
    """Return a noun of WordNet that is written so, in the singular or plural; None where the whole text is none."""
    found = find(text)
    return found if found is not None and found.name.count(" ") == len(text.split()) - 1 else None


def nouns_in(sentence: str) -> list[Word]:
    """Return the nouns of a sentence, each once, the longest there are: a golden retriever, and not a retriever.

    Those that ImageNet has classes of; only where it has none of any, the others.
    """
    words = re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", sentence)[:_LOOKED_AT]
    found: dict[str, Word] = {}
    place = 0
    while place < len(words) and len(found) < _MOST:
        length, known = next(
            (
                (count, known)
                for count in range(min(_MOST_WORDS, len(words) - place), 0, -1)
                if words[place + count - 1].lower() not in _OTHERS
                and words[place].lower() not in _OTHERS
                and (known := noun(" ".join(words[place : place + count]))) is not None
            ),
            (1, None),
        )
        if known is not None:
            found.setdefault(known.name, known)
        place += length
    return [one for one in found.values() if one.exact] or list(found.values())
