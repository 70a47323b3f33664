"""Pictures by words: scores from their classes, re-ranking by their features, tags."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cbir.backbones.imagenet import classes as imagenet
from cbir.search.centre import Centre, affinities, roots
from cbir.search.feedback import CANDIDATES, rerank_by_evidence
from cbir.search.ranker import Ranker
from cbir.search.rerank import _SAME, reach
from cbir.tags.rules import tags
from cbir.utils.vectors import l2_normalize
from cbir.words.score import class_shares, score_words, weighted_sums, with_likeness
from cbir.words.vocabulary import look_up
from tests.helpers.feature_index import make_index

NUMBER = {one.name: one.number for one in imagenet()}
KEPT = 20


def pictures(*known: dict[str, float]) -> np.ndarray:
    """Pictures as an index keeps them: classes and their probabilities, the rest of one that nobody asks for."""
    kept = np.zeros((len(known), KEPT), dtype=[("class", "<u2"), ("probability", "<f2")])
    kept["class"] = NUMBER["toilet tissue"]
    for row, its in zip(kept, known, strict=True):
        for place, (name, probability) in enumerate(its.items()):
            row[place] = (NUMBER[name], probability)
    return kept


def scores(kept: np.ndarray, words: list[str], without: list[str] | None = None) -> tuple[list[float], list[float]]:
    found = score_words(
        [look_up(one) for one in words], [look_up(one) for one in without or []], kept["class"], kept["probability"]
    )
    return [round(one, 3) for one in found.shown.tolist()], found.evidence.tolist()


def test_an_exact_words_score_is_the_sum_of_its_classes() -> None:
    kept = pictures({"beagle": 0.5, "pug": 0.25}, {"tabby": 0.75, "pug": 0.125}, {"goldfish": 1.0})
    shown, evidence = scores(kept, ["dog"])
    assert shown == evidence == [0.75, 0.125, 0.0]


def test_scores_are_no_more_than_one() -> None:
    # rounded to halves, probabilities may add up to more
    kept = pictures({"beagle": 0.75, "pug": 0.253})
    assert scores(kept, ["dog"])[1] == [1.0]


def test_all_words_must_be_there() -> None:
    kept = pictures({"beagle": 0.5, "seashore": 0.5}, {"beagle": 1.0}, {"beagle": 0.75, "seashore": 0.125})
    shown, evidence = scores(kept, ["dog", "seashore"])
    assert shown == [0.25, 0.0, 0.094]
    assert np.argsort(evidence).tolist() == [1, 2, 0]


def test_what_should_not_be_there() -> None:
    kept = pictures({"beagle": 0.75, "seashore": 0.25}, {"beagle": 0.5}, {"seashore": 1.0})
    shown, evidence = scores(kept, ["dog"], ["seashore"])
    assert shown == [0.562, 0.5, 0.0]
    assert np.argsort(evidence).tolist() == [2, 0, 1]
    shown, evidence = scores(kept, [], ["seashore"])
    assert shown == [0.75, 1.0, 0.0]
    assert np.argsort(evidence).tolist() == [2, 0, 1]


def test_only_one_word_alone_is_worth_re_ranking() -> None:
    kept = pictures({"beagle": 1.0})
    dog, cat = look_up("dog"), look_up("cat")

    def of_one_word(words: list, without: list) -> bool:
        return score_words(words, without, kept["class"], kept["probability"]).of_one_word

    assert of_one_word([dog], [])
    assert not of_one_word([dog, cat], [])
    assert not of_one_word([dog], [cat])
    assert not of_one_word([], [cat])


def test_relatives_that_are_many_themselves_count_less() -> None:
    # of a mandolin's relatives a harp is nearer than a banjo; but this collection is full of harps
    kept = pictures(*[{"harp": 1.0}] * 50, {"banjo": 1.0}, {"goldfish": 1.0})
    shown, evidence = scores(kept, ["mandolin"])
    assert shown[0] > shown[50] > 0.2
    assert evidence[50] > evidence[0] > evidence[51]
    assert max(shown) < 1
    assert shown[51] < 1e-3


def test_shares_are_those_of_the_collection() -> None:
    kept = pictures({"harp": 0.5}, {"harp": 0.25, "banjo": 0.25}, {}, {})
    shares = class_shares(kept["class"], kept["probability"])
    assert shares[NUMBER["harp"]] == pytest.approx(0.1875)
    assert shares[NUMBER["banjo"]] == pytest.approx(0.0625)
    assert shares.shape == (1000,)
    many = np.tile(kept, (10_001, 1))
    assert class_shares(many["class"], many["probability"])[NUMBER["harp"]] == pytest.approx(0.1875, abs=1e-3)
    assert class_shares(kept["class"][:0], kept["probability"][:0]).tolist() == [0] * 1000


def test_sums_are_those_of_all_classes() -> None:
    random = np.random.default_rng(0)
    kept = np.zeros((300, KEPT), dtype=[("class", "<u2"), ("probability", "<f2")])
    kept["class"] = random.integers(1000, size=kept.shape)
    kept["probability"] = random.dirichlet(np.ones(KEPT), len(kept)) * 0.9
    weights = random.random(1000, dtype=np.float32)
    dense = np.zeros((len(kept), 1000))
    np.add.at(dense, (np.arange(len(kept))[:, np.newaxis], kept["class"]), kept["probability"].astype(np.float64))
    assert weighted_sums(weights, kept["class"], kept["probability"]) == pytest.approx(dense @ weights, rel=1e-5)


def test_a_picture_and_a_word_are_both_needed() -> None:
    evidence = np.array([1.0, 0.25, 0.0, 1.0], dtype=np.float32)
    likeness = np.array([0.5, 0.8, 1.0, -0.5], dtype=np.float32)
    assert with_likeness(evidence, likeness) == pytest.approx([0.25, 0.32, 0, 0])


def clusters(count: int = 4, size: int = 30, seed: int = 0) -> np.ndarray:
    """`count` times `size` features of length 1, positive as a network's, each cluster about a centre of its own."""
    random = np.random.default_rng(seed)
    centres = np.repeat(np.maximum(random.normal(0, 1, (count, 64)), 0), size, axis=0)
    return l2_normalize(np.maximum(centres + random.normal(0, 0.35, centres.shape), 0).astype(np.float32))


def reranked(
    features: np.ndarray, evidence: np.ndarray, near: Callable[[np.ndarray], np.ndarray] | None = None
) -> list:
    centre = Centre.of(features, len(features))
    lengths = centre.lengths(features)

    def nearest(direction: np.ndarray) -> np.ndarray:
        return np.argsort(-centre.cosines(features, lengths, direction))[:40]

    found = rerank_by_evidence(evidence.astype(np.float32), lambda rows: features[rows], near or nearest, centre)
    return found.tolist()


def test_pictures_like_the_likeliest_ones_come_with_them() -> None:
    features = clusters()
    evidence = np.full(120, 1e-4)
    evidence[:12] = 0.9  # half of the first cluster; the network missed the rest
    evidence[[40, 70, 100]] = 0.5  # and took some others for it
    order = reranked(features, evidence)
    assert sorted(order[:30]) == list(range(30))
    plain = np.argsort(-evidence, kind="stable")
    assert sorted(plain[:30].tolist()) != list(range(30))


def test_pictures_without_evidence_are_found_by_their_features() -> None:
    features = clusters()
    evidence = np.zeros(120)
    evidence[:6] = 0.9
    assert sorted(reranked(features, evidence)[:30]) == list(range(30))
    # unless nothing near is looked for
    assert sorted(reranked(features, evidence, lambda direction: np.empty(0, dtype=np.int64))) == list(range(6))


def test_more_are_looked_for_in_the_direction_of_the_likeliest() -> None:
    features = clusters()
    evidence = np.zeros(120)
    evidence[:4] = [1, 0.5, 0.5, 0.25]
    directions = []

    def near(direction: np.ndarray) -> np.ndarray:
        directions.append(direction)
        return np.arange(30)

    reranked(features, evidence, near)
    centred = features[:4] - Centre.of(features, 120).mean
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    assert directions[0] == pytest.approx(l2_normalize(evidence[:4].astype(np.float32) @ centred), abs=1e-5)


def test_too_few_pictures_keep_their_order() -> None:
    features = clusters()
    evidence = np.zeros(120)
    assert reranked(features, evidence) == []
    evidence[[5, 50, 100]] = [0.1, 0.9, 0.5]
    assert reranked(features, evidence) == [50, 100, 5]


def test_what_reaches_a_copy_reaches_the_original() -> None:
    features = clusters()
    rows = np.concatenate([features, features[:1], features[:1]])
    source = np.zeros(len(rows), dtype=np.float32)
    source[-1] = 1
    reached = reach(rows, source, Centre.of(rows, len(rows)))
    assert reached[0] == reached[-1] == reached[-2] == reached.max() == 1
    assert reached[1:30].min() > reached[30:120].max()


def test_a_copy_without_evidence_takes_none_away() -> None:
    features = clusters()
    rows = np.concatenate([features, features[:1]])
    source = np.zeros(len(rows), dtype=np.float32)
    source[0] = 1
    assert reach(rows, source, Centre.of(rows, len(rows)))[-1] == 1


def test_copies_in_a_chain_are_one_picture() -> None:
    # each is the same as the next to within a hair, the first and the last are not
    first, other = np.random.default_rng(0).random((2, 64)).astype(np.float32)
    chain = l2_normalize(np.stack([first + np.float32(step) * other for step in (0, 0.12, 0.28)]))
    rows = np.concatenate([clusters(), chain])
    centre = Centre.of(rows, len(rows))
    alike = affinities(roots(chain), centre)
    assert alike[0, 1] >= _SAME
    assert alike[1, 2] >= _SAME
    assert alike[0, 2] < _SAME
    source = np.zeros(len(rows), dtype=np.float32)
    source[-1] = 1
    reached = reach(rows, source, centre)
    assert reached[-1] == reached[-3:].min() == 1
    assert reached[:120].max() < 0.5


def test_a_ranker_puts_rows_in_order_by_evidence(tmp_path: Path) -> None:
    features = clusters()
    index = make_index(tmp_path / "index", features)
    ranker = Ranker(index)
    evidence = np.linspace(0.2, 0.1, 120).astype(np.float32)
    evidence[:12] = 0.9
    evidence[119] = 0
    plain, total = ranker.by_evidence(evidence, 500, reranked=False)
    assert total == 119
    assert plain.tolist() == list(range(119))
    first, total = ranker.by_evidence(evidence, 7, reranked=False)
    assert (first.tolist(), total) == (list(range(7)), 119)
    order, _ = ranker.by_evidence(evidence, 500, reranked=True)
    assert sorted(order[:30].tolist()) == list(range(30))
    assert sorted(order.tolist()) == list(range(120))  # the last by its features
    first, total = ranker.by_evidence(evidence, 30, reranked=True)
    assert (first.tolist(), total) == (order[:30].tolist(), 120)
    nothing, total = ranker.by_evidence(np.zeros(120, dtype=np.float32), 5, reranked=True)
    assert (nothing.tolist(), total) == ([], 0)


def test_a_ranker_leaves_out_rows_that_are_no_longer_valid(tmp_path: Path) -> None:
    index = make_index(tmp_path / "index", clusters())
    index.valid[3] = False
    order, _ = Ranker(index).by_evidence(np.ones(120, dtype=np.float32), 500, reranked=True)
    assert sorted(order.tolist()) == [row for row in range(120) if row != 3]


def test_more_rows_than_are_re_ranked_follow_by_evidence(tmp_path: Path) -> None:
    features = clusters(8, 100)
    index = make_index(tmp_path / "index", features)
    evidence = np.linspace(1, 0.5, 800).astype(np.float32)
    order, _ = Ranker(index).by_evidence(evidence, 800, reranked=True)
    assert sorted(order.tolist()) == list(range(800))
    assert set(range(CANDIDATES)) <= set(order[:500].tolist())
    assert (np.diff(order[520:]) > 0).all()


def test_likenesses_are_centred_cosines(tmp_path: Path) -> None:
    features = clusters()
    ranker = Ranker(make_index(tmp_path / "index", features))
    centred = features - Centre.of(features, 120).mean
    expected = (centred / np.linalg.norm(centred, axis=1, keepdims=True)) @ l2_normalize(centred[7])
    assert ranker.scanner.likenesses(features[7]) == pytest.approx(expected, abs=2e-3)


def tagged(*known: dict[str, float], **options: float) -> list[list[str]]:
    kept = pictures(*known)
    return [[tag.word for tag in one] for one in tags(kept["class"], kept["probability"], **options)]  # type: ignore[arg-type]


def test_a_tag_is_as_special_as_probabilities_allow() -> None:
    dogs = {"beagle": 0.15, "pug": 0.15, "Chihuahua": 0.15, "boxer": 0.15, "Great Dane": 0.15, "basset": 0.15}
    cars = {"convertible": 0.4, "sports car": 0.4, "beagle": 0.15}
    assert tagged({"beagle": 0.9}, dogs, cars, {"beagle": 0.05}) == [["beagle"], ["dog"], ["car", "beagle"], []]


def test_of_words_for_the_same_classes_the_most_usual_and_most_special_is_the_tag() -> None:
    # every fish here is an aquatic vertebrate and the other way round; a cyprinid is also a cypriniform fish
    assert tagged({"tench": 0.3, "great white shark": 0.3, "eel": 0.3}, {"tench": 0.45, "goldfish": 0.45}) == [
        ["fish"],
        ["cyprinid"],
    ]


def test_a_branch_is_said_once() -> None:
    found = tagged({"beagle": 0.45, "pug": 0.05, "grand piano": 0.3, "goldfish": 0.1})
    assert found == [["beagle", "grand piano"]]


def test_the_limits_of_tags() -> None:
    mixed = {"beagle": 0.3, "grand piano": 0.25, "goldfish": 0.2, "banana": 0.15}
    assert tagged(mixed, min_probability=0.18) == [["beagle", "grand piano", "goldfish"]]
    assert tagged(mixed, count=1) == [["beagle"]]
    fauna = {"beagle": 0.12, "goldfish": 0.12, "hen": 0.12, "ant": 0.12, "snail": 0.12, "starfish": 0.12}
    assert tagged(fauna) == [["animal"]]
    assert "animal" not in tagged(fauna, max_general=0.3)[0]


def test_nothing_that_says_nothing_is_a_tag() -> None:
    random = np.random.default_rng(0)
    kept = np.zeros((2000, KEPT), dtype=[("class", "<u2"), ("probability", "<f2")])
    kept["class"] = random.integers(1000, size=kept.shape)
    kept["probability"] = 1 / KEPT
    words = {tag.word for one in tags(kept["class"], kept["probability"], max_general=1) for tag in one}
    assert "animal" in words
    assert not words & {"entity", "physical entity", "object", "whole", "artifact", "organism", "instrumentality"}


def test_vague_words_are_no_tags() -> None:
    """What is taken in their place is a more general or a more special one, or nothing."""
    kept = pictures(
        {"African elephant": 0.25, "flamingo": 0.25, "tench": 0.25, "tailed frog": 0.25},  # vertebrates
        {"digital clock": 0.34, "wall clock": 0.34, "buckle": 0.05, "padlock": 0.05},
        {"schooner": 0.16, "airliner": 0.16, "warplane": 0.16, "moped": 0.16},  # crafts, conveyances
    )
    found = [[tag.word for tag in one] for one in tags(kept["class"], kept["probability"])]
    assert found == [["animal"], ["clock"], ["vehicle"]]


def test_a_tag_has_its_probability_and_synset() -> None:
    kept = pictures({"beagle": 0.25, "pug": 0.25, "basset": 0.25, "boxer": 0.25}, {"tench": 1.0})
    (dog,), (tench,) = tags(kept["class"], kept["probability"])
    assert (dog.word, dog.probability, dog.synset, dog.is_class) == ("dog", 1.0, "n02084071", False)
    assert (tench.word, tench.probability, tench.synset, tench.is_class) == ("tench", 1.0, "n01440764", True)


def test_tags_of_no_pictures() -> None:
    kept = pictures()
    assert list(tags(kept["class"], kept["probability"])) == []


def test_tags_are_the_same_in_any_company() -> None:
    random = np.random.default_rng(1)
    kept = np.zeros((2500, KEPT), dtype=[("class", "<u2"), ("probability", "<f2")])
    kept["class"] = random.integers(1000, size=kept.shape)
    kept["probability"] = -np.sort(-random.dirichlet(np.full(KEPT, 0.3), len(kept)), axis=1)
    together = list(tags(kept["class"], kept["probability"]))
    assert len(together) == 2500
    for row in (0, 999, 1000, 2499):
        assert list(tags(kept["class"][row : row + 1], kept["probability"][row : row + 1])) == [together[row]]
    for one in together[:200]:
        assert len({tag.synset for tag in one}) == len(one)
