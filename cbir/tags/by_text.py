"""Tags of a list of words of one's own, by a network that reads text: nobody has to teach it (zero-shot).

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021: the cosines of a
picture and of each word's prompts, by the scale that their networks learn, are the logits of a softmax. So
probabilities are among the words of the list, and come to 1: a list needs a word for what else there may be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cbir.engines.lazy import LazyEngine
from cbir.errors import CbirError
from cbir.extract.of_index import backbone_of
from cbir.images.source import ImageSource, NamedImage
from cbir.index.store import Index
from cbir.tags.named import named_tags, probabilities_of_rows, tag_named
from cbir.tags.tagger import Choice, Tagged
from cbir.utils.lists import read_text
from cbir.utils.vectors import Floats, l2_normalize
from cbir.words.prompts import SCALE, text_features
from cbir.words.tag import Tag

# Bytes of a list, and its words.
_MOST_BYTES, _MOST_WORDS = 1 << 20, 10_000


class TextTagger:
    """Tags pictures with `words`, a list of them, by a network that reads text: ModelError where it reads none."""

    def __init__(self, engine: LazyEngine, words: Sequence[str], choice: Choice) -> None:
        engine.backbone.check_text()
        self._engine = engine
        self._words = tuple(words)
        self._choice = choice
        self._texts = text_features(self._words, engine.text)

    def tag(self, pictures: Sequence[ImageSource | NamedImage], engine: str | None = None) -> Iterator[Tagged]:
        """Yield the tags of pictures, in order, as of `tag_named`."""
        return tag_named(self._engine.backbone, pictures, lambda one: self._tags(self._probabilities(one)), engine)

    def tag_index(self, index: Index) -> Iterator[Tagged]:
        """Yield the tags of all pictures of an index of the same network, by path; no picture is read."""
        for _, path, probabilities in probabilities_of_rows(index, self._probabilities):
            yield Tagged(str(path), path, None if probabilities is None else self._tags(probabilities))

    def _tags(self, probabilities: Floats) -> list[Tag]:
        return named_tags(self._words, probabilities, self._choice)

    def _probabilities(self, features: Floats) -> Floats:
        """Return the probabilities of words, of features, whose last axis is the dimension."""
        logits = SCALE * (l2_normalize(features) @ self._texts.T)
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=-1, keepdims=True), dtype=np.float32)


def text_tagger_of(
    index: Index, words: Sequence[str], choice: Choice, *, engine: str | None = None, weights: str | None = None
) -> TextTagger:
    """Return the tagger of an index's network. ModelError where it reads no text."""
    return TextTagger(LazyEngine(backbone_of(index, weights=weights), engine), words, choice)


def read_words(file: Path) -> list[str]:
    """Read a list of words, one a line, each once; blank lines are none. CbirError names the file."""
    text = read_text(file, "Cannot read the list of words", _MOST_BYTES)
    words = list(dict.fromkeys(word for line in text.splitlines() if (word := line.strip())))
    if not words or len(words) > _MOST_WORDS:
        raise CbirError(f"The list of words {file} has {len(words):,} words, and not 1 to {_MOST_WORDS:,}.")
    return words
