"""Features of sentences, and what a query by texts looks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cbir.search.combination import Combination
from cbir.search.searched import SearchedIndex
from cbir.search.text_query import TextQuery
from cbir.utils.vectors import Floats
from cbir.words.prompts import text_features


class Sentences:
    """Reads sentences by the text encoder of an index's network."""

    def __init__(self, searched: SearchedIndex) -> None:
        self._searched = searched
        self._last: tuple[tuple[str, ...], Floats] | None = None

    def asked(self, text: TextQuery, features: Sequence[Floats]) -> Combination:
        """Return the feature of texts and their picture.

        `features` begin with those of the texts' own images; where those of judged ones follow, it is as long as makes
        it count as much as a picture.
        """
        own, spread = len(text.images), self._searched.spread
        asked = text.combine(features[:own], self._of(text.sentences), spread)
        if len(features) == own:
            return asked
        usual = spread(np.mean(features[own:], axis=0)) / spread(asked.direction)
        return replace(asked, direction=asked.direction * np.float32(usual))

    def _of(self, sentences: tuple[str, ...]) -> Floats:
        """Return features of sentences, shape (n, dimension); those asked for last are kept, as pages follow."""
        last = self._last  # which other threads replace
        if last is not None and last[0] == sentences:
            return last[1]
        found = text_features(sentences, self._searched.engine.text)
        self._last = sentences, found
        return found
