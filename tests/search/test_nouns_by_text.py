"""Nouns near a word by a text encoder, and the pictures that show each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cbir.backbones.backbone import describe
from cbir.engines.lazy import LazyEngine
from cbir.search.nouns_by_text import NounsByText
from cbir.search.searched import SearchedIndex
from cbir.utils.vectors import l2_normalize
from cbir.words.near_nouns import nouns_near
from cbir.words.vocabulary import look_up
from tests.helpers.feature_index import make_index

#: What an encoder of texts makes of the words that it knows.
KNOWN = {"dog": (1, 0, 0), "cat": (0.8, 0.6, 0), "bird": (0.1, 1, 0), "car": (0, 0, 1), "pony": (0, 1, 1)}


class FewWords(LazyEngine):
    """An engine whose encoder of texts knows five words."""

    def __init__(self) -> None:
        super().__init__(replace(describe("fake"), modalities=("image", "text")))

    def text(self, texts: Sequence[str]) -> np.ndarray:
        return l2_normalize(np.array([KNOWN.get(text, (0, 0, 0)) for text in texts], dtype=np.float32))


def test_the_nearest_texts_come_first_with_their_pictures(tmp_path: Path) -> None:
    features = l2_normalize(np.array([KNOWN["dog"]] * 5 + [KNOWN["cat"]] * 3 + [KNOWN["car"]] * 2, dtype=np.float32))
    searched = SearchedIndex(make_index(tmp_path / "index", features), FewWords())
    dog = look_up("dog")
    pony = [noun for group in nouns_near(look_up("pony")) for noun in group][:1]
    nouns = NounsByText(searched, [dog], pony)
    found = nouns.near(dog, 10)
    assert [(noun.text, pictures) for noun, pictures in found] == [("dog", 5), ("cat", 3), ("bird", 0)]
    assert [round(noun.likeness, 2) for noun, _ in found] == [1.0, 0.8, 0.1]
    assert [noun.relation for noun, _ in found] == ["same", "beside", "beside"]
    assert [noun.text for noun, _ in nouns.near(dog, 10, only_shown=True)] == ["dog", "cat"]
    assert [noun.text for noun, _ in nouns.near(dog, 1)] == ["dog"]
    assert (nouns.count("car"), nouns.count("pony")) == (2, 0)
