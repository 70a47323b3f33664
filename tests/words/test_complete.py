"""Completion: nouns by what is typed, those that find something first."""

from __future__ import annotations

import time

import numpy as np
import pytest

from cbir.index.columns.classes import COUNT, RowClasses
from cbir.words.complete import Completion
from cbir.words.score import weighted_sums
from cbir.words.vocabulary import look_up

LEAST = 0.15


def made(rows: int, seed: int = 3) -> RowClasses:
    """Rows of some of the first 200 classes, animals all of them."""
    random = np.random.default_rng(seed)
    numbers = random.permuted(np.tile(np.arange(200), (rows, 1)), axis=1)[:, :COUNT].astype(np.uint16)
    weights = np.sort(random.dirichlet(np.full(COUNT, 0.2), rows), axis=1)[:, ::-1]
    return RowClasses(numbers, weights.astype(np.float16))


def test_pictures_are_those_that_the_word_finds() -> None:
    classes = made(500)
    completion = Completion(classes, LEAST)
    some = {one.word: one for typed in ("d", "bird", "f", "sha") for one in completion.complete(typed, 50)}
    exact = [one for one in some.values() if one.pictures is not None]
    assert len(exact) > 50
    assert any(one.pictures for one in exact)
    for one in exact:
        sums = weighted_sums(look_up(one.word).weights, classes.numbers, classes.probabilities)
        assert one.pictures == int((sums >= LEAST).sum()), one.word


def test_what_finds_most_comes_first_and_nothing_twice() -> None:
    found = Completion(made(500), LEAST).complete("b", 40)
    pictures = [one.pictures or 0 for one in found]
    assert pictures == sorted(pictures, reverse=True)
    assert pictures[0] > 0
    assert len({tuple(look_up(one.word).weights) for one in found if one.pictures is not None}) == len(
        [one for one in found if one.pictures is not None]
    )


def test_what_was_typed_wholly_is_told_by_itself_and_others_by_their_usual_word() -> None:
    completion = Completion(made(500), LEAST)
    assert [one.word for one in completion.complete("domestic dog", 3)] == ["domestic dog"]
    dogs = [one.word for one in completion.complete("do", 40)]
    assert "dog" in dogs
    assert "domestic dog" not in dogs
    assert "canid" not in [one.word for one in completion.complete("cani", 40)]


def test_words_without_classes_come_last_and_names_of_persons_never() -> None:
    found = Completion(made(100), LEAST).complete("snows", 60)
    kinds = [one.pictures is None for one in found]
    assert kinds == sorted(kinds)
    assert "snowstorm" in {one.word for one in found if one.pictures is None}
    assert all(one.meaning for one in found)
    assert Completion(made(100), LEAST).complete("shakespeare", 5) == []


@pytest.mark.parametrize("typed", ["", " ", "qqqq", "\0", "a" * 5000, "\udcff", "-", "_"])
def test_what_is_no_word_completes_to_nothing(typed: str) -> None:
    assert Completion(made(10), LEAST).complete(typed) == []


def test_an_empty_index_completes_all_the_same() -> None:
    found = Completion(RowClasses(np.zeros((0, COUNT), np.uint16), np.zeros((0, COUNT), np.float16)), LEAST)
    assert found.complete("dog")[0].pictures == 0


def test_it_is_quick() -> None:
    completion = Completion(made(2000), LEAST)
    completion.complete("d")
    taken = []
    for typed in ("d", "do", "dog", "s", "sea h", "zz"):
        begun = time.process_time()
        completion.complete(typed)
        taken.append(time.process_time() - begun)
    assert sorted(taken)[3] < 0.1
