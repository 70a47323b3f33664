"""Prompts of single words, and the nouns of sentences."""

from __future__ import annotations

import numpy as np
import pytest

from cbir.utils.vectors import l2_normalize
from cbir.words.nouns import nouns_in
from cbir.words.prompts import PROMPTS, prompts, text_features


@pytest.mark.parametrize("text", ["horse", " zebra ", "golden retriever", "grand pianos", "xyzzy", "鳥", "{}", "{0.x}"])
def test_a_word_and_a_noun_are_put_into_sentences(text: str) -> None:
    assert prompts(text) == [prompt.replace("{}", text.strip()) for prompt in PROMPTS]


@pytest.mark.parametrize("text", ["two parrots on a branch", "a horse", "the red car", "horse zebra", "x" * 50 + " y"])
def test_a_sentence_is_read_as_it_is(text: str) -> None:
    assert prompts(text) == [text]


def test_the_feature_of_a_word_is_the_mean_of_its_prompts() -> None:
    random = np.random.default_rng(1)
    known: dict[str, np.ndarray] = {}

    def encode(texts: list[str]) -> np.ndarray:
        vectors = [known.setdefault(text, random.standard_normal(8).astype(np.float32)) for text in texts]
        return l2_normalize(np.stack(vectors))

    found = text_features(["a red car", "horse"], encode)
    each = encode([prompt.format("horse") for prompt in PROMPTS])
    assert np.allclose(found[0], encode(["a red car"])[0])
    assert np.allclose(found[1], l2_normalize(each.mean(axis=0)))


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("two parrots on a branch", ["parrot"]),
        ("A golden retriever in the snow", ["golden retriever"]),
        ("my dog's ball, and a CAT!", ["ball", "cat"]),
        ("a photo of grand pianos", ["grand piano"]),
        ("happiness and wealth", ["happiness", "wealth"]),
        ("zebra zebras zebra", ["zebra"]),
        ("it is in on at to be", []),
        ("", []),
        ("鐵路 🎈 \0", []),
    ],
)
def test_nouns_of_a_sentence(sentence: str, expected: list[str]) -> None:
    assert [word.name for word in nouns_in(sentence)] == expected


def test_a_very_long_sentence_takes_no_time() -> None:
    assert len(nouns_in("dog cat bird snake frog piano guitar " * 20_000)) == 7
