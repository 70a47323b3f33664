"""The nouns nearest to a word in WordNet's tree."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from cbir.words.near_nouns import NearNoun, nouns_near
from cbir.words.nearness import similarities
from cbir.words.vocabulary import look_up
from cbir.words.wordnet import wordnet


def near(word: str, sense: int | None = None, *, others: bool = False) -> list[NearNoun]:
    return list(chain.from_iterable(nouns_near(look_up(word, sense), others=others)))


@pytest.mark.parametrize("word", ["horse", "piano", "smile"])
def test_likenesses_are_those_of_classes(word: str) -> None:
    place = look_up(word).used[0].place
    depths = wordnet().depths.astype(np.float32)
    own = 2 * wordnet().common_depths(place) / (depths + depths[place])
    np.testing.assert_allclose(own[wordnet().classes], similarities(place), atol=1e-6)


def test_the_word_comes_first_and_then_the_nearest() -> None:
    found = near("horse")
    assert [(one.text, one.relation) for one in found[:4]] == [
        ("horse", "same"),
        ("sorrel", "narrower"),
        ("equine", "broader"),
        ("zebra", "beside"),
    ]
    likeness = [one.likeness for one in found]
    assert likeness == sorted(likeness, reverse=True)
    assert likeness[0] == 1


def test_a_word_is_called_as_it_was_typed() -> None:
    assert near("Auto")[0].text == "auto"
    assert near("minivans")[0].text == "minivan"


def test_nouns_are_in_the_one_sense_that_is_near() -> None:
    sorrel = next(one for one in near("horse") if one.text == "sorrel")
    assert [sense.place for sense in sorrel.word.used] == [sorrel.place]
    assert "brownish orange" in sorrel.meaning
    assert sorrel.sense.number == 5
    crane = next(one for one in near("stork") if one.text == "crane")
    assert [sense.number for sense in crane.word.used] == [5]


def test_all_nouns_but_names_come_where_they_are_wanted() -> None:
    few, many = near("horse"), near("horse", others=True)
    assert {one.place for one in few} < {one.place for one in many}
    assert all(one.word.exact for one in few)
    assert "pony" in [one.text for one in many]
    assert "pony" not in [one.text for one in few]
    assert "Secretariat" not in [one.text for one in many]  # of a racehorse


def test_a_word_of_several_senses_has_what_is_near_any_of_them() -> None:
    texts = [one.text for one in near("crane")[:5]]
    assert texts[:2] == ["crane", "crane"]
    assert {"wading bird", "lifting device"} <= set(texts)
    assert "lifting device" not in [one.text for one in near("crane", 5)]


def test_a_word_without_classes_is_told_all_the_same() -> None:
    found = near("smile")
    assert found[0].text == "smile"
    assert not found[0].word.exact
