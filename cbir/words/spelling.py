"""The nearest spellings of a word among all of WordNet's."""

from __future__ import annotations

import difflib

import numpy as np
import numpy.typing as npt

from cbir.words.wordnet import plain, wordnet

# Words further away than this, or than a third of the letters, are no spelling of the same.
_MOST_EDITS = 3

# The patterns of the comparison are bits of 64-bit words.
_LONGEST = 63

Edits = npt.NDArray[np.int64]


def nearest_spellings(word: str, count: int = 3) -> list[str]:
    """Up to `count` words that are fewest edits away from `word`, the likest first; none where all are far."""
    wanted = plain(word)[:_LONGEST]
    if not wanted:
        return []
    written = list(wordnet().words())
    # what `plain` does, to all at once
    plainly = "\t".join(written).lower().replace("-", " ").split("\t")
    most = min(_MOST_EDITS, max(1, len(wanted) // 3))
    lengths = range(len(wanted) - most, min(len(wanted) + most, _LONGEST) + 1)
    spelling = {text: one for text, one in zip(plainly, written, strict=True) if len(text) in lengths}
    if not spelling:
        return []
    texts = list(spelling)
    edits = _edits(wanted, texts)
    least = int(edits.min())
    if least > most:
        return []
    near = [texts[place] for place in np.flatnonzero(edits == least).tolist()]
    matcher = difflib.SequenceMatcher(b=wanted)

    def likeness(text: str) -> float:
        matcher.set_seq1(text)
        return matcher.ratio()

    near.sort(key=lambda text: (-likeness(text), text))
    return [spelling[text] for text in near[:count]]


def _edits(word: str, texts: list[str]) -> Edits:
    """Letters to insert, remove, replace or swap to make each of `texts` of `word`, shape (len(texts),).

    All texts at once, letter by letter: a column of the table of distances is two sets of bits, where it rises and
    where it falls (Hyyrö, "A Bit-Vector Algorithm for Computing Levenshtein and Damerau Edit Distances", 2003).
    """
    letters = np.array([text.encode("ascii", "replace") for text in texts], dtype=f"S{max(map(len, texts))}")
    matrix = letters.view(np.uint8).reshape(len(texts), -1)
    lengths = np.array([len(text) for text in texts])
    one, last = np.uint64(1), np.uint64(1 << (len(word) - 1))
    patterns = np.zeros(256, dtype=np.uint64)
    for place, letter in enumerate(word.encode("ascii", "replace")):
        patterns[letter] |= np.uint64(1 << place)
    rises = np.full(len(texts), np.uint64((1 << len(word)) - 1))
    falls = np.zeros_like(rises)
    diagonal = np.zeros_like(rises)
    before = np.zeros_like(rises)
    edits = np.full(len(texts), len(word), dtype=np.int64)
    for column in range(matrix.shape[1]):
        match = patterns[matrix[:, column]]
        swapped = ((~diagonal & match) << one) & before
        diagonal = (((match & rises) + rises) ^ rises) | match | falls | swapped
        up = falls | ~(diagonal | rises)
        down = rises & diagonal
        live = lengths > column
        edits += live * ((up & last) != 0)
        edits -= live * ((down & last) != 0)
        up = (up << one) | one
        rises = (down << one) | ~(diagonal | up)
        falls = diagonal & up
        before = match
    return edits
